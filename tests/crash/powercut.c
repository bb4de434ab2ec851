/*
 * powercut: an LD_PRELOAD shim that knows what a disk would have kept.
 *
 * Of every file in the directory POWERCUT_DIR it keeps in POWERCUT_SHADOW:
 *   INODE.synced  what was in it at its last fsync(2)
 *   INODE.log     what has been written since: records of struct change
 *   names         `INODE NAME` of each entry, as of the directory's last fsync(2)
 * A power cut (powercut.py) may keep any part of the logs and of the later names.
 * INODE.hold is a link to a file that has lost its name but is still in `names`,
 * so that its number is not given to another one. Files that end in -shm are
 * memory and go with the power. Nothing is really synced: that only takes time.
 *
 * POWERCUT_FAULT names a file; while it is there, calls on the directory's
 * files fail as its one line says: `OPS ERRNO`, OPS being any of w (write,
 * truncate), s (sync), o (open for writing, unlink, rename), r (read). A line
 * `S N` or `R N` holds syncs or reads up for as long as it is there, all but the
 * first N of a process.
 *
 * POWERCUT_START names a file; while it is there, a child of jobqd waits in
 * its first instruction.
 *
 * For one thread in one process at a time, as the store's writer is.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 1024
#define PATH_ROOM 4096

enum { NONE, PLAIN, DIRECTORY };

static struct file {
	int kind;
	int log;
	unsigned long long inode;
	bool copied; /* by this process: from then on its log says all that is new */
} files[FDS];

/* data == 0: the file was cut or extended to `offset`. */
struct change {
	uint64_t offset, len, data;
};

static const char *directory, *shadow, *fault;

/* ---- the real calls ------------------------------------------------------- */

static int real_open(const char *path, int flags, mode_t mode)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

static void real_close(int fd)
{
	syscall(SYS_close, fd);
}

/* Writes all of it: a shadow that is wrong would accuse the innocent. */
static void put(int fd, const void *bytes, size_t len, off_t at)
{
	const char *from = bytes;

	while (len > 0) {
		long n = at < 0 ? syscall(SYS_write, fd, from, len)
				: syscall(SYS_pwrite64, fd, from, len, at);
		if (n <= 0)
			abort();
		from += n;
		len -= (size_t)n;
		at += at < 0 ? 0 : n;
	}
}

static int shadow_open(unsigned long long inode, const char *suffix, int flags)
{
	char path[PATH_ROOM];

	snprintf(path, sizeof(path), "%s/%llu.%s", shadow, inode, suffix);
	return real_open(path, flags, 0600);
}

static void shadow_remove(unsigned long long inode)
{
	static const char *const suffixes[] = {"synced", "log", "hold"};
	char path[PATH_ROOM];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(path, sizeof(path), "%s/%llu.%s", shadow, inode, suffixes[i]);
		syscall(SYS_unlink, path);
	}
}

/* ---- faults --------------------------------------------------------------- */

/* False: the call is to fail, errno says how. */
static bool allowed(char op)
{
	static int syncs, reads;
	const char wait = op == 's' ? 'S' : op == 'r' ? 'R' : '\0';
	int before = op == 's' ? syncs++ : op == 'r' ? reads++ : 0;
	char text[64] = "", ops[16] = "";
	int number = 0;

	while (fault != NULL) {
		int fd = real_open(fault, O_RDONLY, 0);
		if (fd < 0)
			return true;
		long n = syscall(SYS_read, fd, text, sizeof(text) - 1);
		real_close(fd);
		text[n > 0 ? n : 0] = '\0';
		if (sscanf(text, "%15s %d", ops, &number) < 1)
			return true;
		if (strchr(ops, op) != NULL) {
			errno = number;
			return false;
		}
		if (wait == '\0' || strchr(ops, wait) == NULL || before < number)
			return true;
		poll(NULL, 0, 2);
	}
	return true;
}

/* ---- names ---------------------------------------------------------------- */

static void write_names(void)
{
	char path[PATH_ROOM], next[PATH_ROOM], line[600];
	DIR *entries = opendir(directory);
	struct dirent *entry;

	snprintf(path, sizeof(path), "%s/names", shadow);
	snprintf(next, sizeof(next), "%s/names.new", shadow);
	int fd = real_open(next, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (entries == NULL || fd < 0)
		abort();
	while ((entry = readdir(entries)) != NULL) {
		size_t len = strlen(entry->d_name);
		if (entry->d_type != DT_REG || (len > 4 && strcmp(entry->d_name + len - 4, "-shm") == 0))
			continue;
		int n = snprintf(line, sizeof(line), "%llu %s\n", (unsigned long long)entry->d_ino,
				 entry->d_name);
		put(fd, line, (size_t)n, -1);
	}
	closedir(entries);
	real_close(fd);
	if (rename(next, path) < 0)
		abort();
}

static bool is_named(unsigned long long inode)
{
	char path[PATH_ROOM], line[600];
	unsigned long long other;
	bool found = false;

	snprintf(path, sizeof(path), "%s/names", shadow);
	FILE *in = fopen(path, "re");
	while (in != NULL && !found && fgets(line, sizeof(line), in) != NULL)
		found = sscanf(line, "%llu", &other) == 1 && other == inode;
	if (in != NULL)
		fclose(in);
	return found;
}

/* The directory has been synced: what has no name now has none after a cut. */
static void sync_directory(void)
{
	DIR *entries = opendir(shadow);
	struct dirent *entry;
	unsigned long long inode;

	write_names();
	while (entries != NULL && (entry = readdir(entries)) != NULL)
		if (strstr(entry->d_name, ".hold") != NULL &&
		    sscanf(entry->d_name, "%llu", &inode) == 1 && !is_named(inode))
			shadow_remove(inode);
	if (entries != NULL)
		closedir(entries);
}

/* The name of a file in the directory, or NULL: none of ours. */
static const char *name_in(const char *path)
{
	size_t len = directory != NULL ? strlen(directory) : 0;

	if (len == 0 || strncmp(path, directory, len) != 0 || path[len] != '/' ||
	    strchr(path + len + 1, '/') != NULL)
		return NULL;
	size_t rest = strlen(path);
	return rest > 4 && strcmp(path + rest - 4, "-shm") == 0 ? NULL : path + len + 1;
}

/* The name is about to go. */
static void before_unlink(const char *path)
{
	char hold[PATH_ROOM];
	struct stat st;

	if (name_in(path) == NULL || stat(path, &st) < 0)
		return;
	if (!is_named(st.st_ino)) {
		shadow_remove(st.st_ino);
		return;
	}
	snprintf(hold, sizeof(hold), "%s/%llu.hold", shadow, (unsigned long long)st.st_ino);
	if (link(path, hold) < 0 && errno != EEXIST)
		abort();
}

/* ---- what was written ----------------------------------------------------- */

static struct file *file_of(int fd)
{
	return fd >= 0 && fd < FDS && files[fd].kind != NONE ? &files[fd] : NULL;
}

static void note(const struct file *file, off_t offset, const void *bytes, size_t len)
{
	struct change change = {(uint64_t)offset, len, bytes != NULL};
	struct iovec parts[] = {{&change, sizeof(change)}, {(void *)(uintptr_t)bytes, len}};

	/* In one piece, so that whoever is killed leaves whole records, or a short last one. */
	if (syscall(SYS_writev, file->log, parts, bytes != NULL ? 2 : 1) < 0)
		abort();
}

static void copy_range(int from, int to, off_t at, size_t len)
{
	static char bytes[65536];

	while (len > 0) {
		size_t most = len < sizeof(bytes) ? len : sizeof(bytes);
		long n = syscall(SYS_pread64, from, bytes, most, at);
		if (n <= 0)
			return;
		put(to, bytes, (size_t)n, at);
		at += n;
		len -= (size_t)n;
	}
}

/*
 * Brings the shadow up to the file as it is. In place: who is killed in the
 * middle has not been told that anything is safe.
 */
static void sync_plain(int fd, struct file *file)
{
	struct change change;
	struct stat st;
	char path[64];

	/* The file may be open for writing only. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int from = real_open(path, O_RDONLY, 0);
	int to = shadow_open(file->inode, "synced", O_WRONLY | O_CREAT);
	if (from < 0 || to < 0 || fstat(from, &st) < 0)
		abort();
	if (!file->copied) { /* one before us may have died between a write and its log */
		copy_range(from, to, 0, (size_t)st.st_size);
	} else {
		off_t at = 0;
		while (syscall(SYS_pread64, file->log, &change, sizeof(change), at) ==
		       sizeof(change)) {
			if (change.data != 0)
				copy_range(from, to, (off_t)change.offset, change.len);
			at += (off_t)sizeof(change) + (change.data != 0 ? (off_t)change.len : 0);
		}
	}
	syscall(SYS_ftruncate, to, st.st_size);
	syscall(SYS_ftruncate, file->log, 0);
	file->copied = true;
	real_close(from);
	real_close(to);
}

static int synced(int fd)
{
	struct file *file = file_of(fd);

	if (file == NULL)
		return (int)syscall(SYS_fdatasync, fd);
	if (!allowed('s'))
		return -1;
	if (file->kind == DIRECTORY)
		sync_directory();
	else
		sync_plain(fd, file);
	return 0;
}

/* ---- the calls that are taken over ---------------------------------------- */

static void opened(int fd, const char *path, bool is_new)
{
	struct stat st;

	if (fd < 0 || fd >= FDS || directory == NULL)
		return;
	files[fd].kind = NONE;
	if (strcmp(path, directory) == 0) {
		files[fd].kind = DIRECTORY;
		return;
	}
	if (name_in(path) == NULL || fstat(fd, &st) < 0)
		return;
	if (is_new)
		shadow_remove(st.st_ino); /* of one that had the number before */
	int log = shadow_open(st.st_ino, "log", O_RDWR | O_APPEND | O_CREAT);
	if (log < 0)
		abort();
	files[fd] = (struct file){PLAIN, log, st.st_ino, false};
}

static int open_any(const char *path, int flags, mode_t mode)
{
	bool ours = name_in(path) != NULL;
	bool is_new = ours && access(path, F_OK) < 0;

	if (ours && (flags & O_ACCMODE) != O_RDONLY && !allowed('o'))
		return -1;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	opened(fd, path, is_new);
	return fd;
}

static mode_t mode_of(int flags, va_list args)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return open_any(path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	if (at == AT_FDCWD || path[0] == '/')
		return open_any(path, flags, mode);
	return (int)syscall(SYS_openat, at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return openat(at, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
	return open_any(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
	return creat(path, mode);
}

int close(int fd)
{
	struct file *file = file_of(fd);

	if (file != NULL && file->kind == PLAIN)
		real_close(file->log);
	if (file != NULL)
		file->kind = NONE;
	return (int)syscall(SYS_close, fd);
}

static ssize_t write_any(int fd, const void *bytes, size_t len, off_t at)
{
	struct file *file = file_of(fd);

	if (file != NULL && !allowed('w'))
		return -1;
	off_t offset = file != NULL && at < 0 ? (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) : at;
	ssize_t n = at < 0 ? (ssize_t)syscall(SYS_write, fd, bytes, len)
			   : (ssize_t)syscall(SYS_pwrite64, fd, bytes, len, at);
	if (file != NULL && file->kind == PLAIN && n > 0)
		note(file, offset, bytes, (size_t)n);
	return n;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	return write_any(fd, bytes, len, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return write_any(fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
	return write_any(fd, bytes, len, at);
}

/* Part by part: nobody has promised more. */
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
	ssize_t total = 0;

	for (int i = 0; i < count; i++) {
		ssize_t n = write_any(fd, parts[i].iov_base, parts[i].iov_len,
				      at < 0 ? -1 : at + total);
		if (n < 0)
			return total > 0 ? total : n;
		total += n;
		if ((size_t)n < parts[i].iov_len)
			break;
	}
	return total;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
	return pwritev(fd, parts, count, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	return file_of(fd) != NULL ? pwritev(fd, parts, count, -1)
				   : (ssize_t)syscall(SYS_writev, fd, parts, count);
}

static ssize_t read_any(int fd, void *bytes, size_t len, off_t at)
{
	if (file_of(fd) != NULL && !allowed('r'))
		return -1;
	return at < 0 ? (ssize_t)syscall(SYS_read, fd, bytes, len)
		      : (ssize_t)syscall(SYS_pread64, fd, bytes, len, at);
}

ssize_t read(int fd, void *bytes, size_t len)
{
	return read_any(fd, bytes, len, -1);
}

ssize_t pread(int fd, void *bytes, size_t len, off_t at)
{
	return read_any(fd, bytes, len, at);
}

ssize_t pread64(int fd, void *bytes, size_t len, off64_t at)
{
	return read_any(fd, bytes, len, at);
}

int ftruncate(int fd, off_t len)
{
	struct file *file = file_of(fd);

	if (file != NULL && !allowed('w'))
		return -1;
	int rc = (int)syscall(SYS_ftruncate, fd, len);
	if (file != NULL && file->kind == PLAIN && rc == 0)
		note(file, len, NULL, 0);
	return rc;
}

int ftruncate64(int fd, off64_t len)
{
	return ftruncate(fd, len);
}

int fsync(int fd)
{
	return synced(fd);
}

int fdatasync(int fd)
{
	return synced(fd);
}

/* It promises nothing (sync_file_range(2), "Some details"). */
int sync_file_range(int fd, off64_t at, off64_t len, unsigned flags)
{
	return (int)syscall(SYS_sync_file_range, fd, at, len, flags);
}

int unlink(const char *path)
{
	if (name_in(path) != NULL && !allowed('o'))
		return -1;
	before_unlink(path);
	return (int)syscall(SYS_unlink, path);
}

int rename(const char *from, const char *to)
{
	if (name_in(to) != NULL && !allowed('o'))
		return -1;
	before_unlink(to);
	return (int)syscall(SYS_rename, from, to);
}

/* ---- start ---------------------------------------------------------------- */

/* Waits while the file is there, if this process is one that jobqd has started. */
static void wait_to_start(const char *path)
{
	char line[4096];
	int fd = real_open("/proc/self/cmdline", O_RDONLY, 0);
	long len = fd >= 0 ? syscall(SYS_read, fd, line, sizeof(line)) : 0;

	real_close(fd);
	if (len > 0 && memmem(line, (size_t)len, "\0-x", 4) != NULL)
		while (access(path, F_OK) == 0)
			poll(NULL, 0, 2);
}

/* What is there when the first process starts is safe. */
static void adopt_files(void)
{
	char path[PATH_ROOM], line[600];
	unsigned long long inode;
	char name[512];

	snprintf(path, sizeof(path), "%s/names", shadow);
	if (access(path, F_OK) == 0)
		return;
	write_names();
	FILE *in = fopen(path, "re");
	while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
		if (sscanf(line, "%llu %511[^\n]", &inode, name) != 2)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, name);
		int from = real_open(path, O_RDONLY, 0);
		int to = shadow_open(inode, "synced", O_WRONLY | O_CREAT | O_TRUNC);
		copy_range(from, to, 0, SIZE_MAX);
		real_close(from);
		real_close(to);
	}
	if (in != NULL)
		fclose(in);
}

__attribute__((constructor)) static void begin(void)
{
	const char *start = getenv("POWERCUT_START");

	if (start != NULL)
		wait_to_start(start);
	fault = getenv("POWERCUT_FAULT");
	shadow = getenv("POWERCUT_SHADOW");
	directory = getenv("POWERCUT_DIR");
	if (shadow == NULL || directory == NULL)
		directory = NULL;
	else
		adopt_files();
}
