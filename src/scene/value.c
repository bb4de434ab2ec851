#include "config.h"

#include <string.h>

#include "scene/scene.h"

/*
 * Values nest without the C stack: what a container waits for is one byte on
 * reader->stack. TYPED is added to a container inside Array[T](...) or
 * Dictionary[K, V](...), which has a parenthesis to close.
 */
enum { IN_ARRAY = 1, IN_DICT, IN_KEY, IN_OBJECT, TYPED = 8 };

enum outcome { FAILED, OPENED, COMPLETE };

/* What stands between a constructor's parentheses. */
enum shape {
	NUMBERS, BYTES, TEXTS, PATH, RID, EMPTY, EXT, SUB, RESOURCE, OBJECT, ARRAY, DICTIONARY
};

struct scene_constructor {
	const char *name;
	size_t len;
	enum shape shape;
	unsigned count; /* of NUMBERS; 0: any */
	bool godot4;    /* unknown to Godot 3 */
};

#define NAME(text) text, sizeof(text) - 1

static const struct scene_constructor constructors[] = {
	{NAME("ExtResource"), EXT, 0, false}, {NAME("SubResource"), SUB, 0, false},
	{NAME("Resource"), RESOURCE, 0, false}, {NAME("NodePath"), PATH, 0, false},
	{NAME("Vector2"), NUMBERS, 2, false}, {NAME("Vector2i"), NUMBERS, 2, true},
	{NAME("Vector3"), NUMBERS, 3, false}, {NAME("Vector3i"), NUMBERS, 3, true},
	{NAME("Rect2"), NUMBERS, 4, false}, {NAME("Rect2i"), NUMBERS, 4, true},
	{NAME("Plane"), NUMBERS, 4, false}, {NAME("Quat"), NUMBERS, 4, false},
	{NAME("Quaternion"), NUMBERS, 4, true}, {NAME("Color"), NUMBERS, 4, false},
	{NAME("Vector4"), NUMBERS, 4, true}, {NAME("Vector4i"), NUMBERS, 4, true},
	{NAME("Transform2D"), NUMBERS, 6, false}, {NAME("Matrix32"), NUMBERS, 6, false},
	{NAME("AABB"), NUMBERS, 6, false}, {NAME("Rect3"), NUMBERS, 6, false},
	{NAME("Basis"), NUMBERS, 9, false}, {NAME("Matrix3"), NUMBERS, 9, false},
	{NAME("Transform"), NUMBERS, 12, false}, {NAME("Transform3D"), NUMBERS, 12, true},
	{NAME("Projection"), NUMBERS, 16, true}, {NAME("PoolByteArray"), BYTES, 0, false},
	{NAME("ByteArray"), BYTES, 0, false}, {NAME("PackedByteArray"), BYTES, 0, true},
	{NAME("PoolIntArray"), NUMBERS, 0, false}, {NAME("IntArray"), NUMBERS, 0, false},
	{NAME("PoolRealArray"), NUMBERS, 0, false}, {NAME("FloatArray"), NUMBERS, 0, false},
	{NAME("PoolVector2Array"), NUMBERS, 0, false}, {NAME("Vector2Array"), NUMBERS, 0, false},
	{NAME("PoolVector3Array"), NUMBERS, 0, false}, {NAME("Vector3Array"), NUMBERS, 0, false},
	{NAME("PoolColorArray"), NUMBERS, 0, false}, {NAME("ColorArray"), NUMBERS, 0, false},
	{NAME("PackedInt32Array"), NUMBERS, 0, true}, {NAME("PackedIntArray"), NUMBERS, 0, true},
	{NAME("PackedInt64Array"), NUMBERS, 0, true},
	{NAME("PackedFloat32Array"), NUMBERS, 0, true},
	{NAME("PackedRealArray"), NUMBERS, 0, true},
	{NAME("PackedFloat64Array"), NUMBERS, 0, true},
	{NAME("PackedVector2Array"), NUMBERS, 0, true},
	{NAME("PackedVector3Array"), NUMBERS, 0, true},
	{NAME("PackedVector4Array"), NUMBERS, 0, true},
	{NAME("PoolVector4Array"), NUMBERS, 0, true}, {NAME("Vector4Array"), NUMBERS, 0, true},
	{NAME("PackedColorArray"), NUMBERS, 0, true}, {NAME("PoolStringArray"), TEXTS, 0, false},
	{NAME("StringArray"), TEXTS, 0, false}, {NAME("PackedStringArray"), TEXTS, 0, true},
	{NAME("RID"), RID, 0, false}, {NAME("Signal"), EMPTY, 0, true},
	{NAME("Callable"), EMPTY, 0, true}, {NAME("Object"), OBJECT, 0, false},
	{NAME("Array"), ARRAY, 0, true}, {NAME("Dictionary"), DICTIONARY, 0, true},
};

static bool is_number(const struct scene_reader *reader, const struct scene_token *token)
{
	if (token->kind == SCENE_TOKEN_NUMBER)
		return true;
	return !reader->lexer.godot3 && (scene_is_word(token, "inf") || scene_is_word(token, "-inf") ||
					 scene_is_word(token, "inf_neg") || scene_is_word(token, "nan"));
}

static bool is_base64(const struct scene_token *token)
{
	size_t pad = 0;

	for (size_t i = 0; i < token->len; i++) {
		char c = token->text[i];
		bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			     (c >= '0' && c <= '9') || c == '+' || c == '/';
		if (c == '=')
			pad++;
		else if (!digit || pad > 0)
			return false;
	}
	return token->len % 4 == 0 && pad <= 2;
}

/* The list of numbers, with the closing parenthesis. */
static bool numbers(struct scene_reader *reader, const struct scene_constructor *c)
{
	struct scene_token token;
	size_t start = reader->lexer.pos;
	unsigned count = scene_lexer_numbers(&reader->lexer);

	scene_lexer_next(&reader->lexer, &token);
	if (count == 0 && c->shape == BYTES && !reader->lexer.godot3 &&
	    token.kind == SCENE_TOKEN_STRING) {
		if (!is_base64(&token))
			return scene_fail(reader, start, "this text is not base64");
		return scene_expect(reader, ')');
	}
	while (count > 0 || !scene_is_mark(&token, ')')) {
		if (!is_number(reader, &token))
			return scene_unfit(reader, &token, "a number");
		if (count < UINT32_MAX)
			count++;
		scene_lexer_next(&reader->lexer, &token);
		if (scene_is_mark(&token, ')'))
			break;
		if (!scene_is_mark(&token, ','))
			return scene_unfit(reader, &token, "`,` or `)`");
		scene_lexer_next(&reader->lexer, &token);
	}
	if (c->count == 0 || count == c->count)
		return true;
	return scene_fail(reader, start,
			  scene_arena_print(reader->arena, "%s takes %u numbers, not %u", c->name,
					    c->count, count));
}

static bool texts(struct scene_reader *reader)
{
	struct scene_token token;

	for (;;) {
		scene_lexer_next(&reader->lexer, &token);
		if (scene_is_mark(&token, ')'))
			return true;
		if (token.kind != SCENE_TOKEN_STRING)
			return scene_unfit(reader, &token, "a string");
		scene_lexer_next(&reader->lexer, &token);
		if (scene_is_mark(&token, ')'))
			return true;
		if (!scene_is_mark(&token, ','))
			return scene_unfit(reader, &token, "`,` or `)`");
	}
}

int64_t scene_value_number(const struct scene_value *value)
{
	int64_t number = 0;
	bool below = false;

	if (value->kind == SCENE_VALUE_BOOL)
		return value->token.text[0] == 't';
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

/* An id that is not known as it is written, as it may have been meant. */
static const char *id_meant(struct scene_reader *reader, const struct scene_token *token)
{
	struct scene_value value = {.kind = SCENE_VALUE_NUMBER, .token = *token};

	if (!reader->lexer.godot3) /* it may have escapes */
		return scene_lexer_text(token, &reader->scratch);
	return scene_arena_print(&reader->scratch, "%lld", (long long)scene_value_number(&value));
}

/* Whether what is declared to be of this type can be a scene. */
static bool can_be_scene(struct scene_text type)
{
	static const char *const types[] = {"PackedScene", "", "Resource", "RefCounted", "Object"};

	for (size_t i = 0; i < JOBQ_LENGTH(types); i++) {
		if (strlen(types[i]) == type.len && memcmp(type.at, types[i], type.len) == 0)
			return true;
	}
	return false;
}

/* ExtResource(id) or SubResource(id): the id must have been defined above. */
static bool reference(struct scene_reader *reader, enum shape shape, struct scene_value *value)
{
	struct scene_token token;
	const struct scene_map *ids = shape == EXT ? &reader->ext_ids : &reader->sub_ids;

	scene_lexer_next(&reader->lexer, &token);
	if (token.kind != SCENE_TOKEN_NUMBER &&
	    (token.kind != SCENE_TOKEN_STRING || reader->lexer.godot3))
		return scene_unfit(reader, &token, "the id of a resource");
	value->kind = shape == EXT ? SCENE_VALUE_EXT : SCENE_VALUE_SUB;
	value->token = token;
	struct scene_key key = {.name = {token.text, token.len}};
	const uint32_t *index = scene_map_find(ids, &key);
	const char *id = index == NULL ? id_meant(reader, &token) : "";
	if (id == NULL)
		return false;
	if (index == NULL) {
		key = scene_key_of(id);
		index = scene_map_find(ids, &key);
	}
	if (index == NULL)
		return scene_fail(reader, scene_place(reader, &token),
				  scene_arena_print(reader->arena,
						    "no %s with the id %s is defined above",
						    shape == EXT ? "ext_resource" : "sub_resource",
						    id));
	if (shape == EXT)
		reader->exts[*index].used = true;
	else
		reader->subs[*index].id.used = true;
	value->scene = can_be_scene(shape == EXT
					    ? scene_key_of(reader->dependencies[*index].type).name
					    : scene_text_of(reader, reader->subs[*index].type));
	return scene_expect(reader, ')');
}

/* Resource("res://...") loads at once; Godot 4 takes a uid:// beside the path. */
static bool resource(struct scene_reader *reader)
{
	struct scene_token token;
	bool seen[2] = {false, false}; /* a path, a uid */
	const char *named[2] = {NULL, NULL};
	size_t start = reader->lexer.pos;

	do {
		scene_lexer_next(&reader->lexer, &token);
		if (token.kind != SCENE_TOKEN_STRING)
			return scene_unfit(reader, &token, "a path in quotes");
		bool uid = token.len >= 6 && memcmp(token.text, "uid://", 6) == 0;
		if (seen[uid] || (uid && reader->lexer.godot3))
			return scene_fail(reader, start, "Resource() takes one path and one uid");
		seen[uid] = true;
		named[uid] = scene_lexer_text(&token, reader->arena);
		scene_lexer_next(&reader->lexer, &token);
	} while (scene_is_mark(&token, ',') && !reader->lexer.godot3);
	if (!scene_is_mark(&token, ')'))
		return scene_unfit(reader, &token, "`)`");
	struct jobq_scene_dependency *all = scene_arena_grow(
		&reader->scratch, reader->inlined, reader->inlined_count, sizeof(all[0]));
	if (all == NULL)
		return false;
	reader->inlined = all;
	all[reader->inlined_count++] = (struct jobq_scene_dependency){
		.path = named[0] != NULL ? named[0] : named[1],
		.uid = named[1],
		.line = scene_line(reader, start)};
	return true;
}

static enum outcome push(struct scene_reader *reader, size_t *depth, unsigned char what)
{
	if (*depth == JOBQ_SCENE_DEPTH_MAX) { /* Godot's own stack ends before that */
		scene_fail(reader, reader->lexer.pos, "values are nested deeper than 10000 levels");
		return FAILED;
	}
	reader->stack[(*depth)++] = what;
	return OPENED;
}

/* The type name within the brackets of a typed container. */
static bool element_type(struct scene_reader *reader)
{
	struct scene_token token;
	struct scene_value ignored;

	scene_lexer_next(&reader->lexer, &token);
	if (token.kind != SCENE_TOKEN_WORD)
		return scene_unfit(reader, &token, "the name of a type");
	enum shape shape = scene_is_word(&token, "ExtResource") ? EXT : SUB;
	bool script = scene_is_word(&token, "Resource");
	if (shape == SUB && !script && !scene_is_word(&token, "SubResource"))
		return true;
	struct scene_lexer before = reader->lexer;
	scene_lexer_next(&reader->lexer, &token);
	if (!scene_is_mark(&token, '(')) {
		/* `Resource` alone is a class like any other. */
		reader->lexer = before;
		return script || scene_unfit(reader, &token, "`(`");
	}
	return script ? resource(reader) : reference(reader, shape, &ignored);
}

static enum outcome typed(struct scene_reader *reader, size_t *depth, enum shape shape)
{
	bool dict = shape == DICTIONARY;

	if (!scene_expect(reader, '[') || !element_type(reader))
		return FAILED;
	if (dict && (!scene_expect(reader, ',') || !element_type(reader)))
		return FAILED;
	if (!scene_expect(reader, ']') || !scene_expect(reader, '(') ||
	    !scene_expect(reader, dict ? '{' : '['))
		return FAILED;
	return push(reader, depth, (dict ? IN_DICT : IN_ARRAY) | TYPED);
}

static bool rid(struct scene_reader *reader)
{
	struct scene_token token;

	scene_lexer_next(&reader->lexer, &token);
	if (scene_is_mark(&token, ')') && !reader->lexer.godot3)
		return true;
	return token.kind == SCENE_TOKEN_NUMBER ? scene_expect(reader, ')')
						: scene_unfit(reader, &token, "a number");
}

static enum outcome object(struct scene_reader *reader, size_t *depth)
{
	struct scene_token token;

	scene_lexer_next(&reader->lexer, &token);
	if (token.kind != SCENE_TOKEN_WORD) {
		scene_unfit(reader, &token, "the name of a class");
		return FAILED;
	}
	struct scene_text class = {token.text, token.len};
	if (!scene_class_check(reader, class, scene_place(reader, &token), true))
		return FAILED;
	return scene_expect(reader, ',') ? push(reader, depth, IN_OBJECT) : FAILED;
}

static enum outcome construct(struct scene_reader *reader, const struct scene_constructor *c,
			      size_t *depth, struct scene_value *value)
{
	bool good = false;

	if (c->shape == ARRAY || c->shape == DICTIONARY)
		return typed(reader, depth, c->shape);
	if (!scene_expect(reader, '('))
		return FAILED;
	switch (c->shape) {
	case NUMBERS:
	case BYTES:
		good = numbers(reader, c);
		break;
	case TEXTS:
		good = texts(reader);
		break;
	case PATH:
		scene_lexer_next(&reader->lexer, &value->token);
		value->kind = SCENE_VALUE_PATH;
		good = value->token.kind == SCENE_TOKEN_STRING
			       ? scene_expect(reader, ')')
			       : scene_unfit(reader, &value->token, "a path in quotes");
		break;
	case RID:
		good = rid(reader);
		break;
	case EMPTY:
		good = scene_expect(reader, ')');
		break;
	case EXT:
	case SUB:
		good = reference(reader, c->shape, value);
		break;
	case RESOURCE:
		good = value->scene = resource(reader);
		break;
	default:
		return object(reader, depth);
	}
	return good ? COMPLETE : FAILED;
}

static bool names(const struct scene_token *token, const struct scene_constructor *c)
{
	return c->len == token->len && memcmp(c->name, token->text, token->len) == 0;
}

static const struct scene_constructor *constructor_of(struct scene_reader *reader,
						      const struct scene_token *token)
{
	if (reader->last != NULL && names(token, reader->last))
		return reader->last;
	for (size_t i = 0; i < JOBQ_LENGTH(constructors); i++) {
		const struct scene_constructor *c = &constructors[i];
		if (names(token, c) && !(c->godot4 && reader->lexer.godot3))
			return reader->last = c;
	}
	return NULL;
}

static enum outcome word(struct scene_reader *reader, size_t *depth, struct scene_value *value)
{
	const struct scene_token *token = &value->token;
	bool godot3 = reader->lexer.godot3;

	if (scene_is_word(token, "true") || scene_is_word(token, "false")) {
		value->kind = SCENE_VALUE_BOOL;
		return COMPLETE;
	}
	if (scene_is_word(token, "null") || scene_is_word(token, "nil")) {
		value->kind = SCENE_VALUE_NULL;
		return COMPLETE;
	}
	if (scene_is_word(token, "inf") || scene_is_word(token, "nan") ||
	    (!godot3 && (scene_is_word(token, "-inf") || scene_is_word(token, "inf_neg")))) {
		value->kind = SCENE_VALUE_NUMBER;
		return COMPLETE;
	}
	const struct scene_constructor *c = constructor_of(reader, token);
	if (c != NULL)
		return construct(reader, c, depth, value);
	scene_fail(reader, scene_place(reader, token),
		   scene_arena_print(reader->arena, "`%.*s` is no value",
				     (int)(token->len < 80 ? token->len : 80), token->text));
	return FAILED;
}

/* Begins the value whose first token is value->token. */
static enum outcome begin(struct scene_reader *reader, size_t *depth, struct scene_value *value)
{
	value->kind = SCENE_VALUE_OTHER;
	value->scene = false;
	switch (value->token.kind) {
	case SCENE_TOKEN_STRING:
	case SCENE_TOKEN_NAME_STRING:
		value->kind = SCENE_VALUE_STRING;
		return COMPLETE;
	case SCENE_TOKEN_NUMBER:
		value->kind = SCENE_VALUE_NUMBER;
		return COMPLETE;
	case SCENE_TOKEN_COLOUR:
		return COMPLETE;
	case SCENE_TOKEN_WORD:
		return word(reader, depth, value);
	default:
		if (scene_is_mark(&value->token, '['))
			return push(reader, depth, IN_ARRAY);
		if (scene_is_mark(&value->token, '{'))
			return push(reader, depth, IN_DICT);
		scene_unfit(reader, &value->token, "a value");
		return FAILED;
	}
}

/*
 * Goes on in the innermost container, up to the first token of its next value
 * (OPENED) or past its end (COMPLETE). `comma`: a value stands before, so that
 * only a comma or the end may follow.
 */
static enum outcome follow(struct scene_reader *reader, size_t *depth, bool comma,
			   struct scene_token *token)
{
	unsigned char *top = &reader->stack[*depth - 1];
	unsigned char what = *top & (TYPED - 1);
	char end = what == IN_ARRAY ? ']' : what == IN_OBJECT ? ')' : '}';
	static const char *const wanted[] = {"", "`,` or `]`", "`,` or `}`", "", "`,` or `)`"};

	if (what == IN_KEY) {
		*top = (unsigned char)((*top & TYPED) | IN_DICT);
		if (!scene_expect(reader, ':'))
			return FAILED;
		scene_lexer_next(&reader->lexer, token);
		return OPENED;
	}
	scene_lexer_next(&reader->lexer, token);
	if (comma && scene_is_mark(token, ','))
		scene_lexer_next(&reader->lexer, token);
	else if (comma && !scene_is_mark(token, end))
		return scene_unfit(reader, token, wanted[what]) ? COMPLETE : FAILED;
	if (scene_is_mark(token, end)) {
		bool closes = (*top & TYPED) != 0;
		--*depth;
		return !closes || scene_expect(reader, ')') ? COMPLETE : FAILED;
	}
	if (what == IN_DICT)
		*top = (unsigned char)((*top & TYPED) | IN_KEY);
	if (what == IN_OBJECT) {
		if (token->kind != SCENE_TOKEN_STRING)
			return scene_unfit(reader, token, "the name of a property in quotes")
				       ? COMPLETE : FAILED;
		if (!scene_expect(reader, ':'))
			return FAILED;
		scene_lexer_next(&reader->lexer, token);
	}
	return OPENED;
}

bool scene_value_read(struct scene_reader *reader, struct scene_value *value)
{
	size_t depth = 0;

	scene_lexer_next(&reader->lexer, &value->token);
	size_t start = scene_place(reader, &value->token);
	for (;;) {
		enum outcome got = begin(reader, &depth, value);
		bool whole = depth == 0;
		while (got != FAILED && depth > 0) {
			got = follow(reader, &depth, got == COMPLETE, &value->token);
			if (got == OPENED)
				break;
		}
		if (got == FAILED)
			return false;
		if (depth == 0) {
			if (!whole) {
				value->kind = SCENE_VALUE_OTHER;
				value->scene = false;
			}
			if (value->kind == SCENE_VALUE_OTHER) {
				value->token.text = reader->lexer.data + start;
				value->token.len = reader->lexer.pos - start;
				value->token.escaped = false;
			}
			return true;
		}
	}
}
