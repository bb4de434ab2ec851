#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "scene/scene.h"

/* The newest format that each engine takes. */
#define FORMAT_MAX_3 2
#define FORMAT_MAX_4 4

/*
 * A field as Godot turns it into text: numbers are printed, null has a name.
 * NULL when it is absent, or out of memory.
 */
static const char *text_of(struct scene_reader *reader, enum scene_field field)
{
	const struct scene_value *value = &reader->tag.fields[field];

	switch (value->kind) {
	case SCENE_VALUE_ABSENT:
		return NULL;
	case SCENE_VALUE_NULL:
		return "Null";
	case SCENE_VALUE_OTHER:
		return "";
	default:
		return scene_lexer_text(&value->token, reader->arena);
	}
}

/* A field as a whole number: of text the digits in it, of other things 0. */
static int64_t number_of(const struct scene_reader *reader, enum scene_field field)
{
	const struct scene_value *value = &reader->tag.fields[field];
	int64_t number = 0;
	bool below = false;

	if (value->kind != SCENE_VALUE_NUMBER && value->kind != SCENE_VALUE_STRING)
		return 0;
	for (size_t i = 0; i < value->token.len; i++) {
		char c = value->token.text[i];
		if (c == '.' || c == 'e')
			break;
		if (c == '-')
			below = true;
		else if (c >= '0' && c <= '9' && number < INT64_MAX / 16)
			number = number * 10 + (c - '0');
	}
	return below ? -number : number;
}

/* An id: of Godot 3 a whole number, however it is written. */
static const char *id_of(struct scene_reader *reader)
{
	if (!reader->lexer.godot3)
		return text_of(reader, SCENE_FIELD_ID);
	return scene_arena_print(reader->arena, "%lld",
				 (long long)number_of(reader, SCENE_FIELD_ID));
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

static bool header(struct scene_reader *reader, struct jobq_scene_facts *facts)
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
	facts->uid = text_of(reader, SCENE_FIELD_UID);
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

/* Notes an id; of one given twice the later definition counts. */
static bool define(struct scene_reader *reader, struct scene_map *ids, const char *id, size_t index)
{
	if (id == NULL)
		return false;
	struct scene_key key = {.name = id, .name_len = strlen(id)};
	uint32_t *number = scene_map_add(ids, reader->arena, &key, 0);
	if (number != NULL)
		*number = (uint32_t)index;
	return number != NULL;
}

static bool external(struct scene_reader *reader)
{
	static const enum scene_field fields[] = {SCENE_FIELD_PATH, SCENE_FIELD_TYPE, SCENE_FIELD_ID};

	if (!need(reader, "ext_resource", fields, JOBQ_LENGTH(fields)))
		return false;
	struct scene_ext *exts = scene_arena_grow(reader->arena, reader->exts, reader->ext_count,
						  sizeof(exts[0]));
	if (exts == NULL)
		return false;
	reader->exts = exts;
	struct scene_ext *ext = &exts[reader->ext_count];
	*ext = (struct scene_ext){0};
	ext->id = id_of(reader);
	ext->dependency.path = text_of(reader, SCENE_FIELD_PATH);
	ext->dependency.type = text_of(reader, SCENE_FIELD_TYPE);
	if (!reader->lexer.godot3)
		ext->dependency.uid = text_of(reader, SCENE_FIELD_UID);
	if (ext->dependency.uid == NULL && ext->dependency.path != NULL &&
	    strncmp(ext->dependency.path, "uid://", 6) == 0 && !reader->lexer.godot3)
		ext->dependency.uid = ext->dependency.path;
	ext->dependency.line = scene_line(reader, reader->tag.at);
	return define(reader, &reader->ext_ids, ext->id, reader->ext_count++);
}

static bool internal(struct scene_reader *reader)
{
	static const enum scene_field fields[] = {SCENE_FIELD_TYPE, SCENE_FIELD_ID};
	bool end;

	if (!need(reader, "sub_resource", fields, JOBQ_LENGTH(fields)))
		return false;
	struct scene_sub *subs = scene_arena_grow(reader->arena, reader->subs, reader->sub_count,
						  sizeof(subs[0]));
	if (subs == NULL)
		return false;
	reader->subs = subs;
	struct scene_sub *sub = &subs[reader->sub_count];
	*sub = (struct scene_sub){0};
	sub->id = id_of(reader);
	sub->type = text_of(reader, SCENE_FIELD_TYPE);
	sub->line = scene_line(reader, reader->tag.at);
	if (sub->type == NULL || !scene_class_check(reader, sub->type, reader->tag.at, false) ||
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

/* Keeps a text of a node. False: out of memory. */
static bool keep_text(struct scene_reader *reader, enum scene_field field, uint32_t *at,
		      uint32_t *len, bool *copied)
{
	const struct scene_token *token = &reader->tag.fields[field].token;
	enum scene_value_kind kind = reader->tag.fields[field].kind;
	bool plain = (kind == SCENE_VALUE_STRING || kind == SCENE_VALUE_PATH) && !token->escaped;

	for (size_t i = 0; i < token->len && plain; i++)
		plain = (unsigned char)token->text[i] < 0x80;
	*copied = !plain;
	if (plain) {
		*at = (uint32_t)scene_place(reader, token);
		*len = (uint32_t)token->len;
		return true;
	}
	const char *text = text_of(reader, field);
	*at = (uint32_t)reader->copies.count;
	*len = text == NULL ? 0 : (uint32_t)strlen(text);
	if (text != NULL)
		scene_arena_add_text(reader->arena, &reader->copies, text);
	return !reader->arena->failed;
}

static bool collect(struct scene_reader *reader)
{
	const struct scene_value *fields = reader->tag.fields;
	enum scene_value_kind instance = fields[SCENE_FIELD_INSTANCE].kind;
	bool name_copied, parent_copied = false;

	if (reader->node_count == reader->node_room) {
		size_t room = reader->node_room == 0 ? 16 : reader->node_room * 2;
		struct scene_node *wider = realloc(reader->nodes, room * sizeof(wider[0]));
		if (wider == NULL) {
			reader->arena->failed = true;
			return false;
		}
		scene_arena_huge(wider, room * sizeof(wider[0]));
		reader->nodes = wider;
		reader->node_room = room;
	}
	struct scene_node *node = &reader->nodes[reader->node_count];
	*node = (struct scene_node){
		.line = scene_line(reader, reader->tag.at),
		.has_parent = has(reader, SCENE_FIELD_PARENT),
		.typed = has(reader, SCENE_FIELD_TYPE) &&
			 fields[SCENE_FIELD_TYPE].kind != SCENE_VALUE_OTHER &&
			 fields[SCENE_FIELD_TYPE].token.len > 0,
		.instanced = has(reader, SCENE_FIELD_INSTANCE) ||
			     has(reader, SCENE_FIELD_PLACEHOLDER),
		.base = instance == SCENE_VALUE_EXT || instance == SCENE_VALUE_SUB,
	};
	bool good = keep_text(reader, SCENE_FIELD_NAME, &node->name_at, &node->name_len,
			      &name_copied);
	if (good && node->has_parent)
		good = keep_text(reader, SCENE_FIELD_PARENT, &node->parent_at, &node->parent_len,
				 &parent_copied);
	node->name_copied = name_copied;
	node->parent_copied = parent_copied;
	return good;
}

/* What would crash the engine later is refused here. */
static bool node(struct scene_reader *reader, struct jobq_scene_facts *facts, bool *end)
{
	const struct scene_value *parent = &reader->tag.fields[SCENE_FIELD_PARENT];
	bool root = reader->node_count == 0;

	if (!has(reader, SCENE_FIELD_NAME))
		return scene_fail(reader, reader->tag.at, "this node has no `name`");
	if (reader->node_count == JOBQ_SCENE_NODES_MAX)
		return scene_fail(reader, reader->tag.at, "the scene has more than 2000000 nodes");
	if (has(reader, SCENE_FIELD_PARENT) &&
	    ((parent->kind != SCENE_VALUE_STRING && parent->kind != SCENE_VALUE_PATH) ||
	     parent->token.len == 0))
		return scene_fail(reader, reader->tag.at, "this node's `parent` is no path");
	if (root && has(reader, SCENE_FIELD_PLACEHOLDER))
		return scene_fail(reader, reader->tag.at,
				  "an instance_placeholder cannot be the root");
	if (root) {
		facts->root_name = text_of(reader, SCENE_FIELD_NAME);
		facts->root_type = has(reader, SCENE_FIELD_TYPE)
					   ? text_of(reader, SCENE_FIELD_TYPE) : "";
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

static bool resource(struct scene_reader *reader)
{
	struct scene_value value;
	enum scene_step step;

	if (!scene_tag_is(&reader->tag, "resource"))
		return scene_fail(reader, reader->tag.at, "the resource tag is expected here");
	do
		step = scene_body_next(reader, &value);
	while (step == SCENE_STEP_PROPERTY);
	if (step == SCENE_STEP_TAG)
		return scene_fail(reader, reader->lexer.pos, "a tag follows the main resource");
	return step == SCENE_STEP_END;
}

static void depend(struct scene_reader *reader, struct jobq_scene_facts *facts)
{
	size_t count = reader->ext_count + reader->inlined_count;
	struct jobq_scene_dependency *all = scene_arena_get(reader->arena, count * sizeof(all[0]));

	if (all == NULL)
		return;
	for (size_t i = 0; i < reader->ext_count; i++)
		all[i] = reader->exts[i].dependency;
	if (reader->inlined_count > 0)
		memcpy(all + reader->ext_count, reader->inlined,
		       reader->inlined_count * sizeof(all[0]));
	facts->dependencies = all;
	facts->dependency_count = count;
}

int scene_read(struct scene_arena *arena, const char *data, size_t len, enum scene_engine engine,
	       bool validate, struct scene_reading *out)
{
	struct scene_reader *reader = malloc(sizeof(*reader));

	*out = (struct scene_reading){.facts = {.format = -1}};
	if (reader == NULL)
		return -ENOMEM;
	/* All but the stack, which is written before it is read. */
	memset(reader, 0, offsetof(struct scene_reader, stack));
	reader->lexer = (struct scene_lexer){.data = data, .len = len,
					     .godot3 = engine == SCENE_ENGINE_3};
	reader->arena = arena;
	reader->engine = engine;
	reader->collect = validate;
	reader->load_steps = -1;
	bool good = header(reader, &out->facts) && resources(reader) &&
		    (out->facts.kind == JOBQ_SCENE_SCENE ? nodes(reader, &out->facts)
							 : resource(reader));
	depend(reader, &out->facts);
	if (!good && reader->error != NULL) {
		out->error = reader->error;
		scene_lexer_place(&reader->lexer, reader->error_at, &out->line, &out->column);
	} else if (validate && !arena->failed) {
		scene_validate(reader, out);
	}
	if (reader->unknown != NULL) {
		out->unknown = reader->unknown;
		scene_lexer_place(&reader->lexer, reader->unknown_at, &out->unknown_line,
				  &out->unknown_column);
	}
	free(reader->nodes);
	free(reader);
	return arena->failed ? -ENOMEM : 0;
}
