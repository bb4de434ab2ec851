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

static bool check_path(struct check *check, json_t *value, const char *pointer)
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

/* Whether a string is one of the words, of which the first `count` are there. */
static bool check_word(struct check *check, const json_t *value, const char *pointer,
		       const char *name, const char *const *words, size_t count)
{
	char choice[128];

	for (size_t i = 0; json_is_string(value) && i < count; i++)
		if (json_string_length(value) == strlen(words[i]) &&
		    strcmp(json_string_value(value), words[i]) == 0)
			return true;
	jobq_text_choice(choice, sizeof(choice), words, count);
	return job_refuse(check->why, "invalid_parameters", pointer, "\"%s\" must be %s", name,
			  choice);
}

static const char *const actions[] = {"load", "validate", "get_info"};

bool jobq_job_is_action(const char *word)
{
	for (size_t i = 0; i < JOBQ_LENGTH(actions); i++)
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
	if (!check_word(check, json_object_get(operation, "action"), where, "action", actions,
			JOBQ_LENGTH(actions)))
		return false;
	job_point(where, sizeof(where), pointer, "scene_path");
	return check_path(check, json_object_get(operation, "scene_path"), where);
}

/* ---- the parameters of each type ------------------------------------------- */

#define PARAMETERS_MAX 8
#define WORDS_MAX 8

/* What a type says of one parameter: a list of steps, or a word. */
struct parameter {
	const char *name; /* NULL: none */
	bool (*check_step)(struct check *check, json_t *step, const char *pointer);
	const char *result; /* of a list: as struct jobq_job_steps has it */
	const char *words[WORDS_MAX];
};
#define SCENE_PATHS(name) {name, check_path, "scenes", {NULL}}
#define OPERATIONS(name) {name, check_operation, "operations", {NULL}}
#define WORD(name, ...) {name, NULL, NULL, {__VA_ARGS__}}

static const struct parameter type_parameters[JOBQ_TYPES][PARAMETERS_MAX] = {
#define X(upper, lower, ...) {__VA_ARGS__},
	JOBQ_JOB_TYPES(X)
#undef X
};

/* An array that is not empty, of at most JOBQ_OPERATIONS_MAX. */
static bool check_array(struct check *check, const json_t *array, const char *name,
			const char *pointer)
{
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

/* All but the steps, which are many. */
static bool check_parameter(struct check *check, const struct parameter *parameter,
			    const json_t *value)
{
	char pointer[64];
	size_t words = 0;

	job_point(pointer, sizeof(pointer), "/parameters", parameter->name);
	if (parameter->check_step != NULL)
		return check_array(check, value, parameter->name, pointer);
	while (words < WORDS_MAX && parameter->words[words] != NULL)
		words++;
	return value == NULL ||
	       check_word(check, value, pointer, parameter->name, parameter->words, words);
}

static bool check_steps(struct check *check, const struct parameter *parameter, json_t *steps)
{
	char pointer[96];
	json_t *step;
	size_t i;

	json_array_foreach(steps, i, step) {
		snprintf(pointer, sizeof(pointer), "/parameters/%s/%zu", parameter->name, i);
		if (!parameter->check_step(check, step, pointer))
			return false;
	}
	return true;
}

static bool check_parameters(struct check *check, enum jobq_job_type type, json_t *parameters)
{
	const struct parameter *all = type_parameters[type];
	const char *names[PARAMETERS_MAX + 1];
	size_t count = 0;

	while (count < PARAMETERS_MAX && all[count].name != NULL) {
		names[count] = all[count].name;
		count++;
	}
	names[count] = NULL;
	if (!job_only_members(parameters, "/parameters", names, check->why))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!check_parameter(check, &all[i], json_object_get(parameters, names[i])))
			return false;
	for (size_t i = 0; i < count; i++)
		if (all[i].check_step != NULL &&
		    !check_steps(check, &all[i], json_object_get(parameters, names[i])))
			return false;
	return true;
}

struct jobq_job_steps jobq_job_steps(enum jobq_job_type type)
{
	for (size_t i = 0; (unsigned)type < JOBQ_TYPES && i < PARAMETERS_MAX; i++) {
		const struct parameter *parameter = &type_parameters[type][i];
		if (parameter->check_step != NULL)
			return (struct jobq_job_steps){parameter->name, parameter->result};
	}
	return (struct jobq_job_steps){NULL, NULL};
}

static bool check_type(struct check *check, const json_t *root, enum jobq_job_type *type)
{
	const json_t *value = json_object_get(root, "type");
	char choice[JOBQ_TYPE_CHOICE];
	const char *list = jobq_job_type_choice(choice);

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

/* ---- what any type may have ------------------------------------------------ */

static bool check_priority(const json_t *value, int *priority, struct jobq_refusal *why)
{
	*priority = 0;
	if (value == NULL)
		return true;
	json_int_t number = json_is_integer(value) ? json_integer_value(value) : INT64_MAX;
	if (number < -JOBQ_PRIORITY_MAX || number > JOBQ_PRIORITY_MAX)
		return job_refuse(why, "invalid_priority", "/priority",
				  "\"priority\" must be a whole number from %d to %d",
				  -JOBQ_PRIORITY_MAX, JOBQ_PRIORITY_MAX);
	*priority = (int)number;
	return true;
}

bool jobq_job_is_label(const char *text, size_t len)
{
	static const char marks[] = "._/-";

	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!letter && !(c >= '0' && c <= '9') && (c == '\0' || strchr(marks, c) == NULL))
			return false;
	}
	return len >= 1 && len <= JOBQ_LABEL_MAX;
}

bool jobq_job_is_key(const char *text)
{
	size_t len = 0;

	while (text[len] >= 0x20 && text[len] < 0x7f)
		len++;
	return text[len] == '\0' && len >= 1 && len <= JOBQ_KEY_MAX;
}

static bool check_label(const char *name, const json_t *value, struct jobq_refusal *why)
{
	char where[sizeof(why->pointer)];

	job_point(where, sizeof(where), "/labels", name);
	if (jobq_job_is_label(name, strlen(name)) && json_is_string(value) &&
	    jobq_job_is_label(json_string_value(value), json_string_length(value)))
		return true;
	return job_refuse(why, "invalid_labels", where,
			  "Names and values of labels must be 1 to %d of A-Z a-z 0-9 . _ / -",
			  JOBQ_LABEL_MAX);
}

/* False: refused. *text stays NULL when there are none. */
static bool check_labels(json_t *value, char **text, struct jobq_refusal *why)
{
	const char *name;
	json_t *one;

	if (value == NULL || (json_is_object(value) && json_object_size(value) == 0))
		return true;
	if (!json_is_object(value))
		return job_refuse(why, "invalid_labels", "/labels",
				  "\"labels\" must be an object of strings");
	if (json_object_size(value) > JOBQ_LABELS_MAX) {
		job_refuse(why, "invalid_labels", "/labels", "A job has at most %d labels",
			   JOBQ_LABELS_MAX);
		why->limit = JOBQ_LABELS_MAX;
		return false;
	}
	json_object_foreach(value, name, one)
		if (!check_label(name, one, why))
			return false;
	*text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
	return *text != NULL ||
	       job_refuse(why, "out_of_memory", "", "Out of memory; try again later");
}

void jobq_submission_free(struct jobq_submission *submission)
{
	free(submission->parameters);
	free(submission->labels);
	*submission = (struct jobq_submission){0};
}

bool jobq_job_rules(const char *body, size_t len, const struct jobq_list *allowed,
		    const struct jobq_list *denied, struct jobq_submission *out,
		    struct jobq_refusal *why)
{
	static const char *const members[] = {"type", "parameters", "priority", "labels", NULL};
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
	if (!check_parameters(&check, out->type, parameters) ||
	    !check_priority(json_object_get(root, "priority"), &out->priority, why) ||
	    !check_labels(json_object_get(root, "labels"), &out->labels, why))
		goto out;

	out->parameters = json_dumps(parameters, JSON_COMPACT);
	if (out->parameters == NULL)
		job_refuse(why, "out_of_memory", "", "Out of memory; try again later");
	else
		out->parameters_len = strlen(out->parameters);
	ok = out->parameters != NULL;
out:
	if (!ok)
		jobq_submission_free(out);
	json_decref(root);
	return ok;
}

bool jobq_job_retry_rules(const char *body, size_t len, bool *failed_only,
			  struct jobq_refusal *why)
{
	static const char *const members[] = {"only", NULL};
	json_t *root = job_parse(body, len, why);

	if (root == NULL)
		return false;
	const json_t *only = json_object_get(root, "only");
	*failed_only = only != NULL;
	bool ok = job_only_members(root, "", members, why);
	if (ok && only != NULL &&
	    (!json_is_string(only) || strcmp(json_string_value(only), "failed") != 0))
		ok = job_refuse(why, "invalid_only", "/only", "\"only\" can be failed, nothing else");
	json_decref(root);
	return ok;
}
