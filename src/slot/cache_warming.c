#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
	size_t done, warmed, failed;
	uint64_t bytes;
	json_t *files; /* an object with a member a path */
};

/* ---- many at once ------------------------------------------------------------- */

/*
 * Reading waits for the disk, so several threads do it, within the one slot. They
 * stand back for everything else: lower priority for processor and disk, which
 * in Linux are a thread's own (setpriority(2), ioprio_set(2)).
 */
#define THREADS 4
#define NICE 10
#define LOWEST_OF_BEST_EFFORT (2 << 13 | 7) /* <linux/ioprio.h>, IOPRIO_PRIO_VALUE() */
#define THIS_THREAD 1                       /* IOPRIO_WHO_PROCESS, with 0 for the caller */

struct crew {
	struct slot_work *work;
	const struct list *list;
	pthread_mutex_t lock; /* over what follows, and over the slot's progress */
	size_t next;
	struct tally tally;
	bool failed; /* out of memory */
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

/* The next scene's path; NULL when there is none, or no sense in going on. */
static const char *next_path(struct crew *crew)
{
	const char *path = NULL;

	pthread_mutex_lock(&crew->lock);
	if (!crew->failed && crew->next < crew->list->count && !slot_stopped(crew->work))
		path = crew->list->paths[crew->next++];
	pthread_mutex_unlock(&crew->lock);
	return path;
}

static void warm(struct crew *crew, struct jobq_scene_project *project,
		 struct jobq_scene_cache *cache, const char *path)
{
	struct jobq_scene_load load;
	int rc = jobq_scene_load(project, cache, path, JOBQ_SCENE_PRELOAD, &load);

	if (rc == 0) {
		slot_tell_loaded(crew->work, path, &load);
		slot_log_load(crew->work, "warm", path, &load);
	}
	pthread_mutex_lock(&crew->lock);
	if (rc < 0 || !count_files(&crew->tally, &load))
		crew->failed = true;
	else if (load.error == NULL)
		crew->tally.warmed++;
	else
		crew->tally.failed++;
	slot_progress(crew->work, ++crew->tally.done, crew->list->count);
	pthread_mutex_unlock(&crew->lock);
	jobq_scene_load_free(&load);
}

static void warm_all(struct crew *crew, struct jobq_scene_project *project,
		     struct jobq_scene_cache *cache)
{
	const char *path;

	while ((path = next_path(crew)) != NULL)
		warm(crew, project, cache, path);
}

/* A thread of the crew, with handles of its own: those of the job are the job's. */
static void *help(void *arg)
{
	struct crew *crew = arg;
	const struct slot_work *work = crew->work;
	struct jobq_scene_project *project = NULL;
	struct jobq_scene_cache *cache =
		work->cache == NULL ? NULL
				    : jobq_scene_cache_attach(work->cache_region, work->cache_size);

	(void)setpriority(PRIO_PROCESS, 0, NICE);
	(void)syscall(SYS_ioprio_set, THIS_THREAD, 0, LOWEST_OF_BEST_EFFORT);
	if ((cache != NULL || work->cache == NULL) &&
	    jobq_scene_project_open(&project, work->conf->project, &work->conf->blacklist) == 0)
		warm_all(crew, project, cache);
	jobq_scene_project_close(project);
	jobq_scene_cache_detach(cache);
	return NULL;
}

/* The helpers do it all, unless there are none, or they gave up. */
static void warm_by_crew(struct crew *crew)
{
	pthread_t threads[THREADS];
	size_t count = 0;
	sigset_t all, before;

	/* Signals are the worker's own thread's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	while (count < THREADS && count < crew->list->count &&
	       pthread_create(&threads[count], NULL, help, crew) == 0)
		count++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	while (count > 0)
		pthread_join(threads[--count], NULL);
	warm_all(crew, crew->work->project, crew->work->cache);
}

int slot_cache_warming(struct slot_work *work)
{
	int64_t begun = jobq_clock_mono();
	int root = jobq_scene_project_root(work->project);
	struct list list = {.work = work};
	struct crew crew = {.work = work, .list = &list, .lock = PTHREAD_MUTEX_INITIALIZER,
			    .tally = {.files = json_object()}};
	struct stat st;
	bool good = crew.tally.files != NULL;

	if (good && fstat(root, &st) == 0) {
		list.device = st.st_dev;
		good = list_scenes(&list, root, ".", "res://", 0);
	}
	if (good)
		warm_by_crew(&crew);
	if (good && !crew.failed)
		work->result = json_pack(
			"{s:b, s:s, s:I, s:I, s:I, s:I, s:I}", "cache_warmed", 1, "message",
			"Cache warming completed", "scenes_warmed", (json_int_t)crew.tally.warmed,
			"scenes_failed", (json_int_t)crew.tally.failed, "files",
			(json_int_t)json_object_size(crew.tally.files), "bytes",
			(json_int_t)crew.tally.bytes, "duration_ms",
			(json_int_t)((jobq_clock_mono() - begun) / 1000));
	work->whole = crew.tally.done == list.count;
	drop(list.paths, list.count);
	json_decref(crew.tally.files);
	return work->result == NULL ? -ENOMEM : 0;
}
