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
 *   -ESHUTDOWN  nothing is taken just now: the queue, or a slot, is to run empty
 */
#ifndef JOBQ_TABLE_H
#define JOBQ_TABLE_H

#include <signal.h>
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

/*
 * All the jobs that are kept are in the table: clients may read and slots may
 * claim. A table that has never been ready is made anew by its next owner.
 */
void jobq_table_set_ready(struct jobq_table *table);
bool jobq_table_is_ready(const struct jobq_table *table);

/* Sleeps until a ready table has an owner, or the deadline; whether it has. */
bool jobq_table_await_owner(struct jobq_table *table, int64_t deadline);

/* How long finished jobs are kept, from now on. The owner's; takes a moment in a large table. */
void jobq_table_set_retention(struct jobq_table *table, int64_t retention_ms);

/*
 * Removes the table of another layout, if all that is in it is stored, with the
 * workers that still use it; jobqd can then fill a new one from the store.
 * -EBUSY: another process owns it; -EPROTO: no, and `why` says what to do.
 */
int jobq_table_supersede(const char *name, struct jobq_buf *why);

/* Attaches to a table that is there. -ENOENT: none; -EAGAIN: it is being made; else as above. */
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
	const char *labels; /* JSON text, or NULL */
	int priority;
};

/*
 * Puts a job at the tail of the queue and wakes a slot. With a key that the
 * same owner has used before, `*id` is that job and `*replayed` is set; if its
 * type or parameters differ, -EEXIST.
 */
int jobq_table_submit(struct jobq_table *table, const struct jobq_table_submit *submit,
		      uint64_t *id, bool *replayed);

/*
 * Sleeps until what was last done to the job (submit, cancel) is stored, if
 * the durability asks for that. 0: it is, and is shown from now on;
 * -ECANCELED: it could not be stored, and the submitted job is no more
 * (jobq_table_stats().store_error says why); -ETIMEDOUT.
 */
int jobq_table_await_stored(struct jobq_table *table, uint64_t id, int64_t deadline);

/*
 * Takes back a submitted job that was not stored in time. 0: nobody will ever
 * see it; -EALREADY: it has been stored after all.
 */
int jobq_table_withdraw(struct jobq_table *table, uint64_t id);

/*
 * Copies a job out; takes no lock. When `bytes` is not NULL the finished
 * job's error and, right behind it, its result are appended to it.
 */
int jobq_table_get(struct jobq_table *table, uint64_t id, struct jobq_job *job,
		   struct jobq_buf *bytes, size_t *error_len, size_t *result_len);

struct jobq_table_filter {
	enum jobq_job_status status; /* JOBQ_STATUS_NONE: any */
	int type;                    /* -1: any */
	const char *label; /* `"name":"value"` as it stands in the labels' JSON; NULL: any */
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
 * Asks the worker of a running job to end it at the next good place; it then
 * fails. 0, also when it was asked before; -EBUSY: it does not run.
 */
int jobq_table_stop(struct jobq_table *table, uint64_t id);

/* What clients have said of a job. `labels` is JSON text, or empty. -ENOENT. */
struct jobq_table_remarks {
	int priority;
	char labels[JOBQ_LABELS_BYTES + 1];
};
int jobq_table_remarks(struct jobq_table *table, uint64_t id, struct jobq_table_remarks *out);

/*
 * Which of the queued jobs it is that starts next: 1 is the first; 0: it is not queued. Counts
 * those before it, 64 at a time where all have one priority.
 */
uint64_t jobq_table_position(struct jobq_table *table, uint64_t id);

enum jobq_queue_state jobq_table_queue_state(const struct jobq_table *table);

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

/* Whether the process that started the calling one owns the table. */
bool jobq_table_started_by_owner(const struct jobq_table *table);

/*
 * For a worker that has entered: whether the process that started it owns the
 * table. If not, its owner died before it could know of this worker; it leaves
 * the slot again, and should end.
 */
bool jobq_table_stay(struct jobq_table *table, unsigned slot);

/*
 * Takes the job at the head of the queue; sleeps while there is none.
 * -ESHUTDOWN: the table is draining. -EINTR: a signal came. -EAGAIN: woken for
 * nothing; to be called again, after a look at what else there may be to do.
 */
int jobq_table_claim(struct jobq_table *table, unsigned slot, struct jobq_job_claim *claim);

/* Ends the claim that this process sleeps in, or its next one. For signal handlers. */
void jobq_table_claim_end(struct jobq_table *table);

/* Appends the job's parameters to `out`. */
int jobq_table_parameters(struct jobq_table *table, const struct jobq_job_claim *claim,
			  struct jobq_buf *out);

/* The work begins: from here on a death of the worker fails the job. */
int jobq_table_begin(struct jobq_table *table, const struct jobq_job_claim *claim);

int jobq_table_progress(struct jobq_table *table, const struct jobq_job_claim *claim,
			unsigned hundredths);

/* Whether somebody has asked for its end (jobq_table_stop()). No lock, no system call. */
bool jobq_table_stop_asked(const struct jobq_table *table, const struct jobq_job_claim *claim);

/*
 * Ends a running job. `error` is NULL for a completed one; `log` may be NULL. When
 * there is no memory for what it says, the job fails with an error about that instead.
 */
int jobq_table_finish(struct jobq_table *table, const struct jobq_job_claim *claim,
		      const char *result, size_t result_len, const char *error,
		      const struct jobq_text *log);

/* What keeps a worker in; see slot_confine(). */
struct jobq_table_confinement {
	bool told;         /* it has come to be confined; else the rest says nothing */
	unsigned landlock; /* version of the kernel's interface; 0: none */
	bool seccomp;
};

/* Says what keeps this process in, the worker of `slot`. */
void jobq_table_tell_confinement(struct jobq_table *table, unsigned slot,
				 const struct jobq_table_confinement *is);

/* ---- the owner ------------------------------------------------------------ */

/* The worker of `slot`: its pid (0: none), when it was started, its job (0: none). */
struct jobq_table_slot {
	pid_t pid;
	uint64_t start_time;
	uint64_t job;
	int64_t job_started; /* microseconds since 1970 */
	struct jobq_table_confinement confinement;
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
 * Wakes the slots, the store's writer, readers of the feed, and whoever waits
 * for a job that has changed lately, to look again. For those who outlive a
 * process that was killed between a change and waking them.
 */
void jobq_table_kick(struct jobq_table *table);

/* ---- the store's writer: one process at a time ---------------------------- */

/*
 * Says how far clients wait for the store, and which store it is (a number
 * that every store has for itself). With JOBQ_DURABILITY_NONE, as a table
 * begins, no change is told to anybody.
 */
void jobq_table_set_store(struct jobq_table *table, enum jobq_durability durability,
			  uint64_t store_id);
uint64_t jobq_table_store_id(const struct jobq_table *table);

/* Keeps out a second writer: sleeps until the last one's process has ended. */
int jobq_table_writer_enter(struct jobq_table *table);

/* A change: its number and whose job it is. */
struct jobq_table_change {
	uint64_t seq, id;
};

/*
 * Copies out up to `max` changes behind number *after, oldest first, and moves
 * *after on, also over those that newer ones have overtaken.
 */
size_t jobq_table_changes(struct jobq_table *table, uint64_t *after,
			  struct jobq_table_change *out, size_t max);

/* Sleeps until there are changes behind `after` or messages (table_hooks.h), *stop is set, or the deadline. */
void jobq_table_await_changes(struct jobq_table *table, uint64_t after, int64_t deadline,
			      const volatile sig_atomic_t *stop);
/* Ends that sleep. May be called in a signal handler, after *stop has been set. */
void jobq_table_nudge_writer(struct jobq_table *table);

/*
 * Copies a job out whole, as it is and not as it is shown; its texts lie in
 * `bytes`, which is emptied first. The status is JOBQ_STATUS_NONE when the
 * store is to forget it. -ENOENT: there is no such job.
 */
int jobq_table_export(struct jobq_table *table, uint64_t id, struct jobq_entry *entry,
		      struct jobq_buf *bytes);

/* The lowest id above `after` that there is a job of, hidden ones too; 0: none. */
uint64_t jobq_table_next(struct jobq_table *table, uint64_t after);

/*
 * These changes, in their order, and all up to number `upto` are stored. Shows
 * them, wakes who waits for them, and clears the store's error.
 */
void jobq_table_publish(struct jobq_table *table, const struct jobq_table_change *changes,
			size_t count, uint64_t upto);

/*
 * The store cannot take changes (`error`: an errno). Withdraws the jobs that
 * wait to be stored; other changes stay and are to be tried again.
 */
void jobq_table_refuse(struct jobq_table *table, int error);

/*
 * Puts a job of the store into a table that is not ready yet; ids must rise.
 * `changed`: the store does not know it like this.
 */
int jobq_table_import(struct jobq_table *table, const struct jobq_entry *entry, bool changed);

/* Numbers changes from `seq` on, all before it being stored. Not ready yet. */
void jobq_table_start_at(struct jobq_table *table, uint64_t seq);

/* What the store says of the queue; wakes the slots when they may go on. */
void jobq_table_set_queue_state(struct jobq_table *table, enum jobq_queue_state state);

/* The next id is at least `next`; no id from `limit` on may be given out. */
void jobq_table_set_ids(struct jobq_table *table, uint64_t next, uint64_t limit);

/* ---- numbers -------------------------------------------------------------- */

struct jobq_table_stats {
	uint64_t jobs[JOBQ_STATUSES];
	uint64_t next_id;
	uint64_t bytes_max, bytes_committed, bytes_free; /* memory for jobs */
	uint64_t repairs; /* how often a lock holder died */
	uint64_t changes, durable; /* number of the last change, and of the last stored */
	int store_error;           /* an errno that keeps changes from being stored, or 0 */
	uint64_t outbox;	   /* deliveries to webhooks that wait */
	unsigned slots_busy;
	bool draining, ready;
};
void jobq_table_stats(struct jobq_table *table, struct jobq_table_stats *out);

/*
 * Checks every invariant under the lock; slow. Appends a line for each
 * violation to `out` and returns how many there are.
 */
size_t jobq_table_check(struct jobq_table *table, struct jobq_buf *out);

#endif
