#include "config.h"

#include <string.h>

#include "scene/scene.h"

struct scene_map_slot {
	struct scene_key key; /* name NULL: free */
	uint64_t hash;
	uint32_t number;
};

static uint64_t mix(uint64_t hash, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static uint64_t digest(const struct scene_key *key)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	if (key->dir != NULL)
		hash = mix(mix(hash, key->dir, key->dir_len), "/", 1);
	hash = mix(hash, key->name, key->name_len);
	return hash ^ hash >> 29;
}

static bool same(const struct scene_key *a, const struct scene_key *b)
{
	return (a->dir == NULL) == (b->dir == NULL) && a->dir_len == b->dir_len &&
	       a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0 &&
	       (a->dir == NULL || memcmp(a->dir, b->dir, a->dir_len) == 0);
}

/* The key's slot, or the free one where it belongs; room is a power of two. */
static struct scene_map_slot *locate(const struct scene_map *map, const struct scene_key *key,
				     uint64_t hash)
{
	size_t at = hash & (map->room - 1);

	while (map->slots[at].key.name != NULL &&
	       (map->slots[at].hash != hash || !same(&map->slots[at].key, key)))
		at = (at + 1) & (map->room - 1);
	return &map->slots[at];
}

uint32_t *scene_map_find(const struct scene_map *map, const struct scene_key *key)
{
	if (map->room == 0)
		return NULL;
	struct scene_map_slot *slot = locate(map, key, digest(key));
	return slot->key.name == NULL ? NULL : &slot->number;
}

static bool widen(struct scene_map *map, struct scene_arena *arena)
{
	struct scene_map wide = {.count = map->count, .room = map->room == 0 ? 16 : map->room * 2};

	wide.slots = scene_arena_get(arena, wide.room * sizeof(wide.slots[0]));
	if (wide.slots == NULL)
		return false;
	for (size_t i = 0; i < map->room; i++) {
		if (map->slots[i].key.name != NULL)
			*locate(&wide, &map->slots[i].key, map->slots[i].hash) = map->slots[i];
	}
	*map = wide;
	return true;
}

uint32_t *scene_map_add(struct scene_map *map, struct scene_arena *arena,
			const struct scene_key *key, uint32_t fresh)
{
	if (map->count * 4 >= map->room * 3 && !widen(map, arena))
		return NULL;
	uint64_t hash = digest(key);
	struct scene_map_slot *slot = locate(map, key, hash);
	if (slot->key.name == NULL) {
		*slot = (struct scene_map_slot){.key = *key, .hash = hash, .number = fresh};
		map->count++;
	}
	return &slot->number;
}
