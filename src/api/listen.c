#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "api/api.h"

#define POOLS_MAX 2
#define BACKLOG 4096 /* nginx answers 502 when it is full; somaxconn bounds it */

static bool fail(const struct api_pool *pool, const char *what)
{
	jobq_log(JOBQ_LOG_ERROR, "socket_failed", "pool=%s path=\"%s\" step=%s msg=\"%s\"",
		 pool->name, pool->path, what, strerror(errno));
	return false;
}

/* Under a name of its own first, which is then moved. */
static bool make(struct api_pool *pool)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;

	int len = snprintf(address.sun_path, sizeof(address.sun_path), "%s.%d", pool->path,
			   (int)getpid());
	if (len < 0 || (size_t)len >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG; /* unix(7): 107 bytes, and we need a few */
		return fail(pool, "name");
	}
	pool->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (pool->listener < 0)
		return fail(pool, "socket");
	unlink(address.sun_path);
	if (bind(pool->listener, (struct sockaddr *)&address, sizeof(address)) < 0)
		return fail(pool, "bind");
	if (chmod(address.sun_path, 0660) < 0 || stat(address.sun_path, &st) < 0)
		return fail(pool, "chmod");
	if (listen(pool->listener, BACKLOG) < 0)
		return fail(pool, "listen");
	pool->inode = st.st_ino;
	if (rename(address.sun_path, pool->path) < 0)
		return fail(pool, "rename");
	return true;
}

bool api_listen_current(const struct api_pool *pool)
{
	struct stat st;

	return stat(pool->path, &st) == 0 && st.st_ino == pool->inode;
}

/* Keeps a second jobq-api from the same sockets; false: there is one. */
static bool lock_name(const struct api_pool *pool)
{
	char path[256];

	snprintf(path, sizeof(path), "%s.lock", pool->path);
	/* Held until this process ends. */
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(pool, "lock");
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	if (fcntl(fd, F_SETLK, &lock) == 0) /* a record lock is not inherited by fork(2) */
		return true;
	jobq_log(JOBQ_LOG_ERROR, "already_running",
		 "path=\"%s\" msg=\"another jobq-api serves this socket: stop it first\"",
		 pool->path);
	close(fd);
	return false;
}

/* The name under which the service manager has bound it, for the log. */
static void name_passed(struct api_pool *pool, int fd)
{
	struct sockaddr_un address = {0};
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len) == 0)
		snprintf(pool->bound, sizeof(pool->bound), "%.*s",
			 (int)sizeof(address.sun_path) - 1, address.sun_path);
	pool->path = pool->bound;
	pool->listener = fd;
	pool->passed = true;
}

/* Returns 1, 0 when there are none, or -1 when they are others. Logged. */
static int take_passed(struct api_pool *pools, size_t count)
{
	const char *names[POOLS_MAX] = {0};
	int fds[POOLS_MAX];
	struct jobq_buf why = {0};

	for (size_t i = 0; i < count; i++)
		names[i] = pools[i].name;
	int rc = jobq_passed_sockets(names, fds, count, SOCK_STREAM, &why);
	for (size_t i = 0; i < count && rc > 0; i++)
		name_passed(&pools[i], fds[i]);
	if (rc < 0)
		jobq_log(JOBQ_LOG_ERROR, "sockets_refused", "msg=\"%s\"",
			 why.data != NULL ? why.data : "out of memory");
	jobq_buf_free(&why);
	return rc;
}

int api_listen(struct api_pool *pools, size_t count)
{
	int rc = take_passed(pools, count);

	if (rc != 0)
		return rc > 0 ? 0 : EX_CONFIG;
	for (size_t i = 0; i < count; i++)
		if (!lock_name(&pools[i]))
			return EX_UNAVAILABLE;
	for (size_t i = 0; i < count; i++)
		if (!make(&pools[i]))
			return EX_OSERR;
	return 0;
}

void api_listen_end(const struct api_pool *pool)
{
	if (!pool->passed && api_listen_current(pool))
		unlink(pool->path);
}
