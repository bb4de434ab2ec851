#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job/body.h"

/* What the checks of one submission share. */
struct check {
	const struct jobq_list *allowed, *denied;
	struct jobq_refusal *why;
};

static bool check_path(struct check *check, const json_t *value, const char *pointer)
{
	if (!json_is_string(value))
		return job_refuse(check->why, "invalid_parameters", pointer,
				  "A scene path must be a string such as res://levels/main.tscn");
	const char *path = json_string_value(value);
	const char *what = jobq_paths_malformed(path, json_string_length(value));
	if (what != NULL)
		return job_refuse(check->why, "invalid_scene_path", pointer, "The scene path %s",
				  what);
	if (!jobq_paths_match_any(check->allowed, path) ||
	    jobq_paths_match_any(check->denied, path))
		return job_refuse(check->why, "scene_not_whitelisted", pointer,
				  "The scene path is not whitelisted: %s", path);
	return true;
}

/* A non-empty array of at most JOBQ_OPERATIONS_MAX under `name`. */
static bool check_array(struct check *check, const json_t *parameters, const char *name,
			const char *pointer)
{
	const json_t *array = json_object_get(parameters, name);

	if (array == NULL)
		return job_refuse(check->why, "invalid_parameters", pointer, "\"%s\" is missing",
				  name);
	if (!json_is_array(array) || json_array_size(array) == 0)
		return job_refuse(check->why, "invalid_parameters", pointer,
				  "\"%s\" must be an array that is not empty", name);
	if (json_array_size(array) > JOBQ_OPERATIONS_MAX) {
		job_refuse(check->why, "invalid_parameters", pointer,
			   "\"%s\" must have at most %d entries", name, JOBQ_OPERATIONS_MAX);
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
	return job_refuse(check->why, "invalid_parameters", pointer, "%s", sentence);
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
		return job_refuse(check->why, "invalid_parameters", pointer,
				  "An operation must be an object with \"action\" and "
				  "\"scene_path\"");
	if (!job_only_members(operation, pointer, members, check->why))
		return false;
	job_point(where, sizeof(where), pointer, "action");
	if (!check_word(check, json_object_get(operation, "action"), where, actions,
			"\"action\" must be load, validate or get_info"))
		return false;
	job_point(where, sizeof(where), pointer, "scene_path");
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

	if (!job_only_members(parameters, "/parameters", members, check->why) ||
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

	if (!job_only_members(parameters, "/parameters", members, check->why) ||
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

	if (!job_only_members(parameters, "/parameters", members, check->why))
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

static bool check_type(struct check *check, const json_t *root, enum jobq_job_type *type)
{
	const char *list = "batch_operations, scene_preload or cache_warming";
	const json_t *value = json_object_get(root, "type");

	if (value == NULL)
		return job_refuse(check->why, "invalid_type", "/type",
				  "\"type\" is missing: it must be %s", list);
	if (!json_is_string(value))
		return job_refuse(check->why, "invalid_type", "/type",
				  "\"type\" must be a string: %s", list);
	if (!jobq_job_type_of(json_string_value(value), json_string_length(value), type))
		return job_refuse(check->why, "invalid_type", "/type",
				  "Unknown job type: it must be %s", list);
	return true;
}

bool jobq_job_rules(const char *body, size_t len, const struct jobq_list *allowed,
		    const struct jobq_list *denied, struct jobq_submission *out,
		    struct jobq_refusal *why)
{
	static const char *const members[] = {"type", "parameters", NULL};
	struct check check = {allowed, denied, why};
	json_t *root = job_parse(body, len, why), *parameters;
	bool ok = false;

	*out = (struct jobq_submission){0};
	if (root == NULL)
		return false;
	parameters = json_object_get(root, "parameters");
	if (!check_type(&check, root, &out->type) || !job_only_members(root, "", members, why))
		goto out;
	if (!json_is_object(parameters)) {
		job_refuse(why, "invalid_parameters", "/parameters",
			   parameters == NULL
				   ? "\"parameters\" is missing: it must be an object"
				   : "\"parameters\" must be an object");
		goto out;
	}
	if (!type_checks[out->type](&check, parameters))
		goto out;

	out->parameters = json_dumps(parameters, JSON_COMPACT);
	if (out->parameters == NULL)
		job_refuse(why, "out_of_memory", "", "Out of memory; try again later");
	else
		out->parameters_len = strlen(out->parameters);
	ok = out->parameters != NULL;
out:
	json_decref(root);
	return ok;
}
