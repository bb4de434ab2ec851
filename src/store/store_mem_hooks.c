/* Webhooks, events and deliveries in memory: the contract in its simplest form, for tests. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_mem.h"

/* What is to be looked at: of the open transaction, if one is. */
static struct mem_hooks *hooks_of(struct jobq_store *base)
{
	struct mem_store *store = (struct mem_store *)base;

	return store->open ? &store->draft_hooks : &store->hooks;
}

/* ---- arrays ----------------------------------------------------------------- */

/* Makes a place at `at` of an array, filled with `item`. */
static int insert(void **items, size_t *count, size_t size, size_t at, const void *item)
{
	char *grown = reallocarray(*items, *count + 1, size);

	if (grown == NULL)
		return -ENOMEM;
	*items = grown;
	memmove(grown + (at + 1) * size, grown + at * size, (*count - at) * size);
	memcpy(grown + at * size, item, size);
	(*count)++;
	return 0;
}

static void cut_out(void *items, size_t *count, size_t size, size_t at)
{
	char *bytes = items;

	(*count)--;
	memmove(bytes + at * size, bytes + (at + 1) * size, (*count - at) * size);
}

static void *copy_array(const void *items, size_t count, size_t size)
{
	void *copy = calloc(count + 1, size);

	if (copy != NULL && count > 0)
		memcpy(copy, items, count * size);
	return copy;
}

static int own_data(struct jobq_text *data)
{
	char *copy = malloc(data->len + 1);

	if (copy == NULL)
		return -ENOMEM;
	if (data->len > 0)
		memcpy(copy, data->data, data->len);
	data->data = copy;
	return 0;
}

void store_mem_init_hooks(struct mem_hooks *hooks)
{
	*hooks = (struct mem_hooks){.next_webhook = 1, .next_event = 1, .next_done = 1};
}

void store_mem_drop_hooks(struct mem_hooks *hooks)
{
	for (size_t i = 0; i < hooks->event_count; i++)
		free((char *)hooks->events[i].event.data.data);
	free(hooks->webhooks);
	free(hooks->events);
	free(hooks->deliveries);
	*hooks = (struct mem_hooks){0};
}

int store_mem_copy_hooks(struct mem_hooks *to, const struct mem_hooks *from)
{
	*to = *from;
	to->webhooks = copy_array(from->webhooks, from->webhook_count, sizeof(from->webhooks[0]));
	to->events = copy_array(from->events, from->event_count, sizeof(from->events[0]));
	to->deliveries = copy_array(from->deliveries, from->delivery_count,
				    sizeof(from->deliveries[0]));
	to->event_count = 0;
	bool good = to->webhooks != NULL && to->events != NULL && to->deliveries != NULL;
	while (good && to->event_count < from->event_count) {
		good = own_data(&to->events[to->event_count].event.data) == 0;
		to->event_count += good;
	}
	if (!good)
		store_mem_drop_hooks(to);
	return good ? 0 : -ENOMEM;
}

/* ---- webhooks --------------------------------------------------------------- */

/* The place of the first webhook whose id is not below `id`. */
static size_t webhook_place(const struct mem_hooks *hooks, uint64_t id)
{
	size_t at = 0;

	while (at < hooks->webhook_count && hooks->webhooks[at].id < id)
		at++;
	return at;
}

static bool has_webhook(const struct mem_hooks *hooks, size_t at, uint64_t id)
{
	return at < hooks->webhook_count && hooks->webhooks[at].id == id;
}

static int mem_put_webhook(struct jobq_store *base, struct jobq_webhook *webhook)
{
	struct mem_hooks *hooks = hooks_of(base);
	void *items = hooks->webhooks;

	if (webhook->id == 0)
		webhook->id = hooks->next_webhook;
	size_t at = webhook_place(hooks, webhook->id);
	if (has_webhook(hooks, at, webhook->id)) {
		hooks->webhooks[at] = *webhook;
		return 0;
	}
	int rc = insert(&items, &hooks->webhook_count, sizeof(*webhook), at, webhook);
	hooks->webhooks = items;
	if (rc == 0 && webhook->id >= hooks->next_webhook)
		hooks->next_webhook = webhook->id + 1;
	return rc;
}

static int mem_each_webhook(struct jobq_store *base, jobq_store_visit_webhook visit, void *arg)
{
	struct mem_hooks *hooks = hooks_of(base);
	int rc = 0;

	for (size_t i = 0; i < hooks->webhook_count && rc == 0; i++)
		rc = visit(arg, &hooks->webhooks[i]);
	return rc;
}

/* ---- events ----------------------------------------------------------------- */

/* The place of an event; event_count: there is none. */
static size_t event_place(const struct mem_hooks *hooks, uint64_t seq)
{
	size_t at = 0;

	while (at < hooks->event_count && hooks->events[at].event.seq != seq)
		at++;
	return at;
}

static int mem_add_event(struct jobq_store *base, struct jobq_event *event,
			 const uint64_t *webhooks, size_t count)
{
	struct mem_hooks *hooks = hooks_of(base);
	void *events = hooks->events, *deliveries = hooks->deliveries;
	struct mem_event kept = {*event, count};
	int rc = own_data(&kept.event.data);

	if (rc < 0)
		return rc;
	event->seq = kept.event.seq = hooks->next_event++;
	rc = insert(&events, &hooks->event_count, sizeof(kept), hooks->event_count, &kept);
	hooks->events = events;
	if (rc < 0)
		free((char *)kept.event.data.data);
	for (size_t i = 0; i < count && rc == 0; i++) {
		struct mem_delivery delivery = {.webhook = webhooks[i], .event = event->seq};
		rc = insert(&deliveries, &hooks->delivery_count, sizeof(delivery),
			    hooks->delivery_count, &delivery);
		hooks->deliveries = deliveries;
	}
	return rc;
}

static int mem_event(struct jobq_store *base, uint64_t seq, struct jobq_event *event,
		     struct jobq_buf *bytes)
{
	struct mem_hooks *hooks = hooks_of(base);
	size_t at = event_place(hooks, seq);

	bytes->len = 0;
	bytes->failed = false;
	if (at == hooks->event_count)
		return -ENOENT;
	*event = hooks->events[at].event;
	jobq_buf_add(bytes, event->data.data, event->data.len);
	event->data.data = bytes->data;
	return bytes->failed ? -ENOMEM : 0;
}

/* ---- deliveries ------------------------------------------------------------- */

static enum jobq_event_kind kind_of(const struct mem_hooks *hooks, uint64_t seq)
{
	return hooks->events[event_place(hooks, seq)].event.kind;
}

/* Removes a delivery, and its event with the last one of it. */
static void remove_delivery(struct mem_hooks *hooks, size_t at)
{
	size_t event = event_place(hooks, hooks->deliveries[at].event);

	cut_out(hooks->deliveries, &hooks->delivery_count, sizeof(hooks->deliveries[0]), at);
	if (--hooks->events[event].refs > 0)
		return;
	free((char *)hooks->events[event].event.data.data);
	cut_out(hooks->events, &hooks->event_count, sizeof(hooks->events[0]), event);
}

static int mem_remove_webhook(struct jobq_store *base, uint64_t id)
{
	struct mem_hooks *hooks = hooks_of(base);
	size_t at = webhook_place(hooks, id);

	if (!has_webhook(hooks, at, id))
		return -ENOENT;
	cut_out(hooks->webhooks, &hooks->webhook_count, sizeof(hooks->webhooks[0]), at);
	for (size_t i = hooks->delivery_count; i-- > 0;)
		if (hooks->deliveries[i].webhook == id)
			remove_delivery(hooks, i);
	return 0;
}

/* The delivery of an event, or NULL: there is none that waits or has ended, as asked. */
static struct mem_delivery *find(struct mem_hooks *hooks, uint64_t webhook, uint64_t event,
				 bool ended)
{
	for (size_t i = 0; i < hooks->delivery_count; i++) {
		struct mem_delivery *delivery = &hooks->deliveries[i];
		if (delivery->webhook == webhook && delivery->event == event)
			return (delivery->done > 0) == ended ? delivery : NULL;
	}
	return NULL;
}

/* The webhook's first delivery that waits, and is of an event behind `after`. */
static struct mem_delivery *next_pending(struct mem_hooks *hooks, uint64_t webhook, uint64_t after)
{
	struct mem_delivery *next = NULL;

	for (size_t i = 0; i < hooks->delivery_count; i++) {
		struct mem_delivery *delivery = &hooks->deliveries[i];
		if (delivery->webhook == webhook && delivery->done == 0 &&
		    delivery->event > after && (next == NULL || delivery->event < next->event))
			next = delivery;
	}
	return next;
}

/* The webhook's first delivery that ended behind number `after`; *count: so many did. */
static struct mem_delivery *next_end(struct mem_hooks *hooks, uint64_t webhook, uint64_t after,
				     size_t *count)
{
	struct mem_delivery *next = NULL;

	*count = 0;
	for (size_t i = 0; i < hooks->delivery_count; i++) {
		struct mem_delivery *delivery = &hooks->deliveries[i];
		if (delivery->webhook != webhook || delivery->done <= after)
			continue;
		(*count)++;
		if (next == NULL || delivery->done < next->done)
			next = delivery;
	}
	return next;
}

static int mem_each_pending(struct jobq_store *base, uint64_t webhook, uint64_t after, size_t most,
			    jobq_store_visit_pending visit, void *arg)
{
	struct mem_hooks *hooks = hooks_of(base);
	struct mem_delivery *next;
	int rc = 0;

	for (; most > 0 && rc == 0; most--) {
		next = next_pending(hooks, webhook, after);
		if (next == NULL)
			break;
		after = next->event;
		size_t event = event_place(hooks, after);
		struct jobq_pending pending = {after, hooks->events[event].event.kind,
					       hooks->events[event].event.job, next->end.attempts,
					       next->due};
		rc = visit(arg, &pending);
	}
	return rc;
}

static int mem_count_pending(struct jobq_store *base, uint64_t webhook, uint64_t *count)
{
	struct mem_hooks *hooks = hooks_of(base);

	*count = 0;
	for (size_t i = 0; i < hooks->delivery_count; i++)
		*count += hooks->deliveries[i].webhook == webhook && hooks->deliveries[i].done == 0;
	return 0;
}

static int mem_settle(struct jobq_store *base, const struct jobq_outcome *outcome,
		      enum jobq_event_kind *kind)
{
	struct mem_hooks *hooks = hooks_of(base);
	struct mem_delivery *delivery = find(hooks, outcome->webhook, outcome->event, false), *oldest;
	size_t count;

	if (delivery == NULL)
		return -ENOENT;
	*kind = kind_of(hooks, outcome->event);
	delivery->end.attempts = outcome->attempts;
	if (outcome->verdict == JOBQ_OUTCOME_RETRY) {
		delivery->due = outcome->due;
		return 0;
	}
	delivery->done = hooks->next_done++;
	delivery->end = (struct jobq_delivery){
		.event = outcome->event,
		.kind = *kind,
		.at = outcome->at,
		.success = outcome->verdict == JOBQ_OUTCOME_DELIVERED,
		.attempts = outcome->attempts,
		.payload_size = outcome->payload_size,
	};
	memcpy(delivery->end.message, outcome->message, sizeof(outcome->message));
	oldest = next_end(hooks, outcome->webhook, 0, &count);
	if (count > JOBQ_WEBHOOK_HISTORY)
		remove_delivery(hooks, (size_t)(oldest - hooks->deliveries));
	return 0;
}

static int mem_redeliver(struct jobq_store *base, uint64_t webhook, uint64_t event)
{
	struct mem_delivery *delivery = find(hooks_of(base), webhook, event, true);

	if (delivery == NULL)
		return -ENOENT;
	*delivery = (struct mem_delivery){.webhook = webhook, .event = event};
	return 0;
}

static int mem_each_delivery(struct jobq_store *base, uint64_t webhook,
			     jobq_store_visit_delivery visit, void *arg)
{
	struct mem_hooks *hooks = hooks_of(base);
	struct mem_delivery *next;
	uint64_t after = 0;
	size_t count;
	int rc = 0;

	while (rc == 0 && (next = next_end(hooks, webhook, after, &count)) != NULL) {
		after = next->done;
		rc = visit(arg, &next->end);
	}
	return rc;
}

/* ---- the rest --------------------------------------------------------------- */

static int mem_set_messages(struct jobq_store *base, uint32_t generation, uint64_t position)
{
	hooks_of(base)->generation = generation;
	hooks_of(base)->position = position;
	return 0;
}

static int mem_messages(struct jobq_store *base, uint32_t *generation, uint64_t *position)
{
	*generation = hooks_of(base)->generation;
	*position = hooks_of(base)->position;
	return 0;
}

static int mem_set_queue(struct jobq_store *base, enum jobq_queue_state state)
{
	hooks_of(base)->queue = state;
	return 0;
}

static int mem_queue(struct jobq_store *base, enum jobq_queue_state *state)
{
	*state = hooks_of(base)->queue;
	return 0;
}

static int mem_status(struct jobq_store *base, uint64_t id, enum jobq_job_status *status,
		      uint32_t *attempt, unsigned *progress)
{
	const struct mem_store *store = (const struct mem_store *)base;
	const struct rows *rows = store->open ? &store->draft : &store->committed;

	for (size_t i = 0; i < rows->count; i++) {
		const struct jobq_entry *entry = &rows->items[i]->entry;
		if (entry->id != id)
			continue;
		*status = entry->status;
		*attempt = entry->attempt;
		*progress = entry->progress;
		return 0;
	}
	return -ENOENT;
}

const struct store_hook_ops store_mem_hook_ops = {
	.put_webhook = mem_put_webhook,
	.remove_webhook = mem_remove_webhook,
	.each_webhook = mem_each_webhook,
	.add_event = mem_add_event,
	.event = mem_event,
	.each_pending = mem_each_pending,
	.count_pending = mem_count_pending,
	.settle = mem_settle,
	.redeliver = mem_redeliver,
	.each_delivery = mem_each_delivery,
	.set_messages = mem_set_messages,
	.messages = mem_messages,
	.set_queue = mem_set_queue,
	.queue = mem_queue,
	.status = mem_status,
};
