#include "config.h"

#include <string.h>

#include "scene/scene.h"

/*
 * Open addressing: a key's slot, or the next free one behind it. There are from a
 * quarter more slots than numbers to seven eighths more.
 */
struct scene_map_slot {
	uint32_t hash; /* 0: free */
	uint32_t number;
};

static uint64_t mix(uint64_t hash, struct scene_text text)
{
	uint64_t word;

	for (; text.len >= sizeof(word); text.at += sizeof(word), text.len -= sizeof(word)) {
		memcpy(&word, text.at, sizeof(word));
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
	}
	word = text.len + 1;
	for (size_t i = 0; i < text.len; i++)
		word = word << 8 | (unsigned char)text.at[i];
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

static uint32_t digest(const struct scene_key *key)
{
	uint32_t hash = (uint32_t)mix(mix(0, key->dir), key->name);

	return hash == 0 ? 1 : hash;
}

static bool same(struct scene_text a, struct scene_text b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* The slots are in the order of the hashes, as far as they can be. */
static size_t slot_of(uint32_t hash, size_t room)
{
	return (size_t)((uint64_t)hash * room >> 32);
}

static size_t behind(size_t at, size_t room)
{
	return at + 1 == room ? 0 : at + 1;
}

/* The key's slot, or the free one where it belongs. */
static struct scene_map_slot *locate(const struct scene_map *map, const struct scene_key *key,
				     uint32_t hash)
{
	for (size_t at = slot_of(hash, map->room);; at = behind(at, map->room)) {
		struct scene_map_slot *slot = &map->slots[at];
		if (slot->hash == 0)
			return slot;
		if (slot->hash != hash)
			continue;
		struct scene_key other = map->key_of(map->owner, slot->number);
		if (same(other.name, key->name) && same(other.dir, key->dir))
			return slot;
	}
}

bool scene_map_reserve(struct scene_map *map, struct scene_arena *arena, size_t count)
{
	size_t least = count + count / 4 + 1, room = map->room + map->room / 2;

	if (least <= map->room)
		return true;
	if (room < least)
		room = least < 16 ? 16 : least;
	struct scene_map_slot *slots = scene_arena_get(arena, room * sizeof(slots[0]));
	if (slots == NULL)
		return false;
	/* They are all different: a free slot will do. */
	for (size_t i = 0; i < map->room; i++) {
		if (map->slots[i].hash == 0)
			continue;
		size_t at = slot_of(map->slots[i].hash, room);
		while (slots[at].hash != 0)
			at = behind(at, room);
		slots[at] = map->slots[i];
	}
	scene_arena_drop(map->slots, map->room * sizeof(slots[0]));
	map->slots = slots;
	map->room = room;
	return true;
}

uint32_t *scene_map_find(const struct scene_map *map, const struct scene_key *key)
{
	if (map->room == 0)
		return NULL;
	struct scene_map_slot *slot = locate(map, key, digest(key));
	return slot->hash == 0 ? NULL : &slot->number;
}

uint32_t *scene_map_add(struct scene_map *map, struct scene_arena *arena,
			const struct scene_key *key, uint32_t fresh)
{
	if (!scene_map_reserve(map, arena, map->count + 1))
		return NULL;
	uint32_t hash = digest(key);
	struct scene_map_slot *slot = locate(map, key, hash);
	if (slot->hash == 0) {
		*slot = (struct scene_map_slot){hash, fresh};
		map->count++;
	}
	return &slot->number;
}
