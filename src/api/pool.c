#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "api/stream.h"

#define STACK_BYTES (256 * 1024)
#define SPARE_THREADS 4     /* of the pool that waits: they say 503 to one too many */
#define SPARE_FILES 64      /* descriptors beside those of clients */
#define ORPHAN_LOOK 250     /* milliseconds between looks for a successor */
#define IDLE_GRACE 6000000  /* nginx closes its kept connections after 5 s */
#define IDLE_GRACE_PASSED 500000
#define STOP_GRACE 20000000 /* then even busy threads are left behind */
#define NUDGE 20            /* milliseconds between signals to threads */

static _Atomic unsigned long_requests;
static unsigned long_most;

bool api_pool_enter(void)
{
	if (atomic_fetch_add(&long_requests, 1) < long_most)
		return true;
	atomic_fetch_sub(&long_requests, 1);
	return false;
}

void api_pool_leave(void)
{
	atomic_fetch_sub(&long_requests, 1);
}

unsigned api_pool_count(void)
{
	return atomic_load(&long_requests);
}

static void on_nudge(int signal)
{
	(void)signal; /* it only ends a system call */
}

/* What libfcgi has set for SIGPIPE and others is replaced. */
static int open_signals(void)
{
	struct sigaction nudge = {.sa_handler = on_nudge};
	sigset_t set;

	sigemptyset(&nudge.sa_mask);
	sigaction(SIGUSR2, &nudge, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group: the parent decides */
	signal(SIGHUP, SIG_IGN); /* so does a terminal that hangs up */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_SETMASK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static bool start_threads(const struct jobq_conf *conf, const struct api_pool *pool,
			  struct api_thread *threads)
{
	pthread_attr_t attr;
	int rc = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (unsigned i = 0; i < pool->threads && rc == 0; i++) {
		threads[i].conf = conf;
		threads[i].pool = pool;
		rc = pthread_create(&threads[i].thread, &attr, api_accept, &threads[i]);
	}
	pthread_attr_destroy(&attr);
	if (rc != 0)
		jobq_log(JOBQ_LOG_ERROR, "threads_not_started", "pool=%s msg=\"%s\"", pool->name,
			 strerror(rc));
	return rc == 0;
}

/*
 * Sleeps until SIGTERM, or until a successor serves this orphan's socket. One that
 * the service manager keeps needs nobody to serve it meanwhile.
 */
static void await_end(const struct api_pool *pool, int signals, int parent)
{
	struct pollfd fds[2] = {{signals, POLLIN, 0}, {parent, POLLIN, 0}};
	bool orphan = false;

	for (;;) {
		int n = poll(fds, orphan ? 1 : 2, orphan ? ORPHAN_LOOK : -1);
		if (n > 0 && (fds[0].revents & POLLIN) != 0)
			return;
		if (n > 0 && !orphan && fds[1].revents != 0) {
			orphan = true;
			jobq_log(JOBQ_LOG_WARNING, "orphaned",
				 "pool=%s msg=\"the parent is gone; %s\"", pool->name,
				 pool->passed ? "what comes waits for the next one"
					      : "serving until a new one takes over");
		}
		if (orphan && (pool->passed || !api_listen_current(pool)))
			return;
	}
}

/*
 * Where the service manager keeps the socket, all that comes waits in it until
 * this process has ended. Then a kept connection is closed when nginx has not used
 * it for a moment: that it uses it again at the very same time, which would cost a
 * request, is as good as impossible, and some seconds more are much to wait.
 */
bool api_pool_gives_up(struct api_thread *thread)
{
	int64_t grace = thread->pool->passed ? IDLE_GRACE_PASSED : IDLE_GRACE;

	return atomic_load(&api_stopping) &&
	       jobq_clock_mono() > atomic_load(&thread->idle_since) + grace;
}

/*
 * Ends the threads: those that wait for a connection at once, those that have
 * one kept when nginx has had the time to close it, busy ones when they are
 * done. Signals are repeated, because one may come just before a thread sleeps.
 */
static bool stop_threads(struct api_thread *threads, unsigned count)
{
	int64_t began = jobq_clock_mono(), now = began;
	unsigned left = count;

	atomic_store(&api_stopping, true);
	api_stream_stop();
	for (; left > 0 && now < began + STOP_GRACE; now = jobq_clock_mono()) {
		left = 0;
		for (unsigned i = 0; i < count; i++) {
			int state = atomic_load(&threads[i].state);
			bool nudge = state == API_ACCEPTING ||
				     (state == API_IDLE && api_pool_gives_up(&threads[i]));
			if (nudge)
				pthread_kill(threads[i].thread, SIGUSR2);
			if (state == API_BUSY)
				jobq_table_interrupt(&threads[i].request.stop);
			left += state != API_ENDED;
		}
		if (left > 0)
			poll(NULL, 0, NUDGE);
	}
	return left == 0;
}

/* Allows so many descriptors, if the system lets it. Returns how many there may be. */
static unsigned allow_files(unsigned wanted)
{
	struct rlimit files = {wanted, wanted};

	if (setrlimit(RLIMIT_NOFILE, &files) == 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
		return wanted;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	jobq_log(JOBQ_LOG_WARNING, "few_files", "wanted=%u limit=%llu", wanted,
		 (unsigned long long)files.rlim_max);
	return (unsigned)files.rlim_max;
}

/* Both for the pool that waits: who watches clients that sleep, and the event streams. */
static bool start_watchers(const struct jobq_conf *conf, unsigned listeners)
{
	return api_gone_start() && api_stream_start(conf, listeners);
}

int api_pool_run(const struct jobq_conf *conf, const struct api_pool *pool,
		 const struct api_ties *ties)
{
	struct api_thread *threads = calloc(pool->threads, sizeof(*threads));
	unsigned own_files = pool->threads + SPARE_FILES;
	unsigned listeners = pool->waits ? (unsigned)conf->event_listeners : 0;

	unsigned files = allow_files(own_files + listeners);
	if (files < own_files + listeners)
		listeners = files > own_files ? files - own_files : 0;
	long_most = pool->threads - (pool->waits ? SPARE_THREADS : (pool->threads + 1) / 2);
	if (threads == NULL || FCGX_Init() != 0)
		return EX_OSERR;
	int signals = open_signals();
	if (signals < 0 || (pool->waits && !start_watchers(conf, listeners)) ||
	    !start_threads(conf, pool, threads)) {
		jobq_log(JOBQ_LOG_ERROR, "worker_not_started", "pool=%s msg=\"%s\"", pool->name,
			 strerror(errno));
		return EX_OSERR;
	}
	jobq_log(JOBQ_LOG_INFO, "worker_started", "pool=%s threads=%u", pool->name, pool->threads);
	eventfd_write(ties->started, 1);
	await_end(pool, signals, ties->parent);
	bool clean = stop_threads(threads, pool->threads);
	if (clean && pool->waits)
		api_stream_end();
	jobq_log_leave();
	jobq_log(clean ? JOBQ_LOG_INFO : JOBQ_LOG_WARNING, "worker_stopped",
		 "pool=%s clean=%s", pool->name, clean ? "yes" : "no");
	if (!clean)
		_exit(0); /* exit(3) would take away what threads still use */
	for (unsigned i = 0; i < pool->threads; i++)
		pthread_join(threads[i].thread, NULL);
	free(threads);
	return 0;
}
