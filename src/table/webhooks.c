#include "config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "table/hooks.h"

static struct webhook_entry *find(struct jobq_table *table, uint64_t id)
{
	for (size_t i = 0; i < JOBQ_WEBHOOKS_MAX; i++)
		if (table->hooks->webhooks[i].webhook.id == id)
			return &table->hooks->webhooks[i];
	return NULL;
}

/* What was copied out may be anything: no text is without its end. */
static void terminate(struct jobq_webhook *webhook)
{
	webhook->url[JOBQ_WEBHOOK_URL_MAX] = '\0';
	webhook->events[JOBQ_WEBHOOK_EVENTS_MAX] = '\0';
	memset(webhook->secret, 0, sizeof(webhook->secret));
}

/* ---- reading -------------------------------------------------------------- */

bool jobq_table_webhooks_shown(const struct jobq_table *table)
{
	return atomic_load(&table->hooks->shown) != 0;
}

uint32_t jobq_table_wanted(const struct jobq_table *table)
{
	return atomic_load(&table->hooks->wanted);
}

int jobq_table_webhook(struct jobq_table *table, uint64_t id, struct jobq_webhook *out)
{
	table_lock(table);
	const struct webhook_entry *entry = id != 0 ? find(table, id) : NULL;
	if (entry != NULL)
		*out = entry->webhook;
	table_unlock(table);
	if (entry == NULL)
		return -ENOENT;
	terminate(out);
	return 0;
}

bool jobq_table_next_webhook(struct jobq_table *table, uint64_t after, struct jobq_webhook *out)
{
	const struct webhook_entry *next = NULL;

	table_lock(table);
	for (size_t i = 0; i < JOBQ_WEBHOOKS_MAX; i++) {
		const struct webhook_entry *entry = &table->hooks->webhooks[i];
		if (entry->webhook.id > after &&
		    (next == NULL || entry->webhook.id < next->webhook.id))
			next = entry;
	}
	if (next != NULL)
		*out = next->webhook;
	table_unlock(table);
	if (next != NULL)
		terminate(out);
	return next != NULL;
}

int jobq_table_deliveries(struct jobq_table *table, uint64_t webhook, struct jobq_delivery *out,
			  size_t max, size_t *total)
{
	size_t count = 0;

	table_lock(table);
	const struct webhook_entry *entry = webhook != 0 ? find(table, webhook) : NULL;
	uint64_t ended = entry != NULL ? entry->ended : 0;
	*total = entry != NULL ? entry->kept % (JOBQ_WEBHOOK_HISTORY + 1) : 0;
	for (; count < max && count < *total; count++) {
		out[count] = entry->history[(ended - 1 - count) % JOBQ_WEBHOOK_HISTORY];
		out[count].message[JOBQ_DELIVERY_MESSAGE - 1] = '\0';
	}
	table_unlock(table);
	return entry != NULL ? (int)count : -ENOENT;
}

/* ---- the writer's side ---------------------------------------------------- */

static void begin(struct jobq_table *table)
{
	table_lock(table);
	table->hooks->changing = 1;
	atomic_thread_fence(memory_order_release);
}

static void end(struct jobq_table *table)
{
	uint32_t wanted = 0;

	for (size_t i = 0; i < JOBQ_WEBHOOKS_MAX; i++) {
		const struct jobq_webhook *webhook = &table->hooks->webhooks[i].webhook;
		if (webhook->id != 0 && webhook->enabled)
			wanted |= webhook->kinds;
	}
	atomic_store(&table->hooks->wanted, wanted);
	atomic_thread_fence(memory_order_release);
	table->hooks->changing = 0;
	table_unlock(table);
}

void hooks_rebuild(struct jobq_table *table)
{
	if (table->hooks->changing != 0)
		atomic_store(&table->hooks->shown, 0);
}

void jobq_table_clear_webhooks(struct jobq_table *table)
{
	begin(table);
	atomic_store(&table->hooks->shown, 0);
	for (size_t i = 0; i < JOBQ_WEBHOOKS_MAX; i++) {
		table->hooks->webhooks[i].webhook.id = 0;
		table->hooks->webhooks[i].kept = 0;
	}
	end(table);
}

void jobq_table_show_webhooks(struct jobq_table *table)
{
	atomic_store(&table->hooks->shown, 1);
}

int jobq_table_set_webhook(struct jobq_table *table, const struct jobq_webhook *webhook)
{
	begin(table);
	struct webhook_entry *entry = find(table, webhook->id);
	if (entry == NULL && (entry = find(table, 0)) != NULL)
		entry->kept = 0;
	if (entry != NULL) {
		entry->webhook = *webhook;
		terminate(&entry->webhook);
	}
	end(table);
	return entry != NULL ? 0 : -EDQUOT;
}

void jobq_table_unset_webhook(struct jobq_table *table, uint64_t id)
{
	begin(table);
	struct webhook_entry *entry = find(table, id);
	if (entry != NULL) {
		entry->webhook.id = 0;
		entry->kept = 0;
	}
	end(table);
}

static void add_delivery(struct webhook_entry *entry, const struct jobq_delivery *delivery)
{
	entry->history[entry->ended % JOBQ_WEBHOOK_HISTORY] = *delivery;
	entry->ended++;
	entry->kept += entry->kept < JOBQ_WEBHOOK_HISTORY;
}

/* One that was made again stands once in the history, as its last end. */
static void drop_delivery(struct webhook_entry *entry, uint64_t event)
{
	uint64_t to = entry->ended - entry->kept % (JOBQ_WEBHOOK_HISTORY + 1);

	for (uint64_t at = to; at < entry->ended; at++) {
		struct jobq_delivery *delivery = &entry->history[at % JOBQ_WEBHOOK_HISTORY];
		if (delivery->event != event)
			entry->history[to++ % JOBQ_WEBHOOK_HISTORY] = *delivery;
	}
	entry->kept -= (uint32_t)(entry->ended - to);
	entry->ended = to;
}

void jobq_table_add_delivery(struct jobq_table *table, uint64_t webhook,
			     const struct jobq_delivery *delivery)
{
	begin(table);
	struct webhook_entry *entry = find(table, webhook);
	if (entry != NULL && webhook != 0)
		add_delivery(entry, delivery);
	end(table);
}

void jobq_table_drop_delivery(struct jobq_table *table, uint64_t webhook, uint64_t event)
{
	begin(table);
	struct webhook_entry *entry = find(table, webhook);
	if (entry != NULL && webhook != 0)
		drop_delivery(entry, event);
	end(table);
}

/* ---- hook's bell ---------------------------------------------------------- */

uint32_t jobq_table_outbox_added(const struct jobq_table *table)
{
	return atomic_load(&table->hooks->added);
}

uint32_t jobq_table_outbox_changed(const struct jobq_table *table)
{
	return atomic_load(&table->hooks->changed);
}

int jobq_table_await_outbox(struct jobq_table *table, uint32_t seen, int64_t deadline,
			    _Atomic uint32_t *stop, uint32_t stop_seen)
{
	return jobq_futex_wait2(&table->hooks->added, seen, stop, stop_seen, deadline);
}

void jobq_table_tell_outbox(struct jobq_table *table, uint64_t waiting)
{
	atomic_store(&table->hooks->waiting, waiting);
}

void jobq_table_ring_outbox(struct jobq_table *table, bool changed)
{
	if (changed)
		atomic_fetch_add(&table->hooks->changed, 1);
	atomic_fetch_add(&table->hooks->added, 1);
	jobq_futex_wake(&table->hooks->added, INT_MAX);
}
