#include "config.h"

#include <string.h>

#include "table/table.h"

/* FNV-1a, 64 bits; only a hint: equality is decided on the bytes. */
static uint64_t hash_add(uint64_t hash, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

uint64_t idem_hash(const char *owner, size_t owner_len, const char *key, size_t key_len)
{
	uint64_t hash = hash_add(UINT64_C(0xcbf29ce484222325), owner, owner_len);
	hash = hash_add(hash ^ 0xff, key, key_len); /* 0xff: in no owner's name */
	return hash ^ hash >> 32;
}

static uint64_t *bucket_of(const struct jobq_table *table, uint64_t hash)
{
	return &table->buckets[hash & (table->bucket_count - 1)];
}

static bool same_bytes(const struct jobq_table *table, ref_t ref, size_t at, const char *bytes,
		       size_t len)
{
	char part[4096];

	for (size_t done = 0; done < len; done += sizeof(part)) {
		size_t n = len - done < sizeof(part) ? len - done : sizeof(part);
		if (!blob_read(table, ref, at + done, part, n) || memcmp(part, bytes + done, n) != 0)
			return false;
	}
	return true;
}

struct record *idem_find(const struct jobq_table *table, const char *owner, const char *key)
{
	size_t owner_len = strlen(owner), key_len = strlen(key);
	uint64_t hash = idem_hash(owner, owner_len, key, key_len);
	struct record *record = record_find(table, *bucket_of(table, hash));

	for (; record != NULL; record = record_find(table, record->key_next))
		if (record->key_hash == hash && record->owner_len == owner_len &&
		    record->key_len == key_len &&
		    same_bytes(table, record->parameters, 0, owner, owner_len) &&
		    same_bytes(table, record->parameters, owner_len, key, key_len))
			return record;
	return NULL;
}

bool idem_same(const struct jobq_table *table, const struct record *record,
	       const struct jobq_table_submit *submit)
{
	size_t head = (size_t)record->owner_len + record->key_len;
	size_t labels_len = submit->labels != NULL ? strlen(submit->labels) : 0;

	return state_type(record->state) == submit->type &&
	       record->priority == submit->priority && record->labels_len == labels_len &&
	       ref_len(record->parameters) == head + labels_len + submit->parameters_len &&
	       same_bytes(table, record->parameters, head, submit->labels, labels_len) &&
	       same_bytes(table, record->parameters, head + labels_len, submit->parameters,
			  submit->parameters_len);
}

void idem_link(struct jobq_table *table, struct record *record)
{
	uint64_t *bucket = bucket_of(table, record->key_hash);

	record->key_next = *bucket;
	*bucket = record->id;
}

void idem_unlink(struct jobq_table *table, struct record *record)
{
	uint64_t *at = bucket_of(table, record->key_hash);

	while (*at != 0 && *at != record->id) {
		struct record *next = record_find(table, *at);
		if (next == NULL)
			return;
		at = &next->key_next;
	}
	if (*at == record->id)
		*at = record->key_next;
}
