/* base: sockets from the service manager, from descriptor 3 on. */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "jobq/base.h"

static const char *const names[] = {"api", "wait"};

static int make(int domain, int type, bool listening)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(domain, type | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	if (domain == AF_UNIX) /* autobind: unix(7) */
		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	if (listening)
		assert_int_equal(listen(fd, 5), 0);
	return fd;
}

/* Puts it where the manager would. */
static void place(int at, int fd)
{
	if (fd != at) {
		assert_int_equal(dup2(fd, at), at);
		close(fd);
	}
}

static void tell(int pid, const char *count, const char *list)
{
	char self[16];

	snprintf(self, sizeof(self), "%d", pid);
	setenv("LISTEN_PID", self, 1);
	setenv("LISTEN_FDS", count, 1);
	if (list != NULL)
		setenv("LISTEN_FDNAMES", list, 1);
}

/* Takes two stream sockets; what is wrong with them, or NULL, in *said. */
static int take(int fds[2], char said[200])
{
	struct jobq_buf why = {0};
	int rc = jobq_passed_sockets(names, fds, 2, SOCK_STREAM, &why);

	snprintf(said, 200, "%s", why.data != NULL ? why.data : "");
	jobq_buf_free(&why);
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_FDNAMES"));
	return rc;
}

static void set_up(void)
{
	place(3, make(AF_UNIX, SOCK_STREAM, true));
	place(4, make(AF_UNIX, SOCK_STREAM, true));
}

static void told_apart_by_name_or_by_order(void **state)
{
	const struct {
		const char *list;
		int api, wait;
	} cases[] = {
		{"api:wait", 3, 4}, {"wait:api", 4, 3},	    {NULL, 3, 4}, {"", 3, 4},
		{":", 3, 4},	    {"jobq.socket:jobq.socket", 3, 4}, {"ap:waits", 3, 4},
	};
	int fds[2];
	char said[200];
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(cases); i++) {
		set_up();
		tell(getpid(), "2", cases[i].list);
		assert_int_equal(take(fds, said), 1);
		assert_int_equal(fds[0], cases[i].api);
		assert_int_equal(fds[1], cases[i].wait);
		for (int n = 0; n < 2; n++) {
			assert_int_equal(fcntl(fds[n], F_GETFD), FD_CLOEXEC);
			assert_int_equal(fcntl(fds[n], F_GETFL) & O_NONBLOCK, 0);
		}
	}
}

static void none_or_somebody_elses(void **state)
{
	int fds[2];
	char said[200];
	(void)state;
	set_up();
	assert_int_equal(take(fds, said), 0);
	tell(getpid() + 1, "2", "api:wait");
	assert_int_equal(take(fds, said), 0);
	tell(getpid(), "0", "");
	assert_int_equal(take(fds, said), 0);
	tell(getpid(), "many", "api:wait");
	assert_int_equal(take(fds, said), 0);
	assert_string_equal(said, "");
}

static void others_are_refused(void **state)
{
	int fds[2];
	char said[200];
	(void)state;
	set_up();
	tell(getpid(), "1", "api");
	assert_int_equal(take(fds, said), -1);
	assert_string_equal(said, "1 sockets were passed, and not these 2: api wait");
	tell(getpid(), "2", "api:other");
	assert_int_equal(take(fds, said), -1);
	tell(getpid(), "2", "api:other:wait");
	assert_int_equal(take(fds, said), -1);
	place(4, make(AF_UNIX, SOCK_STREAM, false));
	tell(getpid(), "2", "api:wait");
	assert_int_equal(take(fds, said), -1);
	assert_string_equal(said, "the socket passed as wait (descriptor 4) does not listen");
	place(4, make(AF_UNIX, SOCK_DGRAM, false));
	tell(getpid(), "2", "wait:api");
	assert_int_equal(take(fds, said), -1);
	assert_string_equal(said,
			    "the socket passed as api (descriptor 4) is no UNIX stream socket");
	place(4, make(AF_INET, SOCK_STREAM, true));
	tell(getpid(), "2", "api:wait");
	assert_int_equal(take(fds, said), -1);
	place(4, open("/dev/null", O_RDONLY));
	tell(getpid(), "2", "api:wait");
	assert_int_equal(take(fds, said), -1);
}

static void datagram_sockets_do_not_block(void **state)
{
	static const char *const notice[] = {"notice"};
	struct jobq_buf why = {0};
	int fd;
	(void)state;
	place(3, make(AF_UNIX, SOCK_DGRAM, false));
	fcntl(3, F_SETFL, 0);
	tell(getpid(), "1", "jobq-notice.socket");
	assert_int_equal(jobq_passed_sockets(notice, &fd, 1, SOCK_DGRAM, &why), 1);
	assert_int_equal(fd, 3);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	set_up();
	tell(getpid(), "1", "notice");
	assert_int_equal(jobq_passed_sockets(notice, &fd, 1, SOCK_DGRAM, &why), -1);
	assert_string_equal(why.data,
			    "the socket passed as notice (descriptor 3) is no UNIX datagram socket");
	jobq_buf_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_apart_by_name_or_by_order),
		cmocka_unit_test(none_or_somebody_elses),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(datagram_sockets_do_not_block),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
