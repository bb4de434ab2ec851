/* store, for webhooks: the front, and what every backend makes of a webhook. */
#include "config.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "store/store_ops.h"

/* ---- what they share -------------------------------------------------------- */

static struct jobq_text text_of(const char *text)
{
	return (struct jobq_text){text, strlen(text)};
}

uint64_t store_webhook_sum(const struct jobq_webhook *webhook)
{
	const struct jobq_text texts[] = {text_of(webhook->url), text_of(webhook->events),
					  text_of(webhook->secret)};
	const uint64_t numbers[] = {
		webhook->id,
		(uint64_t)webhook->created,
		webhook->enabled,
		webhook->delivery_count,
		webhook->failure_count,
		(uint64_t)webhook->last_delivery,
	};
	uint64_t sum = 0;

	for (size_t i = 0; i < JOBQ_LENGTH(numbers); i++)
		sum = store_mix(sum, numbers[i]);
	for (size_t i = 0; i < JOBQ_LENGTH(texts); i++)
		sum = store_mix_text(sum, &texts[i]);
	return sum;
}

uint64_t store_event_sum(const struct jobq_event *event)
{
	uint64_t sum = store_mix(store_mix(0, event->seq), (uint64_t)event->kind);

	sum = store_mix(store_mix(sum, event->job), (uint64_t)event->at);
	return store_mix_text(sum, &event->data);
}

uint64_t store_messages_sum(uint32_t generation, uint64_t position)
{
	return store_mix(store_mix(0, generation), position);
}

bool store_webhook_kinds(const char *events, uint32_t *kinds)
{
	json_t *patterns = json_loads(events, 0, NULL), *pattern;
	bool good = json_is_array(patterns);
	size_t i;

	*kinds = 0;
	json_array_foreach(patterns, i, pattern) {
		uint32_t wanted = json_is_string(pattern)
					  ? jobq_event_pattern(json_string_value(pattern),
							       json_string_length(pattern))
					  : 0;
		good = good && wanted != 0;
		*kinds |= wanted;
	}
	json_decref(patterns);
	return good;
}

static bool is_whole(const struct jobq_webhook *webhook)
{
	/* The second half: a webhook that was read without its secret must not lose it. */
	return memchr(webhook->url, '\0', sizeof(webhook->url)) != NULL &&
	       memchr(webhook->events, '\0', sizeof(webhook->events)) != NULL &&
	       memchr(webhook->secret, '\0', sizeof(webhook->secret)) != NULL &&
	       webhook->has_secret == (webhook->secret[0] != '\0');
}

/* ---- the front -------------------------------------------------------------- */

int jobq_store_put_webhook(struct jobq_store *store, struct jobq_webhook *webhook)
{
	if (!is_whole(webhook) || !store_webhook_kinds(webhook->events, &webhook->kinds))
		return -EINVAL;
	return store->ops->hooks->put_webhook(store, webhook);
}

int jobq_store_remove_webhook(struct jobq_store *store, uint64_t id)
{
	return store->ops->hooks->remove_webhook(store, id);
}

int jobq_store_each_webhook(struct jobq_store *store, jobq_store_visit_webhook visit, void *arg)
{
	return store->ops->hooks->each_webhook(store, visit, arg);
}

int jobq_store_add_event(struct jobq_store *store, struct jobq_event *event,
			 const uint64_t *webhooks, size_t count)
{
	if (count == 0 || (unsigned)event->kind >= JOBQ_EVENT_KINDS)
		return -EINVAL; /* without deliveries nothing would ever remove it */
	return store->ops->hooks->add_event(store, event, webhooks, count);
}

int jobq_store_event(struct jobq_store *store, uint64_t seq, struct jobq_event *event,
		     struct jobq_buf *bytes)
{
	return store->ops->hooks->event(store, seq, event, bytes);
}

int jobq_store_each_pending(struct jobq_store *store, uint64_t webhook, uint64_t after, size_t most,
			    jobq_store_visit_pending visit, void *arg)
{
	return store->ops->hooks->each_pending(store, webhook, after, most, visit, arg);
}

int jobq_store_count_pending(struct jobq_store *store, uint64_t webhook, uint64_t *count)
{
	return store->ops->hooks->count_pending(store, webhook, count);
}

int jobq_store_settle(struct jobq_store *store, const struct jobq_outcome *outcome,
		      enum jobq_event_kind *kind)
{
	if (memchr(outcome->message, '\0', sizeof(outcome->message)) == NULL)
		return -EINVAL;
	return store->ops->hooks->settle(store, outcome, kind);
}

int jobq_store_redeliver(struct jobq_store *store, uint64_t webhook, uint64_t event)
{
	return store->ops->hooks->redeliver(store, webhook, event);
}

int jobq_store_each_delivery(struct jobq_store *store, uint64_t webhook,
			     jobq_store_visit_delivery visit, void *arg)
{
	return store->ops->hooks->each_delivery(store, webhook, visit, arg);
}

int jobq_store_set_messages(struct jobq_store *store, uint32_t generation, uint64_t position)
{
	return store->ops->hooks->set_messages(store, generation, position);
}

int jobq_store_messages(struct jobq_store *store, uint32_t *generation, uint64_t *position)
{
	return store->ops->hooks->messages(store, generation, position);
}

int jobq_store_set_queue(struct jobq_store *store, enum jobq_queue_state state)
{
	return store->ops->hooks->set_queue(store, state);
}

int jobq_store_queue(struct jobq_store *store, enum jobq_queue_state *state)
{
	return store->ops->hooks->queue(store, state);
}

int jobq_store_status(struct jobq_store *store, uint64_t id, enum jobq_job_status *status,
		      uint32_t *attempt, unsigned *progress)
{
	return store->ops->hooks->status(store, id, status, attempt, progress);
}
