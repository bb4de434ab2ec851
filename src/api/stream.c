#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/stream.h"

#define STACK_BYTES (128 * 1024)
#define SECOND 1000000
#define HEARTBEAT (15 * SECOND) /* of silence; then a comment */
#define SLOW (30 * SECOND)      /* so long a client may take nothing of what waits for it */
#define LEAVE (2 * SECOND)	/* the same when the process stops */
#define PACE 10 /* milliseconds between looks at a feed that keeps changing */
#define HELD_MAX ((size_t)16 << 20) /* bytes that wait for slow clients, all together */
#define SEND_BUFFER 16384 /* the kernel's for each; beyond it we remember a place, not bytes */

static struct {
	const struct jobq_conf *conf;
	unsigned most;
	_Atomic unsigned count;
	pthread_t thread, feeder;
	int epoll, poke; /* poke: an eventfd that ends the thread's sleep */
	pthread_mutex_t lock;
	pthread_cond_t wanted; /* there are listeners, or it quits */
	/* With the lock. */
	struct api_listener *arrived;
	bool quit;
	_Atomic uint32_t quits; /* changes when the feeder is to wake and look */
	/* The thread's own. */
	struct api_news news;
	struct api_listener *listeners, *graves;
	struct api_message *heartbeat;
	int64_t now, next_tick, quit_at;
} stream = {
	.epoll = -1,
	.poke = -1,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.wanted = PTHREAD_COND_INITIALIZER,
};

static void poke(void)
{
	const uint64_t one = 1;

	if (write(stream.poke, &one, sizeof(one)) < 0) {
		/* It is set as high as it goes: it will wake. */
	}
}

/* ---- the feeder: says when the feed goes on --------------------------------- */

static bool await_listeners(void)
{
	pthread_mutex_lock(&stream.lock);
	while (!stream.quit && atomic_load(&stream.count) == 0)
		pthread_cond_wait(&stream.wanted, &stream.lock);
	bool quit = stream.quit;
	pthread_mutex_unlock(&stream.lock);
	return !quit;
}

static void *feed(void *unused)
{
	uint32_t seen = atomic_load(&stream.quits);
	uint64_t last = 0;

	(void)unused;
	while (await_listeners()) {
		struct jobq_table *table = api_table_take(stream.conf);
		if (table != NULL) {
			/* A wake-up may be lost with who was killed before it: look each second. */
			jobq_table_feed_await(table, last, jobq_clock_mono() + SECOND,
					      &stream.quits, seen);
			last = jobq_table_feed_last(table); /* before the others look */
		}
		api_table_give(table);
		poke();
		poll(NULL, 0, PACE);
	}
	return NULL;
}

/* ---- listeners ------------------------------------------------------------- */

static void drop(struct api_listener *listener)
{
	close(listener->fd); /* epoll forgets it, too */
	listener->fd = -1;
	api_message_drop(listener->message);
	listener->message = NULL;
	if (listener->prev != NULL)
		listener->prev->next = listener->next;
	else
		stream.listeners = listener->next;
	if (listener->next != NULL)
		listener->next->prev = listener->prev;
	/* Its `next` stays, for who is just passing by; it is freed at the end of the turn. */
	listener->grave = stream.graves;
	stream.graves = listener;
	api_stream_leave();
}

static void bury(void)
{
	while (stream.graves != NULL) {
		struct api_listener *listener = stream.graves;
		stream.graves = listener->grave;
		free(listener);
	}
}

static void drop_slow(struct api_listener *listener, const char *why)
{
	jobq_log(JOBQ_LOG_INFO, "listener_dropped", "job=%llu why=%s",
		 (unsigned long long)listener->job, why);
	drop(listener);
}

/* Whether to be told when the socket takes something again. */
static void set_blocked(struct api_listener *listener, bool blocked)
{
	struct epoll_event event = {
		.events = EPOLLRDHUP | (blocked ? (uint32_t)EPOLLOUT : 0),
		.data.ptr = listener,
	};

	if (listener->blocked != blocked)
		epoll_ctl(stream.epoll, EPOLL_CTL_MOD, listener->fd, &event);
	listener->blocked = blocked;
}

/* Too much waits for slow clients: the slowest have to go, but for who has just come to it. */
static void make_room(const struct api_message *fresh)
{
	while (api_message_bytes() > HELD_MAX) {
		struct api_listener *slowest = NULL;
		for (struct api_listener *at = stream.listeners; at != NULL; at = at->next)
			if (at->message != NULL && at->message != fresh && at->blocked &&
			    (slowest == NULL || at->sent_at < slowest->sent_at))
				slowest = at;
		if (slowest == NULL)
			return;
		drop_slow(slowest, "memory");
	}
}

/* Sends what there is for it, as far as its socket takes it. */
static void pump(struct api_listener *listener)
{
	while (listener->fd >= 0) {
		enum api_sent sent = api_listener_send(listener, stream.now);
		if (sent == API_SENT_PART) {
			set_blocked(listener, true);
			return;
		}
		if (sent != API_SENT_ALL) {
			drop(listener);
			return;
		}
		set_blocked(listener, false);
		if (stream.news.table == NULL) {
			drop(listener); /* not even a head can be made */
			return;
		}
		struct api_message *message = api_news_next(&stream.news, listener);
		if (message == NULL && !listener->ends)
			return;
		if (message == NULL && !listener->opened) {
			drop(listener); /* out of memory */
			return;
		}
		if (message != NULL) {
			api_listener_give(listener, message);
			make_room(message);
		}
	}
}

static void pump_all(void)
{
	struct api_listener *next;

	for (struct api_listener *at = stream.listeners; at != NULL; at = next) {
		if (!at->blocked)
			pump(at);
		next = at->next;
	}
}

static void end_all(void)
{
	for (struct api_listener *at = stream.listeners; at != NULL; at = at->next)
		at->ends = true;
}

/* ---- the table -------------------------------------------------------------- */

static void take_table(void)
{
	struct jobq_table *table = api_table_take(stream.conf);

	if (table == stream.news.table) {
		api_table_give(table);
		return;
	}
	end_all(); /* what they follow is no more */
	pump_all();
	api_news_forget();
	api_table_give(stream.news.table);
	stream.news.table = table;
	stream.news.generation = table != NULL ? jobq_table_generation(table) : 0;
}

/* Whether it has been replaced by hand, which nobody tells. */
static bool stands_alone(struct jobq_table *table)
{
	return !jobq_table_owned(table) && jobq_table_replaced(table);
}

static void look_at_table(bool closely)
{
	struct jobq_table *table = stream.news.table;

	if (table == NULL)
		return;
	if (jobq_table_retired(table) || (closely && stands_alone(table)))
		end_all();
	if (stream.listeners == NULL) { /* it may have to go */
		stream.news.table = NULL;
		api_table_give(table);
	}
}

/* ---- the thread ------------------------------------------------------------- */

static void welcome(struct api_listener *listener)
{
	struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = listener};
	const int room = SEND_BUFFER;

	if (stream.news.table == NULL || stream.news.generation != listener->generation)
		take_table();
	listener->prev = NULL;
	listener->next = stream.listeners;
	if (listener->next != NULL)
		listener->next->prev = listener;
	stream.listeners = listener;
	listener->sent_at = stream.now;
	/* Of another table than there is now: it comes back, and finds that one. */
	listener->ends = stream.news.generation != listener->generation;
	setsockopt(listener->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (epoll_ctl(stream.epoll, EPOLL_CTL_ADD, listener->fd, &event) < 0) {
		jobq_log(JOBQ_LOG_WARNING, "client_not_watched", "msg=\"%s\"", strerror(errno));
		drop(listener);
	}
}

static void take_in(void)
{
	pthread_mutex_lock(&stream.lock);
	struct api_listener *arrived = stream.arrived;
	stream.arrived = NULL;
	if (stream.quit && stream.quit_at == 0)
		stream.quit_at = stream.now + LEAVE;
	pthread_mutex_unlock(&stream.lock);
	while (arrived != NULL) {
		struct api_listener *listener = arrived;
		arrived = listener->next;
		welcome(listener);
	}
}

/* Once a second: who is silent, who is slow? */
static void tick(void)
{
	int64_t patience = atomic_load(&api_stopping) ? LEAVE : SLOW;
	struct api_listener *next;

	for (struct api_listener *at = stream.listeners; at != NULL; at = next) {
		next = at->next;
		if (at->blocked && stream.now - at->sent_at >= patience) {
			drop_slow(at, "slow");
		} else if (!at->blocked && at->message == NULL && at->opened &&
			   stream.now - at->sent_at >= HEARTBEAT) {
			stream.heartbeat->refs++;
			api_listener_give(at, stream.heartbeat);
		}
	}
}

/* What epoll has seen; whether there is anything to look at for all. */
static bool take_events(int timeout)
{
	struct epoll_event events[64];
	int n = epoll_wait(stream.epoll, events, JOBQ_LENGTH(events), timeout);
	bool poked = false;
	uint64_t pokes;

	stream.now = jobq_clock_mono();
	for (int i = 0; i < n; i++) {
		struct api_listener *listener = events[i].data.ptr;
		if (listener == NULL)
			poked = read(stream.poke, &pokes, sizeof(pokes)) > 0;
		else if (listener->fd >= 0 && (events[i].events & ~(uint32_t)EPOLLOUT) != 0)
			drop(listener); /* the other side has hung up */
		else if (listener->fd >= 0)
			pump(listener);
	}
	return poked;
}

/* All that there is to do, whoever woke it. False: the end. */
static bool turn(void)
{
	bool poked = take_events(stream.listeners != NULL ? SECOND / 1000 : -1);
	bool ticks = stream.now >= stream.next_tick;

	if (poked || ticks) {
		take_in();
		look_at_table(ticks);
		if (atomic_load(&api_stopping))
			end_all();
		if (ticks)
			tick();
		pump_all();
	}
	if (ticks)
		stream.next_tick = stream.now + SECOND;
	api_news_forget();
	bury();
	return stream.quit_at == 0 || (stream.listeners != NULL && stream.now < stream.quit_at);
}

static void *run(void *unused)
{
	(void)unused;
	while (turn())
		;
	while (stream.listeners != NULL)
		drop(stream.listeners);
	bury();
	api_table_give(stream.news.table);
	api_message_drop(stream.heartbeat);
	return NULL;
}

/* ---- from other threads ------------------------------------------------------ */

static bool open_descriptors(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct jobq_buf text = {0};

	jobq_buf_adds(&text, ": heartbeat\n\n");
	stream.heartbeat = api_message_make(&text);
	stream.epoll = epoll_create1(EPOLL_CLOEXEC);
	stream.poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return stream.heartbeat != NULL && stream.epoll >= 0 && stream.poke >= 0 &&
	       epoll_ctl(stream.epoll, EPOLL_CTL_ADD, stream.poke, &event) == 0;
}

bool api_stream_start(const struct jobq_conf *conf, unsigned most)
{
	pthread_attr_t attr;

	stream.conf = conf;
	stream.most = most;
	if (!open_descriptors())
		return false;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	int rc = pthread_create(&stream.thread, &attr, run, NULL);
	if (rc == 0)
		rc = pthread_create(&stream.feeder, &attr, feed, NULL);
	pthread_attr_destroy(&attr);
	errno = rc;
	return rc == 0;
}

bool api_stream_enter(void)
{
	if (atomic_fetch_add(&stream.count, 1) < stream.most)
		return true;
	atomic_fetch_sub(&stream.count, 1);
	return false;
}

void api_stream_leave(void)
{
	atomic_fetch_sub(&stream.count, 1);
}

unsigned api_stream_count(void)
{
	return atomic_load(&stream.count);
}

unsigned api_stream_most(void)
{
	return stream.most;
}

void api_stream_add(struct api_listener *listener, int fd)
{
	listener->fd = fd;
	pthread_mutex_lock(&stream.lock);
	listener->next = stream.arrived;
	stream.arrived = listener;
	pthread_cond_broadcast(&stream.wanted);
	pthread_mutex_unlock(&stream.lock);
	poke();
}

void api_stream_stop(void)
{
	poke();
}

void api_stream_end(void)
{
	pthread_mutex_lock(&stream.lock);
	stream.quit = true;
	pthread_cond_broadcast(&stream.wanted);
	pthread_mutex_unlock(&stream.lock);
	jobq_table_interrupt(&stream.quits);
	poke();
	pthread_join(stream.feeder, NULL);
	pthread_join(stream.thread, NULL);
	close(stream.epoll);
	close(stream.poke);
}
