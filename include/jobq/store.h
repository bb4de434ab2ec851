/*
 * store: jobs on disk. Verbs about jobs; which database does it is nobody
 * else's business.
 *
 * One process writes at a time (jobqd's writer), others may read meanwhile.
 * A handle belongs to one thread. Every function returns 0 or a negative
 * errno:
 *   -ENOSPC   the disk is full             -EROFS    it may not be written to
 *   -EUCLEAN  what is there is damaged     -EPROTO   it is of a newer release, or none of ours
 *   -EBUSY    somebody else holds it up    -ENOMEM, -EACCES, -ENOENT, -EIO as usual
 */
#ifndef JOBQ_STORE_H
#define JOBQ_STORE_H

#include "jobq/base.h"
#include "jobq/job.h"

struct jobq_store;

/* Numbers that a store keeps beside the jobs. */
struct jobq_store_meta {
	uint64_t store_id; /* random, given when the store was made; constant */
	uint64_t seq;      /* number of the last change of the table that is in it */
	uint64_t next_id;  /* no id from here on has been given to anybody */
};

enum jobq_store_mode {
	JOBQ_STORE_READ,  /* what is there, beside a writer; never changes it */
	JOBQ_STORE_WRITE, /* makes it, or brings an older release's up to date, first */
};

/*
 * Opens the store at `place`: a file's path, or `memory:` for one that lasts as
 * long as the handle (tests). `durability` says what commit waits for. On
 * failure `why` gets a sentence that names the place.
 */
int jobq_store_open(const char *place, enum jobq_store_mode mode, enum jobq_durability durability,
		    struct jobq_store **out, struct jobq_buf *why);
void jobq_store_close(struct jobq_store *store);

/* Whether the place still stands for what was opened; false: it was removed or replaced. */
bool jobq_store_current(struct jobq_store *store);

/*
 * What follows up to commit happens whole or not at all; nobody sees it before.
 * After an error the caller rolls back.
 */
int jobq_store_begin(struct jobq_store *store);
/*
 * When it returns 0 the transaction is as safe as the durability asks; `synced`
 * asks for the disk this once, whatever the durability.
 */
int jobq_store_commit(struct jobq_store *store, bool synced);
void jobq_store_rollback(struct jobq_store *store);

/* Inserts a job, or brings the one with its id up to date. */
int jobq_store_put(struct jobq_store *store, const struct jobq_entry *entry);
/* Forgets a job; there need be none. */
int jobq_store_remove(struct jobq_store *store, uint64_t id);
/*
 * Forgets up to `most` jobs that finished before `limit` (microseconds since
 * 1970), oldest first; *removed says how many.
 */
int jobq_store_expire(struct jobq_store *store, int64_t limit, size_t most, size_t *removed);

/* store_id cannot be changed and is not looked at. */
int jobq_store_set_meta(struct jobq_store *store, const struct jobq_store_meta *meta);
int jobq_store_meta(struct jobq_store *store, struct jobq_store_meta *out);

/*
 * Calls `visit` for every job above `after`, by rising id; the entry is
 * borrowed for the call. Stops at the first value that is not 0 and returns
 * it. -EUCLEAN at a job that is not as it was written.
 */
typedef int (*jobq_store_visit)(void *arg, const struct jobq_entry *entry);
int jobq_store_each(struct jobq_store *store, uint64_t after, jobq_store_visit visit, void *arg);

/* Writes a consistent copy to `path`, where nothing may be yet (-EEXIST). */
int jobq_store_backup(struct jobq_store *store, const char *path);

/* A sentence about the last error of this handle; static or borrowed. */
const char *jobq_store_error(const struct jobq_store *store);

#endif
