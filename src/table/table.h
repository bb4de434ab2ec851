/*
 * table, inside: what lies in the shared memory, and how it stays sound.
 *
 * The segment:
 *   header | change ring | feed | hooks | counters | directory |
 *   span descriptors | key buckets | spans of 64 KiB
 *
 * A span holds 512 job records, or the blobs of one size class (parameters,
 * results), or one piece of a large blob. The directory finds a record by its
 * id: entry (id / 512) modulo its size names the span with those 512 ids.
 *
 * Truths and derived things. Records, directory entries, a span's being
 * absent and the next id are truths. Everything else (lists, bitmaps,
 * counters, the masks of the directory, key chains) is derived and rebuilt
 * from them by table_rebuild() when a lock holder has died. So every change is:
 *   1. write what the new state needs (blob, times), where the old state does
 *      not look;
 *   2. one atomic store of the record's `state`: the change has happened;
 *   3. bring the derived things up to date.
 * A death before 2 changed nothing, a death after it is finished by the
 * rebuild.
 *
 * Durability. Each change of a job that a store has to know gets the next number
 * of `change_seq`, which stands in the record (`changed`, a truth) and, at that
 * number modulo its size, in the ring (derived), whence the store's writer
 * learns of it. What nobody may see before it is stored carries STATE_PENDING:
 * a new job is nowhere yet, a finished one still shows as running, a cancelled
 * one as queued. The writer takes the mark off when the change is stored.
 *
 * The feed. Each change that clients can see, as it becomes visible, gets the
 * next number of `feed_seq` and an entry in the feed (record_move() sees to it,
 * so that none is forgotten). The record keeps what the feed was told of it last
 * (`fed`, a truth, written after the entry); where that is not what is shown, a
 * rebuild tells the feed. So an entry may come twice, but none is missing.
 *
 * Locks. `lock` guards every change. Inside it there is no system call, no
 * allocation outside the segment, and no logging.
 * Readers of one record take no lock: they copy it and check that its `seq`
 * was even and has not changed.
 *
 * Trust. Whatever a process reads from here may have been written by one that
 * was killed or is broken: offsets and lengths are checked before use.
 */
#ifndef JOBQ_TABLE_ROOM_H
#define JOBQ_TABLE_ROOM_H

#include <pthread.h>

#include "jobq/table.h"

#define TABLE_MAGIC UINT64_C(0x656c626174716f6a) /* "joqtable", little endian */
#define TABLE_REVISION 5 /* raised with every change of what lies in the segment (segment.c) */
#define TABLE_LAYOUT (TABLE_REVISION * 100 + JOBQ_TYPES) /* another type moves what follows counts */

#define SPAN_BYTES ((size_t)65536)
#define SPAN_RECORDS 512 /* ids a record span */
#define SPAN_OBJECTS_MAX (SPAN_BYTES / 64)
#define GROW_SPANS 16 /* taken from the system at a time */
#define CLASSES_MAX 40
#define MASK_ROWS (JOBQ_STATUSES - 1 + JOBQ_TYPES)
#define MASK_WORDS (SPAN_RECORDS / 64)
#define WHEEL_BUCKETS 2048
#define RING_SIZE 65536  /* changes that may wait for the store */
#define RING_RESERVE 4096 /* of these, kept from clients for what slots and the owner do */

/*
 * A record's state, one word so that it changes at once:
 *   bits 0-3 status, 4-7 type, 8-15 progress in hundredths, 16-19 slot,
 *   20-23 times put back into the queue, 24-31 flags, 32-63 attempt
 */
typedef uint64_t state_t;
#define STATE_BEGUN (UINT64_C(1) << 24)     /* the worker has begun the work */
#define STATE_NO_MEMORY (UINT64_C(1) << 25) /* the result found no room */
#define STATE_PENDING (UINT64_C(1) << 26)   /* not stored yet: shown as it was before */
#define STATE_WITHDRAWN (UINT64_C(1) << 27) /* could not be stored: is to vanish */
#define STATE_STOP (UINT64_C(1) << 28) /* the worker is asked to end it early */
/* What decides about lists and masks. */
#define STATE_PLACE (UINT64_C(15) | STATE_PENDING | STATE_WITHDRAWN)

/* What the feed tells of: status, progress, attempt. */
#define STATE_VISIBLE (UINT64_C(0xff0f) | UINT64_C(0xffffffff) << 32)

static inline enum jobq_job_status state_status(state_t s) { return (enum jobq_job_status)(s & 15); }
_Static_assert(JOBQ_TYPES <= 16, "a type has four bits");
static inline enum jobq_job_type state_type(state_t s) { return (enum jobq_job_type)(s >> 4 & 15); }
static inline unsigned state_progress(state_t s) { return (unsigned)(s >> 8 & 255); }
static inline unsigned state_slot(state_t s) { return (unsigned)(s >> 16 & 15); }
static inline unsigned state_requeues(state_t s) { return (unsigned)(s >> 20 & 15); }
static inline uint32_t state_attempt(state_t s) { return (uint32_t)(s >> 32); }
/* The status that clients see; JOBQ_STATUS_NONE: no job yet, or no more. */
enum jobq_job_status state_shown(state_t s);
state_t state_with_status(state_t s, enum jobq_job_status status);
state_t state_with_progress(state_t s, unsigned hundredths);

/*
 * A blob's place: bits 0-31 its length, 32-63 its offset / 16; 0: none. Up to
 * SPAN_BYTES it is one object of a size class; longer ones are a chain of
 * whole spans (span.next).
 */
typedef uint64_t ref_t;
#define BLOB_MAX (UINT32_C(1) << 30)

/*
 * One job. Every field is written under the lock, with `seq` odd meanwhile;
 * read with it, or without it by the `seq` protocol. Who writes what:
 *   the submitter all but those named next; slots started, completed, result,
 *   error_len; the owner the same when it settles, and everything at expiry.
 */
struct record {
	_Atomic uint32_t seq;     /* odd: being changed. Also the word to wait on */
	_Atomic uint32_t waiters; /* sleepers on seq; no lock. A killed one stays counted:
				     that costs a futile wake, no more */
	_Atomic uint64_t state;
	_Atomic uint64_t id;
	_Atomic int64_t created, started, completed; /* microseconds since 1970 */
	_Atomic uint64_t parameters; /* ref_t: owner, key, labels, parameters, one behind another */
	_Atomic uint64_t result;     /* ref_t: error, log, result */
	_Atomic uint32_t error_len;
	_Atomic uint16_t owner_len, key_len;
	/* Derived: the neighbours in the list that the status puts it on
	   (queue or wheel), by id; the next in the chain of its key's bucket. */
	uint64_t next, prev, key_next;
	uint64_t key_hash;
	_Atomic uint64_t changed; /* truth: number of its last change that the store must know */
	_Atomic uint64_t fed; /* truth: STATE_VISIBLE of what the feed was told last */
	_Atomic uint32_t log_len;
	_Atomic uint16_t labels_len;
	_Atomic int16_t priority; /* decides about the queue's list, so it never changes */
};
_Static_assert(sizeof(struct record) == 128, "a span holds 512 records");

/*
 * A change in the feed. Written under the lock, read without it: `seq` is 0
 * meanwhile, and its number modulo the feed's length is its place.
 */
struct feed_entry {
	_Atomic uint64_t seq, id, state;
	_Atomic int64_t created, started, completed;
	_Atomic uint32_t version; /* the record's seq after the change */
	uint32_t spare[3];
};
_Static_assert(sizeof(struct feed_entry) == 64, "a line of the cache each");

/* Written under the lock; first_id and span are also read without it. */
struct directory_entry {
	_Atomic uint64_t first_id; /* truth; 0: unused. Written last when made, first when removed */
	_Atomic uint32_t span;     /* truth */
	uint32_t live;             /* derived: jobs in the span */
	uint64_t mask[MASK_ROWS][MASK_WORDS]; /* derived: a row a status, then a row a type */
};

enum span_kind {
	SPAN_ABSENT,   /* truth: has no memory */
	SPAN_RETIRING, /* truth: being given back; only the owner moves it on */
	SPAN_FREE,
	SPAN_RECORD,
	SPAN_SLAB,  /* objects of one class */
	SPAN_PIECE, /* of a large blob */
};

/* Written under the lock; next is also read without it by readers of large blobs. */
struct span {
	uint32_t kind;
	_Atomic uint32_t next; /* free list, absent list, class list, or the next piece; 0: none */
	uint32_t prev;         /* class list */
	uint16_t class;
	uint16_t used; /* objects in use */
	uint64_t bitmap[SPAN_OBJECTS_MAX / 64];
};

struct list {
	uint64_t head, tail; /* ids; 0: none */
};

/* Written by the worker of the slot when it enters, and under the lock. */
struct slot_entry {
	_Atomic uint32_t pid;
	_Atomic uint32_t sleeping; /* 1 while it waits for work; no lock. Cleared by the owner
				      when the worker is gone */
	_Atomic uint64_t start_time;
	_Atomic uint64_t job; /* what it runs, or 0; cleared last, when all have been told */
};

/*
 * The beginning of the header, the same in every layout from 2 on, so that
 * another release can tell what it has found, whether all of it is stored, and
 * which workers still use it.
 */
struct header_start {
	/* Written by the creator, magic last; constant from then on. */
	_Atomic uint64_t magic;
	uint32_t layout, generation;
	uint64_t size; /* of the whole segment */

	_Atomic uint32_t retired; /* set once by the owner; no lock: attach anew */
	uint32_t spare;
	_Atomic uint64_t change_seq; /* truth, under the lock: number of the last change */
	_Atomic uint64_t durable; /* written by the store's writer: changes up to it are stored */
	struct slot_entry slots[JOBQ_SLOTS];
};

/* What holds a worker: bits 0-15 Landlock's version, or 0. */
#define CONFINEMENT_LANDLOCK UINT32_C(0xffff)
#define CONFINEMENT_SECCOMP (UINT32_C(1) << 16)
#define CONFINEMENT_TOLD (UINT32_C(1) << 17) /* else the worker has not come to it yet */

struct header {
	struct header_start start;
	uint32_t span_count; /* constant: all else about the geometry follows from it */
	uint32_t reserve;    /* constant: spans that submissions leave for results */

	pthread_mutex_t lock; /* robust, shared between processes */

	/* No lock. */
	_Atomic uint32_t draining; /* set by the owner: claim nothing */
	_Atomic uint32_t work;     /* changes when there is something to claim; futex */
	_Atomic uint32_t owner_pid; /* set by the owner */
	_Atomic uint32_t owners;   /* changes when an owner is there or ready; futex */
	_Atomic uint32_t ready;    /* set by the owner: all its jobs are in the table */
	_Atomic uint32_t durability;  /* set by the owner: enum jobq_durability */
	_Atomic uint32_t changes;     /* changes with change_seq; futex of the writer */
	_Atomic uint32_t writer_sleeps;
	_Atomic uint32_t store_error; /* set by the writer: an errno, or 0 */
	_Atomic uint32_t feed_changes; /* changes with feed_seq; futex of who reads the feed */
	_Atomic uint32_t feed_sleeps; /* set by who is about to sleep, cleared by who wakes
					 them: nobody's death leaves it set for good */
	_Atomic uint32_t queue_state; /* set by the writer: enum jobq_queue_state */
	_Atomic uint64_t id_limit;    /* set by the writer: ids below it may be given out */
	/* By slot, bits as above. Written by the slot's worker only: 0 when it enters,
	   what holds it when it is confined. Read by whoever shows it; nothing else
	   may depend on it, because a worker that was taken over can write here, too. */
	_Atomic uint32_t confinement[JOBQ_SLOTS];

	/* Truths, under the lock. */
	uint64_t store_id; /* the store that its changes go to; 0: none yet */
	_Atomic uint64_t next_id;
	_Atomic uint64_t feed_seq; /* number of the feed's last entry, written after it */
	uint32_t watermark;     /* spans below it have had memory at some time */
	int64_t wheel_grain;    /* microseconds a bucket; set by the owner */
	int64_t retention;      /* microseconds; set by the owner */
	uint64_t repairs;
	uint64_t damaged; /* what a rebuild had to drop because it made no sense */

	/* Derived, under the lock. */
	uint64_t jobs[JOBQ_STATUSES];
	uint64_t jobs_of[JOBQ_TYPES][JOBQ_STATUSES]; /* the same by type */
	struct list queue[JOBQ_PRIORITIES]; /* by priority, the least first */
	uint64_t queued[JOBQ_PRIORITIES];   /* jobs on each */
	uint64_t wheel[WHEEL_BUCKETS]; /* finished jobs by completed / grain */
	int64_t wheel_at;              /* the first bucket that may hold jobs, unwrapped */
	uint32_t free_head, absent_head, retiring_head;
	uint32_t free_count, committed_count;
	uint32_t class_head[CLASSES_MAX]; /* spans of the class with room */
};

/*
 * One process's view. The geometry is this process's own copy, checked when
 * it attached: nothing that is written to the segment later can lead it astray.
 */
struct jobq_table {
	struct header *header;
	size_t size;
	_Atomic uint64_t *ring;
	struct feed_entry *feed;
	struct hooks *hooks; /* see hooks.h */
	struct counters *counters; /* see counters.h */
	struct directory_entry *directory;
	struct span *spans;
	uint64_t *buckets; /* chains of jobs with an idempotency key: the first's id */
	char *data;        /* span n is at data + n * SPAN_BYTES; span 0 is never used */
	uint32_t directory_count, bucket_count; /* powers of two */
	uint32_t span_count;
	int fd; /* the segment; the owner's holds the ownership lock */
	char name[256];
};

/* ---- segment.c ---- */
/* Takes more memory from the system. Without the lock. -ENOSPC: there is none. */
int table_grow(struct jobq_table *table);

/* ---- lock.c ---- */
/* Takes the lock; when its last holder died, rebuilds before it returns. */
void table_lock(struct jobq_table *table);
void table_unlock(struct jobq_table *table);

/* ---- repair.c ---- */
/* Makes everything that is derived from the truths. With the lock. */
void table_rebuild(struct jobq_table *table);

/* ---- span.c (with the lock) ---- */
/* Takes a free span and zeroes its descriptor; 0: none. `reserve`: may take the last ones. */
uint32_t span_take(struct jobq_table *table, enum span_kind kind, bool reserve);
void span_give(struct jobq_table *table, uint32_t span);
char *span_data(const struct jobq_table *table, uint32_t span);

/* ---- blob.c ---- */
size_t blob_class_count(void);
size_t blob_class_size(size_t class);
size_t blob_class_of(size_t len); /* len <= SPAN_BYTES */
/* With the lock. Room for `len` bytes; 0 when there is none. len > 0. */
ref_t blob_take(struct jobq_table *table, size_t len, bool reserve);
void blob_give(struct jobq_table *table, ref_t ref);
/* Copies `len` bytes in, from offset `at` of the blob. The blob is the caller's. */
void blob_write(struct jobq_table *table, ref_t ref, size_t at, const char *bytes, size_t len);
/* Copies out, without the lock too: false when the place makes no sense. */
bool blob_read(const struct jobq_table *table, ref_t ref, size_t at, char *bytes, size_t len);
/* With the lock, for rebuild: marks the blob's memory as used; false: senseless or taken. */
bool blob_mark(struct jobq_table *table, ref_t ref);
/* For rebuild: puts every span that has been marked on its class list. */
void blob_relist(struct jobq_table *table);
static inline size_t ref_len(ref_t ref) { return (size_t)(ref & UINT32_MAX); }
static inline uint64_t ref_offset(ref_t ref) { return (ref >> 32) * 16; }

/* Copies and clears that may race with readers without the lock. */
void shm_zero(void *at, size_t len);

/* ---- record.c ---- */
/* The record of a kept job, or NULL. With the lock, or as a hint without it. */
struct record *record_find(const struct jobq_table *table, uint64_t id);
/* The entry for an id, whatever it holds. */
struct directory_entry *record_entry(const struct jobq_table *table, uint64_t id);
struct record *record_at(const struct jobq_table *table, uint32_t span, uint64_t id);
/* With the lock: fills in a new job; `blob` has room for its three texts. */
void record_fill(struct jobq_table *table, struct record *record, uint64_t id, ref_t blob,
		 const struct jobq_entry *entry);
/* With the lock: the record for the next id, made if need be; NULL: no room. */
struct record *record_next(struct jobq_table *table, uint64_t id);
/* With the lock: the span of `id` goes back when no job is left in it. */
void record_release(struct jobq_table *table, uint64_t id);
void record_change_begin(struct record *record);
void record_change_end(struct record *record);
/* Which of the queue's lists the record is for. */
size_t record_queue(const struct record *record);
/* Steps 2 and 3 of a change: stores `state`, moves the job between the lists. */
void record_move(struct jobq_table *table, struct record *record, state_t state, bool to_head);
/* The same for a change that the store has to know. */
void record_change(struct jobq_table *table, struct record *record, state_t state, bool to_head);
/* STATE_PENDING where changes are shown only when they are stored, else 0. */
state_t record_pending(const struct jobq_table *table);
/* Whether the store has room for one more change on a client's behalf. */
bool record_may_change(const struct jobq_table *table);
/* Whether it has room for one more job's run, beside all that may be withdrawn. */
bool record_may_claim(const struct jobq_table *table);
/* Step 3 alone: takes the record out of / puts it into what is derived from `state`. */
void record_unlist(struct jobq_table *table, struct record *record, state_t state);
void record_enlist(struct jobq_table *table, struct record *record, state_t state, bool to_head);
/* Copies a record out by the seq protocol; false: no such job. `*seq`: to check again. */
bool record_copy(const struct jobq_table *table, uint64_t id, struct record *out, uint32_t *seq);
bool record_unchanged(const struct jobq_table *table, uint64_t id, uint32_t seq);
void record_show(const struct record *record, struct jobq_job *job);

/* ---- feed.c ---- */
/* With the lock: tells the feed if the record shows as something else than it was told. */
void feed_note(struct jobq_table *table, struct record *record);
/* Wakes who waits for the feed to go on. Without the lock. */
void wake_feed(struct jobq_table *table);

/* ---- wait.c ---- */
/* Wakes those who sleep on the record. Without the lock. */
void wake_waiters(struct record *record);

/* ---- move.c ---- */
/* Wakes one slot that sleeps, if any does. Without the lock. */
void wake_slot(struct jobq_table *table);

/* ---- read.c ---- */
extern const char table_no_memory[]; /* the error of jobs with STATE_NO_MEMORY */

/* ---- durable.c ---- */
/* Wakes the store's writer if it sleeps. Without the lock, after changes. */
void wake_writer(struct jobq_table *table);

/* ---- expire.c ---- */
/* With the lock: the record and all that it holds go. */
void remove_job(struct jobq_table *table, struct record *record);

/* ---- idem.c (with the lock) ---- */
uint64_t idem_hash(const char *owner, size_t owner_len, const char *key, size_t key_len);
/* The job that this owner and key have made, or NULL. */
struct record *idem_find(const struct jobq_table *table, const char *owner, const char *key);
/* Whether the job has this type and these parameters. */
bool idem_same(const struct jobq_table *table, const struct record *record,
	       const struct jobq_table_submit *submit);
void idem_link(struct jobq_table *table, struct record *record);
void idem_unlink(struct jobq_table *table, struct record *record);

#endif
