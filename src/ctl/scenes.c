/*
 * Which scenes a submission names. Globs are matched here, against the files of
 * a project on this machine; the service gets paths.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/scenes.h"

#define SCHEME "res://"
#define ENDING ".tscn"

void ctl_scenes_free(struct ctl_scenes *scenes)
{
	for (size_t i = 0; i < scenes->file_count; i++)
		free(scenes->files[i]);
	free(scenes->files);
	json_decref(scenes->items);
	*scenes = (struct ctl_scenes){0};
}

/* ---- the project's files ------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void keep(struct ctl_scenes *scenes, const char *path)
{
	if (scenes->file_count == scenes->file_room) {
		scenes->file_room = scenes->file_room == 0 ? 256 : scenes->file_room * 2;
		scenes->files = reallocarray(scenes->files, scenes->file_room, sizeof(char *));
		if (scenes->files == NULL)
			abort();
	}
	char *copy = NULL;
	if (asprintf(&copy, SCHEME "%s", path) < 0)
		abort();
	scenes->files[scenes->file_count++] = copy;
}

static bool is_scene(const FTSENT *entry)
{
	const size_t ending = strlen(ENDING);

	return entry->fts_info == FTS_F && entry->fts_namelen > ending &&
	       strcmp(entry->fts_name + entry->fts_namelen - ending, ENDING) == 0;
}

/* What follows the root in a path that begins with it; the root may end in a slash, or not. */
static const char *below(const char *root, const char *path)
{
	path += strlen(root);
	return path + strspn(path, "/");
}

/* As the service would: no links below the root, no other mounts, nothing hidden. */
static int list_files(struct ctl_scenes *scenes)
{
	const char *root = scenes->project != NULL ? scenes->project : ".";
	char *const roots[] = {(char *)root, NULL}, *mark = NULL;
	FTSENT *entry;

	if (asprintf(&mark, "%s/project.godot", root) < 0)
		abort();
	bool is_project = access(mark, R_OK) == 0;
	free(mark);
	if (!is_project) {
		fprintf(stderr, "jobqctl: %s is not a Godot project: project.godot: %s\n", root,
			strerror(errno));
		if (scenes->project == NULL)
			fprintf(stderr, "Say with --project DIR where patterns are to be looked "
					"for.\n");
		return CTL_USAGE;
	}
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR | FTS_XDEV, NULL);
	if (tree == NULL)
		abort();
	while ((entry = fts_read(tree)) != NULL) {
		if (entry->fts_level > 0 && entry->fts_name[0] == '.')
			fts_set(tree, entry, FTS_SKIP);
		else if (is_scene(entry))
			keep(scenes, below(root, entry->fts_path));
	}
	fts_close(tree);
	if (scenes->file_count > 0)
		qsort(scenes->files, scenes->file_count, sizeof(char *), by_name);
	return 0;
}

/* ---- one path ------------------------------------------------------------------------- */

static void append(struct ctl_scenes *scenes, const char *action, const char *path)
{
	json_t *item = action == NULL ? json_string(path)
				      : json_pack("{s:s, s:s}", "action", action, "scene_path", path);

	if (item == NULL || json_array_append_new(scenes->items, item) != 0)
		abort();
}

/* One scene's path. `where`: of standard input, or "". */
static int add_scene(struct ctl_scenes *scenes, const char *action, const char *path,
		     const char *where)
{
	const char *what = jobq_paths_malformed(path, strlen(path));

	if (what == NULL) {
		append(scenes, action, path);
		return 0;
	}
	fprintf(stderr, "jobqctl: %s", where);
	ctl_put(stderr, path, strlen(path));
	fprintf(stderr, ": the path %s\n", what);
	return CTL_USAGE;
}

static bool is_pattern(const char *path)
{
	size_t len = strlen(path);

	return strchr(path, '*') != NULL || (len > 0 && path[len - 1] == '/');
}

static int add_matching(struct ctl_scenes *scenes, const char *action, const char *pattern)
{
	size_t found = 0;
	int status = scenes->files == NULL ? list_files(scenes) : 0;

	for (size_t i = 0; i < scenes->file_count && status == 0; i++) {
		if (jobq_paths_match(pattern, scenes->files[i]) && ++found > 0)
			status = add_scene(scenes, action, scenes->files[i], "");
	}
	if (status == 0 && found == 0) {
		fprintf(stderr, "jobqctl: ");
		ctl_put(stderr, pattern, strlen(pattern));
		fprintf(stderr, " matches no scene of %s (%zu scenes)\n",
			scenes->project != NULL ? scenes->project : "this directory",
			scenes->file_count);
		status = CTL_USAGE;
	}
	return status;
}

/* `where`: of standard input, or "". */
static int add_path(struct ctl_scenes *scenes, const char *action, const char *path,
		    const char *where)
{
	struct jobq_buf full = {0};

	if (*path == '\0') { /* a variable that is not set: res:// would be all of them */
		fprintf(stderr, "jobqctl: %san empty path; for every scene say res://\n", where);
		return CTL_USAGE;
	}
	if (strncmp(path, SCHEME, strlen(SCHEME)) != 0) {
		jobq_buf_adds(&full, SCHEME);
		while (strncmp(path, "./", 2) == 0)
			path += 2;
	}
	jobq_buf_adds(&full, path);
	int status = is_pattern(full.data) ? add_matching(scenes, action, full.data)
					   : add_scene(scenes, action, full.data, where);
	jobq_buf_free(&full);
	return status;
}

/* ---- standard input --------------------------------------------------------------------- */

/* A path; or for a batch also an action, a blank and a path. */
static int add_line(struct ctl_scenes *scenes, char *line, size_t number)
{
	const char *action = scenes->action;
	char *blank = strpbrk(line, " \t"), where[64];

	snprintf(where, sizeof(where), "standard input, line %zu: ", number);
	if (*line == '\0' || *line == '#')
		return 0;
	if (action != NULL && blank != NULL) {
		*blank = '\0';
		if (jobq_job_is_action(line)) {
			action = line;
			line = blank + 1 + strspn(blank + 1, " \t");
		} else {
			*blank = ' ';
		}
	}
	return add_path(scenes, action, line, where);
}

static int add_json_item(struct ctl_scenes *scenes, json_t *item)
{
	const char *path = json_string_value(item);

	if (path != NULL)
		return add_path(scenes, scenes->action, path, "standard input: ");
	if (json_is_object(item) && scenes->action != NULL)
		return json_array_append(scenes->items, item) == 0 ? 0 : CTL_USAGE;
	fprintf(stderr, "jobqctl: standard input: %s\n",
		scenes->action != NULL ? "expected operations: objects with action and scene_path"
				       : "expected paths: strings");
	return CTL_USAGE;
}

/* One array, or one value after the other. What operations say the service judges. */
static int add_json(struct ctl_scenes *scenes, const char *text, size_t len)
{
	json_error_t error;
	size_t at = 0, i;
	int status = 0;
	json_t *item;

	while (status == 0 && at < len) {
		json_t *value = json_loadb(text + at, len - at, JSON_DISABLE_EOF_CHECK, &error);
		if (value == NULL) {
			fprintf(stderr, "jobqctl: standard input: not JSON: %s (line %d)\n",
				error.text, error.line);
			return CTL_USAGE;
		}
		at += (size_t)error.position;
		at += strspn(text + at, " \t\r\n,");
		if (json_is_array(value)) {
			json_array_foreach(value, i, item) {
				if (status == 0)
					status = add_json_item(scenes, item);
			}
		} else {
			status = add_json_item(scenes, value);
		}
		json_decref(value);
	}
	return status;
}

static int add_lines(struct ctl_scenes *scenes, char *text)
{
	size_t number = 1;
	int status = 0;

	for (char *line = text; line != NULL && status == 0; number++) {
		char *next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		size_t len = strlen(line);
		while (len > 0 && isspace((unsigned char)line[len - 1]))
			line[--len] = '\0';
		status = add_line(scenes, line, number);
		line = next;
	}
	return status;
}

static int add_input(struct ctl_scenes *scenes)
{
	struct jobq_buf text = {0};
	char bytes[65536];
	size_t got;

	while (!feof(stdin) && (got = fread(bytes, 1, sizeof(bytes), stdin)) > 0)
		jobq_buf_add(&text, bytes, got);
	if (ferror(stdin) || text.failed) {
		fprintf(stderr, "jobqctl: standard input: %s\n", strerror(errno));
		jobq_buf_free(&text);
		return CTL_USAGE;
	}
	int status = 0;
	if (text.len > 0 && strlen(text.data) < text.len) {
		fprintf(stderr, "jobqctl: standard input holds a NUL byte\n");
		status = CTL_USAGE;
	} else if (text.len > 0) {
		size_t at = strspn(text.data, " \t\r\n");
		bool json = text.data[at] == '[' || text.data[at] == '{';
		status = json ? add_json(scenes, text.data + at, text.len - at)
			      : add_lines(scenes, text.data);
	}
	jobq_buf_free(&text);
	return status;
}

int ctl_scenes_add(struct ctl_scenes *scenes, char *const *words)
{
	int status = 0;

	scenes->items = json_array();
	for (; *words != NULL && status == 0; words++)
		status = strcmp(*words, "-") == 0 ? add_input(scenes)
						  : add_path(scenes, scenes->action, *words, "");
	if (status == 0 && json_array_size(scenes->items) == 0) {
		fprintf(stderr, "jobqctl: standard input names no scene\n");
		status = CTL_USAGE;
	}
	return status;
}
