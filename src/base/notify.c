#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "jobq/base.h"

#define SIGNS_APART INT64_C(3600000000) /* microseconds between signs of life, at most */

static struct sockaddr_un manager;
static socklen_t manager_len; /* 0: nobody listens */
static int64_t signs_apart;   /* 0: none are asked for */
static int64_t next_sign;

/* A path, or an abstract name behind an `@`. */
static void take_address(const char *name)
{
	size_t len = strlen(name);

	manager_len = 0;
	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(manager.sun_path))
		return;
	manager = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(manager.sun_path, name, len);
	if (name[0] == '@')
		manager.sun_path[0] = '\0';
	manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* Twice as often as is asked for; another process's watchdog is not ours. */
static void take_watchdog(const char *usec, const char *pid)
{
	uint64_t number, whose = (uint64_t)getpid();

	signs_apart = next_sign = 0;
	if (usec == NULL || !jobq_text_u64(usec, strlen(usec), INT64_MAX, &number) || number < 2 ||
	    (pid != NULL && (!jobq_text_u64(pid, strlen(pid), INT32_MAX, &whose) ||
			     whose != (uint64_t)getpid())))
		return;
	signs_apart = (int64_t)(number / 2);
	if (signs_apart > SIGNS_APART)
		signs_apart = SIGNS_APART;
}

void jobq_notify_open(void)
{
	const char *name = getenv("NOTIFY_SOCKET");

	take_address(name != NULL ? name : "");
	take_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void jobq_notify(const char *lines)
{
	int saved = errno;

	if (manager_len == 0)
		return;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		/* A manager that is gone will notice by itself that nothing comes. */
		ssize_t ignored = sendto(fd, lines, strlen(lines), MSG_NOSIGNAL,
					 (const struct sockaddr *)&manager, manager_len);
		(void)ignored;
		close(fd);
	}
	errno = saved;
}

void jobq_notify_reloading(void)
{
	char lines[64];

	snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)jobq_clock_mono());
	jobq_notify(lines);
}

int64_t jobq_notify_alive(int64_t now)
{
	if (signs_apart == 0 || manager_len == 0)
		return INT64_MAX;
	if (now >= next_sign) {
		jobq_notify("WATCHDOG=1");
		next_sign = now + signs_apart;
	}
	return next_sign;
}
