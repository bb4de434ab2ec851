#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "scene/scene.h"

#define CHUNK_BYTES 8192u
#define PAGE 4096u
#define LARGE (4u << 20) /* from here on the page faults of small pages are felt */

struct scene_chunk {
	struct scene_chunk *next;
	size_t used, room;
	_Alignas(16) char bytes[];
};

void *scene_arena_get(struct scene_arena *arena, size_t bytes)
{
	struct scene_chunk *chunk = arena->chunks;
	size_t need = (bytes + 7) & ~(size_t)7;

	if (need < bytes)
		goto out;
	if (chunk == NULL || chunk->room - chunk->used < need) {
		size_t room = need > CHUNK_BYTES / 4 ? need : CHUNK_BYTES;
		struct scene_chunk *fresh = calloc(1, sizeof(*fresh) + room);
		if (fresh == NULL)
			goto out;
		fresh->room = room;
		/* A big piece goes behind the chunk in use, which has room left. */
		if (chunk != NULL && room == need) {
			fresh->next = chunk->next;
			chunk->next = fresh;
		} else {
			fresh->next = chunk;
			arena->chunks = fresh;
		}
		chunk = fresh;
	}
	chunk->used += need;
	return chunk->bytes + chunk->used - need;
out:
	arena->failed = true;
	return NULL;
}

char *scene_arena_copy(struct scene_arena *arena, const char *text, size_t len)
{
	char *copy = scene_arena_get(arena, len + 1);

	if (copy != NULL && len > 0)
		memcpy(copy, text, len);
	return copy;
}

char *scene_arena_print(struct scene_arena *arena, const char *fmt, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, fmt);
	int len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len >= 0)
		text = scene_arena_get(arena, (size_t)len + 1);
	if (text != NULL) {
		va_start(args, fmt);
		vsnprintf(text, (size_t)len + 1, fmt, args);
		va_end(args);
	}
	return text;
}

void *scene_arena_grow(struct scene_arena *arena, void *array, size_t count, size_t element)
{
	size_t room = count == 0 ? 8 : count * 2;

	if (count != 0 && (count < 8 || (count & (count - 1)) != 0))
		return array;
	void *fresh = room > SIZE_MAX / element ? NULL : scene_arena_get(arena, room * element);
	if (fresh != NULL && count > 0)
		memcpy(fresh, array, count * element);
	return fresh;
}

void scene_arena_add_text(struct scene_arena *arena, struct jobq_scene_texts *texts,
			  const char *text)
{
	const char **items =
		scene_arena_grow(arena, texts->items, texts->count, sizeof(texts->items[0]));

	if (items == NULL || text == NULL)
		return;
	texts->items = items;
	texts->items[texts->count++] = text;
}

void scene_arena_free(struct scene_arena *arena)
{
	while (arena->chunks != NULL) {
		struct scene_chunk *next = arena->chunks->next;
		free(arena->chunks);
		arena->chunks = next;
	}
}

void scene_arena_huge(void *memory, size_t bytes)
{
	uintptr_t from = ((uintptr_t)memory + PAGE - 1) / PAGE * PAGE;
	uintptr_t to = ((uintptr_t)memory + bytes) / PAGE * PAGE;

	if (bytes >= LARGE && to > from)
		(void)madvise((void *)from, to - from, MADV_HUGEPAGE);
}
