/* base: what the service manager hears, as one that listens. */
#include "config.h"

#include <errno.h>
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

static int manager = -1;
static char name[100];

/* Listens under an abstract name (`@`), or a path. */
static void listen_as(bool abstract)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(name, sizeof(name), "%cjobq-test-notify-%d", abstract ? '@' : '/', (int)getpid());
	if (!abstract)
		snprintf(name, sizeof(name), "/tmp/jobq-test-notify-%d", (int)getpid());
	memcpy(address.sun_path, name, strlen(name));
	if (abstract)
		address.sun_path[0] = '\0';
	else
		unlink(name);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	assert_int_equal(bind(manager, (struct sockaddr *)&address, len), 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static void hang_up(void)
{
	close(manager);
	if (name[0] == '/')
		unlink(name);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	jobq_notify_open();
}

/* The next message, or "" when none has come. */
static const char *heard(void)
{
	static char text[512];
	ssize_t len = recv(manager, text, sizeof(text) - 1, 0);

	text[len > 0 ? len : 0] = '\0';
	return text;
}

static void says_it_to_paths_and_abstract_names(void **state)
{
	(void)state;
	for (int abstract = 0; abstract <= 1; abstract++) {
		listen_as(abstract != 0);
		jobq_notify_open();
		assert_null(getenv("NOTIFY_SOCKET"));
		errno = EDOM;
		jobq_notify("READY=1\nSTATUS=serving");
		assert_int_equal(errno, EDOM);
		assert_string_equal(heard(), "READY=1\nSTATUS=serving");
		hang_up();
	}
}

static void says_nothing_where_nobody_listens(void **state)
{
	char longer[200];
	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	const char *const names[] = {"", "/", "@", "relative", "vsock:2:1234", longer,
				     "/no/such/socket"};
	listen_as(true);
	for (size_t i = 0; i < JOBQ_LENGTH(names); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		setenv("WATCHDOG_USEC", "1000000", 1);
		jobq_notify_open();
		errno = EDOM;
		jobq_notify("READY=1");
		assert_int_equal(errno, EDOM);
		if (i + 1 < JOBQ_LENGTH(names))
			assert_int_equal(jobq_notify_alive(jobq_clock_mono()), INT64_MAX);
	}
	assert_string_equal(heard(), "");
	hang_up();
	jobq_notify("READY=1");
}

static void says_when_it_reloads(void **state)
{
	long long usec = 0;
	(void)state;
	listen_as(true);
	jobq_notify_open();
	int64_t before = jobq_clock_mono();
	jobq_notify_reloading();
	assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%lld", &usec), 1);
	assert_in_range(usec, before, jobq_clock_mono());
	hang_up();
}

static void gives_signs_of_life_twice_as_often_as_asked(void **state)
{
	char self[16];
	(void)state;
	snprintf(self, sizeof(self), "%d", (int)getpid());
	listen_as(true);
	setenv("WATCHDOG_USEC", "30000000", 1);
	setenv("WATCHDOG_PID", self, 1);
	jobq_notify_open();
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
	int64_t now = 5000000;
	assert_int_equal(jobq_notify_alive(now), now + 15000000);
	assert_string_equal(heard(), "WATCHDOG=1");
	assert_int_equal(jobq_notify_alive(now + 14999999), now + 15000000);
	assert_string_equal(heard(), "");
	assert_int_equal(jobq_notify_alive(now + 15000000), now + 30000000);
	assert_string_equal(heard(), "WATCHDOG=1");
	hang_up();
}

static void no_sign_without_a_watchdog_of_ours(void **state)
{
	const char *const senseless[][2] = {{"0", NULL},   {"1", NULL}, {"-5", NULL}, {"5s", NULL},
					    {"", NULL},    {"99999999999999999999", NULL},
					    {"60000000", "1"}, {"60000000", "x"}, {"60000000", ""}};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(senseless); i++) {
		listen_as(true);
		setenv("WATCHDOG_USEC", senseless[i][0], 1);
		if (senseless[i][1] != NULL)
			setenv("WATCHDOG_PID", senseless[i][1], 1);
		jobq_notify_open();
		assert_int_equal(jobq_notify_alive(jobq_clock_mono()), INT64_MAX);
		assert_string_equal(heard(), "");
		hang_up();
	}
	listen_as(true); /* the variable may be missing: then it is ours */
	setenv("WATCHDOG_USEC", "9223372036854775807", 1);
	jobq_notify_open();
	assert_int_equal(jobq_notify_alive(1), 1 + INT64_C(3600000000));
	hang_up();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_it_to_paths_and_abstract_names),
		cmocka_unit_test(says_nothing_where_nobody_listens),
		cmocka_unit_test(says_when_it_reloads),
		cmocka_unit_test(gives_signs_of_life_twice_as_often_as_asked),
		cmocka_unit_test(no_sign_without_a_watchdog_of_ours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
