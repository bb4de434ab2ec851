/*
 * super/outbox: what the store's writer does for webhooks. It belongs to the
 * writer's one thread. Functions that return int return 0 or a negative errno
 * of the store, and are called within the open transaction; after an error, or
 * a commit that failed, super_outbox_failed().
 */
#ifndef JOBQ_SUPER_OUTBOX_H
#define JOBQ_SUPER_OUTBOX_H

#include "jobq/conf.h"
#include "jobq/store_hooks.h"
#include "jobq/table_hooks.h"

#define OUTBOX_MESSAGES 1024 /* in one transaction, at the most */

/* A webhook as the writer knows it, with its secret. */
struct outbox_hook {
	struct jobq_webhook webhook;
	uint64_t waiting; /* deliveries */
	bool dirty;	  /* differs from what is in the store */
};

/* What is shown once the transaction is safe. */
struct outbox_end {
	uint64_t webhook;
	struct jobq_delivery delivery;
	bool dropped; /* it waits anew */
};

struct super_outbox {
	const struct jobq_conf *conf;
	struct jobq_table *table;
	struct jobq_store *store; /* NULL: not loaded */
	bool stale;		  /* what is here may be more than what is in the store */
	uint32_t wanted;	  /* JOBQ_EVENT_BIT of all that enabled webhooks want */
	struct outbox_hook hooks[JOBQ_WEBHOOKS_MAX];
	size_t count;

	/* Of the open transaction. */
	uint64_t position; /* of the last message taken */
	struct outbox_end ends[OUTBOX_MESSAGES];
	size_t end_count;
	struct jobq_command_verdict verdicts[OUTBOX_MESSAGES];
	size_t verdict_count;
	uint64_t removed[OUTBOX_MESSAGES];
	size_t removed_count;
	int queue; /* the state that the queue is to have: enum jobq_queue_state; -1: no other */
	uint64_t delivered, undelivered, retried; /* for jobq_table_count_deliveries() */
	bool added, changed; /* see jobq_table_ring_outbox() */

	struct jobq_buf message, bytes, data;
};

/*
 * Reads the webhooks of a store that was just opened, and shows them. No
 * transaction is open. `lost`: the store is new, in place of another: it gets the
 * webhooks that are known, here or (without their secrets) in the table.
 */
int super_outbox_load(struct super_outbox *outbox, struct jobq_store *store, bool lost);

/* Puts a job into the store, with the events that tell of how it has changed. */
int super_outbox_put(struct super_outbox *outbox, const struct jobq_entry *entry);

/*
 * Does what messages ask for. Before the jobs' changes, and after the list of
 * these was made: a job's events keep their order.
 */
int super_outbox_take(struct super_outbox *outbox);

/* Writes what remains of the transaction; then it is committed. */
int super_outbox_finish(struct super_outbox *outbox);
/* It is safe: shows it, and answers who waits. */
void super_outbox_committed(struct super_outbox *outbox);
/* It came to nothing, and was rolled back. */
void super_outbox_failed(struct super_outbox *outbox);

/* ---- between outbox.c and outbox_load.c ---- */
/* Nothing has been done in the open transaction yet. */
void outbox_begin(struct super_outbox *outbox);
void outbox_count_wanted(struct super_outbox *outbox);
/* How many deliveries wait, for jobq_table_stats(). */
void outbox_tell_waiting(const struct super_outbox *outbox);

#endif
