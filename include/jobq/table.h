/*
 * table: the job table in POSIX shared memory.
 *
 * One process (jobqd) creates it and holds its ownership for life; jobq-api,
 * the slots and jobqctl attach to it. Unless a comment says otherwise a
 * function may be called in any of them and in any thread, returns 0 or a
 * negative errno, and leaves the table sound if its process is killed at any
 * instruction (see src/table/table.h for how).
 *
 * Errors that many functions share:
 *   -ENOENT  there is no such job (any more)
 *   -ENOSPC  the table is full (table_max, or the tmpfs has no room)
 *   -ESTALE  the claim is not the job's current attempt
 */
#ifndef JOBQ_TABLE_H
#define JOBQ_TABLE_H

#include <sys/types.h>

#include "jobq/base.h"
#include "jobq/job.h"

struct jobq_table;

/* ---- attach --------------------------------------------------------------- */

/*
 * Creates the table `name` (shm_open(3)) or takes over the one that is there,
 * with its jobs, and becomes its owner. jobqd only. Errors, with a sentence in
 * `why`:
 *   -EBUSY     another process owns it
 *   -EPROTO    it has another layout version, or is no job table at all
 */
int jobq_table_own(const char *name, size_t max_bytes, int64_t retention_ms,
		   struct jobq_table **out, struct jobq_buf *why);

/* Attaches to a table that is there. -ENOENT: none yet; else as above. */
int jobq_table_attach(const char *name, struct jobq_table **out, struct jobq_buf *why);

void jobq_table_detach(struct jobq_table *table);

/*
 * Removes what stands under the name, a table of another layout too, and tells
 * all who are attached (jobq_table_retired()). Its jobs are lost. -EBUSY: a
 * process owns it; -ENOENT: there is none.
 */
int jobq_table_remove(const char *name, struct jobq_buf *why);

/* Whether it has been removed, so that one must attach anew. */
bool jobq_table_retired(const struct jobq_table *table);

/* Whether the name stands for something else, though nobody has said so. */
bool jobq_table_replaced(const struct jobq_table *table);

/* Whether a process owns the table just now. One system call. */
bool jobq_table_owned(const struct jobq_table *table);

/* Tells this table from every other, for ETags. */
uint32_t jobq_table_generation(const struct jobq_table *table);

/* ---- clients -------------------------------------------------------------- */

struct jobq_table_submit {
	enum jobq_job_type type;
	const char *parameters; /* JSON text */
	size_t parameters_len;
	const char *owner; /* name of the token; "" when there is none */
	const char *key;   /* idempotency key, or "" */
};

/*
 * Puts a job at the tail of the queue and wakes a slot. With a key that the
 * same owner has used before, `*id` is that job and `*replayed` is set; if its
 * type or parameters differ, -EEXIST.
 */
int jobq_table_submit(struct jobq_table *table, const struct jobq_table_submit *submit,
		      uint64_t *id, bool *replayed);

/*
 * Copies a job out; takes no lock. When `bytes` is not NULL the finished
 * job's error and, right behind it, its result are appended to it.
 */
int jobq_table_get(struct jobq_table *table, uint64_t id, struct jobq_job *job,
		   struct jobq_buf *bytes, size_t *error_len, size_t *result_len);

struct jobq_table_filter {
	enum jobq_job_status status; /* JOBQ_STATUS_NONE: any */
	int type;                    /* -1: any */
};

/*
 * Copies up to `max` (at most JOBQ_LIST_BITE) jobs with an id above `*after`,
 * oldest first, and moves `*after` on. Returns how many; 0: no more.
 */
#define JOBQ_LIST_BITE 128
size_t jobq_table_list(struct jobq_table *table, const struct jobq_table_filter *filter,
		       uint64_t *after, struct jobq_job *jobs, size_t max);

/* Cancels a queued job. -EBUSY: it is not queued (any more). */
int jobq_table_cancel(struct jobq_table *table, uint64_t id);

/*
 * Sleeps until the job has finished, `deadline` (jobq_clock_mono()), or a
 * change of *stop from `stop_seen`, whatever comes first.
 */
int jobq_table_wait(struct jobq_table *table, uint64_t id, int64_t deadline,
		    _Atomic uint32_t *stop, uint32_t stop_seen);

/* Wakes all who sleep in jobq_table_wait() with this `stop`. Same process. */
void jobq_table_interrupt(_Atomic uint32_t *stop);

/* ---- slots ---------------------------------------------------------------- */

struct jobq_job_claim {
	uint64_t id;
	uint32_t attempt;
	unsigned slot;
	enum jobq_job_type type;
};

/*
 * Makes the calling process the worker of `slot`. -EBUSY: another live process
 * is (its pid in `*holder`).
 */
int jobq_table_enter(struct jobq_table *table, unsigned slot, pid_t *holder);

/*
 * Takes the job at the head of the queue; sleeps while there is none.
 * -ESHUTDOWN: the table is draining. -EINTR: a signal came.
 */
int jobq_table_claim(struct jobq_table *table, unsigned slot, struct jobq_job_claim *claim);

/* Appends the job's parameters to `out`. */
int jobq_table_parameters(struct jobq_table *table, const struct jobq_job_claim *claim,
			  struct jobq_buf *out);

/* The work begins: from here on a death of the worker fails the job. */
int jobq_table_begin(struct jobq_table *table, const struct jobq_job_claim *claim);

int jobq_table_progress(struct jobq_table *table, const struct jobq_job_claim *claim,
			unsigned hundredths);

/*
 * Ends a running job. `error` is NULL for a completed one. When there is no
 * memory for what it says, the job fails with an error about that instead.
 */
int jobq_table_finish(struct jobq_table *table, const struct jobq_job_claim *claim,
		      const char *result, size_t result_len, const char *error);

/* ---- the owner ------------------------------------------------------------ */

/* The worker of `slot`: its pid (0: none), when it was started, its job (0: none). */
struct jobq_table_slot {
	pid_t pid;
	uint64_t start_time;
	uint64_t job;
	int64_t job_started; /* microseconds since 1970 */
};
void jobq_table_slot(struct jobq_table *table, unsigned slot, struct jobq_table_slot *out);

/* Clock ticks at which the process was started (proc(5), field 22); 0: gone. */
uint64_t jobq_table_start_time(pid_t pid);

/*
 * The worker of `slot` is gone: fails its job with `error`, or puts it back at
 * the head of the queue if it never began. `*job` is that job or 0,
 * `*requeued` what became of it.
 */
int jobq_table_settle(struct jobq_table *table, unsigned slot, const char *error, uint64_t *job,
		      bool *requeued);

/* Stops (or resumes) the claiming of jobs and wakes the sleeping slots. */
void jobq_table_drain(struct jobq_table *table, bool on);

/* Removes the jobs that finished before `now` - retention; returns how many. */
size_t jobq_table_expire(struct jobq_table *table, int64_t now);

/*
 * Gives memory that has been free since the call before this one back to the
 * system; returns the bytes. To be called now and then.
 */
size_t jobq_table_trim(struct jobq_table *table);

/*
 * Wakes every sleeping slot to look for work. For those who outlive a process
 * that was killed between submitting a job and waking a slot for it.
 */
void jobq_table_kick(struct jobq_table *table);

/* ---- numbers -------------------------------------------------------------- */

struct jobq_table_stats {
	uint64_t jobs[JOBQ_STATUSES];
	uint64_t next_id;
	uint64_t bytes_max, bytes_committed, bytes_free; /* memory for jobs */
	uint64_t repairs; /* how often a lock holder died */
	unsigned slots_busy;
	bool draining;
};
void jobq_table_stats(struct jobq_table *table, struct jobq_table_stats *out);

/*
 * Checks every invariant under the lock; slow. Appends a line for each
 * violation to `out` and returns how many there are.
 */
size_t jobq_table_check(struct jobq_table *table, struct jobq_buf *out);

#endif
