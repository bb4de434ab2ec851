#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scene/scene.h"

/*
 * Which file a uid:// stands for. What the engine goes by at run time is
 * .godot/uid_cache.bin, which the editor writes; a fresh checkout has none, and
 * then the files themselves say it: headers, .import files, and `.uid` files
 * beside scripts (Godot 4.4).
 */

#define UID "uid://"
#define UID_LEN 6
#define CACHE_FILE "res://.godot/uid_cache.bin"
#define SCAN_DEPTH 64         /* directories in each other */
#define SCAN_FILES 200000     /* looked at, at the most */
#define SCAN_AGAIN 10000000   /* microseconds until a uid that was not found is looked for again */
#define HEAD 1024             /* bytes of a file that are looked at for its uid */
#define ENTRY_LEAST 12        /* bytes of an entry of the cache file */

struct uid {
	uint64_t id;
	const char *path;
};

struct table {
	struct scene_arena arena;
	struct uid *uids; /* by rising id */
	size_t count;
};

struct scene_uids {
	struct table cached;            /* of the cache file */
	struct jobq_scene_stamp stamp;  /* of that */
	struct table found;             /* by a scan */
	int64_t scanned;                /* jobq_clock_mono(); 0: never */
	size_t files;                   /* that the scan has looked at */
	bool extended;                  /* the scan has met a .gdextension */
};

/*
 * Digits a to y are 0 to 24, 0 to 8 follow; z and 9 are read, but never
 * written (core/io/resource_uid.cpp). 0: no uid.
 */
static uint64_t decode(const char *text, size_t len)
{
	uint64_t id = 0;

	if (len <= UID_LEN || memcmp(text, UID, UID_LEN) != 0)
		return 0;
	for (size_t i = UID_LEN; i < len; i++) {
		char c = text[i];
		if (c >= 'a' && c <= 'z')
			id = id * 34 + (uint64_t)(c - 'a');
		else if (c >= '0' && c <= '9')
			id = id * 34 + 25 + (uint64_t)(c - '0');
		else
			return 0;
	}
	return id & INT64_MAX;
}

static int by_id(const void *a, const void *b)
{
	uint64_t one = ((const struct uid *)a)->id, other = ((const struct uid *)b)->id;

	return one < other ? -1 : one > other;
}

static void add(struct table *table, uint64_t id, const char *path, size_t len)
{
	struct uid *uids = scene_arena_grow(&table->arena, table->uids, table->count, sizeof(uids[0]));
	const char *copy = scene_arena_copy(&table->arena, path, len);

	if (uids == NULL || copy == NULL)
		return;
	table->uids = uids;
	uids[table->count++] = (struct uid){id, copy};
}

static const char *find(const struct table *table, uint64_t id)
{
	struct uid key = {.id = id};
	const struct uid *uid = table->count == 0 ? NULL
						  : bsearch(&key, table->uids, table->count,
							    sizeof(key), by_id);

	return uid == NULL ? NULL : uid->path;
}

static void clear(struct table *table)
{
	scene_arena_free(&table->arena);
	*table = (struct table){0};
}

/* ---- the cache file --------------------------------------------------------- */

static uint64_t number(const char *data, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = bytes; i > 0; i--)
		value = value << 8 | (unsigned char)data[i - 1];
	return value;
}

/* A count, then id, length and path of each, little endian. Ends at what makes no sense. */
static void read_cache(struct table *table, const char *data, size_t len)
{
	size_t at = 4;
	uint64_t count = len < at ? 0 : number(data, 4);

	for (; count > 0 && len - at >= ENTRY_LEAST; count--) {
		uint64_t id = number(data + at, 8), size = number(data + at + 8, 4);
		at += ENTRY_LEAST;
		if (size > len - at || memchr(data + at, '\0', (size_t)size) != NULL)
			break;
		add(table, id, data + at, (size_t)size);
		at += (size_t)size;
	}
	if (table->count > 0)
		qsort(table->uids, table->count, sizeof(table->uids[0]), by_id);
}

static void refresh(struct jobq_scene_project *project, struct scene_uids *uids)
{
	struct jobq_scene_stamp stamp = {0};
	char *data = NULL;
	int fd = scene_project_file(project, CACHE_FILE, &stamp);

	if (fd >= 0 && memcmp(&stamp, &uids->stamp, sizeof(stamp)) != 0) {
		clear(&uids->cached);
		if (scene_project_read(fd, &stamp, &data) == 0)
			read_cache(&uids->cached, data, (size_t)stamp.bytes);
		free(data);
	} else if (fd < 0) {
		clear(&uids->cached);
		stamp = (struct jobq_scene_stamp){0};
	}
	uids->stamp = stamp;
	if (fd >= 0)
		close(fd);
}

/* ---- the files themselves --------------------------------------------------- */

static bool ends(const char *name, const char *suffix)
{
	size_t len = strlen(name), tail = strlen(suffix);

	return len > tail && strcasecmp(name + len - tail, suffix) == 0;
}

/* The uid that a file's beginning names: all of a .uid file, or uid="..." of a header. */
static uint64_t uid_in(const char *head, size_t len, bool sidecar)
{
	static const char field[] = "uid=\"";
	const char *at = head, *end = head + len;

	if (!sidecar) {
		at = memmem(head, len, field, sizeof(field) - 1);
		if (at == NULL)
			return 0;
		at += sizeof(field) - 1;
	}
	const char *stop = at;
	while (stop < end && *stop != '"' && (unsigned char)*stop > ' ')
		stop++;
	return decode(at, (size_t)(stop - at));
}

static void look(struct jobq_scene_project *project, struct table *table, const char *path)
{
	struct jobq_scene_stamp stamp;
	char head[HEAD];
	bool beside = ends(path, ".uid"), import = ends(path, ".import");
	int fd = scene_project_file(project, path, &stamp);

	if (fd < 0)
		return;
	ssize_t got = read(fd, head, sizeof(head));
	close(fd);
	size_t len = got > 0 ? (size_t)got : 0;
	/* Of a scene only the first tag counts. */
	const char *bracket = beside || import ? NULL : memchr(head, ']', len);
	uint64_t id = uid_in(head, bracket != NULL ? (size_t)(bracket - head) : len, beside);
	if (id != 0)
		add(table, id, path, strlen(path) - (beside ? 4 : import ? 7 : 0));
}

/* Everything beneath a directory; hidden ones hold nothing that has a uid of its own. */
static void scan(struct jobq_scene_project *project, struct scene_uids *uids, int dirfd,
		 const char *path, int depth)
{
	DIR *dir = fdopendir(dirfd);
	struct dirent *entry;

	if (dir == NULL) {
		close(dirfd);
		return;
	}
	while ((entry = readdir(dir)) != NULL && uids->files < SCAN_FILES) {
		const char *name = entry->d_name;
		if (name[0] == '.')
			continue;
		bool file = ends(name, ".gdextension") || ends(name, ".uid") || ends(name, ".import") || ends(name, ".tscn") ||
			    ends(name, ".tres");
		char *below = file || entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN
				      ? scene_arena_print(&uids->found.arena, "%s%s", path, name)
				      : NULL;
		if (below == NULL)
			continue;
		uids->files++;
		uids->extended = uids->extended || ends(name, ".gdextension");
		int fd = file || depth == 0 ? -1
					    : openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
									  O_CLOEXEC | O_NONBLOCK);
		if (fd >= 0)
			scan(project, uids, fd,
			     scene_arena_print(&uids->found.arena, "%s/", below), depth - 1);
		else if (file)
			look(project, &uids->found, below);
	}
	closedir(dir);
}

static void search(struct jobq_scene_project *project, struct scene_uids *uids)
{
	clear(&uids->found);
	uids->files = 0;
	uids->extended = false;
	uids->scanned = jobq_clock_mono();
	int fd = openat(project->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		scan(project, uids, fd, "res://", SCAN_DEPTH);
	if (uids->found.count > 0)
		qsort(uids->found.uids, uids->found.count, sizeof(uids->found.uids[0]), by_id);
}

/* ---- asking ----------------------------------------------------------------- */

static struct scene_uids *uids_of(struct jobq_scene_project *project)
{
	if (project->uids == NULL)
		project->uids = calloc(1, sizeof(*project->uids));
	return project->uids;
}

bool scene_uid_extended(struct jobq_scene_project *project)
{
	struct scene_uids *uids = uids_of(project);

	if (uids != NULL && uids->scanned == 0)
		search(project, uids);
	/* What has not all been looked at may have one. */
	return uids == NULL || uids->extended || uids->files >= SCAN_FILES;
}

const char *scene_uid_path(struct jobq_scene_project *project, const char *uid, bool fresh,
			   bool thorough)
{
	uint64_t id = decode(uid, strlen(uid));
	struct scene_uids *uids = id != 0 ? uids_of(project) : NULL;

	if (uids == NULL)
		return NULL;
	if (fresh)
		refresh(project, uids);
	const char *path = find(&uids->cached, id);
	if (path == NULL)
		path = find(&uids->found, id);
	if (path == NULL && thorough &&
	    (uids->scanned == 0 || jobq_clock_mono() - uids->scanned > SCAN_AGAIN)) {
		search(project, uids);
		path = find(&uids->found, id);
	}
	return path;
}

void scene_uid_forget(struct jobq_scene_project *project)
{
	if (project->uids == NULL)
		return;
	clear(&project->uids->cached);
	clear(&project->uids->found);
	free(project->uids);
	project->uids = NULL;
}
