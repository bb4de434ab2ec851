#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "ctl/tokens.h"

#define BYTES_MAX (16 * 1024 * 1024)
#define LOCK_TRIES 200 /* looks at the lock, ... */
#define LOCK_PAUSE 50  /* ... and milliseconds between them */
#define NEW_MODE 0640

static int fail(struct jobq_buf *why, const char *path, const char *what, int error)
{
	jobq_buf_addf(why, "%s: %s: %s", path, what, strerror(error));
	return -error;
}

/* The file's name in its directory. */
static const char *base(const struct ctl_tokens_file *file)
{
	return strrchr(file->path, '/') + 1;
}

/* ---- finding it ---------------------------------------------------------------- */

/* Where the file is, or where it would be. NULL: see errno. */
static char *resolve(const char *path)
{
	char *found = realpath(path, NULL), *copy, *dir, *made = NULL;

	if (found != NULL || errno != ENOENT)
		return found;
	copy = strdup(path);
	dir = copy != NULL ? realpath(dirname(copy), NULL) : NULL;
	const char *slash = strrchr(path, '/');
	if (dir != NULL && asprintf(&made, "%s/%s", dir, slash != NULL ? slash + 1 : path) < 0)
		made = NULL;
	free(copy);
	free(dir);
	return made;
}

/* There may be somebody who forgot to end: that must not be waited for without an end. */
static int lock(int dir)
{
	for (int tries = 0; flock(dir, LOCK_EX | LOCK_NB) < 0; tries++) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || tries == LOCK_TRIES)
			return -errno;
		poll(NULL, 0, LOCK_PAUSE);
	}
	return 0;
}

/* ---- reading ------------------------------------------------------------------- */

static int read_all(int fd, struct jobq_buf *text)
{
	while (jobq_buf_reserve(text, 65536)) {
		ssize_t got = read(fd, text->data + text->len, 65536);
		if (got == 0)
			return 0;
		if (got < 0 && errno != EINTR)
			return -errno;
		text->len += got > 0 ? (size_t)got : 0;
		if (text->len > BYTES_MAX)
			return -EFBIG;
	}
	return -ENOMEM;
}

static int parse(struct ctl_tokens_file *file, const struct jobq_buf *text, struct jobq_buf *why)
{
	jobq_buf_addf(why, "%s: ", file->path);
	file->all = ctl_tokens_parse(text->data, text->len, why);
	if (file->all == NULL)
		return -EINVAL;
	why->len = 0;
	return 0;
}

static int load(struct ctl_tokens_file *file, bool change, struct jobq_buf *why)
{
	struct jobq_buf text = {0};
	int fd = openat(file->dir, base(file), O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;

	if (fd < 0 && errno == ENOENT && change) {
		file->all = json_object();
		return file->all != NULL ? 0 : fail(why, file->path, "reading it", ENOMEM);
	}
	if (fd < 0)
		return fail(why, file->path, "cannot be opened", errno);
	if (fstat(fd, &file->was) < 0)
		rc = -errno;
	else if (!S_ISREG(file->was.st_mode))
		rc = -EISDIR;
	else
		rc = read_all(fd, &text);
	close(fd);
	file->existed = true;
	if (rc < 0)
		fail(why, file->path, "cannot be read", -rc);
	else
		rc = parse(file, &text, why);
	jobq_buf_free(&text);
	return rc;
}

int ctl_tokens_open(struct ctl_tokens_file *file, const char *path, bool change,
		    struct jobq_buf *why)
{
	*file = (struct ctl_tokens_file){.path = resolve(path), .dir = -1};
	if (file->path == NULL)
		return fail(why, path, "cannot be found", errno);
	char *copy = strdup(file->path);
	if (copy == NULL)
		return fail(why, path, "cannot be opened", ENOMEM);
	file->dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = file->dir < 0 ? -errno : 0;
	free(copy);
	if (rc < 0)
		return fail(why, file->path, "its directory cannot be opened", -rc);
	rc = change ? lock(file->dir) : 0;
	if (rc == -EWOULDBLOCK) {
		jobq_buf_addf(why, "%s: another jobqctl is changing it, and does not end", file->path);
		return rc;
	}
	if (rc < 0)
		return fail(why, file->path, "its directory cannot be locked", -rc);
	return load(file, change, why);
}

/* ---- writing ------------------------------------------------------------------- */

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t put = write(fd, data, len);
		if (put < 0 && errno != EINTR)
			return -errno;
		if (put > 0) {
			data += put;
			len -= (size_t)put;
		}
	}
	return 0;
}

static int fill(const struct ctl_tokens_file *file, int fd, const char *text)
{
	if (file->existed && (fchown(fd, file->was.st_uid, file->was.st_gid) < 0 ||
			      fchmod(fd, file->was.st_mode & 07777) < 0))
		return -errno;
	if (!file->existed && fchmod(fd, NEW_MODE) < 0)
		return -errno;
	int rc = write_all(fd, text, strlen(text));
	if (rc == 0)
		rc = write_all(fd, "\n", 1);
	return rc == 0 && fsync(fd) < 0 ? -errno : rc;
}

/* One that was killed may have left the other name behind; the lock is ours. */
static int replace(const struct ctl_tokens_file *file, const char *other, const char *text)
{
	unlinkat(file->dir, other, 0);
	int fd = openat(file->dir, other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int rc = fill(file, fd, text);
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && renameat(file->dir, other, file->dir, base(file)) < 0)
		rc = -errno;
	if (rc < 0)
		unlinkat(file->dir, other, 0);
	else if (fsync(file->dir) < 0)
		rc = -errno;
	return rc;
}

int ctl_tokens_save(struct ctl_tokens_file *file, struct jobq_buf *why)
{
	struct jobq_buf other = {0};
	char *text = json_dumps(file->all, JSON_INDENT(1));

	jobq_buf_addf(&other, ".%s.new", base(file));
	int rc = text == NULL || other.failed ? -ENOMEM : replace(file, other.data, text);
	if (rc < 0)
		fail(why, file->path, "cannot be written", -rc);
	jobq_buf_free(&other);
	free(text);
	return rc;
}

void ctl_tokens_close(struct ctl_tokens_file *file)
{
	if (file->dir >= 0)
		close(file->dir); /* which gives the lock back */
	free(file->path);
	json_decref(file->all);
	*file = (struct ctl_tokens_file){.dir = -1};
}
