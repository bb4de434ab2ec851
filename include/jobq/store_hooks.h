/*
 * store, for webhooks: the webhooks, and the outbox of what they are to be told.
 *
 * A delivery is one event for one webhook. It waits until it has been settled,
 * and then stays as one of the webhook's last JOBQ_WEBHOOK_HISTORY. An event is kept as long as a
 * delivery of it is. Errors as in jobq/store.h; what changes something is
 * between jobq_store_begin() and jobq_store_commit(), where what reads sees it at once.
 * A `visit` changes nothing, and does not call the function that calls it (with its handle).
 */
#ifndef JOBQ_STORE_HOOKS_H
#define JOBQ_STORE_HOOKS_H

#include "jobq/event.h"
#include "jobq/store.h"

/*
 * Inserts a webhook (id 0: it is given the next one, never reused), or brings
 * the one with its id up to date, whatever of it differs; where there is none of that
 * id, it is inserted with it. Sets `kinds` to what `events` stands for. -EINVAL: that
 * is no array of names and patterns, or `has_secret` does not go with `secret`.
 */
int jobq_store_put_webhook(struct jobq_store *store, struct jobq_webhook *webhook);
/* Forgets it with all its deliveries, 2 microseconds each. -ENOENT: there is none. */
int jobq_store_remove_webhook(struct jobq_store *store, uint64_t id);
/* As jobq_store_each(): by rising id, with secrets. */
typedef int (*jobq_store_visit_webhook)(void *arg, const struct jobq_webhook *webhook);
int jobq_store_each_webhook(struct jobq_store *store, jobq_store_visit_webhook visit, void *arg);

/*
 * Adds an event with a delivery that waits for each of `count` webhooks (> 0), which the
 * caller knows to be there, none twice; sets event->seq.
 */
int jobq_store_add_event(struct jobq_store *store, struct jobq_event *event,
			 const uint64_t *webhooks, size_t count);
/*
 * Reads one event; event->data lies in `bytes`, which is emptied first. -ENOENT.
 */
int jobq_store_event(struct jobq_store *store, uint64_t seq, struct jobq_event *event,
		     struct jobq_buf *bytes);

/* Calls `visit` for up to `most` waiting deliveries of a webhook behind event `after`, by rising seq. */
typedef int (*jobq_store_visit_pending)(void *arg, const struct jobq_pending *pending);
int jobq_store_each_pending(struct jobq_store *store, uint64_t webhook, uint64_t after, size_t most,
			    jobq_store_visit_pending visit, void *arg);
/* How many wait. Counts them: 25 a microsecond. */
int jobq_store_count_pending(struct jobq_store *store, uint64_t webhook, uint64_t *count);

/*
 * Notes what became of a waiting delivery. RETRY: its attempts and when the next one is due;
 * else it has ended: it goes into the history, of which the oldest goes beyond
 * JOBQ_WEBHOOK_HISTORY. *kind is what kind of event it is. The webhook's numbers are the
 * caller's to put. -ENOENT: no such delivery waits (any more).
 */
int jobq_store_settle(struct jobq_store *store, const struct jobq_outcome *outcome,
		      enum jobq_event_kind *kind);
/* Takes a delivery out of the history and has it wait anew, with no attempts. -ENOENT. */
int jobq_store_redeliver(struct jobq_store *store, uint64_t webhook, uint64_t event);
/* Calls `visit` for the webhook's ended deliveries, oldest first. */
typedef int (*jobq_store_visit_delivery)(void *arg, const struct jobq_delivery *delivery);
int jobq_store_each_delivery(struct jobq_store *store, uint64_t webhook,
			     jobq_store_visit_delivery visit, void *arg);

/* Up to where the messages of which table (jobq_table_generation()) are in the store. */
int jobq_store_set_messages(struct jobq_store *store, uint32_t generation, uint64_t position);
int jobq_store_messages(struct jobq_store *store, uint32_t *generation, uint64_t *position);

/* What an administrator has made of the queue; OPEN in a new store. */
int jobq_store_set_queue(struct jobq_store *store, enum jobq_queue_state state);
int jobq_store_queue(struct jobq_store *store, enum jobq_queue_state *state);

/* What is stored of a job. -ENOENT. */
int jobq_store_status(struct jobq_store *store, uint64_t id, enum jobq_job_status *status,
		      uint32_t *attempt, unsigned *progress);

#endif
