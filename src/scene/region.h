/*
 * region: the shared memory of the scene cache, in blocks. Everything in it
 * may be nonsense, left by a process that died or ran wild: numbers are
 * checked against the handle's own copies of the sizes before use.
 * All but the mutex is written and read only under the mutex.
 */
#ifndef JOBQ_SCENE_REGION_H
#define JOBQ_SCENE_REGION_H

#include <pthread.h>

#include "scene/scene.h"

#define REGION_MAGIC UINT64_C(0x6568636163717401)
/*
 * Of the layout, and of what the engine says: the cache outlives an upgrade, and a
 * file that has not changed is not read again. Goes up with either.
 */
#define REGION_VERSION 3u
#define REGION_NONE UINT32_MAX
#define REGION_BLOCK 256u

struct region_header {
	uint64_t magic; /* last to be set by init */
	uint32_t version;
	uint32_t header_bytes;
	uint64_t size;
	pthread_mutex_t mutex; /* robust, process-shared */
	uint32_t fresh; /* blocks from here on were never used */
	uint32_t free;  /* first of the free blocks, chained by `next` */
	uint32_t free_count;
	uint32_t newest, oldest; /* ends of the list of entries by use */
	uint64_t entries, blocks, hits, misses, evictions, resets;
};

struct region_block {
	uint32_t next; /* of the same entry or of the free ones */
	char bytes[REGION_BLOCK - 4];
};

/* At the start of the first block of an entry; its bytes follow, then go on in the next blocks. */
struct region_entry {
	uint32_t hash_next, newer, older, bytes, blocks, path_len;
	uint64_t hash;
	struct jobq_scene_stamp stamp;
};

struct jobq_scene_cache {
	struct region_header *header; /* in the region, as the next two */
	uint32_t *buckets;
	struct region_block *blocks;
	uint32_t bucket_count, block_count;
	struct jobq_buf buffer; /* an entry's bytes on their way in or out */
};

/* Takes the lock. False: it cannot be had. A dead holder's cache is emptied. */
bool region_lock(struct jobq_scene_cache *cache);
void region_unlock(struct jobq_scene_cache *cache);
/* Empties the cache. */
void region_reset(struct jobq_scene_cache *cache);

/* Finds the entry; REGION_NONE: absent. */
uint32_t region_find(struct jobq_scene_cache *cache, const char *path, size_t len, uint64_t hash);
struct region_entry *region_entry(const struct jobq_scene_cache *cache, uint32_t index);
/* Copies an entry's bytes out. False: damaged. */
bool region_copy(const struct jobq_scene_cache *cache, uint32_t index, char *out, uint32_t len);
/* Makes an entry of these bytes, the newest. False: it does not fit. */
bool region_add(struct jobq_scene_cache *cache, const struct region_entry *like,
		const char *bytes);
void region_drop(struct jobq_scene_cache *cache, uint32_t index);
void region_use(struct jobq_scene_cache *cache, uint32_t index);
uint64_t region_digest(const char *bytes, size_t len);

#endif
