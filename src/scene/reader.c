#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene/scene.h"

/* The newest format that each engine takes. */
#define FORMAT_MAX_3 2
#define FORMAT_MAX_4 4
#define LEN_MAX 0x3fffffff /* of a text that is kept; a file is shorter */

/*
 * A field as Godot turns it into text: null, true and false have names. Numbers and
 * containers stay as they are written, where Godot prints them anew.
 * NULL when it is absent, or out of memory.
 */
static const char *text_of(const struct scene_reader *reader, struct scene_arena *arena,
			   enum scene_field field)
{
	const struct scene_value *value = &reader->tag.fields[field];

	switch (value->kind) {
	case SCENE_VALUE_ABSENT:
		return NULL;
	case SCENE_VALUE_NULL:
		return "Null";
	case SCENE_VALUE_BOOL:
		return value->token.text[0] == 't' ? "True" : "False";
	default:
		return scene_lexer_text(&value->token, arena);
	}
}

static int64_t number_of(const struct scene_reader *reader, enum scene_field field)
{
	return scene_value_number(&reader->tag.fields[field]);
}

static bool has(const struct scene_reader *reader, enum scene_field field)
{
	return reader->tag.fields[field].kind != SCENE_VALUE_ABSENT;
}

static bool need(struct scene_reader *reader, const char *tag, const enum scene_field *fields,
		 size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!has(reader, fields[i]))
			return scene_fail(reader, reader->tag.at,
					  scene_arena_print(reader->arena, "this %s has no `%s`",
							    tag, scene_field_name(fields[i])));
	}
	return true;
}

/* The next tag where only a tag may stand. True also at the end, with *end set. */
static bool tag_or_end(struct scene_reader *reader, bool *end)
{
	enum scene_step step = scene_tag_next(reader);

	*end = step == SCENE_STEP_END;
	return step != SCENE_STEP_FAILED;
}

/*
 * Reads properties up to the next tag, which is left in reader->tag. A
 * property without a name ends the body as well, and the tag that began it
 * then counts once more: so Godot does it.
 */
static bool body(struct scene_reader *reader, bool *end)
{
	struct scene_value value;

	for (;;) {
		switch (scene_body_next(reader, &value)) {
		case SCENE_STEP_PROPERTY:
			if (reader->property_len > 0)
				break;
			*end = false;
			return true;
		case SCENE_STEP_TAG:
			return tag_or_end(reader, end);
		case SCENE_STEP_END:
			*end = true;
			return true;
		default:
			return false;
		}
	}
}

/* *class is the header's `type`, which a gd_resource has. */
static bool header(struct scene_reader *reader, struct jobq_scene_facts *facts, const char **class)
{
	bool end;

	if (reader->lexer.len >= 3 && memcmp(reader->lexer.data, "\xef\xbb\xbf", 3) == 0)
		return scene_fail(reader, 0, "the file begins with a byte order mark");
	if (!tag_or_end(reader, &end))
		return false;
	if (end)
		return scene_fail(reader, 0, "the file is empty");
	facts->kind = scene_tag_is(&reader->tag, "gd_scene") ? JOBQ_SCENE_SCENE
							     : JOBQ_SCENE_RESOURCE;
	if (facts->kind == JOBQ_SCENE_RESOURCE && !scene_tag_is(&reader->tag, "gd_resource"))
		return scene_fail(reader, reader->tag.at,
				  "the file begins with neither gd_scene nor gd_resource");
	static const enum scene_field fields[] = {SCENE_FIELD_TYPE};
	if (facts->kind == JOBQ_SCENE_RESOURCE && !need(reader, "gd_resource", fields, 1))
		return false;
	if (has(reader, SCENE_FIELD_FORMAT))
		facts->format = number_of(reader, SCENE_FIELD_FORMAT);
	if (has(reader, SCENE_FIELD_LOAD_STEPS))
		reader->load_steps = number_of(reader, SCENE_FIELD_LOAD_STEPS);
	facts->uid = text_of(reader, reader->arena, SCENE_FIELD_UID);
	*class = text_of(reader, &reader->scratch, SCENE_FIELD_TYPE);
	if (reader->engine == SCENE_ENGINE_BY_FORMAT)
		reader->engine = facts->format < 0 || facts->format > FORMAT_MAX_3 ? SCENE_ENGINE_4
										   : SCENE_ENGINE_3;
	reader->lexer.godot3 = reader->engine == SCENE_ENGINE_3;
	int64_t newest = reader->lexer.godot3 ? FORMAT_MAX_3 : FORMAT_MAX_4;
	if (facts->format > newest)
		return scene_fail(reader, reader->tag.at,
				  "the file was saved with a newer format than this project's engine");
	if (!tag_or_end(reader, &end))
		return false;
	return !end || scene_fail(reader, reader->lexer.pos, "nothing follows the header");
}

/* ---- texts that are kept ------------------------------------------------------ */

static bool keep_copy(struct scene_reader *reader, const char *text, struct scene_span *span)
{
	if (text == NULL)
		return false;
	*span = (struct scene_span){.at = (uint32_t)reader->copies.count,
				    .len = strlen(text) & LEN_MAX,
				    .copied = 1};
	scene_arena_add_text(&reader->scratch, &reader->copies, text);
	return !reader->scratch.failed;
}

/* Keeps a field's text. False: out of memory. */
static bool keep(struct scene_reader *reader, enum scene_field field, struct scene_span *span)
{
	const struct scene_value *value = &reader->tag.fields[field];
	const struct scene_token *token = &value->token;
	bool plain = value->kind != SCENE_VALUE_NULL && value->kind != SCENE_VALUE_BOOL &&
		     value->kind != SCENE_VALUE_OTHER && !token->escaped;

	for (size_t i = 0; i < token->len && plain; i++)
		plain = (unsigned char)token->text[i] < 0x80;
	if (!plain)
		return keep_copy(reader, text_of(reader, &reader->scratch, field), span);
	*span = (struct scene_span){.at = (uint32_t)scene_place(reader, token),
				    .len = token->len & LEN_MAX};
	return true;
}

/* The same of an id, which in Godot 3 is a whole number, however it is written. */
static bool keep_id(struct scene_reader *reader, struct scene_span *span)
{
	const struct scene_token *token = &reader->tag.fields[SCENE_FIELD_ID].token;
	char number[24];

	if (!reader->lexer.godot3)
		return keep(reader, SCENE_FIELD_ID, span);
	int len = snprintf(number, sizeof(number), "%lld",
			   (long long)number_of(reader, SCENE_FIELD_ID));
	if (token->len == (size_t)len && memcmp(token->text, number, token->len) == 0)
		return keep(reader, SCENE_FIELD_ID, span);
	return keep_copy(reader, scene_arena_copy(&reader->scratch, number, (size_t)len), span);
}

/* A field's text for the facts: `before`, where that is the same. */
static const char *fact(struct scene_reader *reader, enum scene_field field, const char *before)
{
	struct scene_span span;

	if (!has(reader, field) || !keep(reader, field, &span))
		return NULL;
	struct scene_text text = scene_text_of(reader, span);
	if (before != NULL && strlen(before) == text.len && memcmp(before, text.at, text.len) == 0)
		return before;
	return scene_arena_copy(reader->arena, text.at, text.len);
}

/* ---- resources ---------------------------------------------------------------- */

static struct scene_key key_of_ext(const void *reader, uint32_t number)
{
	const struct scene_reader *of = reader;

	return (struct scene_key){.name = scene_text_of(of, of->exts[number])};
}

static struct scene_key key_of_sub(const void *reader, uint32_t number)
{
	const struct scene_reader *of = reader;

	return (struct scene_key){.name = scene_text_of(of, of->subs[number].id)};
}

/* Notes an id; of one given twice the later definition counts. */
static bool define(struct scene_reader *reader, struct scene_map *ids, struct scene_span id,
		   size_t index)
{
	struct scene_key key = {.name = scene_text_of(reader, id)};
	uint32_t *number = scene_map_add(ids, &reader->scratch, &key, (uint32_t)index);

	if (number != NULL)
		*number = (uint32_t)index;
	return number != NULL;
}

static bool external(struct scene_reader *reader)
{
	static const enum scene_field fields[] = {SCENE_FIELD_PATH, SCENE_FIELD_TYPE, SCENE_FIELD_ID};
	struct jobq_scene_dependency none = {0};

	if (!need(reader, "ext_resource", fields, JOBQ_LENGTH(fields)))
		return false;
	size_t index = reader->ext_count;
	struct scene_span *exts =
		scene_arena_grow(&reader->scratch, reader->exts, index, sizeof(exts[0]));
	struct jobq_scene_dependency *all =
		scene_arena_grow(reader->arena, reader->dependencies, index, sizeof(all[0]));
	if (exts == NULL || all == NULL)
		return false;
	reader->exts = exts;
	reader->dependencies = all;
	/* Many are of the same type as the one before. */
	const struct jobq_scene_dependency *before = index == 0 ? &none : &all[index - 1];
	all[index] = (struct jobq_scene_dependency){
		.path = fact(reader, SCENE_FIELD_PATH, before->path),
		.type = fact(reader, SCENE_FIELD_TYPE, before->type),
		.uid = reader->lexer.godot3 ? NULL : fact(reader, SCENE_FIELD_UID, before->uid),
		.line = scene_line(reader, reader->tag.at)};
	if (all[index].path == NULL || all[index].type == NULL || !keep_id(reader, &exts[index]))
		return false;
	if (all[index].uid == NULL && !reader->lexer.godot3 &&
	    strncmp(all[index].path, "uid://", 6) == 0)
		all[index].uid = all[index].path;
	return define(reader, &reader->ext_ids, exts[index], reader->ext_count++);
}

static bool internal(struct scene_reader *reader)
{
	static const enum scene_field fields[] = {SCENE_FIELD_TYPE, SCENE_FIELD_ID};
	bool end;

	if (!need(reader, "sub_resource", fields, JOBQ_LENGTH(fields)))
		return false;
	struct scene_sub *subs = scene_arena_grow(&reader->scratch, reader->subs,
						  reader->sub_count, sizeof(subs[0]));
	if (subs == NULL)
		return false;
	reader->subs = subs;
	struct scene_sub *sub = &subs[reader->sub_count];
	*sub = (struct scene_sub){.line = scene_line(reader, reader->tag.at)};
	if (!keep_id(reader, &sub->id) || !keep(reader, SCENE_FIELD_TYPE, &sub->type) ||
	    !scene_class_check(reader, scene_text_of(reader, sub->type), reader->tag.at, false) ||
	    !define(reader, &reader->sub_ids, sub->id, reader->sub_count++) || !body(reader, &end))
		return false;
	return !end || scene_fail(reader, reader->lexer.pos,
				  "the file ends within a sub_resource");
}

/* The ext_resource and sub_resource tags; Godot 3 lets them alternate. */
static bool resources(struct scene_reader *reader)
{
	for (;;) {
		bool end = false;
		if (scene_tag_is(&reader->tag, "ext_resource") &&
		    (reader->sub_count == 0 || reader->lexer.godot3)) {
			if (!external(reader) || !tag_or_end(reader, &end))
				return false;
		} else if (scene_tag_is(&reader->tag, "sub_resource")) {
			if (!internal(reader))
				return false;
		} else {
			return true;
		}
		if (end)
			return scene_fail(reader, reader->lexer.pos,
					  "the file ends before its first node or resource");
	}
}

static bool collect(struct scene_reader *reader)
{
	const struct scene_value *fields = reader->tag.fields;
	bool scene = fields[SCENE_FIELD_INSTANCE].scene; /* false without the field */
	struct scene_node *nodes = scene_arena_grow(&reader->scratch, reader->nodes,
						    reader->node_count, sizeof(nodes[0]));

	if (nodes == NULL)
		return false;
	reader->nodes = nodes;
	struct scene_node *node = &nodes[reader->node_count];
	*node = (struct scene_node){
		.line = scene_line(reader, reader->tag.at),
		.has_parent = has(reader, SCENE_FIELD_PARENT),
		.has_owner = has(reader, SCENE_FIELD_OWNER),
		.typed = fields[SCENE_FIELD_TYPE].token.len > 0,
		.instanced = has(reader, SCENE_FIELD_INSTANCE) ||
			     has(reader, SCENE_FIELD_PLACEHOLDER),
		.no_scene = has(reader, SCENE_FIELD_INSTANCE) && !scene &&
			    !has(reader, SCENE_FIELD_PLACEHOLDER),
	};
	return keep(reader, SCENE_FIELD_NAME, &node->name) &&
	       (!node->has_parent || keep(reader, SCENE_FIELD_PARENT, &node->parent));
}

/*
 * Whether Godot makes a path of the text: it makes none of an empty one, of a lone
 * colon, or of one with nothing between two colons.
 */
static bool is_node_path(const struct scene_value *value)
{
	const struct scene_token *token = &value->token;

	if ((value->kind != SCENE_VALUE_STRING && value->kind != SCENE_VALUE_PATH) ||
	    token->len == 0 || (token->len == 1 && token->text[0] == ':'))
		return false;
	return memmem(token->text, token->len, "::", 2) == NULL;
}

/* What would crash the engine later is refused here. */
static bool node(struct scene_reader *reader, struct jobq_scene_facts *facts, bool *end)
{
	bool root = reader->node_count == 0;

	if (!has(reader, SCENE_FIELD_NAME))
		return scene_fail(reader, reader->tag.at, "this node has no `name`");
	if (reader->node_count == JOBQ_SCENE_NODES_MAX)
		return scene_fail(reader, reader->tag.at, "the scene has more than 2000000 nodes");
	if (has(reader, SCENE_FIELD_PARENT) &&
	    !is_node_path(&reader->tag.fields[SCENE_FIELD_PARENT]))
		return scene_fail(reader, reader->tag.at, "this node's `parent` is no path");
	if (root && has(reader, SCENE_FIELD_PLACEHOLDER))
		return scene_fail(reader, reader->tag.at,
				  "an instance_placeholder cannot be the root");
	if (root) {
		facts->root_name = text_of(reader, reader->arena, SCENE_FIELD_NAME);
		facts->root_type = has(reader, SCENE_FIELD_TYPE)
					   ? text_of(reader, reader->arena, SCENE_FIELD_TYPE) : "";
	}
	if (reader->collect && !collect(reader))
		return false;
	facts->node_count = ++reader->node_count;
	return body(reader, end);
}

static bool nodes(struct scene_reader *reader, struct jobq_scene_facts *facts)
{
	static const enum scene_field fields[] = {SCENE_FIELD_FROM, SCENE_FIELD_TO,
						  SCENE_FIELD_SIGNAL, SCENE_FIELD_METHOD};
	static const enum scene_field editable[] = {SCENE_FIELD_PATH};
	bool end = false;

	if (!scene_tag_is(&reader->tag, "node"))
		return scene_fail(reader, reader->tag.at, "a scene's first node is expected here");
	while (!end) {
		if (scene_tag_is(&reader->tag, "node")) {
			if (!node(reader, facts, &end))
				return false;
			continue;
		}
		if (scene_tag_is(&reader->tag, "connection")) {
			if (!need(reader, "connection", fields, JOBQ_LENGTH(fields)))
				return false;
		} else if (scene_tag_is(&reader->tag, "editable")) {
			if (!need(reader, "editable", editable, 1))
				return false;
		} else {
			return scene_fail(reader, reader->tag.at,
					  "no such tag may stand behind a node");
		}
		if (!tag_or_end(reader, &end))
			return false;
	}
	return true;
}

/* The main resource, an object of the class that the header names. */
static bool resource(struct scene_reader *reader, const char *class)
{
	struct scene_value value;
	enum scene_step step;

	if (!scene_tag_is(&reader->tag, "resource"))
		return scene_fail(reader, reader->tag.at, "the resource tag is expected here");
	if (class == NULL || !scene_class_check(reader, (struct scene_text){class, strlen(class)},
						reader->tag.at, false))
		return false;
	do
		step = scene_body_next(reader, &value);
	while (step == SCENE_STEP_PROPERTY && reader->property_len > 0);
	if (step == SCENE_STEP_PROPERTY)
		return scene_fail(reader, reader->lexer.pos, "a value stands here without a name");
	if (step == SCENE_STEP_TAG)
		return scene_fail(reader, reader->lexer.pos, "a tag follows the main resource");
	return step == SCENE_STEP_END;
}

/* The ext_resources first, then what values need. */
static void depend(struct scene_reader *reader, struct jobq_scene_facts *facts)
{
	facts->dependencies = reader->dependencies;
	facts->dependency_count = reader->ext_count;
	for (size_t i = 0; i < reader->inlined_count; i++) {
		struct jobq_scene_dependency *all =
			scene_arena_grow(reader->arena, facts->dependencies,
					 facts->dependency_count, sizeof(all[0]));
		if (all == NULL)
			return;
		facts->dependencies = all;
		all[facts->dependency_count++] = reader->inlined[i];
	}
}

int scene_read(struct scene_arena *arena, const char *data, size_t len, enum scene_engine engine,
	       bool validate, struct scene_reading *out)
{
	struct scene_reader *reader = malloc(sizeof(*reader));
	const char *class = NULL;

	*out = (struct scene_reading){.facts = {.format = -1}};
	if (reader == NULL)
		return -ENOMEM;
	/* All but the stack, which is written before it is read. */
	memset(reader, 0, offsetof(struct scene_reader, stack));
	reader->lexer = (struct scene_lexer){.data = data, .len = len,
					     .godot3 = engine == SCENE_ENGINE_3};
	reader->arena = arena;
	reader->ext_ids = (struct scene_map){.key_of = key_of_ext, .owner = reader};
	reader->sub_ids = (struct scene_map){.key_of = key_of_sub, .owner = reader};
	reader->engine = engine;
	reader->collect = validate;
	reader->load_steps = -1;
	bool good = header(reader, &out->facts, &class) && resources(reader) &&
		    (out->facts.kind == JOBQ_SCENE_SCENE ? nodes(reader, &out->facts)
							 : resource(reader, class));
	depend(reader, &out->facts);
	if (!good && reader->error != NULL) {
		out->error = reader->error;
		scene_lexer_place(&reader->lexer, reader->error_at, &out->line, &out->column);
	} else if (good && validate) {
		scene_validate(reader, out);
	}
	if (reader->unknown != NULL) {
		out->unknown = reader->unknown;
		scene_lexer_place(&reader->lexer, reader->unknown_at, &out->unknown_line,
				  &out->unknown_column);
	}
	arena->failed = arena->failed || reader->scratch.failed;
	scene_arena_free(&reader->scratch);
	free(reader);
	return arena->failed ? -ENOMEM : 0;
}
