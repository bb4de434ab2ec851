#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "scene/scene.h"

#define CHUNK_BYTES 8192u
#define LARGE (CHUNK_BYTES / 4) /* bytes; larger ones are allocated each by itself */
#define PAGE 4096u
#define HUGE (4u << 20) /* from here on the page faults of small pages are felt */

struct scene_chunk {
	struct scene_chunk *next;
	size_t used;
	_Alignas(16) char bytes[CHUNK_BYTES];
};

struct scene_large {
	struct scene_large *next, **link; /* `link`: where the list points to this one */
	_Alignas(16) char bytes[];
};

static struct scene_large *large_of(void *memory)
{
	return (struct scene_large *)(void *)((char *)memory - offsetof(struct scene_large, bytes));
}

/* A large piece of its own; `old` (NULL: none) moves into it. */
static void *get_large(struct scene_arena *arena, void *old, size_t bytes)
{
	size_t whole = sizeof(struct scene_large) + bytes;
	struct scene_large *large = NULL;

	if (whole > bytes)
		large = old == NULL ? calloc(1, whole) : realloc(large_of(old), whole);
	if (large == NULL) {
		arena->failed = true;
		return NULL;
	}
	if (old == NULL) {
		large->next = arena->large;
		large->link = &arena->large;
	}
	*large->link = large;
	if (large->next != NULL)
		large->next->link = &large->next;
	/* An array that has grown is half empty: a huge page more is much of a small one. */
	if (old == NULL || bytes >= 4 * HUGE)
		scene_arena_huge(large->bytes, bytes);
	return large->bytes;
}

/* A piece, zeroed only if it is large: small ones mostly are written at once. */
static void *take(struct scene_arena *arena, size_t bytes)
{
	struct scene_chunk *chunk = arena->chunks;

	if (bytes > LARGE)
		return get_large(arena, NULL, bytes);
	size_t need = (bytes + 7) & ~(size_t)7;
	if (chunk == NULL || sizeof(chunk->bytes) - chunk->used < need) {
		chunk = malloc(sizeof(*chunk));
		if (chunk == NULL) {
			arena->failed = true;
			return NULL;
		}
		chunk->used = 0;
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	chunk->used += need;
	return chunk->bytes + chunk->used - need;
}

void *scene_arena_get(struct scene_arena *arena, size_t bytes)
{
	void *memory = take(arena, bytes);

	if (memory != NULL && bytes <= LARGE)
		memset(memory, 0, bytes);
	return memory;
}

void scene_arena_drop(void *memory, size_t bytes)
{
	if (bytes <= LARGE)
		return;
	struct scene_large *large = large_of(memory);
	*large->link = large->next;
	if (large->next != NULL)
		large->next->link = large->link;
	free(large);
}

char *scene_arena_copy(struct scene_arena *arena, const char *text, size_t len)
{
	char *copy = take(arena, len + 1);

	if (copy == NULL)
		return NULL;
	if (len > 0)
		memcpy(copy, text, len);
	copy[len] = '\0';
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
		text = take(arena, (size_t)len + 1);
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
	if (room > SIZE_MAX / element) {
		arena->failed = true;
		return NULL;
	}
	if (count * element > LARGE)
		return get_large(arena, array, room * element);
	void *fresh = take(arena, room * element);
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

void scene_arena_clear(struct scene_arena *arena)
{
	struct scene_chunk *chunk = arena->chunks;

	/* The chunk in use is taken out, all others are freed. */
	if (chunk != NULL)
		arena->chunks = chunk->next;
	scene_arena_free(arena);
	if (chunk != NULL) {
		chunk->used = 0;
		chunk->next = NULL;
		arena->chunks = chunk;
	}
}

void scene_arena_free(struct scene_arena *arena)
{
	while (arena->chunks != NULL) {
		struct scene_chunk *next = arena->chunks->next;
		free(arena->chunks);
		arena->chunks = next;
	}
	while (arena->large != NULL) {
		struct scene_large *next = arena->large->next;
		free(arena->large);
		arena->large = next;
	}
}

void scene_arena_huge(void *memory, size_t bytes)
{
	uintptr_t from = ((uintptr_t)memory + PAGE - 1) / PAGE * PAGE;
	uintptr_t to = ((uintptr_t)memory + bytes) / PAGE * PAGE;

	if (bytes >= HUGE && to > from)
		(void)madvise((void *)from, to - from, MADV_HUGEPAGE);
}
