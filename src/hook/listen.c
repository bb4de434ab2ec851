#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hook/hook.h"
#include "jobq/table_counters.h"

#define BITE 256	 /* notices taken in one turn: a flood holds up no delivery */
#define LINE_MOST 16384 /* longer than any that nginx makes of a request it has accepted */
#define LOOK INT64_C(250000) /* at what is still to be told */

static bool fail(const char *path, const char *what)
{
	jobq_log(JOBQ_LOG_ERROR, "socket_failed", "path=\"%s\" step=%s msg=\"%s\"", path, what,
		 strerror(errno));
	return false;
}

/* Bound under a name of its own and then moved, so that there is never none. */
bool hook_listen(struct hook_listener *listener, const char *path)
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

void hook_listen_end(struct hook_listener *listener, const char *path)
{
	struct stat st;

	if (listener->fd < 0)
		return;
	if (stat(path, &st) == 0 && st.st_ino == listener->inode)
		unlink(path);
	close(listener->fd);
	listener->fd = -1;
}

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

/* False: there is none. */
static bool take_datagram(struct hook_listener *listener, struct jobq_table *table)
{
	static char line[LINE_MOST];
	struct hook_notice notice;
	ssize_t len = recv(listener->fd, line, sizeof(line), MSG_TRUNC);

	if (len < 0)
		return false;
	if ((size_t)len <= sizeof(line) && hook_notice_read(line, (size_t)len, &notice)) {
		take(listener, table, &notice);
		return true;
	}
	listener->malformed++;
	jobq_log(JOBQ_LOG_DEBUG, "notice_malformed", "bytes=%zd count=%llu", len,
		 (unsigned long long)listener->malformed);
	return true;
}

int64_t hook_listen_turn(struct hook_listener *listener, struct jobq_table *table)
{
	struct hook_tally *const tallies[] = {&listener->refused, &listener->limited};
	int64_t next = INT64_MAX;
	uint64_t suppressed;

	for (int i = 0; i < BITE && listener->fd >= 0 && take_datagram(listener, table); i++)
		;
	for (size_t i = 0; i < JOBQ_LENGTH(tallies); i++) {
		if (table == NULL)
			tallies[i]->held = 0;
		else if (hook_tally_rest(tallies[i], jobq_clock_mono(), &suppressed))
			post(tallies[i], table, suppressed);
		if (tallies[i]->held > 0)
			next = jobq_clock_mono() + LOOK;
	}
	return next;
}
