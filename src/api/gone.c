#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "api/api.h"

static int epoll = -1;

static void *watch(void *unused)
{
	(void)unused;
	for (;;) {
		struct epoll_event events[32];
		int n = epoll_wait(epoll, events, JOBQ_LENGTH(events), -1);
		for (int i = 0; i < n; i++)
			jobq_table_interrupt(events[i].data.ptr);
	}
	return NULL;
}

bool api_gone_start(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		return false;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int rc = pthread_create(&thread, &attr, watch, NULL);
	pthread_attr_destroy(&attr);
	return rc == 0;
}

void api_gone_watch(int fd, _Atomic uint32_t *stop)
{
	/* Once is enough; the flag belongs to a thread, which outlives the connection. */
	struct epoll_event event = {
		.events = EPOLLRDHUP | EPOLLONESHOT,
		.data.ptr = (void *)stop,
	};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		jobq_log(JOBQ_LOG_WARNING, "client_not_watched", "msg=\"%s\"", strerror(errno));
}

void api_gone_forget(int fd)
{
	epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
}
