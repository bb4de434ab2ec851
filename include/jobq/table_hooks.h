/*
 * table, for webhooks: messages to the store's writer, what webhooks there are,
 * and what became of their deliveries. All of it lies in the job table's
 * segment and under its lock; whoever is killed when, it stays sound.
 *
 * Who does what: slots and hook post events, jobq-api posts commands, hook posts
 * outcomes. The writer takes messages in their order, stores what follows from
 * them in the same transaction as the jobs' changes, and then keeps the lists
 * of webhooks and of ended deliveries, which jobq-api shows, up to date.
 */
#ifndef JOBQ_TABLE_HOOKS_H
#define JOBQ_TABLE_HOOKS_H

#include "jobq/event.h"
#include "jobq/table.h"

#define JOBQ_MESSAGE_MAX 16384 /* bytes of an event's data */

/* ---- posting -------------------------------------------------------------- */

/* The kinds of event that any enabled webhook wants (JOBQ_EVENT_BIT). No lock. */
uint32_t jobq_table_wanted(const struct jobq_table *table);

/*
 * Tells of something that has happened; `data` is JSON text, an object. Sleeps
 * until `deadline` when there is no room. 0, also when no webhook wants it;
 * -EAGAIN: no room; -EIO: none is waited for, as the store takes nothing;
 * -E2BIG.
 */
int jobq_table_post_event(struct jobq_table *table, enum jobq_event_kind kind, uint64_t job,
			  const char *data, size_t len, int64_t deadline);

/*
 * hook: what became of attempts. The writer is not woken, see
 * jobq_table_nudge_writer(). Returns how many found room.
 */
size_t jobq_table_post_outcomes(struct jobq_table *table, const struct jobq_outcome *outcomes,
				size_t count);

/* Positions of the last message posted and the last one that is stored. */
uint64_t jobq_table_posted(const struct jobq_table *table);
uint64_t jobq_table_handled(const struct jobq_table *table);

enum jobq_command_verb {
	JOBQ_COMMAND_CREATE,
	JOBQ_COMMAND_UPDATE, /* what is `given` of `webhook` */
	JOBQ_COMMAND_REMOVE,
	JOBQ_COMMAND_PING,
	JOBQ_COMMAND_REDELIVER, /* the event with this seq, which the history has */
	JOBQ_COMMAND_QUEUE,	/* the queue is to have this state */
};

struct jobq_command {
	enum jobq_command_verb verb;
	unsigned given;		     /* UPDATE: JOBQ_GIVEN_... */
	uint64_t event;		     /* REDELIVER */
	enum jobq_queue_state queue; /* QUEUE */
	struct jobq_webhook webhook; /* its id for all but CREATE */
};

/*
 * Has the writer carry out a command, and sleeps until it is stored. 0, and
 * command->webhook is as it is now (without its secret); *event is the seq of a PING's event. Errors:
 *   -ENOENT  there is no such webhook, or delivery
 *   -EDQUOT  there are JOBQ_WEBHOOKS_MAX already
 *   -EPERM   PING, REDELIVER: the webhook is disabled
 *   -EAGAIN  too many messages wait for the writer
 *   -ECANCELED  the store took nothing (jobq_table_stats().store_error says why): nothing has
 *	      been done
 *   -ETIMEDOUT  nobody took it before the deadline: nothing has been done
 *   -EINPROGRESS  it was taken, but the deadline passed before it was stored: it may yet be
 */
int jobq_table_command(struct jobq_table *table, struct jobq_command *command, uint64_t *event,
		       int64_t deadline);

/* ---- what there is -------------------------------------------------------- */

/* Whether the lists below are what the store has: not while they are being filled. */
bool jobq_table_webhooks_shown(const struct jobq_table *table);
/* -ENOENT: none of that id. Never a secret. */
int jobq_table_webhook(struct jobq_table *table, uint64_t id, struct jobq_webhook *out);
/* The one with the lowest id above `after`; false: no more. */
bool jobq_table_next_webhook(struct jobq_table *table, uint64_t after, struct jobq_webhook *out);
/*
 * Copies up to `max` ended deliveries, newest first; *total is how many there
 * are. -ENOENT: no such webhook; else how many were copied.
 */
int jobq_table_deliveries(struct jobq_table *table, uint64_t webhook, struct jobq_delivery *out,
			  size_t max, size_t *total);

/* ---- hook ----------------------------------------------------------------- */

/* Keeps out a second hook process: -EAGAIN when there is one. */
int jobq_table_hook_enter(struct jobq_table *table);

/*
 * Counters that the writer raises: `added` when there are new deliveries to make,
 * `changed` when a webhook or an old delivery has changed, so that all is to be
 * looked at anew. Read `added` before looking into the store.
 */
uint32_t jobq_table_outbox_added(const struct jobq_table *table);
uint32_t jobq_table_outbox_changed(const struct jobq_table *table);
/* Sleeps until `added` is not `seen`, or the deadline. Interrupted by a change of *stop. */
int jobq_table_await_outbox(struct jobq_table *table, uint32_t seen, int64_t deadline,
			    _Atomic uint32_t *stop, uint32_t stop_seen);

/* ---- the writer ----------------------------------------------------------- */

enum jobq_message_kind {
	JOBQ_MESSAGE_VOID, /* of a client that waited no longer */
	JOBQ_MESSAGE_EVENT,
	JOBQ_MESSAGE_OUTCOME,
	JOBQ_MESSAGE_COMMAND,
};

/* A message taken out. The texts lie in the taker's buffer. */
struct jobq_message {
	enum jobq_message_kind kind;
	uint64_t position; /* of its end */
	struct jobq_event event;
	struct jobq_outcome outcome;
	struct jobq_command *command;
};

/*
 * Takes out the message behind position *at and moves *at on. `bytes` is emptied
 * and gets the texts. False: there is none (or it made no sense: all were
 * dropped, and that is logged by the caller when *damaged is set).
 */
bool jobq_table_take_message(struct jobq_table *table, uint64_t *at, struct jobq_message *out,
			     struct jobq_buf *bytes, bool *damaged);

/* What became of a command; for who waits for it. */
struct jobq_command_verdict {
	uint64_t position; /* of the command's message */
	int rc;
	uint64_t webhook, event;
};

/* These are done with, up to `position`. Wipes them, and wakes who waits. */
void jobq_table_messages_handled(struct jobq_table *table, uint64_t position,
				 const struct jobq_command_verdict *verdicts, size_t count);

/* The store takes nothing: commands are answered with -ECANCELED and void; the rest stays. */
void jobq_table_refuse_commands(struct jobq_table *table);

/* Where the next writer is to go on. Only forward. */
void jobq_table_skip_messages(struct jobq_table *table, uint64_t position);

/* Brings the lists up to date; from clear to show they are not shown. */
void jobq_table_clear_webhooks(struct jobq_table *table);
void jobq_table_show_webhooks(struct jobq_table *table);
int jobq_table_set_webhook(struct jobq_table *table, const struct jobq_webhook *webhook);
void jobq_table_unset_webhook(struct jobq_table *table, uint64_t id);
void jobq_table_add_delivery(struct jobq_table *table, uint64_t webhook,
			     const struct jobq_delivery *delivery);
void jobq_table_drop_delivery(struct jobq_table *table, uint64_t webhook, uint64_t event);
/* How many deliveries wait in the store, for jobq_table_stats(). */
void jobq_table_tell_outbox(struct jobq_table *table, uint64_t waiting);
/* Tells hook; see jobq_table_outbox_added(). */
void jobq_table_ring_outbox(struct jobq_table *table, bool changed);

#endif
