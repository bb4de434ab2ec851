#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "slot/scenes.h"

#define DEPTH_MAX 64 /* directories in each other; a scene path has no room for more that matter */

/* The scenes of the project, in the order in which they are warmed. */
struct list {
	struct slot_work *work;
	char **paths; /* owned */
	size_t count, room;
	dev_t device; /* other mounts are not entered */
};

static bool append(char ***items, size_t *count, size_t *room, const char *text)
{
	if (*count == *room) {
		size_t more = *room == 0 ? 64 : *room * 2;
		char **grown = reallocarray(*items, more, sizeof(grown[0]));
		if (grown == NULL)
			return false;
		*items = grown;
		*room = more;
	}
	(*items)[*count] = strdup(text);
	return (*items)[(*count)] != NULL && ++*count > 0;
}

static void drop(char **items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(items[i]);
	free(items);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted; hidden ones (.godot, .git) left out. Closes fd. */
static bool read_names(int fd, char ***names, size_t *count)
{
	size_t room = 0;
	struct dirent *entry;
	bool good = true;
	DIR *dir = fdopendir(fd);

	if (dir == NULL) {
		close(fd);
		return errno != ENOMEM;
	}
	while (good && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			good = append(names, count, &room, entry->d_name);
	}
	closedir(dir);
	if (good && *count > 0)
		qsort(*names, *count, sizeof((*names)[0]), by_name);
	return good;
}

static bool wanted(struct slot_work *work, const char *path)
{
	struct jobq_scene_stamp stamp;

	if (slot_scenes_refused(work, path) != NULL)
		return false;
	const char *scope = json_string_value(json_object_get(work->parameters, "scope"));
	if (scope == NULL || strcmp(scope, "stale") != 0 || work->cache == NULL)
		return true;
	return jobq_scene_stat(work->project, path, &stamp) < 0 ||
	       !jobq_scene_cache_holds(work->cache, path, &stamp);
}

/*
 * Lists the scenes below the directory `name` of `parent`, which is `prefix` as
 * a res:// path with a slash. A directory that cannot be opened is left out.
 * False: out of memory.
 */
static bool list_scenes(struct list *list, int parent, const char *name, const char *prefix,
			int depth)
{
	struct stat st;
	char **names = NULL;
	size_t count = 0;
	bool good = true;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0 || copy < 0 || fstat(fd, &st) < 0 || st.st_dev != list->device) {
		if (copy >= 0)
			close(copy);
	} else {
		good = read_names(copy, &names, &count);
	}
	for (size_t i = 0; i < count && good; i++) {
		char path[JOBQ_PATH_MAX + 2];
		int len = snprintf(path, sizeof(path), "%s%s/", prefix, names[i]);
		if (len < 0 || (size_t)len >= sizeof(path) ||
		    fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
			good = list_scenes(list, fd, names[i], path, depth + 1);
		} else if (S_ISREG(st.st_mode)) {
			path[len - 1] = '\0';
			if (wanted(list->work, path))
				good = append(&list->paths, &list->count, &list->room, path);
		}
	}
	if (fd >= 0)
		close(fd);
	drop(names, count);
	return good;
}

/* What has been done so far. A file that several scenes need counts once. */
struct tally {
	size_t warmed, failed;
	uint64_t bytes;
	json_t *files; /* an object with a member a path */
};

static bool count_files(struct tally *tally, const struct jobq_scene_load *load)
{
	for (size_t i = 0; i < load->file_count; i++) {
		const char *path = load->files[i].path;
		if (json_object_get(tally->files, path) != NULL)
			continue;
		tally->bytes += load->files[i].bytes;
		if (json_object_set_new(tally->files, path, json_true()) != 0)
			return false;
	}
	return true;
}

static bool warm(struct slot_work *work, const char *path, struct tally *tally)
{
	struct jobq_scene_load load;
	bool good = jobq_scene_load(work->project, work->cache, path, JOBQ_SCENE_PRELOAD, &load) ==
			    0 && count_files(tally, &load);

	if (good && load.error == NULL)
		tally->warmed++;
	else
		tally->failed++;
	jobq_scene_load_free(&load);
	return good;
}

int slot_cache_warming(struct slot_work *work)
{
	int64_t begun = jobq_clock_mono();
	int root = jobq_scene_project_root(work->project);
	struct list list = {.work = work};
	struct tally tally = {.files = json_object()};
	struct stat st;
	bool good = tally.files != NULL;

	if (good && fstat(root, &st) == 0) {
		list.device = st.st_dev;
		good = list_scenes(&list, root, ".", "res://", 0);
	}
	for (size_t i = 0; i < list.count && good; i++) {
		good = warm(work, list.paths[i], &tally);
		slot_progress(work, i + 1, list.count);
	}
	if (good)
		work->result = json_pack(
			"{s:b, s:s, s:I, s:I, s:I, s:I, s:I}", "cache_warmed", 1, "message",
			"Cache warming completed", "scenes_warmed", (json_int_t)tally.warmed,
			"scenes_failed", (json_int_t)tally.failed, "files",
			(json_int_t)json_object_size(tally.files), "bytes",
			(json_int_t)tally.bytes, "duration_ms",
			(json_int_t)((jobq_clock_mono() - begun) / 1000));
	drop(list.paths, list.count);
	json_decref(tally.files);
	return work->result == NULL ? -ENOMEM : 0;
}
