/*
 * job: what a job is, its wire form, and what each type accepts.
 *
 * Pure: no shared memory, no files; any process, any thread.
 */
#ifndef JOBQ_JOB_H
#define JOBQ_JOB_H

#include <jansson.h>

#include "jobq/base.h"
#include "jobq/paths.h"

#define JOBQ_SLOTS 3               /* jobs that run at once */
#define JOBQ_BODY_MAX (1024 * 1024) /* bytes of a request body */
#define JOBQ_OPERATIONS_MAX 10000   /* scenes or operations a job may name */
#define JOBQ_NESTING_MAX 32         /* depth of a JSON body */
#define JOBQ_KEY_MAX 255            /* bytes of an Idempotency-Key */
#define JOBQ_OWNER_MAX 255          /* bytes of a token's name */
#define JOBQ_PRIORITY_MAX 10        /* and -10 is the least */
#define JOBQ_PRIORITIES (2 * JOBQ_PRIORITY_MAX + 1)
#define JOBQ_LABELS_MAX 16          /* labels a job may have */
#define JOBQ_LABEL_MAX 63           /* bytes of a name, and of a value */
#define JOBQ_LABELS_BYTES 4096      /* of them as JSON text: more than all can take */
#define JOBQ_LOG_MAX 65536          /* bytes of a job's log */

/*
 * The types of jobs: X(NAME, wire name, its parameters, if any). A worker does a job by
 * slot_<wire name>(), in a file of src/slot. Each parameter is one of
 *   SCENE_PATHS("name")              needed: 1 to JOBQ_OPERATIONS_MAX scene paths
 *   OPERATIONS("name")               needed: as many of {"action": ..., "scene_path": ...}
 *   WORD("name", "one", "other"...)  one of these words; may be missing
 * which src/job/rules.c checks. The numbers are part of the table's layout: new types go to the
 * end.
 */
#define JOBQ_JOB_TYPES(X)                                                                          \
	X(BATCH_OPERATIONS, batch_operations, OPERATIONS("operations"),                            \
	  WORD("mode", "continue", "transactional"))                                               \
	X(SCENE_PRELOAD, scene_preload, SCENE_PATHS("scene_paths"))                                \
	X(CACHE_WARMING, cache_warming, WORD("scope", "all", "stale"))

enum jobq_job_type {
#define X(upper, lower, ...) JOBQ_TYPE_##upper,
	JOBQ_JOB_TYPES(X)
#undef X
	JOBQ_TYPES
};
#define JOBQ_TYPE_NAME 32 /* bytes of a type's wire name, with its NUL */

/* The numbers are part of the table's layout; 0 is no job. */
#define JOBQ_JOB_STATUSES(X)                                                                       \
	X(QUEUED, queued)                                                                          \
	X(RUNNING, running)                                                                        \
	X(COMPLETED, completed)                                                                    \
	X(FAILED, failed)                                                                          \
	X(CANCELLED, cancelled)

enum jobq_job_status {
	JOBQ_STATUS_NONE,
#define X(upper, lower) JOBQ_STATUS_##upper,
	JOBQ_JOB_STATUSES(X)
#undef X
	JOBQ_STATUSES
};

const char *jobq_job_type_name(enum jobq_job_type type);
const char *jobq_job_status_name(enum jobq_job_status status);
/* By their wire names; false when there is none of that name. */
bool jobq_job_type_of(const char *name, size_t len, enum jobq_job_type *out);
bool jobq_job_status_of(const char *name, size_t len, enum jobq_job_status *out);

/* All types as a sentence has them, `a, b or c`. Returns `into`. */
#define JOBQ_TYPE_CHOICE (JOBQ_TYPES * (JOBQ_TYPE_NAME + 3))
const char *jobq_job_type_choice(char into[JOBQ_TYPE_CHOICE]);

/* Completed, failed or cancelled. */
bool jobq_job_finished(enum jobq_job_status status);
/* Whether a job may go from one status to the other: the lifecycle. */
bool jobq_job_may_move(enum jobq_job_status from, enum jobq_job_status to);

/* A job as it is shown; a copy, never a view into shared memory. */
struct jobq_job {
	uint64_t id;
	enum jobq_job_type type;
	enum jobq_job_status status;
	unsigned progress; /* hundredths */
	uint32_t attempt;  /* how often it has been started */
	uint32_t version;  /* changes with every change of the job; for the ETag */
	int64_t created, started, completed; /* microseconds since 1970; 0: not yet */
};

/*
 * When a submission or a cancellation is answered, and when the end of a job
 * is shown: the numbers are part of the table's layout.
 */
enum jobq_durability {
	JOBQ_DURABILITY_NONE, /* there is no store */
	JOBQ_DURABILITY_OFF,  /* at once */
	JOBQ_DURABILITY_FAST, /* when the store's transaction is with the kernel */
	JOBQ_DURABILITY_FULL, /* when it is on the disk */
};

/* What an administrator has made of the queue: the numbers are part of the table's layout. */
#define JOBQ_QUEUE_STATES(X)                                                                       \
	X(OPEN, open)		/* takes jobs and starts them */                                      \
	X(PAUSED, paused)	/* takes jobs, and starts none */                                     \
	X(DRAINING, draining) /* takes no jobs, and does those that it has */

enum jobq_queue_state {
#define X(upper, lower) JOBQ_QUEUE_##upper,
	JOBQ_QUEUE_STATES(X)
#undef X
	JOBQ_QUEUE_ALL_STATES
};
const char *jobq_job_queue_name(enum jobq_queue_state state);

/* A run of bytes, borrowed, not terminated. */
struct jobq_text {
	const char *data;
	size_t len;
};

/* A job whole, as a store keeps it. */
struct jobq_entry {
	uint64_t id;
	enum jobq_job_type type;
	enum jobq_job_status status;
	unsigned progress; /* hundredths */
	uint32_t attempt;
	unsigned requeues; /* how often it was put back into the queue */
	int64_t created, started, completed; /* microseconds since 1970; 0: not yet */
	struct jobq_text owner, key, parameters, error, result;
	int priority;
	struct jobq_text labels, log; /* JSON text, an object of strings, or empty; lines */
};

/* Adds `"progress": ` value as a JSON real: 0.0, 0.67, 1.0. */
void jobq_job_json_progress(struct jobq_buf *out, unsigned hundredths);

/*
 * Adds the job object of GET /jobs/:id. `result` is JSON text or empty;
 * `error` is text or empty.
 */
void jobq_job_json(struct jobq_buf *out, const struct jobq_job *job, const char *result,
		   size_t result_len, const char *error, size_t error_len);

/* Adds the job object of the list. */
void jobq_job_json_short(struct jobq_buf *out, const struct jobq_job *job);

/* ---- submissions ---------------------------------------------------------- */

/* Why a request is refused: becomes the body of a 4xx. */
struct jobq_refusal {
	const char *code;  /* static: the stable slug */
	char error[512];   /* the sentence, UTF-8 */
	char pointer[256]; /* JSON Pointer (RFC 6901) of the member, or empty */
	long limit;        /* the limit that was passed, or 0 */
};

/* What POST /jobs asks for. */
struct jobq_submission {
	enum jobq_job_type type;
	char *parameters; /* owned (free): JSON text, compact */
	size_t parameters_len;
	char *labels; /* owned (free): JSON text, compact, sorted by name; NULL: none */
	int priority;
};

/*
 * Reads a request body. `allowed` and `denied` are the whitelist and the
 * blacklist. Returns true with `out` filled, or false with `why` filled and nothing in `out`.
 */
bool jobq_job_rules(const char *body, size_t len, const struct jobq_list *allowed,
		    const struct jobq_list *denied, struct jobq_submission *out,
		    struct jobq_refusal *why);

/*
 * Reads the body of POST /jobs/:id/retry: nothing, or {"only": "failed"}. Returns as
 * jobq_job_rules() does.
 */
bool jobq_job_retry_rules(const char *body, size_t len, bool *failed_only,
			  struct jobq_refusal *why);

void jobq_submission_free(struct jobq_submission *submission);

/*
 * The list of what a job of the type is to do, step by step: its name in the parameters, and
 * the name of the result's list whose entries tell, in the same order, how each step went
 * ("success": true or false). Both NULL: the type has no such list.
 */
struct jobq_job_steps {
	const char *parameter, *result;
};
struct jobq_job_steps jobq_job_steps(enum jobq_job_type type);

/* Whether text may be a label's name, or its value. */
bool jobq_job_is_label(const char *text, size_t len);

/* Whether text may be an Idempotency-Key: 1 to JOBQ_KEY_MAX printable ASCII characters. */
bool jobq_job_is_key(const char *text);

/* Whether a word names an action of batch_operations. */
bool jobq_job_is_action(const char *word);

#endif
