/*
 * `jobqctl scene check`: the scene engine without a service. One scene is in
 * memory at a time, however many are named, and its lines are out before the
 * next one is read.
 *
 * It judges as the service's action `validate` does, and describes as that and
 * `get_info` do: see slot/batch_operations.c, which this room may not know.
 */
#include "config.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "jobq/scene.h"

#define SCHEME "res://"

struct check {
	struct jobq_scene_project *project;
	bool json;
	struct jobq_buf path; /* of the scene at hand */
	int status;           /* the exit status: the worst so far */
};

static void worsen(struct check *check, int status)
{
	if (check->status < status)
		check->status = status;
}

/* ---- one scene, told to programs ---------------------------------------------- */

static bool add_all(json_t *array, const struct jobq_scene_texts *texts)
{
	for (size_t i = 0; i < texts->count; i++) {
		if (json_array_append_new(array, json_string(texts->items[i])) != 0)
			return false;
	}
	return true;
}

/* What it names itself, as in `get_info`. */
static json_t *list_dependencies(const struct jobq_scene_facts *facts)
{
	json_t *list = json_array();
	bool good = true;

	for (size_t i = 0; i < facts->dependency_count && good; i++) {
		const struct jobq_scene_dependency *dependency = &facts->dependencies[i];
		good = dependency->type == NULL ||
		       json_array_append_new(list, json_string(dependency->path)) == 0;
	}
	if (good)
		return list;
	json_decref(list);
	return NULL;
}

/* JSON's null when the file could not be read; NULL: out of memory. */
static json_t *scene_info(const struct jobq_scene_load *load)
{
	const struct jobq_scene_facts *facts = load->facts;

	if (facts == NULL)
		return json_null();
	json_t *format = facts->format < 0 ? json_null() : json_integer(facts->format);
	return json_pack("{s:I, s:s?, s:s?, s:o, s:s?, s:I, s:o}", "node_count",
			 (json_int_t)facts->node_count, "root_type", facts->root_type, "root_name",
			 facts->root_name, "format", format, "uid", facts->uid, "size",
			 (json_int_t)load->stamp.bytes, "dependencies", list_dependencies(facts));
}

static bool valid(const struct jobq_scene_load *load)
{
	return load->errors.count == 0;
}

/* False: out of memory. */
static bool write_json(const char *path, const struct jobq_scene_load *load)
{
	json_t *errors = json_array(), *warnings = json_array();
	bool good = add_all(errors, &load->errors) && add_all(warnings, &load->warnings);
	json_t *name = json_string(path);
	if (name == NULL) /* it is no UTF-8 */
		name = json_string("?");
	json_t *object = json_pack("{s:o, s:b, s:b, s:o, s:o, s:o}", "scene_path", name, "loads",
				   (int)(load->error == NULL), "valid", (int)valid(load), "errors",
				   errors, "warnings", warnings, "scene_info", scene_info(load));
	char *text = good && object != NULL ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	if (text != NULL)
		puts(text);
	free(text);
	json_decref(object);
	return text != NULL;
}

/* ---- one scene, told to people ------------------------------------------------ */

static void write_finding(const char *path, const char *kind, const char *text)
{
	ctl_put(stdout, path, strlen(path));
	printf(": %s", kind);
	ctl_put(stdout, text, strlen(text));
	putchar('\n');
}

static void write_lines(const char *path, const struct jobq_scene_load *load)
{
	for (size_t i = 0; i < load->errors.count; i++)
		write_finding(path, "error: ", load->errors.items[i]);
	for (size_t i = 0; i < load->warnings.count; i++)
		write_finding(path, "warning: ", load->warnings.items[i]);
	if (valid(load))
		write_finding(path, "ok", "");
}

/* ---- the paths ---------------------------------------------------------------- */

static bool is_resource(const char *path, size_t len)
{
	static const char suffix[] = ".tres";

	return len >= strlen(suffix) && memcmp(path + len - strlen(suffix), suffix, strlen(suffix)) == 0;
}

/* Returns 0 or a negative errno, after which there is no going on. */
static int check_scene(struct check *check, const char *path)
{
	struct jobq_scene_load load;
	unsigned how = JOBQ_SCENE_VALIDATE | (is_resource(path, strlen(path)) ? JOBQ_SCENE_ANY : 0);
	int rc = jobq_scene_load(check->project, NULL, path, how, &load);

	if (rc == 0 && check->json && !write_json(path, &load))
		rc = -ENOMEM;
	else if (rc == 0 && !check->json)
		write_lines(path, &load);
	if (rc == 0 && ferror(stdout))
		rc = -EIO;
	if (rc == 0 && !valid(&load))
		worsen(check, 1);
	jobq_scene_load_free(&load);
	return rc;
}

/* `number`: the line of standard input that it came from; 0: the command line. */
static int check_path(struct check *check, const char *path, size_t len, size_t number)
{
	struct jobq_buf *full = &check->path;

	full->len = 0;
	if (len < strlen(SCHEME) || memcmp(path, SCHEME, strlen(SCHEME)) != 0) {
		jobq_buf_adds(full, SCHEME);
		/* As find(1) prints them. */
		while (len >= 2 && memcmp(path, "./", 2) == 0) {
			path += 2;
			len -= 2;
		}
	}
	jobq_buf_add(full, path, len);
	if (full->failed)
		return -ENOMEM;
	const char *what = is_resource(full->data, full->len)
				   ? jobq_paths_malformed_file(full->data, full->len)
				   : jobq_paths_malformed(full->data, full->len);
	if (what == NULL)
		return check_scene(check, full->data);
	if (check->json) { /* a line a path, whatever it is */
		const char *why = "the path is malformed";
		struct jobq_scene_load none = {.error = why, .errors = {&why, 1}};
		if (!write_json(full->data, &none))
			return -ENOMEM;
	}
	fprintf(stderr, "jobqctl: ");
	if (number > 0)
		fprintf(stderr, "standard input, line %zu: ", number);
	ctl_put(stderr, full->data, full->len);
	fprintf(stderr, ": the path %s\n", what);
	worsen(check, 2);
	return 0;
}

static int check_input(struct check *check)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	int rc = 0;

	for (size_t number = 1; rc == 0 && (len = getline(&line, &room, stdin)) >= 0; number++) {
		if (len > 0 && line[len - 1] == '\n')
			len--;
		rc = check_path(check, line, (size_t)len, number);
	}
	if (rc == 0 && !feof(stdin)) {
		fprintf(stderr, "jobqctl: standard input: %s\n", strerror(errno));
		worsen(check, 2);
	}
	free(line);
	return rc;
}

static int check_words(struct check *check, char *const *words)
{
	int rc = 0;

	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	for (; *words != NULL && rc == 0; words++) {
		if (strcmp(*words, "-") == 0)
			rc = check_input(check);
		else
			rc = check_path(check, *words, strlen(*words), 0);
	}
	if (rc == 0 && fflush(stdout) != 0)
		rc = -errno;
	if (rc < 0) {
		fprintf(stderr, "jobqctl: %s\n", rc == -ENOMEM ? "out of memory"
							       : "standard output cannot be written to");
		worsen(check, 2);
	}
	jobq_buf_free(&check->path);
	return check->status;
}

/* ---- the command -------------------------------------------------------------- */

static int open_project(struct check *check, const char *root)
{
	struct jobq_scene_stamp stamp;
	int rc = jobq_scene_project_open(&check->project, root, NULL);

	if (rc < 0) {
		fprintf(stderr, "jobqctl: %s: %s\n", root, strerror(-rc));
		return rc;
	}
	rc = jobq_scene_stat(check->project, SCHEME "project.godot", &stamp);
	if (rc < 0) {
		fprintf(stderr, "jobqctl: %s is not a Godot project: project.godot: %s\n", root,
			jobq_scene_reason(rc));
		jobq_scene_project_close(check->project);
	}
	return rc;
}

int ctl_scene(int argc, char **argv)
{
	struct check check = {0};
	const char *root = NULL;
	const struct ctl_option options[] = {
		CTL_TEXT("project", "DIR", &root, "root directory of the Godot project; needed"),
		CTL_FLAG("json", &check.json, "print a JSON object for each scene, one a line"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "scene check",
		.operands = "PATH...\n-",
		.sentence =
			"Checks scenes (.tscn), as the service does, and resources (.tres), without a "
			"service and without a configuration. A PATH begins with res:// or is "
			"relative to DIR; for - they are read from standard input, one a line.\v"
			"Exit status: 0 all scenes are valid, 1 some are not, 2 something could not "
			"be checked: the command line, DIR or a path is wrong.",
		.most = SIZE_MAX,
		.options = options,
	};

	char **words = ctl_options(&syntax, argc, argv);
	if (words[0] == NULL || strcmp(words[0], "check") != 0)
		return ctl_usage("`scene` is followed by `check`", "");
	if (root == NULL)
		return ctl_usage("scene check needs --project DIR", "");
	if (words[1] == NULL)
		return ctl_usage("scene check needs a path, or - for standard input", "");
	if (open_project(&check, root) < 0)
		return 2;
	check_words(&check, words + 1);
	jobq_scene_project_close(check.project);
	return check.status;
}
