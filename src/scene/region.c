#include "config.h"

#include <errno.h>
#include <string.h>

#include "scene/region.h"

#define HEAD_ROOM (sizeof(((struct region_block *)0)->bytes) - 4 - sizeof(struct region_entry))
#define BLOCK_ROOM sizeof(((struct region_block *)0)->bytes)

_Static_assert(sizeof(struct region_block) == REGION_BLOCK, "blocks are packed");
_Static_assert(sizeof(struct region_entry) + 8 < REGION_BLOCK, "an entry starts in one block");

uint64_t region_digest(const char *bytes, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 31;
}

void region_reset(struct jobq_scene_cache *cache)
{
	struct region_header *header = cache->header;

	memset(cache->buckets, 0xff, (size_t)cache->bucket_count * sizeof(cache->buckets[0]));
	header->fresh = 0;
	header->free = header->newest = header->oldest = REGION_NONE;
	header->free_count = 0;
	header->entries = header->blocks = 0;
	header->resets++;
}

bool region_lock(struct jobq_scene_cache *cache)
{
	int error = pthread_mutex_lock(&cache->header->mutex);

	if (error == EOWNERDEAD) {
		region_reset(cache);
		error = pthread_mutex_consistent(&cache->header->mutex);
	}
	return error == 0;
}

void region_unlock(struct jobq_scene_cache *cache)
{
	pthread_mutex_unlock(&cache->header->mutex);
}

/* The entry at a block, 8-byte aligned behind `next`; NULL when there is no such block. */
struct region_entry *region_entry(const struct jobq_scene_cache *cache, uint32_t index)
{
	if (index >= cache->block_count)
		return NULL;
	return (struct region_entry *)(void *)(cache->blocks[index].bytes + 4);
}

/* How many blocks that many bytes take. */
static uint64_t blocks_for(uint64_t bytes)
{
	return bytes <= HEAD_ROOM ? 1 : 1 + (bytes - HEAD_ROOM + BLOCK_ROOM - 1) / BLOCK_ROOM;
}

static char *head_bytes(const struct jobq_scene_cache *cache, uint32_t index)
{
	return (char *)(region_entry(cache, index) + 1);
}

bool region_copy(const struct jobq_scene_cache *cache, uint32_t index, char *out, uint32_t len)
{
	size_t part = len < HEAD_ROOM ? len : HEAD_ROOM;

	memcpy(out, head_bytes(cache, index), part);
	while ((len -= (uint32_t)part) > 0) {
		out += part;
		index = cache->blocks[index].next;
		if (index >= cache->block_count)
			return false;
		part = len < BLOCK_ROOM ? len : BLOCK_ROOM;
		memcpy(out, cache->blocks[index].bytes, part);
	}
	return true;
}

static bool is_path(const struct jobq_scene_cache *cache, uint32_t index, const char *path,
		    size_t len)
{
	size_t part = len < HEAD_ROOM ? len : HEAD_ROOM;

	if (memcmp(head_bytes(cache, index), path, part) != 0)
		return false;
	while ((len -= part) > 0) {
		path += part;
		index = cache->blocks[index].next;
		if (index >= cache->block_count)
			return false;
		part = len < BLOCK_ROOM ? len : BLOCK_ROOM;
		if (memcmp(cache->blocks[index].bytes, path, part) != 0)
			return false;
	}
	return true;
}

uint32_t region_find(struct jobq_scene_cache *cache, const char *path, size_t len, uint64_t hash)
{
	uint32_t index = cache->buckets[hash % cache->bucket_count];

	for (uint32_t steps = 0; index != REGION_NONE; steps++) {
		struct region_entry *entry = region_entry(cache, index);
		if (entry == NULL || steps > cache->block_count) {
			region_reset(cache);
			return REGION_NONE;
		}
		if (entry->hash == hash && entry->path_len == len &&
		    is_path(cache, index, path, len))
			return index;
		index = entry->hash_next;
	}
	return REGION_NONE;
}

/* Takes the entry out of the list by use. False: damaged. */
static bool unlink_entry(struct jobq_scene_cache *cache, struct region_entry *entry)
{
	struct region_entry *newer = region_entry(cache, entry->newer);
	struct region_entry *older = region_entry(cache, entry->older);

	if ((newer == NULL && entry->newer != REGION_NONE) ||
	    (older == NULL && entry->older != REGION_NONE))
		return false;
	if (newer != NULL)
		newer->older = entry->older;
	else
		cache->header->newest = entry->older;
	if (older != NULL)
		older->newer = entry->newer;
	else
		cache->header->oldest = entry->newer;
	return true;
}

static void link_newest(struct jobq_scene_cache *cache, uint32_t index)
{
	struct region_entry *entry = region_entry(cache, index);
	struct region_entry *second = region_entry(cache, cache->header->newest);

	entry->newer = REGION_NONE;
	entry->older = second == NULL ? REGION_NONE : cache->header->newest;
	if (second != NULL)
		second->newer = index;
	else
		cache->header->oldest = index;
	cache->header->newest = index;
}

void region_use(struct jobq_scene_cache *cache, uint32_t index)
{
	if (unlink_entry(cache, region_entry(cache, index)))
		link_newest(cache, index);
	else
		region_reset(cache);
}

/* Gives the blocks of a chain back. False: damaged. */
static bool give_back(struct jobq_scene_cache *cache, uint32_t index, uint32_t count)
{
	struct region_header *header = cache->header;
	uint32_t last = index;

	for (uint32_t i = 1; i < count; i++) {
		last = cache->blocks[last].next;
		if (last >= cache->block_count)
			return false;
	}
	cache->blocks[last].next = header->free;
	header->free = index;
	header->free_count += count;
	header->blocks -= count;
	return true;
}

void region_drop(struct jobq_scene_cache *cache, uint32_t index)
{
	struct region_entry *entry = region_entry(cache, index);
	uint32_t *link = &cache->buckets[entry->hash % cache->bucket_count];
	uint32_t steps = 0;
	bool good = entry->blocks > 0 && entry->blocks <= cache->block_count;

	while (good && *link != index) {
		struct region_entry *other = region_entry(cache, *link);
		good = other != NULL && ++steps <= cache->block_count;
		if (good)
			link = &other->hash_next;
	}
	if (!good) {
		region_reset(cache);
		return;
	}
	*link = entry->hash_next;
	if (!unlink_entry(cache, entry) || !give_back(cache, index, entry->blocks)) {
		region_reset(cache);
		return;
	}
	cache->header->entries--;
}

/* One block: a used one first, so that memory is touched late. */
static uint32_t take(struct jobq_scene_cache *cache)
{
	struct region_header *header = cache->header;
	uint32_t index = header->free;

	if (header->free_count > 0 && index < cache->block_count) {
		header->free = cache->blocks[index].next;
		header->free_count--;
	} else if (header->fresh < cache->block_count) {
		index = header->fresh++;
	} else {
		return REGION_NONE;
	}
	cache->blocks[index].next = REGION_NONE;
	header->blocks++;
	return index;
}

/* Throws the oldest entries out until so many blocks are free. */
static void make_room(struct jobq_scene_cache *cache, uint64_t blocks)
{
	struct region_header *header = cache->header;

	for (;;) {
		/* What another process has written out of bounds counts as no room. */
		uint64_t unused = header->fresh < cache->block_count
					  ? cache->block_count - header->fresh : 0;
		if (header->free_count + unused >= blocks)
			return;
		if (region_entry(cache, header->oldest) == NULL) {
			region_reset(cache);
			return;
		}
		uint32_t oldest = header->oldest;
		region_drop(cache, oldest);
		header->evictions++;
	}
}

bool region_add(struct jobq_scene_cache *cache, const struct region_entry *like, const char *bytes)
{
	uint64_t blocks = blocks_for(like->bytes);
	uint32_t len = like->bytes, last;

	/* One entry does not push all others out. */
	if (blocks > cache->block_count / 4)
		return false;
	make_room(cache, blocks);
	uint32_t first = take(cache);
	if (first == REGION_NONE)
		return false;
	struct region_entry *entry = region_entry(cache, first);
	*entry = *like;
	entry->blocks = (uint32_t)blocks;
	size_t part = len < HEAD_ROOM ? len : HEAD_ROOM;
	memcpy(head_bytes(cache, first), bytes, part);
	last = first;
	while ((len -= (uint32_t)part) > 0) {
		bytes += part;
		uint32_t next = take(cache);
		if (next == REGION_NONE) {
			region_reset(cache);
			return false;
		}
		cache->blocks[last].next = next;
		part = len < BLOCK_ROOM ? len : BLOCK_ROOM;
		memcpy(cache->blocks[next].bytes, bytes, part);
		last = next;
	}
	uint32_t *bucket = &cache->buckets[like->hash % cache->bucket_count];
	entry->hash_next = *bucket;
	*bucket = first;
	link_newest(cache, first);
	cache->header->entries++;
	return true;
}
