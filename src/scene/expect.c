#include "config.h"

#include "scene/scene.h"

bool scene_fail(struct scene_reader *reader, size_t at, const char *text)
{
	if (reader->error == NULL) {
		reader->error = text;
		reader->error_at = at;
	}
	return false;
}

size_t scene_place(const struct scene_reader *reader, const struct scene_token *token)
{
	return (size_t)(token->text - reader->lexer.data);
}

bool scene_unfit(struct scene_reader *reader, const struct scene_token *token, const char *wanted)
{
	const char *found = token->kind == SCENE_TOKEN_END ? ", but the file ends" : "";

	if (token->kind == SCENE_TOKEN_ERROR)
		return scene_fail(reader, reader->lexer.error_at, reader->lexer.error);
	return scene_fail(reader, scene_place(reader, token),
			  scene_arena_print(reader->arena, "%s is expected here%s", wanted, found));
}

bool scene_expect(struct scene_reader *reader, char mark)
{
	struct scene_token token;
	char wanted[] = {'`', mark, '`', '\0'};

	scene_lexer_next(&reader->lexer, &token);
	return scene_is_mark(&token, mark) || scene_unfit(reader, &token, wanted);
}
