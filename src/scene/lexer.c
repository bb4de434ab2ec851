#include "config.h"

#include <string.h>

#include "scene/scene.h"

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int hex_of(int c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte `ahead` of the position, or -1 behind the last one. */
static int peek(const struct scene_lexer *lexer, size_t ahead)
{
	return lexer->len - lexer->pos > ahead ? (unsigned char)lexer->data[lexer->pos + ahead] : -1;
}

static void fail(struct scene_lexer *lexer, struct scene_token *token, size_t at, const char *text)
{
	token->kind = SCENE_TOKEN_ERROR;
	lexer->error = text;
	lexer->error_at = at;
}

/*
 * A \u (4 digits) or, in Godot 4, \U (6 digits) escape; the position is on
 * the letter. False: not all digits. Otherwise the position is on the last.
 */
static bool hex_escape(struct scene_lexer *lexer, uint32_t *code)
{
	int digits = peek(lexer, 0) == 'U' ? 6 : 4;

	*code = 0;
	for (int i = 0; i < digits; i++) {
		lexer->pos++;
		int digit = hex_of(peek(lexer, 0));
		if (digit < 0)
			return false;
		*code = *code << 4 | (uint32_t)digit;
	}
	return true;
}

/* The position is behind the opening quote. Godot 4 wants surrogates in pairs. */
static void string(struct scene_lexer *lexer, struct scene_token *token,
		   enum scene_token_kind kind)
{
	size_t start = lexer->pos;
	bool lead = false;

	token->kind = kind;
	token->text = lexer->data + start;
	for (;; lexer->pos++) {
		int c = peek(lexer, 0);
		uint32_t code = 0;
		if (c <= 0) {
			fail(lexer, token, start - 1, "this string has no closing quote");
			return;
		}
		if (c == '"')
			break;
		if (c == '\\') {
			token->escaped = true;
			lexer->pos++;
			c = peek(lexer, 0);
			if (c <= 0) {
				fail(lexer, token, start - 1, "this string has no closing quote");
				return;
			}
			if ((c == 'u' || (c == 'U' && !lexer->godot3)) &&
			    !hex_escape(lexer, &code)) {
				fail(lexer, token, lexer->pos,
				     "an escape in this string lacks hexadecimal digits");
				return;
			}
		}
		bool trail = (code & 0xfffffc00) == 0xdc00;
		if (!lexer->godot3 && lead != trail)
			break;
		lead = (code & 0xfffffc00) == 0xd800;
	}
	if (!lexer->godot3 && (lead || peek(lexer, 0) != '"')) {
		fail(lexer, token, lexer->pos, "half of a UTF-16 pair is escaped without the other");
		return;
	}
	token->len = (size_t)(lexer->data + lexer->pos - token->text);
	lexer->pos++;
}

static void skip_digits(struct scene_lexer *lexer)
{
	while (is_digit(peek(lexer, 0)))
		lexer->pos++;
}

/* digits [.digits*] [e[+-]digits*]; the position is on the first digit or dot. */
static void number(struct scene_lexer *lexer)
{
	skip_digits(lexer);
	if (peek(lexer, 0) == '.') {
		lexer->pos++;
		skip_digits(lexer);
	}
	if (peek(lexer, 0) == 'e' || (peek(lexer, 0) == 'E' && !lexer->godot3)) {
		lexer->pos++;
		if (peek(lexer, 0) == '+' || peek(lexer, 0) == '-')
			lexer->pos++;
		skip_digits(lexer);
	}
}

static void word(struct scene_lexer *lexer)
{
	while (is_letter(peek(lexer, 0)) || is_digit(peek(lexer, 0)))
		lexer->pos++;
}

/* A number, or a word that Godot 4 lets begin with a minus (`-inf`). */
static void minus(struct scene_lexer *lexer, struct scene_token *token)
{
	size_t start = lexer->pos++;
	int c = peek(lexer, 0);

	token->kind = SCENE_TOKEN_NUMBER;
	if (is_digit(c) || (lexer->godot3 && c == '.')) {
		number(lexer);
	} else if (!lexer->godot3 && is_letter(c)) {
		token->kind = SCENE_TOKEN_WORD;
		word(lexer);
	} else if (!lexer->godot3) {
		fail(lexer, token, start, "a minus stands before no number");
	}
}

/* White space is every byte up to 32 but NUL; `;` starts a comment. */
static void skip_blank(struct scene_lexer *lexer)
{
	for (;; lexer->pos++) {
		int c = peek(lexer, 0);
		if (c == ';') {
			const char *from = lexer->data + lexer->pos;
			const char *end = memchr(from, '\n', lexer->len - lexer->pos);
			if (end == NULL) {
				lexer->pos = lexer->len;
				return;
			}
			lexer->pos += (size_t)(end - from);
		} else if (c <= 0 || c > 32) {
			return;
		}
	}
}

void scene_lexer_next(struct scene_lexer *lexer, struct scene_token *token)
{
	skip_blank(lexer);
	int c = peek(lexer, 0);
	size_t start = lexer->pos;

	*token = (struct scene_token){.text = lexer->data + start, .godot3 = lexer->godot3};
	if (c <= 0)
		return;
	if (c == '"') {
		lexer->pos++;
		string(lexer, token, SCENE_TOKEN_STRING);
		return;
	}
	if ((c == '&' || c == '@') && !lexer->godot3 && peek(lexer, 1) == '"') {
		lexer->pos += 2;
		string(lexer, token, SCENE_TOKEN_NAME_STRING);
		return;
	}
	if (strchr("{}[]():,.=", c) != NULL) {
		token->kind = SCENE_TOKEN_MARK;
		token->mark = (char)c;
		lexer->pos++;
	} else if (c == '-') {
		minus(lexer, token);
	} else if (is_digit(c)) {
		token->kind = SCENE_TOKEN_NUMBER;
		number(lexer);
	} else if (is_letter(c)) {
		token->kind = SCENE_TOKEN_WORD;
		word(lexer);
	} else if (c == '#') {
		do
			lexer->pos++;
		while (hex_of(peek(lexer, 0)) >= 0);
		/* Godot takes a colour that the file ends with for the end itself. */
		token->kind = peek(lexer, 0) < 0 ? SCENE_TOKEN_END : SCENE_TOKEN_COLOUR;
	} else {
		fail(lexer, token, start, "this character has no meaning here");
	}
	token->len = lexer->pos - start;
	/* Godot pushes the byte behind these back, where a NUL means that there is none. */
	if ((token->kind == SCENE_TOKEN_WORD || token->kind == SCENE_TOKEN_NUMBER) &&
	    peek(lexer, 0) == '\0')
		lexer->pos++;
}

void scene_lexer_place(const struct scene_lexer *lexer, size_t at, uint32_t *line,
		       uint32_t *column)
{
	const char *start = lexer->data;
	const char *end = lexer->data + (at < lexer->len ? at : lexer->len);
	const char *next;

	*line = 1;
	while (start < end && (next = memchr(start, '\n', (size_t)(end - start))) != NULL) {
		start = next + 1;
		++*line;
	}
	*column = (uint32_t)(end - start) + 1;
}
