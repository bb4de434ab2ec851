#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scene/scene.h"

/*
 * The files beside a resource, and project.godot: sections with plain names,
 * values as everywhere. What path.FEATURE= to take depends on the graphics
 * driver; these are what a desktop takes, in its order.
 */
static const char *const paths[] = {"path", "path.s3tc", "path.bptc"};

static bool named(const struct scene_reader *reader, const char *name)
{
	return reader->property_len == strlen(name) &&
	       memcmp(reader->property, name, reader->property_len) == 0;
}

/* Skips `[name]`; says whether the name is `wanted`. False at *good: no end. */
static bool section(struct scene_reader *reader, const char *wanted, bool *good)
{
	struct scene_lexer *lexer = &reader->lexer;
	const char *from = lexer->data + lexer->pos + 1;
	const char *end = memchr(from, ']', lexer->len - lexer->pos - 1);

	*good = end != NULL;
	if (end == NULL) {
		scene_fail(reader, lexer->pos, "this section has no closing bracket");
		return false;
	}
	lexer->pos = (size_t)(end - lexer->data) + 1;
	return (size_t)(end - from) == strlen(wanted) && memcmp(from, wanted, strlen(wanted)) == 0;
}

static struct scene_reader *start(struct scene_arena *arena, const char *data, size_t len)
{
	struct scene_reader *reader = calloc(1, sizeof(*reader));

	if (reader != NULL) {
		reader->lexer = (struct scene_lexer){.data = data, .len = len};
		reader->arena = arena;
	}
	return reader;
}

/* How well a property names the output: the smaller the better, -1 not at all. */
static int rank(const struct scene_reader *reader)
{
	int count = (int)JOBQ_LENGTH(paths);

	for (int i = 0; i < count; i++) {
		if (named(reader, paths[i]))
			return i;
	}
	bool feature = reader->property_len > 5 && memcmp(reader->property, "path.", 5) == 0;
	return feature ? count : -1;
}

/*
 * Reads up to the first section that is not [remap], as Godot does: what is wrong
 * behind that does not matter. `path` is the output or NULL, *keep: the file itself is.
 */
static void remap(struct scene_reader *reader, const char **path, bool *keep)
{
	bool good = true;
	int best = (int)JOBQ_LENGTH(paths) + 1;
	struct scene_value value;

	while (good && reader->error == NULL) {
		enum scene_step step = scene_body_next(reader, &value);
		if (step == SCENE_STEP_TAG && section(reader, "remap", &good))
			continue;
		if (step != SCENE_STEP_PROPERTY)
			return;
		if (value.kind != SCENE_VALUE_STRING)
			continue;
		int this = rank(reader);
		if (this >= 0 && this < best) {
			best = this;
			*path = scene_lexer_text(&value.token, reader->arena);
		}
		if (named(reader, "importer"))
			*keep = value.token.len == 4 && memcmp(value.token.text, "keep", 4) == 0;
	}
}

int scene_read_import(struct scene_arena *arena, const char *data, size_t len,
		      struct scene_reading *out)
{
	struct scene_reader *reader = start(arena, data, len);
	const char *path = NULL;
	bool keep = false;

	*out = (struct scene_reading){.facts = {.kind = JOBQ_SCENE_IMPORT, .format = -1}};
	if (reader == NULL)
		return -ENOMEM;
	remap(reader, &path, &keep);
	if (reader->error != NULL) {
		out->error = reader->error;
		scene_lexer_place(&reader->lexer, reader->error_at, &out->line, &out->column);
	} else if (path != NULL) {
		out->facts.dependencies = scene_arena_get(arena, sizeof(out->facts.dependencies[0]));
		if (out->facts.dependencies != NULL) {
			out->facts.dependencies[0].path = path;
			out->facts.dependency_count = 1;
		}
	} else if (!keep) {
		out->error = "it names no imported file";
		out->line = out->column = 1;
	}
	arena->failed = arena->failed || reader->scratch.failed;
	scene_arena_free(&reader->scratch);
	free(reader);
	return arena->failed ? -ENOMEM : 0;
}

enum scene_engine scene_read_engine(struct scene_arena *arena, const char *data, size_t len)
{
	struct scene_reader *reader = start(arena, data, len);
	struct scene_value value;
	enum scene_engine engine = SCENE_ENGINE_BY_FORMAT;

	/* config_version stands before the first section. */
	while (reader != NULL && scene_body_next(reader, &value) == SCENE_STEP_PROPERTY) {
		if (named(reader, "config_version") && value.kind == SCENE_VALUE_NUMBER &&
		    value.token.len == 1)
			engine = value.token.text[0] < '5' ? SCENE_ENGINE_3 : SCENE_ENGINE_4;
	}
	if (reader != NULL)
		scene_arena_free(&reader->scratch);
	free(reader);
	return engine;
}

unsigned scene_read_minor(const char *data, size_t len)
{
	static const char name[] = "config/features=", version[] = "\"4.";
	const char *at = memmem(data, len, name, sizeof(name) - 1);
	const char *end = at == NULL ? NULL : memchr(at, '\n', len - (size_t)(at - data));
	unsigned minor = 0;

	if (end == NULL)
		return 0;
	at = memmem(at, (size_t)(end - at), version, sizeof(version) - 1);
	if (at == NULL)
		return 0;
	for (at += sizeof(version) - 1; *at >= '0' && *at <= '9' && minor < 1000; at++)
		minor = minor * 10 + (unsigned)(*at - '0');
	return minor;
}
