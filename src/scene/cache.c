#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scene/region.h"

#define ABSENT UINT32_MAX      /* the length of a text that is NULL */
#define BUCKET_SHARE 2         /* blocks to a bucket */
#define REGION_LEAST (64u << 10)

/* Where the parts are, for a region of `size` bytes. */
static void lay_out(struct jobq_scene_cache *cache, void *region, size_t size)
{
	size_t head = (sizeof(struct region_header) + REGION_BLOCK - 1) & ~(size_t)(REGION_BLOCK - 1);
	size_t each = REGION_BLOCK + sizeof(uint32_t) / BUCKET_SHARE;
	size_t blocks = (size - head - 2 * REGION_BLOCK) / each;

	if (blocks > UINT32_MAX / 2)
		blocks = UINT32_MAX / 2;
	cache->header = region;
	cache->block_count = (uint32_t)blocks;
	cache->bucket_count = (uint32_t)(blocks / BUCKET_SHARE);
	cache->blocks = (struct region_block *)(void *)((char *)region + head);
	cache->buckets = (uint32_t *)(void *)(cache->blocks + blocks);
}

int jobq_scene_cache_init(void *region, size_t size)
{
	struct jobq_scene_cache cache = {0};
	pthread_mutexattr_t attr;

	if (size < REGION_LEAST)
		return -ENOSPC;
	lay_out(&cache, region, size);
	memset(cache.header, 0, sizeof(*cache.header));
	int error = pthread_mutexattr_init(&attr);
	if (error != 0)
		return -error;
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	error = pthread_mutex_init(&cache.header->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	if (error != 0)
		return -error;
	region_reset(&cache);
	cache.header->resets = 0;
	cache.header->version = REGION_VERSION;
	cache.header->header_bytes = sizeof(*cache.header);
	cache.header->size = size;
	__atomic_store_n(&cache.header->magic, REGION_MAGIC, __ATOMIC_RELEASE);
	return 0;
}

struct jobq_scene_cache *jobq_scene_cache_attach(void *region, size_t size)
{
	struct region_header *header = region;

	if (size < REGION_LEAST ||
	    __atomic_load_n(&header->magic, __ATOMIC_ACQUIRE) != REGION_MAGIC ||
	    header->version != REGION_VERSION || header->header_bytes != sizeof(*header) ||
	    header->size != size) {
		errno = EINVAL;
		return NULL;
	}
	struct jobq_scene_cache *cache = calloc(1, sizeof(*cache));
	if (cache != NULL)
		lay_out(cache, region, size);
	return cache;
}

void jobq_scene_cache_detach(struct jobq_scene_cache *cache)
{
	if (cache == NULL)
		return;
	jobq_buf_free(&cache->buffer);
	free(cache);
}

static bool same_stamp(const struct jobq_scene_stamp *a, const struct jobq_scene_stamp *b)
{
	return a->bytes == b->bytes && a->modified == b->modified && a->inode == b->inode;
}

/* ---- facts to bytes and back -------------------------------------------------- */

static void put_text(struct jobq_buf *buf, const char *text)
{
	size_t len = text == NULL ? 0 : strlen(text);
	uint32_t size = text == NULL ? ABSENT : (uint32_t)len;

	jobq_buf_add(buf, &size, sizeof(size));
	jobq_buf_add(buf, text == NULL ? "" : text, len);
}

static void pack(struct jobq_buf *buf, const char *path, const struct jobq_scene_facts *facts)
{
	uint64_t head[4] = {(uint64_t)facts->kind, (uint64_t)facts->format, facts->node_count,
			    facts->dependency_count};

	buf->len = 0;
	jobq_buf_adds(buf, path);
	jobq_buf_add(buf, head, sizeof(head));
	put_text(buf, facts->uid);
	put_text(buf, facts->root_type);
	put_text(buf, facts->root_name);
	for (size_t i = 0; i < facts->dependency_count; i++) {
		const struct jobq_scene_dependency *dependency = &facts->dependencies[i];
		jobq_buf_add(buf, &dependency->line, sizeof(dependency->line));
		put_text(buf, dependency->path);
		put_text(buf, dependency->type);
		put_text(buf, dependency->uid);
	}
}

/* Bytes that are read from the front; short ones set `bad`. */
struct source {
	const char *at;
	size_t left;
	bool bad;
};

static void take(struct source *source, void *out, size_t len)
{
	if (source->left < len)
		source->bad = true;
	if (source->bad)
		return;
	memcpy(out, source->at, len);
	source->at += len;
	source->left -= len;
}

static const char *take_text(struct source *source, struct scene_arena *arena)
{
	uint32_t len = 0;

	take(source, &len, sizeof(len));
	if (source->bad || len == ABSENT)
		return NULL;
	char *text = source->left < len ? NULL : scene_arena_get(arena, (size_t)len + 1);
	if (text == NULL)
		source->bad = true;
	else
		take(source, text, len);
	return text;
}

static bool unpack(struct source *source, struct scene_arena *arena, struct jobq_scene_facts *facts)
{
	uint64_t head[4] = {0};

	take(source, head, sizeof(head));
	/* Each dependency takes 16 bytes at least. */
	if (source->bad || head[0] > JOBQ_SCENE_IMPORT || head[3] > source->left / 16)
		return false;
	facts->kind = (enum jobq_scene_kind)head[0];
	facts->format = (int64_t)head[1];
	facts->node_count = head[2];
	facts->dependency_count = head[3];
	facts->uid = take_text(source, arena);
	facts->root_type = take_text(source, arena);
	facts->root_name = take_text(source, arena);
	struct jobq_scene_dependency *all =
		scene_arena_get(arena, facts->dependency_count * sizeof(all[0]));
	if (all == NULL)
		return false;
	facts->dependencies = all;
	for (size_t i = 0; i < facts->dependency_count && !source->bad; i++) {
		take(source, &all[i].line, sizeof(all[i].line));
		all[i].path = take_text(source, arena);
		all[i].type = take_text(source, arena);
		all[i].uid = take_text(source, arena);
		source->bad = source->bad || all[i].path == NULL;
	}
	return !source->bad;
}

/* ---- the operations ----------------------------------------------------------- */

/* Copies an entry into the buffer if that has the room; else sets *need. */
static enum scene_cache_found fetch(struct jobq_scene_cache *cache, const char *path, size_t len,
				    const struct jobq_scene_stamp *stamp, size_t *need)
{
	uint64_t hash = region_digest(path, len);
	uint32_t index = region_find(cache, path, len, hash);
	struct region_entry *entry = region_entry(cache, index);

	*need = 0;
	if (entry == NULL)
		return SCENE_CACHE_MISS;
	if (!same_stamp(&entry->stamp, stamp))
		return SCENE_CACHE_STALE;
	uint32_t bytes = entry->bytes;
	if (bytes < len || bytes / REGION_BLOCK > cache->block_count) {
		region_reset(cache);
		return SCENE_CACHE_MISS;
	}
	if (bytes > cache->buffer.room) {
		*need = bytes;
		return SCENE_CACHE_MISS;
	}
	if (!region_copy(cache, index, cache->buffer.data, bytes)) {
		region_reset(cache);
		return SCENE_CACHE_MISS;
	}
	cache->buffer.len = bytes;
	region_use(cache, index);
	return SCENE_CACHE_HIT;
}

enum scene_cache_found scene_cache_get(struct jobq_scene_cache *cache, const char *path,
				       const struct jobq_scene_stamp *stamp,
				       struct scene_arena *arena, struct jobq_scene_facts *facts)
{
	size_t len = strlen(path), need = 4096;
	enum scene_cache_found found = SCENE_CACHE_MISS;

	/* Memory is taken outside the lock; the entry may have grown meanwhile. */
	while (need > 0) {
		cache->buffer.len = 0;
		if (!jobq_buf_reserve(&cache->buffer, need)) {
			cache->buffer.failed = false;
			return SCENE_CACHE_MISS;
		}
		if (!region_lock(cache))
			return SCENE_CACHE_MISS;
		found = fetch(cache, path, len, stamp, &need);
		if (found == SCENE_CACHE_HIT)
			cache->header->hits++;
		else if (need == 0)
			cache->header->misses++;
		region_unlock(cache);
	}
	if (found != SCENE_CACHE_HIT)
		return found;
	struct source source = {cache->buffer.data + len, cache->buffer.len - len, false};
	struct jobq_scene_facts copy = {0};
	if (!unpack(&source, arena, &copy)) {
		jobq_scene_cache_remove(cache, path);
		return SCENE_CACHE_MISS;
	}
	*facts = copy;
	return found;
}

bool scene_cache_put(struct jobq_scene_cache *cache, const char *path,
		     const struct jobq_scene_stamp *stamp, const struct jobq_scene_facts *facts)
{
	size_t len = strlen(path);
	bool added = false;

	pack(&cache->buffer, path, facts);
	if (cache->buffer.failed || cache->buffer.len > UINT32_MAX / 2) {
		jobq_buf_free(&cache->buffer);
		return false;
	}
	struct region_entry entry = {.bytes = (uint32_t)cache->buffer.len,
				     .path_len = (uint32_t)len,
				     .hash = region_digest(path, len),
				     .stamp = *stamp};
	if (!region_lock(cache))
		return false;
	uint32_t index = region_find(cache, path, len, entry.hash);
	struct region_entry *old = region_entry(cache, index);
	bool fresh = old != NULL && same_stamp(&old->stamp, stamp);
	if (old != NULL && !fresh)
		region_drop(cache, index);
	if (!fresh)
		added = region_add(cache, &entry, cache->buffer.data);
	region_unlock(cache);
	return added;
}

bool jobq_scene_cache_holds(struct jobq_scene_cache *cache, const char *path,
			    const struct jobq_scene_stamp *stamp)
{
	size_t len = strlen(path);

	if (!region_lock(cache))
		return false;
	const struct region_entry *entry =
		region_entry(cache, region_find(cache, path, len, region_digest(path, len)));
	bool holds = entry != NULL && same_stamp(&entry->stamp, stamp);
	region_unlock(cache);
	return holds;
}

bool jobq_scene_cache_remove(struct jobq_scene_cache *cache, const char *path)
{
	size_t len = strlen(path);

	if (!region_lock(cache))
		return false;
	uint32_t index = region_find(cache, path, len, region_digest(path, len));
	if (index != REGION_NONE)
		region_drop(cache, index);
	region_unlock(cache);
	return index != REGION_NONE;
}

void jobq_scene_cache_stats(struct jobq_scene_cache *cache, struct jobq_scene_cache_stats *stats)
{
	const struct region_header *header = cache->header;

	memset(stats, 0, sizeof(*stats));
	stats->room = (uint64_t)cache->block_count * REGION_BLOCK;
	if (!region_lock(cache))
		return;
	stats->entries = header->entries;
	stats->bytes = header->blocks * REGION_BLOCK;
	stats->hits = header->hits;
	stats->misses = header->misses;
	stats->evictions = header->evictions;
	stats->resets = header->resets;
	region_unlock(cache);
}
