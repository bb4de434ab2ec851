#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "job/body.h"

bool job_refuse(struct jobq_refusal *why, const char *code, const char *pointer, const char *fmt,
		...)
{
	va_list args;

	why->code = code;
	why->limit = 0;
	snprintf(why->pointer, sizeof(why->pointer), "%s", pointer);
	va_start(args, fmt);
	vsnprintf(why->error, sizeof(why->error), fmt, args);
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

void job_point(char *into, size_t room, const char *pointer, const char *name)
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

bool job_only_members(json_t *object, const char *pointer, const char *const *names,
		      struct jobq_refusal *why)
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
			return job_refuse(why, "unknown_member", pointer, "Unknown member");
		char where[256];
		job_point(where, sizeof(where), pointer, name);
		return job_refuse(why, "unknown_member", where, "Unknown member \"%s\"", name);
	}
	return true;
}

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

json_t *job_parse(const char *body, size_t len, struct jobq_refusal *why)
{
	json_error_t error;

	if (nesting_of(body, len) > JOBQ_NESTING_MAX) {
		job_refuse(why, "invalid_json", "", "The body is nested deeper than %d levels",
			   JOBQ_NESTING_MAX);
		why->limit = JOBQ_NESTING_MAX;
		return NULL;
	}
	json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (root == NULL) {
		/* What the parser quotes may be cut in the middle of a character. */
		char *quote = strstr(error.text, " near '");
		if (quote != NULL)
			*quote = '\0';
		job_refuse(why, "invalid_json", "",
			   "The body is not valid JSON: %s (line %d, column %d)", error.text,
			   error.line, error.column);
	} else if (!json_is_object(root)) {
		job_refuse(why, "invalid_json", "", "The body must be a JSON object");
		json_decref(root);
		root = NULL;
	}
	return root;
}
