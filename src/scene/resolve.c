#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scene/scene.h"

/* One file of the closure; each path has one, however often it is named. */
struct item {
	const char *path;
	const struct jobq_scene_facts *facts; /* NULL: not a text file, or not to be had */
	struct jobq_scene_stamp stamp;
	uint32_t below;  /* the item that is gone on with after this one */
	size_t next;     /* of its dependencies */
	bool open;       /* its dependencies are being followed */
	bool parsed;     /* its facts are new */
};

#define NO_ITEM UINT32_MAX
#define STEP 20000 /* microseconds */

struct loader {
	struct jobq_scene_project *project;
	struct jobq_scene_cache *cache;
	unsigned how;
	struct scene_arena *arena;
	struct jobq_scene_load *load;
	struct item *items;
	size_t count;
	struct scene_map paths; /* to numbers of items */
	struct scene_stand_ins stand_ins;
	struct scene_arena scratch; /* of the dependency that is being looked for */
	bool uids_fresh; /* this load has looked whether they still are */
};

static const char *own(struct loader *loader, const char *path)
{
	return scene_arena_copy(loader->arena, path, strlen(path));
}

/*
 * Of a scene that has moved this is the new path, but it stays where the old
 * one was put into the map: neither finds it, as the .remap between them is
 * an item of its own.
 */
static struct scene_key key_of_item(const void *loader, uint32_t number)
{
	return scene_key_of(((const struct loader *)loader)->items[number].path);
}

static void miss(struct loader *loader, const char *path, const char *needed_by, const char *why)
{
	struct jobq_scene_load *load = loader->load;
	struct jobq_scene_missing *all = scene_arena_grow(loader->arena, load->missing,
							  load->missing_count, sizeof(all[0]));

	if (all == NULL)
		return;
	load->missing = all;
	all[load->missing_count++] = (struct jobq_scene_missing){path, needed_by, why};
}

static void touch(struct loader *loader, const char *path, uint64_t bytes)
{
	struct jobq_scene_load *load = loader->load;
	struct jobq_scene_file *all =
		scene_arena_grow(loader->arena, load->files, load->file_count, sizeof(all[0]));

	if (all == NULL)
		return;
	load->files = all;
	all[load->file_count++] = (struct jobq_scene_file){path, bytes};
	load->bytes += bytes;
}

/* Parses an open text file. Returns 0, -ENOMEM or what reading it said. */
static int parse(struct loader *loader, int fd, const char *path,
		 const struct jobq_scene_stamp *stamp, struct scene_reading *reading)
{
	char *data;
	int error = scene_project_read(fd, stamp, &data);
	bool validate = (loader->how & JOBQ_SCENE_VALIDATE) != 0 && loader->count == 1;

	if (error < 0)
		return error;
	if (scene_kind_sidecar(path))
		error = scene_read_import(loader->arena, data, (size_t)stamp->bytes, reading);
	else
		error = scene_read(loader->arena, data, (size_t)stamp->bytes,
				   loader->project->engine, validate, reading);
	free(data);
	return error;
}

/* The error of a reading as one sentence with its place. */
static const char *sentence(struct loader *loader, const struct scene_reading *reading)
{
	if (reading->error == NULL)
		return NULL;
	return scene_arena_print(loader->arena, "line %u, column %u: %s", reading->line,
				 reading->column, reading->error);
}

/*
 * A class that is not known is an error where all classes should be: without
 * extensions, and of an engine that is no newer than the list.
 */
static void judge_class(struct loader *loader, struct scene_reading *reading)
{
	const struct jobq_scene_project *project = loader->project;

	if (reading->unknown == NULL || reading->error != NULL)
		return;
	if (project->engine == SCENE_ENGINE_4 && project->minor <= SCENE_CLASSES_MINOR &&
	    !scene_uid_extended(loader->project)) {
		reading->error = scene_arena_print(
			loader->arena, "there is no class %s in Godot 4, and no extension in the project",
			reading->unknown);
		reading->line = reading->unknown_line;
		reading->column = reading->unknown_column;
	} else if ((loader->how & JOBQ_SCENE_VALIDATE) != 0) {
		scene_arena_add_text(loader->arena, &reading->warnings,
				     scene_arena_print(loader->arena,
						       "line %u: the class %s is none of Godot's own",
						       reading->unknown_line, reading->unknown));
	}
}

/*
 * Gets the facts of an open text file, from the cache or by parsing. Returns 0,
 * or a negative errno; *why is set when the text is broken.
 */
static int learn(struct loader *loader, struct item *item, int fd, const char **why)
{
	struct jobq_scene_load *load = loader->load;
	struct jobq_scene_facts *facts = scene_arena_get(loader->arena, sizeof(*facts));
	enum scene_cache_found found = SCENE_CACHE_MISS;
	struct scene_reading reading = {0};
	bool first = loader->count == 1;

	if (facts == NULL)
		return -ENOMEM;
	if (loader->cache != NULL)
		found = scene_cache_get(loader->cache, item->path, &item->stamp, loader->arena, facts);
	if (found != SCENE_CACHE_HIT) {
		int error = parse(loader, fd, item->path, &item->stamp, &reading);
		if (error < 0)
			return error;
		judge_class(loader, &reading);
		*facts = reading.facts;
		item->parsed = true;
	}
	*why = sentence(loader, &reading);
	if (first) {
		load->facts = facts;
		load->cached = found == SCENE_CACHE_HIT;
		load->reloaded = found == SCENE_CACHE_STALE;
		load->errors = reading.errors;
		load->warnings = reading.warnings;
	}
	if (*why == NULL)
		item->facts = facts;
	return 0;
}

/* Opens an item's file and reads what has to be read. Returns 0 or -ENOMEM. */
static int visit(struct loader *loader, struct item *item, const char *needed_by)
{
	const char *why = NULL;
	int fd = scene_project_file(loader->project, item->path, &item->stamp);
	int error = fd < 0 ? fd : 0;

	if (fd >= 0) {
		touch(loader, item->path, item->stamp.bytes);
		bool text = scene_kind_text(item->path);
		if (text)
			error = learn(loader, item, fd, &why);
		/* What was parsed has been read; what the cache knew, or is no text, has not. */
		if ((loader->how & JOBQ_SCENE_PRELOAD) != 0 && !item->parsed)
			scene_project_preload(fd, item->stamp.bytes);
		close(fd);
	}
	if (error == -ENOMEM || loader->arena->failed)
		return -ENOMEM;
	if (loader->count == 1) {
		loader->load->stamp = item->stamp;
		loader->load->reason = error;
		loader->load->error = error < 0 ? jobq_scene_reason(error) : why;
	} else if (error < 0 || why != NULL) {
		miss(loader, item->path, needed_by, why != NULL ? why : jobq_scene_reason(error));
	}
	return 0;
}

static bool exists(struct loader *loader, const char *path)
{
	struct jobq_scene_stamp stamp;
	int error = 0;
	const struct scene_stand_in *known =
		scene_stand_in_find(&loader->stand_ins, &loader->scratch, path, &error);

	return known != NULL && (known->file != known->path ||
				 jobq_scene_stat(loader->project, path, &stamp) == 0);
}

/* The path that the dependency's uid stands for, if there is such a file; borrowed. */
static const char *of_uid(struct loader *loader, const struct jobq_scene_dependency *d,
			  bool thorough)
{
	const char *path = scene_uid_path(loader->project, d->uid, !loader->uids_fresh, thorough);

	loader->uids_fresh = true;
	if (path == NULL || strcmp(path, d->path) == 0) /* mostly they agree */
		return path;
	return exists(loader, path) ? path : NULL;
}

/*
 * Where a dependency is; borrowed until the next one. A uid that is known counts
 * before the path; one that is not is looked for only when there is nothing at
 * the path.
 */
static const char *place_of(struct loader *loader, const struct item *item,
			    const struct jobq_scene_dependency *d, const char **why)
{
	const char *path = d->uid != NULL ? of_uid(loader, d, false) : NULL;

	if (path != NULL)
		return path;
	char *dir = scene_arena_copy(&loader->scratch, item->path,
				     (size_t)(strrchr(item->path, '/') + 1 - item->path));
	path = dir == NULL ? NULL : scene_project_path(&loader->scratch, dir, d->path, why);
	if (d->uid == NULL || (path != NULL && exists(loader, path)))
		return path;
	const char *found = of_uid(loader, d, true);
	return found != NULL ? found : path;
}

/* Why no loader takes the file as it is; NULL: one does, or the file is not there. */
static const char *unloadable(struct loader *loader, const char *path, const char *type)
{
	struct jobq_scene_stamp stamp;
	bool raw = scene_kind_raw(path);

	if ((!raw && scene_kind_fits(loader->project->engine, path, type)) ||
	    jobq_scene_stat(loader->project, path, &stamp) < 0)
		return NULL;
	return raw ? "it has to be imported, and no .import file is beside it"
		   : scene_arena_print(loader->arena, "it cannot be loaded as a %s", type);
}

/* Whether a file has been loaded before: Godot then looks no further for it. */
static bool is_loaded(const struct loader *loader, const char *file)
{
	struct scene_key key = scene_key_of(file);
	const uint32_t *index = scene_map_find(&loader->paths, &key);

	return index != NULL && !loader->items[*index].open;
}

/*
 * A resource within another file, `res://a.tscn::2`, is there when that file was
 * loaded before.
 */
static bool is_within(struct loader *loader, const char *path, const char *colons)
{
	const char *outer = scene_arena_copy(&loader->scratch, path, (size_t)(colons - path));
	int error = 0;
	const struct scene_stand_in *known =
		outer == NULL ? NULL
			      : scene_stand_in_find(&loader->stand_ins, &loader->scratch, outer, &error);

	return known != NULL && is_loaded(loader, known->file);
}

/* The path of an item's next dependency; NULL when there is none to be followed. */
static const char *dependency(struct loader *loader, struct item *item)
{
	size_t index = item->next++;
	const char *why;

	scene_arena_clear(&loader->scratch);
	if (item->facts->kind == JOBQ_SCENE_IMPORT && item->facts->dependency_count == 0)
		return scene_arena_copy(loader->arena, item->path,
					(size_t)(strrchr(item->path, '.') - item->path));
	const struct jobq_scene_dependency *d = &item->facts->dependencies[index];
	const char *path = place_of(loader, item, d, &why);
	if (path == NULL) {
		if (!loader->scratch.failed)
			miss(loader, d->path, item->path, why);
		return NULL;
	}
	if (item->facts->kind == JOBQ_SCENE_IMPORT)
		return own(loader, path);
	if (loader->project->blacklist != NULL &&
	    jobq_paths_match_any(loader->project->blacklist, path)) {
		miss(loader, own(loader, path), item->path, jobq_scene_reason(-EPERM));
		return NULL;
	}
	const char *colons = strstr(path, "::");
	if (colons != NULL) {
		if (!is_within(loader, path, colons))
			miss(loader, own(loader, path), item->path,
			     "the file it is in is not loaded before");
		return NULL;
	}
	int error = 0;
	const struct scene_stand_in *known =
		scene_stand_in_find(&loader->stand_ins, &loader->scratch, path, &error);
	if (known == NULL) {
		miss(loader, own(loader, path), item->path, jobq_scene_reason(error));
		return NULL;
	}
	if (known->file == known->path && !is_loaded(loader, known->path) &&
	    (why = unloadable(loader, known->path, d->type)) != NULL) {
		miss(loader, known->path, item->path, why);
		return NULL;
	}
	return known->file;
}

/* An item that is met again while it is open: names the way round, from the innermost. */
static void cycle(struct loader *loader, uint32_t from, uint32_t again)
{
	const char *way = loader->items[again].path;
	uint32_t at = from;

	/* A way of thousands is told by its end. */
	for (int steps = 0; way != NULL; steps++) {
		bool whole = at == again;
		way = scene_arena_print(loader->arena, "%s -> %s",
					whole || steps < 20 ? loader->items[at].path : "...", way);
		if (whole || steps == 20)
			break;
		at = loader->items[at].below;
	}
	miss(loader, loader->items[again].path, loader->items[from].path,
	     scene_arena_print(loader->arena, "it needs itself: %s", way == NULL ? "" : way));
}

/* The item of a path. *fresh says whether it is new. NO_ITEM: out of memory. */
static uint32_t item_of(struct loader *loader, const char *path, bool *fresh)
{
	struct scene_key key = scene_key_of(path);
	const uint32_t *index =
		scene_map_add(&loader->paths, loader->arena, &key, (uint32_t)loader->count);

	if (index == NULL)
		return NO_ITEM;
	*fresh = *index == loader->count;
	if (!*fresh)
		return *index;
	if (loader->count == JOBQ_SCENE_FILES_MAX) {
		loader->load->error = "it needs more than 100000 files";
		return NO_ITEM;
	}
	struct item *items =
		scene_arena_grow(loader->arena, loader->items, loader->count, sizeof(items[0]));
	if (items == NULL)
		return NO_ITEM;
	loader->items = items;
	items[loader->count++] = (struct item){.path = path};
	return *index;
}

static bool has_next(const struct item *item)
{
	size_t count = item->facts == NULL ? 0 : item->facts->dependency_count;

	if (item->facts != NULL && item->facts->kind == JOBQ_SCENE_IMPORT)
		count = 1;
	return item->next < count;
}

/* Depth first over everything the first item needs, without recursion. */
static int follow(struct loader *loader)
{
	uint32_t top = 0;

	loader->items[0].below = NO_ITEM;
	loader->items[0].open = true;
	while (top != NO_ITEM && loader->load->error == NULL) {
		struct item *item = &loader->items[top];
		if (!has_next(item)) {
			item->open = false;
			top = item->below;
			continue;
		}
		bool fresh = false;
		const char *path = dependency(loader, item);
		uint32_t index = path == NULL ? NO_ITEM : item_of(loader, path, &fresh);
		if (loader->arena->failed || loader->scratch.failed)
			return -ENOMEM;
		if (index == NO_ITEM)
			continue;
		if (fresh) {
			struct item *next = &loader->items[index];
			if (visit(loader, next, loader->items[top].path) < 0)
				return -ENOMEM;
			next->below = top;
			next->open = true;
			top = index;
		} else if (loader->items[index].open) {
			cycle(loader, top, index);
		}
	}
	return 0;
}

/*
 * Whether the file may be changed once more without showing it: the clock of
 * file times moves in steps of up to 10 ms.
 */
static bool settled(const struct item *item)
{
	return item->stamp.modified / 1000 + STEP < jobq_clock_wall();
}

static void keep(struct loader *loader)
{
	for (size_t i = 0; i < loader->count; i++) {
		const struct item *item = &loader->items[i];
		if (item->parsed && item->facts != NULL && settled(item) &&
		    scene_cache_put(loader->cache, item->path, &item->stamp, item->facts))
			scene_arena_add_text(loader->arena, &loader->load->kept, item->path);
	}
}

static const char *describe(struct loader *loader, const struct jobq_scene_missing *missing)
{
	return scene_arena_print(loader->arena, "%s, needed by %s: %s", missing->path,
				 missing->needed_by, missing->why);
}

/* All that is missing in one sentence. */
static const char *name_missing(struct loader *loader)
{
	const char *first = describe(loader, &loader->load->missing[0]);
	size_t more = loader->load->missing_count - 1;

	if (more == 0 || first == NULL)
		return first;
	return scene_arena_print(loader->arena, "%s; and %zu more", first, more);
}

/*
 * Puts what does not load before what is wrong beside, each missing file by itself:
 * before these are told in one sentence.
 */
static void gather_errors(struct loader *loader)
{
	struct jobq_scene_load *load = loader->load;
	struct jobq_scene_texts found = load->errors;

	load->errors = (struct jobq_scene_texts){0};
	if (load->error != NULL)
		scene_arena_add_text(loader->arena, &load->errors, load->error);
	for (size_t i = 0; i < load->missing_count; i++)
		scene_arena_add_text(loader->arena, &load->errors,
				     describe(loader, &load->missing[i]));
	for (size_t i = 0; i < found.count; i++)
		scene_arena_add_text(loader->arena, &load->errors, found.items[i]);
}

/* What the .remap beside a path says stands in for it; NULL: nothing, or it cannot be told. */
static const char *remapped(struct loader *loader, const char *path)
{
	struct jobq_scene_stamp stamp;
	struct scene_reading reading = {0};
	const char *sidecar = scene_arena_print(loader->arena, "%s.remap", path), *why;
	int fd = sidecar == NULL ? -ENOMEM : scene_project_file(loader->project, sidecar, &stamp);

	if (fd < 0)
		return NULL;
	int error = parse(loader, fd, sidecar, &stamp, &reading);
	close(fd);
	if (error < 0 || reading.error != NULL || reading.facts.dependency_count == 0)
		return NULL;
	touch(loader, sidecar, stamp.bytes);
	return scene_project_path(loader->arena, "res://", reading.facts.dependencies[0].path, &why);
}

/* Begins a load: the scene's own file. Returns 0 or -ENOMEM. */
static int start(struct loader *loader, const char *path)
{
	struct jobq_scene_load *load = loader->load;
	bool fresh;

	*load = (struct jobq_scene_load){0};
	struct scene_arena *arena = calloc(1, sizeof(*arena));
	load->memory = loader->arena = arena;
	if (arena == NULL)
		return -ENOMEM;
	loader->paths = (struct scene_map){.key_of = key_of_item, .owner = loader};
	scene_stand_in_start(&loader->stand_ins, loader->project, arena);
	path = own(loader, path);
	if (path == NULL || item_of(loader, path, &fresh) == NO_ITEM)
		return -ENOMEM;
	int error = visit(loader, &loader->items[0], path);
	/* In an exported project a scene may have moved. */
	const char *moved = error == 0 && load->reason == -ENOENT ? remapped(loader, path) : NULL;
	if (moved != NULL) {
		loader->items[0].path = moved;
		error = visit(loader, &loader->items[0], path);
	}
	if (error == 0 && load->facts != NULL && load->error == NULL &&
	    load->facts->kind != JOBQ_SCENE_SCENE && (loader->how & JOBQ_SCENE_ANY) == 0)
		load->error = "it is no scene, but another resource";
	return error;
}

int jobq_scene_load(struct jobq_scene_project *project, struct jobq_scene_cache *cache,
		    const char *path, unsigned how, struct jobq_scene_load *load)
{
	struct loader loader = {.project = project, .cache = cache, .how = how, .load = load};
	int error = start(&loader, path);

	if (error == 0 && load->error == NULL)
		error = follow(&loader);
	scene_arena_free(&loader.scratch);
	if (error == 0 && (how & JOBQ_SCENE_VALIDATE) != 0)
		gather_errors(&loader);
	if (error == 0 && load->error == NULL && load->missing_count > 0)
		load->error = name_missing(&loader);
	if (error == 0 && load->error == NULL && cache != NULL)
		keep(&loader);
	return error == 0 && loader.arena->failed ? -ENOMEM : error;
}

int jobq_scene_look(struct jobq_scene_project *project, struct jobq_scene_cache *cache,
		    const char *path, struct jobq_scene_load *load)
{
	struct loader loader = {.project = project, .cache = cache, .load = load};

	return start(&loader, path);
}

int jobq_scene_stat(struct jobq_scene_project *project, const char *path,
		    struct jobq_scene_stamp *stamp)
{
	int fd = scene_project_file(project, path, stamp);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

void jobq_scene_load_free(struct jobq_scene_load *load)
{
	if (load->memory != NULL)
		scene_arena_free(load->memory);
	free(load->memory);
	*load = (struct jobq_scene_load){0};
}
