#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "jobq/base.h"

#define FIRST 3 /* the descriptor of the first one, SD_LISTEN_FDS_START */
#define MOST 64

/* How many there are for this process; they go no further than to it. */
static size_t count_passed(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t whose, count;

	if (pid == NULL || fds == NULL || !jobq_text_u64(pid, strlen(pid), INT32_MAX, &whose) ||
	    whose != (uint64_t)getpid() || !jobq_text_u64(fds, strlen(fds), MOST, &count))
		return 0;
	for (size_t i = 0; i < count; i++)
		fcntl(FIRST + (int)i, F_SETFD, FD_CLOEXEC);
	return (size_t)count;
}

/* The place of `name` in a list with colons between, or -1. */
static int place_of(const char *name, const char *list)
{
	size_t len = strlen(name);

	for (int place = 0; list != NULL; place++) {
		const char *end = strchrnul(list, ':');
		if ((size_t)(end - list) == len && memcmp(list, name, len) == 0)
			return place;
		list = *end == ':' ? end + 1 : NULL;
	}
	return -1;
}

static int option(int fd, int which)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, which, &value, &len) == 0 ? value : -1;
}

/* What is wrong with it, or NULL. Made to block or not as its kind is used. */
static const char *unfit(int fd, int type)
{
	bool stream = type == SOCK_STREAM;

	if (option(fd, SO_DOMAIN) != AF_UNIX || option(fd, SO_TYPE) != type)
		return stream ? "is no UNIX stream socket" : "is no UNIX datagram socket";
	if (stream && option(fd, SO_ACCEPTCONN) != 1)
		return "does not listen";
	int flags = fcntl(fd, F_GETFL);
	int wanted = stream ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
	if (flags < 0 || (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0))
		return "cannot be set up";
	return NULL;
}

/* Finds a place for each name. False: some are among those passed, others not. */
static bool find_places(const char *const names[], int fds[], size_t count)
{
	const char *list = getenv("LISTEN_FDNAMES");
	size_t known = 0;

	for (size_t i = 0; i < count; i++) {
		int place = place_of(names[i], list);
		if (place >= (int)count)
			return false;
		known += place >= 0;
		fds[i] = FIRST + (place >= 0 ? place : (int)i);
	}
	return known == 0 || known == count;
}

int jobq_passed_sockets(const char *const names[], int fds[], size_t count, int type,
			struct jobq_buf *why)
{
	size_t passed = count_passed();
	bool placed = find_places(names, fds, count);

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (passed == 0)
		return 0;
	if (passed != count || !placed) {
		jobq_buf_addf(why, "%zu sockets were passed, and not these %zu:", passed, count);
		for (size_t i = 0; i < count; i++)
			jobq_buf_addf(why, " %s", names[i]);
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		const char *what = unfit(fds[i], type);
		if (what == NULL)
			continue;
		jobq_buf_addf(why, "the socket passed as %s (descriptor %d) %s", names[i], fds[i],
			      what);
		return -1;
	}
	return 1;
}
