/*
 * libFuzzer target over the scene reader, the .import reader and the reader of
 * project.godot. The last byte of the input chooses which, and the engine.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scene/scene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scene_arena arena = {0};
	struct scene_reading reading;

	if (size == 0)
		return 0;
	uint8_t choice = data[--size];
	/* A copy of the exact size lets the sanitizer see every byte read too many. */
	char *copy = malloc(size == 0 ? 1 : size);
	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	if (choice % 8 == 7)
		(void)scene_read_engine(&arena, copy, size);
	else if (choice % 8 == 6)
		(void)scene_read_import(&arena, copy, size, &reading);
	else
		(void)scene_read(&arena, copy, size, (enum scene_engine)(choice % 3),
				 choice % 8 != 5, &reading);
	scene_arena_free(&arena);
	free(copy);
	return 0;
}
