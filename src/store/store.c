#include "config.h"

#include <errno.h>
#include <string.h>

#include "store/store_ops.h"

/* The first whose prefix fits takes the place. */
static const struct store_ops *const backends[] = {&store_mem_ops, &store_sqlite_ops};

int jobq_store_open(const char *place, enum jobq_store_mode mode, enum jobq_durability durability,
		    struct jobq_store **out, struct jobq_buf *why)
{
	for (size_t i = 0; i < JOBQ_LENGTH(backends); i++) {
		const struct store_ops *ops = backends[i];
		if (strncmp(place, ops->prefix, strlen(ops->prefix)) != 0)
			continue;
		*out = NULL;
		int rc = ops->open(place, mode, durability, out, why);
		if (rc == 0)
			(*out)->ops = ops;
		return rc;
	}
	return -EINVAL;
}

void jobq_store_close(struct jobq_store *store)
{
	if (store != NULL)
		store->ops->close(store);
}

bool jobq_store_current(struct jobq_store *store)
{
	return store->ops->current(store);
}

int jobq_store_begin(struct jobq_store *store)
{
	return store->ops->begin(store);
}

int jobq_store_commit(struct jobq_store *store, bool synced)
{
	return store->ops->commit(store, synced);
}

void jobq_store_rollback(struct jobq_store *store)
{
	store->ops->rollback(store);
}

int jobq_store_put(struct jobq_store *store, const struct jobq_entry *entry)
{
	return store->ops->put(store, entry);
}

int jobq_store_remove(struct jobq_store *store, uint64_t id)
{
	return store->ops->remove(store, id);
}

int jobq_store_expire(struct jobq_store *store, int64_t limit, size_t most, size_t *removed)
{
	return store->ops->expire(store, limit, most, removed);
}

int jobq_store_set_meta(struct jobq_store *store, const struct jobq_store_meta *meta)
{
	return store->ops->set_meta(store, meta);
}

int jobq_store_meta(struct jobq_store *store, struct jobq_store_meta *out)
{
	return store->ops->meta(store, out);
}

int jobq_store_each(struct jobq_store *store, uint64_t after, jobq_store_visit visit, void *arg)
{
	return store->ops->each(store, after, visit, arg);
}

int jobq_store_backup(struct jobq_store *store, const char *path)
{
	return store->ops->backup(store, path);
}

const char *jobq_store_error(const struct jobq_store *store)
{
	return store->ops->error(store);
}

uint64_t store_mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return sum ^ sum >> 29;
}

uint64_t store_mix_text(uint64_t sum, const struct jobq_text *text)
{
	size_t at = 0;
	uint64_t word;

	for (; text->len - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, text->data + at, sizeof(word));
		sum = store_mix(sum, word);
	}
	word = 0;
	if (text->len > at)
		memcpy(&word, text->data + at, text->len - at);
	return store_mix(store_mix(sum, word), text->len);
}

uint64_t store_sum(const struct jobq_entry *entry)
{
	const uint64_t numbers[] = {
		entry->id,
		(uint64_t)entry->type,
		(uint64_t)entry->status,
		entry->progress,
		entry->attempt,
		entry->requeues,
		(uint64_t)entry->created,
		(uint64_t)entry->started,
		(uint64_t)entry->completed,
	};
	uint64_t sum = 0;

	for (size_t i = 0; i < JOBQ_LENGTH(numbers); i++)
		sum = store_mix(sum, numbers[i]);
	/* What older releases did not have counts only where it is there. */
	if (entry->priority != 0)
		sum = store_mix(sum, (uint64_t)(int64_t)entry->priority);
	if (entry->labels.len > 0)
		sum = store_mix_text(sum, &entry->labels);
	if (entry->log.len > 0)
		sum = store_mix_text(sum, &entry->log);
	sum = store_mix_text(sum, &entry->owner);
	sum = store_mix_text(sum, &entry->key);
	sum = store_mix_text(sum, &entry->parameters);
	sum = store_mix_text(sum, &entry->error);
	return store_mix_text(sum, &entry->result);
}

uint64_t store_meta_sum(const struct jobq_store_meta *meta)
{
	return store_mix(store_mix(store_mix(0, meta->store_id), meta->seq), meta->next_id);
}
