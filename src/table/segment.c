#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jobq/table_feed.h"
#include "table/counters.h"
#include "table/hooks.h"

#define OWN_TRIES 20
#define OWN_PAUSE 10 /* milliseconds */
#define LAYOUT_WITH_STORE 2 /* the first one that has struct header_start */
#define BYTES_PER_KEY_BUCKET 4096
#define BYTES_PER_JOB_LEAST 256 /* sizes the directory: fewer bytes no job takes */
#define RESERVE_SHARE 16        /* a sixteenth is kept for results ... */
#define RESERVE_MAX 512         /* ... but no more than 32 MiB */

/* Where the parts lie; follows from the number of spans alone. */
struct geometry {
	uint32_t directory_count, bucket_count;
	size_t ring_at, feed_at, hooks_at, counters_at, directory_at, spans_at, buckets_at, data_at;
	size_t size;
};

/*
 * What the layout is with three types of jobs. When one of these fails, or when you move
 * or give another meaning to what lies in the table in a way that no size shows: raise
 * TABLE_REVISION, then put the new sizes here. Else an upgrade's jobqd takes the older table for one of its own.
 */
#ifdef __x86_64__ /* the others' alignments may differ; what changes there changes here */
#define IS_LAID_OUT(condition)                                                                     \
	_Static_assert(JOBQ_TYPES != 3 || (condition), "the layout changed: raise TABLE_REVISION")
IS_LAID_OUT(TABLE_REVISION == 5);
IS_LAID_OUT(sizeof(struct header_start) == 120 && offsetof(struct header_start, slots) == 48);
IS_LAID_OUT(sizeof(struct header) == 17576 && offsetof(struct header, draining) == 168);
IS_LAID_OUT(offsetof(struct header, store_id) == 240 && offsetof(struct header, jobs) == 304);
IS_LAID_OUT(offsetof(struct header, wheel_at) == 17384);
IS_LAID_OUT(RING_SIZE == 65536 && JOBQ_FEED_LENGTH == 16384 && SPAN_BYTES == 65536);
IS_LAID_OUT(sizeof(struct record) == 128 && offsetof(struct record, changed) == 104);
IS_LAID_OUT(sizeof(struct feed_entry) == 64 && sizeof(struct span) == 144);
IS_LAID_OUT(sizeof(struct directory_entry) == 528);
IS_LAID_OUT(sizeof(struct hooks) == 2713816 && offsetof(struct hooks, webhooks) == 16440);
IS_LAID_OUT(sizeof(struct webhook_entry) == 16488 && offsetof(struct hooks, ring) == 1665240);
IS_LAID_OUT(sizeof(struct counters) == 4544 && offsetof(struct counters, cache) == 1344);
#endif

static uint32_t power_of_two(uint64_t least)
{
	uint32_t n = 16;
	while (n < least)
		n *= 2;
	return n;
}

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static struct geometry lay_out(uint32_t span_count)
{
	uint64_t bytes = (uint64_t)span_count * SPAN_BYTES;
	struct geometry g = {
		.directory_count = power_of_two(bytes / BYTES_PER_JOB_LEAST / SPAN_RECORDS),
		.bucket_count = power_of_two(bytes / BYTES_PER_KEY_BUCKET),
	};

	g.ring_at = round_up(sizeof(struct header), 64);
	g.feed_at = round_up(g.ring_at + RING_SIZE * sizeof(uint64_t), 64);
	g.hooks_at = round_up(g.feed_at + JOBQ_FEED_LENGTH * sizeof(struct feed_entry), 64);
	g.counters_at = round_up(g.hooks_at + sizeof(struct hooks), 64);
	g.directory_at = round_up(g.counters_at + sizeof(struct counters), 64);
	g.spans_at = round_up(g.directory_at + g.directory_count * sizeof(struct directory_entry), 64);
	g.buckets_at = round_up(g.spans_at + span_count * sizeof(struct span), 64);
	g.data_at = round_up(g.buckets_at + g.bucket_count * sizeof(uint64_t), SPAN_BYTES);
	g.size = g.data_at + span_count * SPAN_BYTES;
	return g;
}

static int map(struct jobq_table *table, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, table->fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	table->header = at;
	table->size = size;
	return 0;
}

static void point_parts(struct jobq_table *table, uint32_t span_count)
{
	struct geometry g = lay_out(span_count);
	char *base = (char *)table->header;

	table->span_count = span_count;
	table->directory_count = g.directory_count;
	table->bucket_count = g.bucket_count;
	table->ring = (_Atomic uint64_t *)(base + g.ring_at);
	table->feed = (struct feed_entry *)(base + g.feed_at);
	table->hooks = (struct hooks *)(base + g.hooks_at);
	table->counters = (struct counters *)(void *)(base + g.counters_at);
	table->directory = (struct directory_entry *)(base + g.directory_at);
	table->spans = (struct span *)(base + g.spans_at);
	table->buckets = (uint64_t *)(base + g.buckets_at);
	table->data = base + g.data_at;
}

static int init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);

	if (rc == 0)
		rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (rc == 0)
		rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (rc == 0)
		rc = pthread_mutex_init(lock, &attr);
	pthread_mutexattr_destroy(&attr);
	return -rc;
}

/* Makes an empty table in the segment. Whoever sees its magic sees all of it. */
static int format(struct jobq_table *table, size_t max_bytes, struct jobq_buf *why)
{
	uint32_t span_count = (uint32_t)(max_bytes / SPAN_BYTES) + 1;
	struct geometry g = lay_out(span_count);
	int rc;

	/* What is there is of a creation that was cut short: nothing was ever in it. */
	if (ftruncate(table->fd, 0) < 0 || ftruncate(table->fd, (off_t)g.size) < 0)
		rc = -errno;
	else
		rc = -posix_fallocate(table->fd, 0, (off_t)g.data_at);
	if (rc == 0)
		rc = map(table, g.size);
	if (rc < 0) {
		jobq_buf_addf(why, "shared memory %s: no room for %zu bytes: %s", table->name,
			      g.data_at, strerror(-rc));
		return rc;
	}

	struct header *header = table->header;
	header->start.layout = TABLE_LAYOUT;
	header->start.size = g.size;
	header->span_count = span_count;
	header->reserve = span_count / RESERVE_SHARE;
	if (header->reserve > RESERVE_MAX)
		header->reserve = RESERVE_MAX;
	header->watermark = 1; /* span 0 is never used */
	header->next_id = 1;
	header->id_limit = UINT64_MAX;
	if (getrandom(&header->start.generation, sizeof(header->start.generation), 0) < 0)
		header->start.generation = (uint32_t)jobq_clock_wall();
	rc = init_lock(&header->lock);
	if (rc < 0) {
		jobq_buf_addf(why, "robust mutex: %s", strerror(-rc));
		return rc;
	}
	point_parts(table, span_count);
	atomic_store(&header->start.magic, TABLE_MAGIC);
	return 0;
}

/* Maps a segment that is there, if it is a table of this layout. */
static int accept_segment(struct jobq_table *table, size_t size, struct jobq_buf *why)
{
	if (size == 0)
		return -ENOENT; /* being created */
	if (size < sizeof(struct header)) {
		uint64_t begin = 0;
		if (pread(table->fd, &begin, sizeof(begin), 0) >= 0 && begin == 0)
			return -ENOENT; /* somebody else's attempt that came to nothing */
		jobq_buf_addf(why, "shared memory %s is not a job table: choose another table_name",
			      table->name);
		return -EPROTO;
	}
	int rc = map(table, size);
	if (rc < 0) {
		jobq_buf_addf(why, "shared memory %s: cannot be mapped: %s", table->name,
			      strerror(-rc));
		return rc;
	}

	const struct header *header = table->header;
	uint64_t magic = atomic_load(&header->start.magic);
	if (magic == 0)
		return -ENOENT;
	if (magic != TABLE_MAGIC) {
		jobq_buf_addf(why, "shared memory %s is not a job table: choose another table_name",
			      table->name);
		return -EPROTO;
	}
	if (header->start.layout != TABLE_LAYOUT) {
		jobq_buf_addf(why,
			      "shared memory %s has layout version %u, this program speaks %d: stop "
			      "what uses it and remove it (jobqctl remove-table), or run the "
			      "version that made it",
			      table->name, header->start.layout, TABLE_LAYOUT);
		return -EPROTO;
	}
	if (header->start.size != size || header->span_count < 2 || header->span_count > size / SPAN_BYTES ||
	    lay_out(header->span_count).size != size) {
		jobq_buf_addf(why, "shared memory %s is damaged: its sizes contradict each other",
			      table->name);
		return -EPROTO;
	}
	point_parts(table, header->span_count);
	return 0;
}

static int open_segment(const char *name, int flags, struct jobq_table **out, struct jobq_buf *why)
{
	struct jobq_table *table = calloc(1, sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	snprintf(table->name, sizeof(table->name), "%s", name);
	table->fd = shm_open(name, O_RDWR | O_CLOEXEC | flags, 0660);
	if (table->fd < 0) {
		int rc = -errno;
		if (rc != -ENOENT)
			jobq_buf_addf(why, "shared memory %s: cannot be opened: %s", name,
				      strerror(-rc));
		free(table);
		return rc;
	}
	*out = table;
	return 0;
}

void jobq_table_detach(struct jobq_table *table)
{
	if (table == NULL)
		return;
	if (table->header != NULL)
		munmap(table->header, table->size);
	close(table->fd);
	free(table);
}

/* The bytes of the segment that open-file-description locks (fcntl(2)) are on. */
enum { OWNER_BYTE, WRITER_BYTE, HOOK_BYTE };

static struct flock lock_of(off_t byte)
{
	return (struct flock){
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
}

int jobq_table_writer_enter(struct jobq_table *table)
{
	struct flock lock = lock_of(WRITER_BYTE);

	return fcntl(table->fd, F_OFD_SETLKW, &lock) < 0 ? -errno : 0;
}

int jobq_table_hook_enter(struct jobq_table *table)
{
	struct flock lock = lock_of(HOOK_BYTE);

	return fcntl(table->fd, F_OFD_SETLK, &lock) < 0 ? -EAGAIN : 0;
}

/*
 * The ownership is such a lock: the kernel drops it when its holder dies,
 * however it dies.
 */
static int take_ownership(struct jobq_table *table, struct jobq_buf *why)
{
	struct flock lock = lock_of(OWNER_BYTE);

	/* A child that a killed owner was just starting holds it until its execve(2). */
	for (int tries = 0; tries < OWN_TRIES; tries++) {
		if (fcntl(table->fd, F_OFD_SETLK, &lock) == 0)
			return 0;
		poll(NULL, 0, OWN_PAUSE);
	}
	jobq_buf_addf(why, "shared memory %s is owned by another jobqd that is running: stop it, "
			   "or give this one another table_name", table->name);
	return -EBUSY;
}

/* Wakes those who wait for an owner, or for it to be ready. */
static void tell_owner(struct jobq_table *table)
{
	atomic_fetch_add(&table->header->owners, 1);
	jobq_futex_wake(&table->header->owners, INT_MAX);
}

int jobq_table_own(const char *name, size_t max_bytes, int64_t retention_ms,
		   struct jobq_table **out, struct jobq_buf *why)
{
	struct jobq_table *table;
	struct stat st;

	int rc = open_segment(name, O_CREAT, &table, why);
	if (rc < 0)
		return rc;
	rc = take_ownership(table, why);
	if (rc == 0 && (fchmod(table->fd, 0660) < 0 || fstat(table->fd, &st) < 0))
		rc = -errno;
	if (rc == 0 && st.st_nlink == 0)
		rc = -EAGAIN; /* removed by its last owner while this one opened it */
	if (rc == 0)
		rc = accept_segment(table, (size_t)st.st_size, why);
	if (rc == 0 && table->header->ready == 0) {
		/* Its last owner died while filling it: nobody has been told of what is in it. */
		atomic_store(&table->header->start.retired, 1);
		jobq_table_drain(table, true); /* workers that wait in it for its jobs leave */
		rc = shm_unlink(name) < 0 ? -errno : -EAGAIN;
	}
	if (rc == -ENOENT) {
		if (table->header != NULL)
			munmap(table->header, table->size);
		table->header = NULL;
		rc = format(table, max_bytes, why);
	}
	if (rc < 0) {
		jobq_table_detach(table);
		return rc == -EAGAIN ? jobq_table_own(name, max_bytes, retention_ms, out, why) : rc;
	}

	atomic_store(&table->header->owner_pid, (uint32_t)getpid());
	/* Rebuilds all that is derived, too: who knows what the last owner left. */
	jobq_table_set_retention(table, retention_ms);
	*out = table;
	tell_owner(table);
	return 0;
}

void jobq_table_set_retention(struct jobq_table *table, int64_t retention_ms)
{
	table_lock(table);
	table->header->retention = retention_ms * 1000;
	table->header->wheel_grain = retention_ms < 1000 ? 1000 : retention_ms;
	table_rebuild(table); /* a new grain moves every finished job */
	table_unlock(table);
}

/* Whether the mapped beginning of a segment may be given up. False: `why` says why not. */
static bool may_supersede(const char *name, const struct header_start *start, struct jobq_buf *why)
{
	if (atomic_load(&start->magic) != TABLE_MAGIC || start->layout < LAYOUT_WITH_STORE) {
		jobq_buf_addf(why, "shared memory %s is no job table whose jobs are stored", name);
		return false;
	}
	uint64_t left = start->change_seq - start->durable;
	if (left != 0)
		jobq_buf_addf(why,
			      "shared memory %s has layout version %u and %llu changes that are not "
			      "stored: start the release that made it and stop it again, which "
			      "stores them", name, start->layout, (unsigned long long)left);
	return left == 0;
}

static void kill_workers(const struct header_start *start)
{
	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++) {
		pid_t pid = (pid_t)start->slots[slot].pid;
		uint64_t start_time = start->slots[slot].start_time;
		if (pid > 0 && start_time != 0 && jobq_table_start_time(pid) == start_time)
			kill(pid, SIGKILL);
	}
}

int jobq_table_supersede(const char *name, struct jobq_buf *why)
{
	struct jobq_table *table;
	struct stat st;

	int rc = open_segment(name, 0, &table, why);
	if (rc < 0)
		return rc;
	rc = take_ownership(table, why);
	if (rc == 0 && fstat(table->fd, &st) < 0)
		rc = -errno;
	if (rc == 0 && (size_t)st.st_size < sizeof(struct header_start))
		rc = -EPROTO;
	if (rc == 0)
		rc = map(table, (size_t)st.st_size);
	struct header_start *start = rc == 0 ? &table->header->start : NULL;
	if (rc == 0 && !may_supersede(name, start, why))
		rc = -EPROTO;
	if (rc == 0) {
		kill_workers(start);
		atomic_store(&start->retired, 1);
		rc = shm_unlink(name) < 0 ? -errno : 0;
	}
	jobq_table_detach(table);
	return rc;
}

void jobq_table_set_ready(struct jobq_table *table)
{
	atomic_store(&table->header->ready, 1);
	tell_owner(table);
	jobq_table_kick(table);
}

bool jobq_table_is_ready(const struct jobq_table *table)
{
	return atomic_load(&table->header->ready) != 0;
}

bool jobq_table_await_owner(struct jobq_table *table, int64_t deadline)
{
	for (int rc = 0; rc != -ETIMEDOUT;) {
		uint32_t seen = atomic_load(&table->header->owners);
		if (jobq_table_is_ready(table) && jobq_table_owned(table))
			return true;
		rc = jobq_futex_wait(&table->header->owners, seen, deadline);
	}
	return false;
}

int jobq_table_attach(const char *name, struct jobq_table **out, struct jobq_buf *why)
{
	struct jobq_table *table;
	struct stat st;

	int rc = open_segment(name, 0, &table, why);
	if (rc < 0)
		return rc;
	rc = fstat(table->fd, &st) < 0 ? -errno : accept_segment(table, (size_t)st.st_size, why);
	if (rc < 0) {
		jobq_table_detach(table);
		return rc == -ENOENT ? -EAGAIN : rc;
	}
	*out = table;
	return 0;
}

int jobq_table_remove(const char *name, struct jobq_buf *why)
{
	struct jobq_table *table;
	struct jobq_buf unread = {0};
	struct stat st;

	int rc = open_segment(name, 0, &table, why);
	if (rc < 0)
		return rc;
	rc = take_ownership(table, why);
	if (rc == 0 && fstat(table->fd, &st) == 0 &&
	    accept_segment(table, (size_t)st.st_size, &unread) == 0) {
		atomic_store(&table->header->start.retired, 1);
		jobq_table_drain(table, true);
	}
	if (rc == 0 && shm_unlink(name) < 0)
		rc = -errno;
	jobq_buf_free(&unread);
	jobq_table_detach(table);
	return rc;
}

bool jobq_table_retired(const struct jobq_table *table)
{
	return atomic_load(&table->header->start.retired) != 0;
}

bool jobq_table_replaced(const struct jobq_table *table)
{
	struct stat mine, named;
	int fd = shm_open(table->name, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return false;
	bool same = fstat(table->fd, &mine) < 0 || fstat(fd, &named) < 0 ||
		    mine.st_ino == named.st_ino;
	close(fd);
	return !same;
}

bool jobq_table_owned(const struct jobq_table *table)
{
	struct flock lock = lock_of(OWNER_BYTE);

	return fcntl(table->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

uint32_t jobq_table_generation(const struct jobq_table *table)
{
	return table->header->start.generation;
}

/*
 * Takes memory from the system for one absent span or, when there is none, for
 * the next ones that never had any. fallocate(2) takes the pages from the
 * tmpfs now; a page that is merely touched would answer a full tmpfs with
 * SIGBUS. It runs without the lock and may be done twice for the same spans;
 * whoever comes second finds them no longer where they were.
 */
int table_grow(struct jobq_table *table)
{
	struct header *header = table->header;
	off_t data_at = (off_t)(table->data - (char *)header);

	table_lock(table);
	uint32_t from = header->absent_head, count = 1;
	bool hole = from != 0 && from < table->span_count;
	if (!hole) {
		from = header->watermark;
		count = from < table->span_count ? table->span_count - from : 0;
	}
	table_unlock(table);
	if (count > GROW_SPANS)
		count = GROW_SPANS;
	if (count == 0)
		return -ENOSPC;

	int rc = posix_fallocate(table->fd, data_at + (off_t)from * (off_t)SPAN_BYTES,
				 (off_t)count * (off_t)SPAN_BYTES);
	if (rc != 0)
		return rc == EINTR ? 0 : -ENOSPC; /* interrupted: the caller tries again */

	table_lock(table);
	if (hole && header->absent_head == from)
		header->absent_head = table->spans[from].next;
	else if (!hole && header->watermark == from)
		header->watermark = from + count;
	else
		count = 0;
	header->committed_count += count;
	for (uint32_t n = from; n < from + count; n++)
		span_give(table, n);
	table_unlock(table);
	return 0;
}
