#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobq/job.h"

/* What the checks of one submission share. */
struct check {
	const struct jobq_list *allowed, *denied;
	struct jobq_refusal *why;
};

static bool refuse(struct check *check, const char *code, const char *pointer, const char *fmt,
		   ...) JOBQ_PRINTF(4, 5);

static bool refuse(struct check *check, const char *code, const char *pointer, const char *fmt,
		   ...)
{
	va_list args;

	check->why->code = code;
	check->why->limit = 0;
	snprintf(check->why->pointer, sizeof(check->why->pointer), "%s", pointer);
	va_start(args, fmt);
	vsnprintf(check->why->error, sizeof(check->why->error), fmt, args);
	va_end(args);
	return false;
}

/*
 * Whether a text can stand in a message: short enough never to be cut in the
 * middle of a character.
 */
static bool quotable(const char *text, size_t len)
{
	return len <= 64 && strlen(text) == len;
}

/* `pointer` + "/" + name, escaped as RFC 6901 section 3 has it. */
static void point(char *into, size_t room, const char *pointer, const char *name)
{
	size_t at = (size_t)snprintf(into, room, "%s/", pointer);

	for (; *name != '\0' && at + 3 < room; name++) {
		if (*name == '~' || *name == '/') {
			into[at++] = '~';
			into[at++] = *name == '~' ? '0' : '1';
		} else {
			into[at++] = *name;
		}
	}
	into[at] = '\0';
}

/* Refuses the first member of `object` that is not one of `names`. */
static bool only_members(struct check *check, json_t *object, const char *pointer,
			 const char *const *names)
{
	void *member;

	for (member = json_object_iter(object); member != NULL;
	     member = json_object_iter_next(object, member)) {
		const char *name = json_object_iter_key(member);
		size_t len = json_object_iter_key_len(member), i = 0;
		while (names[i] != NULL && (strlen(names[i]) != len || strcmp(names[i], name) != 0))
			i++;
		if (names[i] != NULL)
			continue;
		if (!quotable(name, len))
			return refuse(check, "unknown_member", pointer, "Unknown member");
		char where[256];
		point(where, sizeof(where), pointer, name);
		return refuse(check, "unknown_member", where, "Unknown member \"%s\"", name);
	}
	return true;
}

static bool check_path(struct check *check, const json_t *value, const char *pointer)
{
	if (!json_is_string(value))
		return refuse(check, "invalid_parameters", pointer,
			      "A scene path must be a string such as res://levels/main.tscn");
	const char *path = json_string_value(value);
	const char *what = jobq_paths_malformed(path, json_string_length(value));
	if (what != NULL)
		return refuse(check, "invalid_scene_path", pointer, "The scene path %s", what);
	if (!jobq_paths_match_any(check->allowed, path) ||
	    jobq_paths_match_any(check->denied, path))
		return refuse(check, "scene_not_whitelisted", pointer,
			      "The scene path is not whitelisted: %s", path);
	return true;
}

/* A non-empty array of at most JOBQ_OPERATIONS_MAX under `name`. */
static bool check_array(struct check *check, const json_t *parameters, const char *name,
			const char *pointer)
{
	const json_t *array = json_object_get(parameters, name);

	if (array == NULL)
		return refuse(check, "invalid_parameters", pointer, "\"%s\" is missing", name);
	if (!json_is_array(array) || json_array_size(array) == 0)
		return refuse(check, "invalid_parameters", pointer,
			      "\"%s\" must be an array that is not empty", name);
	if (json_array_size(array) > JOBQ_OPERATIONS_MAX) {
		refuse(check, "invalid_parameters", pointer, "\"%s\" must have at most %d entries",
		       name, JOBQ_OPERATIONS_MAX);
		check->why->limit = JOBQ_OPERATIONS_MAX;
		return false;
	}
	return true;
}

/* Whether an optional string member has one of the words. */
static bool check_word(struct check *check, const json_t *value, const char *pointer,
		       const char *const *words, const char *sentence)
{
	if (json_is_string(value))
		for (size_t i = 0; words[i] != NULL; i++)
			if (json_string_length(value) == strlen(words[i]) &&
			    strcmp(json_string_value(value), words[i]) == 0)
				return true;
	return refuse(check, "invalid_parameters", pointer, "%s", sentence);
}

static const char *const actions[] = {"load", "validate", "get_info", NULL};

bool jobq_job_is_action(const char *word)
{
	for (size_t i = 0; actions[i] != NULL; i++)
		if (strcmp(word, actions[i]) == 0)
			return true;
	return false;
}

static bool check_operation(struct check *check, json_t *operation, const char *pointer)
{
	static const char *const members[] = {"action", "scene_path", NULL};
	char where[128];

	if (!json_is_object(operation))
		return refuse(check, "invalid_parameters", pointer,
			      "An operation must be an object with \"action\" and \"scene_path\"");
	if (!only_members(check, operation, pointer, members))
		return false;
	point(where, sizeof(where), pointer, "action");
	if (!check_word(check, json_object_get(operation, "action"), where, actions,
			"\"action\" must be load, validate or get_info"))
		return false;
	point(where, sizeof(where), pointer, "scene_path");
	return check_path(check, json_object_get(operation, "scene_path"), where);
}

static bool check_batch_operations(struct check *check, json_t *parameters)
{
	static const char *const members[] = {"operations", "mode", NULL};
	static const char *const modes[] = {"continue", "transactional", NULL};
	const char *pointer = "/parameters/operations";
	const json_t *mode = json_object_get(parameters, "mode");
	json_t *operation;
	size_t i;

	if (!only_members(check, parameters, "/parameters", members) ||
	    !check_array(check, parameters, "operations", pointer))
		return false;
	if (mode != NULL && !check_word(check, mode, "/parameters/mode", modes,
					"\"mode\" must be continue or transactional"))
		return false;
	json_array_foreach(json_object_get(parameters, "operations"), i, operation) {
		char where[64];
		snprintf(where, sizeof(where), "%s/%zu", pointer, i);
		if (!check_operation(check, operation, where))
			return false;
	}
	return true;
}

static bool check_scene_preload(struct check *check, json_t *parameters)
{
	static const char *const members[] = {"scene_paths", NULL};
	const char *pointer = "/parameters/scene_paths";
	json_t *path;
	size_t i;

	if (!only_members(check, parameters, "/parameters", members) ||
	    !check_array(check, parameters, "scene_paths", pointer))
		return false;
	json_array_foreach(json_object_get(parameters, "scene_paths"), i, path) {
		char where[64];
		snprintf(where, sizeof(where), "%s/%zu", pointer, i);
		if (!check_path(check, path, where))
			return false;
	}
	return true;
}

static bool check_cache_warming(struct check *check, json_t *parameters)
{
	static const char *const members[] = {"scope", NULL};
	static const char *const scopes[] = {"all", "stale", NULL};
	const json_t *scope = json_object_get(parameters, "scope");

	if (!only_members(check, parameters, "/parameters", members))
		return false;
	return scope == NULL || check_word(check, scope, "/parameters/scope", scopes,
					   "\"scope\" must be all or stale");
}

/* A row a type. */
static bool (*const type_checks[JOBQ_TYPES])(struct check *check, json_t *parameters) = {
	[JOBQ_TYPE_BATCH_OPERATIONS] = check_batch_operations,
	[JOBQ_TYPE_SCENE_PRELOAD] = check_scene_preload,
	[JOBQ_TYPE_CACHE_WARMING] = check_cache_warming,
};

/*
 * The depth is counted before the text is parsed, because the parser is
 * recursive and its own limit (2048) is deeper than a thread's stack need be.
 */
static size_t nesting_of(const char *body, size_t len)
{
	size_t depth = 0, deepest = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		if (in_string) {
			if (body[i] == '\\')
				i++;
			else if (body[i] == '"')
				in_string = false;
		} else if (body[i] == '"') {
			in_string = true;
		} else if (body[i] == '{' || body[i] == '[') {
			if (++depth > deepest)
				deepest = depth;
		} else if ((body[i] == '}' || body[i] == ']') && depth > 0) {
			depth--;
		}
	}
	return deepest;
}

static json_t *parse(struct check *check, const char *body, size_t len)
{
	json_error_t error;

	if (nesting_of(body, len) > JOBQ_NESTING_MAX) {
		refuse(check, "invalid_json", "", "The body is nested deeper than %d levels",
		       JOBQ_NESTING_MAX);
		check->why->limit = JOBQ_NESTING_MAX;
		return NULL;
	}
	json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (root == NULL) {
		/* What the parser quotes may be cut in the middle of a character. */
		char *quote = strstr(error.text, " near '");
		if (quote != NULL)
			*quote = '\0';
		refuse(check, "invalid_json", "", "The body is not valid JSON: %s (line %d, column %d)",
		       error.text, error.line, error.column);
	} else if (!json_is_object(root)) {
		refuse(check, "invalid_json", "", "The body must be a JSON object");
		json_decref(root);
		root = NULL;
	}
	return root;
}

static bool check_type(struct check *check, const json_t *root, enum jobq_job_type *type)
{
	const char *list = "batch_operations, scene_preload or cache_warming";
	const json_t *value = json_object_get(root, "type");

	if (value == NULL)
		return refuse(check, "invalid_type", "/type", "\"type\" is missing: it must be %s",
			      list);
	if (!json_is_string(value))
		return refuse(check, "invalid_type", "/type", "\"type\" must be a string: %s",
			      list);
	if (!jobq_job_type_of(json_string_value(value), json_string_length(value), type))
		return refuse(check, "invalid_type", "/type", "Unknown job type: it must be %s",
			      list);
	return true;
}

bool jobq_job_rules(const char *body, size_t len, const struct jobq_list *allowed,
		    const struct jobq_list *denied, struct jobq_submission *out,
		    struct jobq_refusal *why)
{
	static const char *const members[] = {"type", "parameters", NULL};
	struct check check = {allowed, denied, why};
	json_t *root = parse(&check, body, len), *parameters;
	bool ok = false;

	*out = (struct jobq_submission){0};
	if (root == NULL)
		return false;
	parameters = json_object_get(root, "parameters");
	if (!check_type(&check, root, &out->type) || !only_members(&check, root, "", members))
		goto out;
	if (!json_is_object(parameters)) {
		refuse(&check, "invalid_parameters", "/parameters",
		       "\"parameters\" %s", parameters == NULL ? "is missing: it must be an object"
							       : "must be an object");
		goto out;
	}
	if (!type_checks[out->type](&check, parameters))
		goto out;

	out->parameters = json_dumps(parameters, JSON_COMPACT);
	if (out->parameters == NULL)
		refuse(&check, "out_of_memory", "", "Out of memory; try again later");
	else
		out->parameters_len = strlen(out->parameters);
	ok = out->parameters != NULL;
out:
	json_decref(root);
	return ok;
}
