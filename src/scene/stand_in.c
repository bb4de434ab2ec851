#include "config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "scene/scene.h"

static struct scene_key key_of(const void *stand_ins, uint32_t number)
{
	return scene_key_of(((const struct scene_stand_ins *)stand_ins)->items[number].path);
}

void scene_stand_in_start(struct scene_stand_ins *stand_ins, struct jobq_scene_project *project,
			  struct scene_arena *arena)
{
	*stand_ins = (struct scene_stand_ins){.project = project, .arena = arena};
	stand_ins->paths = (struct scene_map){.key_of = key_of, .owner = stand_ins};
}

/* The sidecar of a path that is there, in `scratch`, or the path; NULL as below. */
static const char *look(struct jobq_scene_project *project, struct scene_arena *scratch,
			const char *path, int *error)
{
	static const char *const suffixes[] = {".remap", ".import"};
	struct jobq_scene_stamp stamp;

	for (size_t i = 0; i < JOBQ_LENGTH(suffixes); i++) {
		const char *sidecar = scene_arena_print(scratch, "%s%s", path, suffixes[i]);
		if (sidecar == NULL)
			return NULL;
		int fd = scene_project_file(project, sidecar, &stamp);
		if (fd >= 0) {
			close(fd);
			return sidecar;
		}
		/* A path too long for a sidecar, or below a missing directory, has none. */
		if (fd != -ENOENT && fd != -ENOTDIR && fd != -EINVAL && fd != -ENAMETOOLONG) {
			*error = fd;
			return NULL;
		}
	}
	return path;
}

const struct scene_stand_in *scene_stand_in_find(struct scene_stand_ins *stand_ins,
						 struct scene_arena *scratch, const char *path,
						 int *error)
{
	struct scene_key key = scene_key_of(path);
	const uint32_t *number = scene_map_find(&stand_ins->paths, &key);

	if (number != NULL)
		return &stand_ins->items[*number];
	const char *file = look(stand_ins->project, scratch, path, error);
	if (file == NULL)
		return NULL;
	size_t count = stand_ins->count;
	struct scene_arena *arena = stand_ins->arena;
	struct scene_stand_in *items =
		scene_arena_grow(arena, stand_ins->items, count, sizeof(items[0]));
	if (items == NULL)
		return NULL;
	stand_ins->items = items;
	const char *copy = scene_arena_copy(arena, path, strlen(path));
	items[count] = (struct scene_stand_in){
		copy, file == path ? copy : scene_arena_copy(arena, file, strlen(file))};
	if (arena->failed ||
	    scene_map_add(&stand_ins->paths, arena, &key, (uint32_t)count) == NULL)
		return NULL;
	return &items[stand_ins->count++];
}
