/*
 * job/event: what webhooks are told of, and what a webhook is.
 *
 * Pure: no shared memory, no files; any process, any thread.
 */
#ifndef JOBQ_EVENT_H
#define JOBQ_EVENT_H

#include "jobq/base.h"
#include "jobq/job.h"

#define JOBQ_WEBHOOKS_MAX 100
#define JOBQ_WEBHOOK_HISTORY 100 /* finished deliveries that are kept of each */
#define JOBQ_WEBHOOK_URL_MAX 2048
#define JOBQ_WEBHOOK_SECRET_MAX 256
#define JOBQ_WEBHOOK_SECRET_SHOWN "***" /* in answers, whichever it is; so none can be this */
#define JOBQ_WEBHOOK_EVENTS_MAX 511 /* bytes of the patterns as a JSON array */
#define JOBQ_WEBHOOK_PATTERNS_MAX 32 /* patterns that a request may name */
#define JOBQ_WEBHOOK_KEY_MIN 24	     /* bytes that a whsec_ secret encodes */
#define JOBQ_WEBHOOK_KEY_MAX 64
#define JOBQ_DELIVERY_ATTEMPTS 4
#define JOBQ_DELIVERY_MESSAGE 96	   /* bytes of what became of it, NUL included */
#define JOBQ_EVENT_RESULT_MAX 65536 /* bytes of a job's result in an event; longer ones are left out */

/* X(NAME, wire name): the numbers are part of the table's layout. */
#define JOBQ_EVENTS(X)                                                                             \
	X(JOB_QUEUED, "job.queued")                                                                \
	X(JOB_STARTED, "job.started")                                                              \
	X(JOB_PROGRESS, "job.progress")                                                            \
	X(JOB_COMPLETED, "job.completed")                                                          \
	X(JOB_FAILED, "job.failed")                                                                \
	X(JOB_CANCELLED, "job.cancelled")                                                          \
	X(SCENE_LOADED, "scene.loaded")                                                            \
	X(SCENE_FAILED, "scene.failed")                                                            \
	X(SCENE_VALIDATED, "scene.validated")                                                      \
	X(SCENE_RELOADED, "scene.reloaded")                                                        \
	X(AUTH_FAILED, "auth.failed")                                                              \
	X(RATE_LIMIT_EXCEEDED, "rate_limit.exceeded")                                              \
	X(PING, "ping")

enum jobq_event_kind {
#define X(upper, name) JOBQ_EVENT_##upper,
	JOBQ_EVENTS(X)
#undef X
	JOBQ_EVENT_KINDS
};
#define JOBQ_EVENT_BIT(kind) (UINT32_C(1) << (kind))

const char *jobq_event_name(enum jobq_event_kind kind);
/* False when there is none of that name. */
bool jobq_event_kind_of(const char *name, size_t len, enum jobq_event_kind *out);
/* The kinds (JOBQ_EVENT_BIT) that `name`, `group.*` or `*` stands for; 0: none. */
uint32_t jobq_event_pattern(const char *pattern, size_t len);

/* The event that tells of a job's having this status. */
enum jobq_event_kind jobq_event_of_status(enum jobq_job_status status);

/* Adds the `data` of a job's event: the job object, with `job_id` before it. */
void jobq_event_job_data(struct jobq_buf *out, const struct jobq_entry *entry);

/* A webhook; a copy, never a view. */
struct jobq_webhook {
	uint64_t id;
	int64_t created; /* microseconds since 1970 */
	uint32_t kinds;  /* what it wants: JOBQ_EVENT_BIT of each */
	bool enabled, has_secret;
	uint64_t delivery_count, failure_count; /* deliveries that succeeded; that were given up */
	int64_t last_delivery; /* when the last one ended, either way; 0: never */
	char url[JOBQ_WEBHOOK_URL_MAX + 1];
	char events[JOBQ_WEBHOOK_EVENTS_MAX + 1];  /* as it was given: JSON text, an array */
	char secret[JOBQ_WEBHOOK_SECRET_MAX + 1]; /* only between its setter, the store and hook */
};

/* Something that happened. */
struct jobq_event {
	uint64_t seq; /* given by the store; rises, never reused */
	enum jobq_event_kind kind;
	uint64_t job; /* whose order it belongs to; 0: nobody's */
	int64_t at;   /* microseconds since 1970 */
	struct jobq_text data; /* JSON text, an object */
};

/* What became of a delivery's attempt. */
enum jobq_outcome_verdict {
	JOBQ_OUTCOME_DELIVERED,
	JOBQ_OUTCOME_RETRY,  /* another attempt is due at `due` */
	JOBQ_OUTCOME_FAILED, /* given up */
	JOBQ_OUTCOME_GONE,   /* 410: given up, and the webhook is to be disabled */
};

struct jobq_outcome {
	uint64_t webhook, event; /* the event's seq */
	enum jobq_outcome_verdict verdict;
	unsigned attempts; /* so far, this one included */
	int64_t at, due;   /* microseconds since 1970 */
	uint32_t payload_size;
	char message[JOBQ_DELIVERY_MESSAGE]; /* such as "200", "connection refused"; printable ASCII */
};

/* A delivery that has ended, as the history shows it. */
struct jobq_delivery {
	uint64_t event; /* the event's seq */
	enum jobq_event_kind kind;
	int64_t at; /* when it ended, microseconds since 1970 */
	bool success;
	unsigned attempts;
	uint32_t payload_size;
	char message[JOBQ_DELIVERY_MESSAGE];
};

/* A delivery that waits. */
struct jobq_pending {
	uint64_t event; /* the event's seq */
	enum jobq_event_kind kind;
	uint64_t job;
	unsigned attempts; /* made so far */
	int64_t due;	   /* not before; microseconds since 1970; 0: at once */
};

/*
 * The delivery's own id, the same over all its attempts: `<webhook>-<event>`.
 * Writes at most 42 bytes, NUL included. And back: false when it is none.
 */
#define JOBQ_DELIVERY_ID 42
void jobq_event_delivery_id(char into[JOBQ_DELIVERY_ID], uint64_t webhook, uint64_t event);
bool jobq_event_delivery_of(const char *text, size_t len, uint64_t *webhook, uint64_t *event);

/*
 * Whether text may be a webhook's address: http or https, a host, no user or
 * password, no fragment, printable ASCII, at most JOBQ_WEBHOOK_URL_MAX bytes. NULL, or a static
 * sentence that says what is wrong. What its host's addresses are is looked at
 * when it is delivered.
 */
const char *jobq_event_url_malformed(const char *url, size_t len);

/* What a request says of a webhook. */
#define JOBQ_GIVEN_URL 1u
#define JOBQ_GIVEN_EVENTS 2u
#define JOBQ_GIVEN_SECRET 4u /* also that there is to be none */
#define JOBQ_GIVEN_ENABLED 8u

/*
 * Reads the body of a request that creates a webhook (`create`: it must have an
 * address and events) or changes one: what is not given stays in `webhook` as it
 * is. Returns true with a set of JOBQ_GIVEN_... in *given; or false with `why`
 * filled. The secret is in nothing else that is left behind.
 */
bool jobq_webhook_rules(const char *body, size_t len, bool create, struct jobq_webhook *webhook,
			unsigned *given, struct jobq_refusal *why);

#endif
