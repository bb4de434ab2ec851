/* Jobs for a store, what ought to be in it, and a directory for its files. */
#ifndef JOBQ_TEST_STORE_FIXTURE_H
#define JOBQ_TEST_STORE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "jobq/store.h"

#define HOUR (INT64_C(3600) * 1000000)
#define SOME_DAY (INT64_C(1764028800) * 1000000) /* in November 2025 */

/* ---- a directory of the test's own ----------------------------------------- */

static char fixture_root[64];

/* Lasts for the next 15 calls. */
static inline const char *fixture_path(const char *name)
{
	static char paths[16][256];
	static unsigned turn;
	char *path = paths[turn++ % JOBQ_LENGTH(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", fixture_root, name);
	return path;
}

static inline int fixture_make(const char *under)
{
	snprintf(fixture_root, sizeof(fixture_root), "%s/jobq-store-XXXXXX", under);
	return mkdtemp(fixture_root) == NULL ? -1 : 0;
}

static inline int fixture_remove_one(const char *path, const struct stat *st, int flag,
				     struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline int fixture_remove(void)
{
	return nftw(fixture_root, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* All bytes of a file; none when there is no such file. */
static inline struct jobq_buf fixture_read(const char *path)
{
	struct jobq_buf bytes = {0};
	char part[65536];
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && (got = read(fd, part, sizeof(part))) > 0)
		jobq_buf_add(&bytes, part, (size_t)got);
	if (fd >= 0)
		close(fd);
	return bytes;
}

/* False: it could not be written. */
static inline bool fixture_write(const char *path, const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool written = fd >= 0 && write(fd, bytes, len) == (ssize_t)len;

	if (fd >= 0)
		close(fd);
	return written;
}

/* ---- jobs ------------------------------------------------------------------ */

static inline struct jobq_text text_of(const char *text)
{
	return (struct jobq_text){text, strlen(text)};
}

/* The first `len` bytes of a long text without a pattern; at most 1 MiB. */
static inline struct jobq_text long_text(size_t len)
{
	static char bytes[1 << 20];
	uint32_t number = 1;

	for (size_t i = 0; i < sizeof(bytes) && bytes[sizeof(bytes) - 1] == '\0'; i++) {
		number = number * 1664525 + 1013904223;
		bytes[i] = (char)(' ' + number / 65536 % 95);
	}
	return (struct jobq_text){bytes, len};
}

/* A job as it was submitted. */
static inline struct jobq_entry queued_job(uint64_t id)
{
	return (struct jobq_entry){
		.id = id,
		.type = (enum jobq_job_type)(id % JOBQ_TYPES),
		.status = JOBQ_STATUS_QUEUED,
		.created = SOME_DAY + (int64_t)(id % 1000000),
		.owner = text_of("ci"),
		.parameters = text_of("{\"scene_paths\":[\"res://a.tscn\"]}"),
		.priority = (int)(id % JOBQ_PRIORITIES) - JOBQ_PRIORITY_MAX,
		.labels = text_of(id % 2 == 0 ? "{\"team\":\"art\"}" : ""),
	};
}

static inline struct jobq_entry running_job(uint64_t id)
{
	struct jobq_entry job = queued_job(id);

	job.status = JOBQ_STATUS_RUNNING;
	job.attempt = 1;
	job.started = job.created + HOUR;
	return job;
}

static inline struct jobq_entry completed_job(uint64_t id)
{
	struct jobq_entry job = running_job(id);

	job.status = JOBQ_STATUS_COMPLETED;
	job.progress = 100;
	job.completed = job.started + HOUR;
	job.result = text_of("{\"scenes_loaded\":1}");
	job.log = text_of(job.id % 3 == 0 ? "one\ntwo\n" : "");
	return job;
}

static inline bool same_text(const struct jobq_text *a, const struct jobq_text *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* Which member of two jobs differs, or NULL. */
static inline const char *difference(const struct jobq_entry *a, const struct jobq_entry *b)
{
	return a->id != b->id				? "id"
	       : a->type != b->type			? "type"
	       : a->status != b->status			? "status"
	       : a->progress != b->progress		? "progress"
	       : a->attempt != b->attempt		? "attempt"
	       : a->requeues != b->requeues		? "requeues"
	       : a->created != b->created		? "created"
	       : a->started != b->started		? "started"
	       : a->completed != b->completed		? "completed"
	       : !same_text(&a->owner, &b->owner)	? "owner"
	       : !same_text(&a->key, &b->key)		? "key"
	       : !same_text(&a->parameters, &b->parameters) ? "parameters"
	       : !same_text(&a->error, &b->error)	? "error"
	       : !same_text(&a->result, &b->result)	? "result"
	       : !same_text(&a->log, &b->log)		? "log"
	       : !same_text(&a->labels, &b->labels)	? "labels"
	       : a->priority != b->priority		? "priority"
							: NULL;
}

/* ---- what ought to be in the store ----------------------------------------- */

/* Jobs by rising id; their texts outlive them. */
struct shelf {
	struct jobq_entry jobs[64];
	size_t count;
};

static inline void shelf_remove(struct shelf *shelf, uint64_t id)
{
	size_t left = 0;

	for (size_t i = 0; i < shelf->count; i++)
		if (shelf->jobs[i].id != id)
			shelf->jobs[left++] = shelf->jobs[i];
	shelf->count = left;
}

static inline void shelf_put(struct shelf *shelf, const struct jobq_entry *job)
{
	shelf_remove(shelf, job->id);
	size_t at = shelf->count++;
	for (; at > 0 && shelf->jobs[at - 1].id > job->id; at--)
		shelf->jobs[at] = shelf->jobs[at - 1];
	shelf->jobs[at] = *job;
}

static inline const struct jobq_entry *shelf_find(const struct shelf *shelf, uint64_t id)
{
	for (size_t i = 0; i < shelf->count; i++)
		if (shelf->jobs[i].id == id)
			return &shelf->jobs[i];
	return NULL;
}

/* A visit of a store: what it gave, against what may be there. */
struct look {
	const struct shelf *shelf;
	size_t seen;
	uint64_t last;
	char wrong[128]; /* what was given that was never put, or empty */
};

static inline int look_at(void *arg, const struct jobq_entry *job)
{
	struct look *look = arg;
	const struct jobq_entry *put = shelf_find(look->shelf, job->id);
	const char *member = put != NULL ? difference(job, put) : "id";

	if (member != NULL && look->wrong[0] == '\0')
		snprintf(look->wrong, sizeof(look->wrong), "job %llu: %s is not as it was put",
			 (unsigned long long)job->id, member);
	if (job->id <= look->last && look->wrong[0] == '\0')
		snprintf(look->wrong, sizeof(look->wrong), "job %llu comes after job %llu",
			 (unsigned long long)job->id, (unsigned long long)look->last);
	look->last = job->id;
	look->seen++;
	return 0;
}

/* The store holds these jobs, all of them and no others. */
static inline void assert_holds(struct jobq_store *store, const struct shelf *shelf)
{
	struct look look = {.shelf = shelf};

	assert_int_equal(jobq_store_each(store, 0, look_at, &look), 0);
	assert_string_equal(look.wrong, "");
	assert_int_equal(look.seen, shelf->count);
}

static inline struct jobq_store *open_store(const char *place, enum jobq_store_mode mode)
{
	struct jobq_store *store = NULL;
	struct jobq_buf why = {0};

	if (jobq_store_open(place, mode, JOBQ_DURABILITY_FAST, &store, &why) < 0)
		fail_msg("%s: %s", place, why.data != NULL ? why.data : "no reason given");
	jobq_buf_free(&why);
	return store;
}

/* Puts a job into the open transaction, and on the shelf. */
static inline void put(struct jobq_store *store, struct shelf *shelf, struct jobq_entry job)
{
	assert_int_equal(jobq_store_put(store, &job), 0);
	shelf_put(shelf, &job);
}

#endif
