#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hook/hook.h"
#include "jobq/table_counters.h"

#define LINE_MOST 16384 /* longer than any that nginx makes of a request it has accepted */
#define LOOK_MS 250	 /* at what is still to be told */

/* ---- the thread ------------------------------------------------------------ */

static void post(struct hook_tally *tally, struct jobq_table *table, uint64_t suppressed)
{
	struct jobq_buf data = {0};
	int64_t now = jobq_clock_mono();

	hook_notice_data(&data, &tally->last, suppressed);
	if (data.failed || jobq_table_post_event(table, tally->last.kind, 0, data.data, data.len,
						 now) < 0)
		hook_tally_hold(tally, suppressed, now);
	jobq_buf_free(&data);
}

static struct hook_tally *tally_of(struct hook_listener *listener, enum jobq_event_kind kind)
{
	return kind == JOBQ_EVENT_AUTH_FAILED ? &listener->refused : &listener->limited;
}

static void take(struct hook_listener *listener, struct jobq_table *table,
		 const struct hook_notice *notice)
{
	struct hook_tally *tally = tally_of(listener, notice->kind);
	uint64_t suppressed;

	if (table != NULL)
		jobq_table_count_refused(table, notice->kind == JOBQ_EVENT_AUTH_FAILED);
	if (table == NULL || (jobq_table_wanted(table) & JOBQ_EVENT_BIT(notice->kind)) == 0)
		tally->held = 0; /* nobody wants to hear of these */
	else if (hook_tally_take(tally, notice, jobq_clock_mono(), &suppressed))
		post(tally, table, suppressed);
}

/* Takes all that is there. */
static void take_datagrams(struct hook_listener *listener)
{
	static char line[LINE_MOST];
	struct hook_notice notice;
	ssize_t len;

	while (!atomic_load(&listener->ending) &&
	       (len = recv(listener->fd, line, sizeof(line), MSG_TRUNC | MSG_DONTWAIT)) >= 0) {
		if ((size_t)len > sizeof(line) || !hook_notice_read(line, (size_t)len, &notice)) {
			atomic_fetch_add(&listener->malformed, 1);
			continue;
		}
		pthread_mutex_lock(&listener->lock);
		take(listener, listener->table, &notice);
		pthread_mutex_unlock(&listener->lock);
	}
}

/* Whether there is something left to tell later. */
static bool tell_rest(struct hook_listener *listener)
{
	struct hook_tally *const tallies[] = {&listener->refused, &listener->limited};
	uint64_t suppressed;
	bool left = false;

	pthread_mutex_lock(&listener->lock);
	for (size_t i = 0; i < JOBQ_LENGTH(tallies); i++) {
		if (listener->table == NULL)
			tallies[i]->held = 0;
		else if (hook_tally_rest(tallies[i], jobq_clock_mono(), &suppressed))
			post(tallies[i], listener->table, suppressed);
		left = left || tallies[i]->held > 0;
	}
	pthread_mutex_unlock(&listener->lock);
	return left;
}

static void *take_and_tell(void *arg)
{
	struct hook_listener *listener = arg;
	struct pollfd fds[] = {{listener->fd, POLLIN, 0}, {listener->wake, POLLIN, 0}};
	bool left = false;

	while (!atomic_load(&listener->ending)) {
		poll(fds, JOBQ_LENGTH(fds), left ? LOOK_MS : -1);
		take_datagrams(listener);
		left = tell_rest(listener);
	}
	return NULL;
}

/* ---- its life ------------------------------------------------------------- */

static bool fail(const char *path, const char *what)
{
	jobq_log(JOBQ_LOG_ERROR, "socket_failed", "path=\"%s\" step=%s msg=\"%s\"", path, what,
		 strerror(errno));
	return false;
}

bool hook_listen_passed(struct hook_listener *listener)
{
	static const char *const names[] = {"notice"};
	struct jobq_buf why = {0};
	int rc = jobq_passed_sockets(names, &listener->passed, 1, SOCK_DGRAM, &why);

	if (rc <= 0)
		listener->passed = -1;
	if (rc < 0)
		jobq_log(JOBQ_LOG_ERROR, "sockets_refused", "msg=\"%s\"",
			 why.data != NULL ? why.data : "out of memory");
	jobq_buf_free(&why);
	return rc >= 0;
}

/* Bound under a name of its own and then moved, so that there is never none. */
static bool bind_socket(struct hook_listener *listener, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;

	int len = snprintf(address.sun_path, sizeof(address.sun_path), "%s.%d", path,
			   (int)getpid());
	if (len < 0 || (size_t)len >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG; /* unix(7): 107 bytes, and we need a few */
		return fail(path, "name");
	}
	listener->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return fail(path, "socket");
	unlink(address.sun_path);
	bool bound = bind(listener->fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	if (bound && chmod(address.sun_path, 0660) == 0 && stat(address.sun_path, &st) == 0 &&
	    rename(address.sun_path, path) == 0) {
		listener->inode = st.st_ino;
		return true;
	}
	fail(path, bound ? "rename" : "bind");
	if (bound)
		unlink(address.sun_path);
	close(listener->fd);
	listener->fd = -1;
	return false;
}

/* What is passed is not ours to take away. */
static void drop_socket(struct hook_listener *listener, const char *path)
{
	struct stat st;

	if (listener->passed < 0) {
		if (stat(path, &st) == 0 && st.st_ino == listener->inode)
			unlink(path);
		close(listener->fd);
	}
	listener->fd = -1;
}

bool hook_listen(struct hook_listener *listener, const char *path)
{
	if (listener->passed >= 0)
		listener->fd = listener->passed;
	else if (!bind_socket(listener, path))
		return false;
	atomic_store(&listener->ending, false);
	listener->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = listener->wake < 0 ? errno : pthread_create(&listener->thread, NULL,
							     take_and_tell, listener);
	if (rc == 0)
		return true;
	errno = rc;
	fail(path, "thread");
	if (listener->wake >= 0)
		close(listener->wake);
	drop_socket(listener, path);
	return false;
}

void hook_listen_end(struct hook_listener *listener, const char *path)
{
	if (listener->fd < 0)
		return;
	atomic_store(&listener->ending, true);
	eventfd_write(listener->wake, 1); /* no shutdown(2): a passed socket lives on */
	pthread_join(listener->thread, NULL);
	close(listener->wake);
	drop_socket(listener, path);
}

void hook_listen_set_table(struct hook_listener *listener, struct jobq_table *table)
{
	pthread_mutex_lock(&listener->lock);
	listener->table = table;
	pthread_mutex_unlock(&listener->lock);
}
