#include "config.h"

#include <string.h>

#include "scene/scene.h"

#define NAME(text) {text, sizeof(text) - 1}

static const struct {
	const char *text;
	size_t len;
} field_names[SCENE_FIELDS] = {
	[SCENE_FIELD_FORMAT] = NAME("format"),
	[SCENE_FIELD_FROM] = NAME("from"),
	[SCENE_FIELD_ID] = NAME("id"),
	[SCENE_FIELD_INSTANCE] = NAME("instance"),
	[SCENE_FIELD_LOAD_STEPS] = NAME("load_steps"),
	[SCENE_FIELD_METHOD] = NAME("method"),
	[SCENE_FIELD_NAME] = NAME("name"),
	[SCENE_FIELD_OWNER] = NAME("owner"),
	[SCENE_FIELD_PARENT] = NAME("parent"),
	[SCENE_FIELD_PATH] = NAME("path"),
	[SCENE_FIELD_PLACEHOLDER] = NAME("instance_placeholder"),
	[SCENE_FIELD_SIGNAL] = NAME("signal"),
	[SCENE_FIELD_TO] = NAME("to"),
	[SCENE_FIELD_TYPE] = NAME("type"),
	[SCENE_FIELD_UID] = NAME("uid"),
};

uint32_t scene_line(struct scene_reader *reader, size_t at)
{
	const char *data = reader->lexer.data;
	const char *next;

	while (reader->counted_at < at &&
	       (next = memchr(data + reader->counted_at, '\n', at - reader->counted_at)) != NULL) {
		reader->counted_at = (size_t)(next - data) + 1;
		reader->counted++;
	}
	if (reader->counted_at < at)
		reader->counted_at = at;
	return reader->counted + 1;
}

const char *scene_field_name(enum scene_field field)
{
	return field_names[field].text;
}

/* `name = value`, from the name on. Of a field given twice the last counts. */
static bool read_field(struct scene_reader *reader, const struct scene_token *name)
{
	struct scene_token token;
	struct scene_value value;

	if (name->kind != SCENE_TOKEN_WORD)
		return scene_unfit(reader, name, "the name of a field or `]`");
	scene_lexer_next(&reader->lexer, &token);
	if (!scene_is_mark(&token, '='))
		return scene_unfit(reader, &token, "`=` behind the name of a field");
	if (!scene_value_read(reader, &value))
		return false;
	for (int i = 0; i < SCENE_FIELDS; i++) {
		if (field_names[i].len == name->len &&
		    memcmp(field_names[i].text, name->text, name->len) == 0) {
			reader->tag.fields[i] = value;
			break;
		}
	}
	return true;
}

enum scene_step scene_tag_next(struct scene_reader *reader)
{
	struct scene_token token;
	bool named = false;

	scene_lexer_next(&reader->lexer, &token);
	if (token.kind == SCENE_TOKEN_END)
		return SCENE_STEP_END;
	if (!scene_is_mark(&token, '[')) {
		scene_unfit(reader, &token, "a tag in brackets");
		return SCENE_STEP_FAILED;
	}
	memset(&reader->tag, 0, sizeof(reader->tag));
	reader->tag.at = (size_t)(token.text - reader->lexer.data);
	scene_lexer_next(&reader->lexer, &reader->tag.name);
	if (reader->tag.name.kind != SCENE_TOKEN_WORD) {
		scene_unfit(reader, &reader->tag.name, "the name of a tag");
		return SCENE_STEP_FAILED;
	}
	for (;;) {
		scene_lexer_next(&reader->lexer, &token);
		if (scene_is_mark(&token, ']'))
			return SCENE_STEP_TAG;
		if (!named && (scene_is_mark(&token, '.') || scene_is_mark(&token, ':'))) {
			reader->tag.compound = true;
			scene_lexer_next(&reader->lexer, &token);
			if (token.kind == SCENE_TOKEN_WORD)
				continue;
		}
		named = true;
		if (!read_field(reader, &token))
			return SCENE_STEP_FAILED;
	}
}

/* Adds a byte of a property's name; what does not fit is only counted. */
static void add_name(struct scene_reader *reader, const char *bytes, size_t len)
{
	size_t room = reader->property_len < sizeof(reader->property)
			      ? sizeof(reader->property) - reader->property_len : 0;

	memcpy(reader->property + (sizeof(reader->property) - room), bytes, len < room ? len : room);
	reader->property_len += len;
}

/* The end of a run of bytes that a name is made of, wherever it stands. */
static size_t run_end(const struct scene_lexer *lexer)
{
	static const unsigned char ends[256] = {[0 ... 32] = 1, [';'] = 1, ['['] = 1, ['"'] = 1,
						['='] = 1};
	const unsigned char *data = (const unsigned char *)lexer->data;
	size_t at = lexer->pos;

	while (at < lexer->len && ends[data[at]] == 0)
		at++;
	return at;
}

enum scene_step scene_body_next(struct scene_reader *reader, struct scene_value *value)
{
	struct scene_lexer *lexer = &reader->lexer;
	struct scene_token token;

	reader->property_len = 0;
	while (lexer->pos < lexer->len) {
		size_t run = run_end(lexer);
		if (run > lexer->pos) {
			add_name(reader, lexer->data + lexer->pos, run - lexer->pos);
			lexer->pos = run;
			continue;
		}
		char c = lexer->data[lexer->pos];
		if (c == ';') {
			const char *end = memchr(lexer->data + lexer->pos, '\n',
						 lexer->len - lexer->pos);
			if (end == NULL)
				break;
			lexer->pos = (size_t)(end - lexer->data) + 1;
			continue;
		}
		if (c == '[' && reader->property_len == 0)
			return SCENE_STEP_TAG;
		if (c == '"') {
			scene_lexer_next(lexer, &token);
			if (token.kind != SCENE_TOKEN_STRING) {
				scene_unfit(reader, &token, "a string");
				return SCENE_STEP_FAILED;
			}
			reader->property_len = 0;
			add_name(reader, token.text, token.len);
			continue;
		}
		if (c == '[' && reader->stray == 0 && lexer->pos > 0 &&
		    lexer->data[lexer->pos - 1] == '\n')
			reader->stray = lexer->pos;
		lexer->pos++;
		if (c == '=')
			return scene_value_read(reader, value) ? SCENE_STEP_PROPERTY
							       : SCENE_STEP_FAILED;
		if ((unsigned char)c > 32)
			add_name(reader, &c, 1);
	}
	lexer->pos = lexer->len;
	return SCENE_STEP_END;
}
