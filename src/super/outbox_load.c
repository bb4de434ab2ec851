/* What a writer finds when it opens a store: the webhooks, and what the table is to show. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "super/outbox.h"

static int note_hook(void *arg, const struct jobq_webhook *webhook)
{
	struct super_outbox *outbox = arg;

	if (outbox->count < JOBQ_WEBHOOKS_MAX)
		outbox->hooks[outbox->count++] = (struct outbox_hook){.webhook = *webhook};
	return 0;
}

struct shown {
	struct jobq_table *table;
	uint64_t webhook;
};

static int show_delivery(void *arg, const struct jobq_delivery *delivery)
{
	const struct shown *shown = arg;

	jobq_table_add_delivery(shown->table, shown->webhook, delivery);
	return 0;
}

static int show(struct super_outbox *outbox)
{
	int rc = 0;

	jobq_table_clear_webhooks(outbox->table);
	for (size_t i = 0; i < outbox->count && rc == 0; i++) {
		struct outbox_hook *hook = &outbox->hooks[i];
		struct shown shown = {outbox->table, hook->webhook.id};
		jobq_table_set_webhook(outbox->table, &hook->webhook);
		rc = jobq_store_each_delivery(outbox->store, hook->webhook.id, show_delivery, &shown);
		if (rc == 0)
			rc = jobq_store_count_pending(outbox->store, hook->webhook.id, &hook->waiting);
	}
	if (rc == 0)
		jobq_table_show_webhooks(outbox->table);
	return rc;
}

/* The webhooks as the table knows them, with such secrets as are known here. */
static void recall(struct super_outbox *outbox)
{
	static struct outbox_hook were[JOBQ_WEBHOOKS_MAX];
	size_t count = outbox->count;
	struct jobq_webhook webhook;
	uint64_t after = 0;

	memcpy(were, outbox->hooks, sizeof(were));
	outbox->count = 0;
	while (jobq_table_next_webhook(outbox->table, after, &webhook)) {
		after = webhook.id;
		for (size_t i = 0; i < count; i++)
			if (were[i].webhook.id == webhook.id)
				memcpy(webhook.secret, were[i].webhook.secret, sizeof(webhook.secret));
		if (webhook.has_secret && webhook.secret[0] == '\0') {
			webhook.has_secret = webhook.enabled = false;
			jobq_log(JOBQ_LOG_ERROR, "webhook_disabled",
				 "webhook=%" PRIu64 " msg=\"its secret was lost with the store: "
				 "set it again, and enable it\"", webhook.id);
		}
		note_hook(outbox, &webhook);
	}
	explicit_bzero(were, sizeof(were));
}

static int rewrite(struct super_outbox *outbox)
{
	int rc = jobq_store_begin(outbox->store);

	for (size_t i = 0; i < outbox->count && rc == 0; i++)
		rc = jobq_store_put_webhook(outbox->store, &outbox->hooks[i].webhook);
	if (rc == 0)
		rc = jobq_store_commit(outbox->store, true);
	if (rc == 0 && outbox->count > 0)
		jobq_log(JOBQ_LOG_WARNING, "outbox_lost",
			 "webhooks=%zu msg=\"what waited for them went with the old store\"",
			 outbox->count);
	return rc;
}

static int keep_queue(struct super_outbox *outbox)
{
	int rc = jobq_store_begin(outbox->store);

	if (rc == 0)
		rc = jobq_store_set_queue(outbox->store, jobq_table_queue_state(outbox->table));
	return rc == 0 ? jobq_store_commit(outbox->store, true) : rc;
}

int super_outbox_load(struct super_outbox *outbox, struct jobq_store *store, bool lost)
{
	enum jobq_queue_state queue;
	uint32_t generation = 0;
	uint64_t position = 0;
	int rc = 0;

	outbox->store = store;
	if (lost) {
		recall(outbox);
		rc = rewrite(outbox);
	} else {
		outbox->count = 0;
		rc = jobq_store_each_webhook(store, note_hook, outbox);
	}
	if (rc == 0 && lost) /* what the table knows is what was stored last */
		rc = keep_queue(outbox);
	if (rc == 0)
		rc = jobq_store_queue(store, &queue);
	if (rc == 0)
		jobq_table_set_queue_state(outbox->table, queue);
	if (rc == 0)
		rc = jobq_store_messages(store, &generation, &position);
	if (rc == 0 && generation == jobq_table_generation(outbox->table))
		jobq_table_skip_messages(outbox->table, position);
	if (rc == 0)
		rc = show(outbox);
	outbox_count_wanted(outbox);
	outbox_tell_waiting(outbox);
	outbox->stale = rc < 0;
	outbox_begin(outbox);
	jobq_table_ring_outbox(outbox->table, true);
	return rc;
}
