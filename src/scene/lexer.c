#include "config.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "scene/scene.h"

/* What a byte may be, at a token's beginning or within it. */
enum { BLANK = 1, DIGIT = 2, LETTER = 4, MARK = 8, HEX = 16 };

static const unsigned char classes[256] = {
	[1 ... 32] = BLANK, /* every byte up to 32 but NUL */
	['0' ... '9'] = DIGIT | HEX,
	['A' ... 'F'] = LETTER | HEX, ['G' ... 'Z'] = LETTER, ['_'] = LETTER,
	['a' ... 'f'] = LETTER | HEX, ['g' ... 'z'] = LETTER,
	['{'] = MARK, ['}'] = MARK, ['['] = MARK, [']'] = MARK, ['('] = MARK, [')'] = MARK,
	[':'] = MARK, [','] = MARK, ['.'] = MARK, ['='] = MARK,
};

static bool is(int c, int class)
{
	return c >= 0 && (classes[c] & class) != 0;
}

static int hex_of(int c)
{
	if (!is(c, HEX))
		return -1;
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* The byte `ahead` of the position, or -1 behind the last one. */
static int peek(const struct scene_lexer *lexer, size_t ahead)
{
	return lexer->len - lexer->pos > ahead ? (unsigned char)lexer->data[lexer->pos + ahead] : -1;
}

/* Passes the bytes of these classes. */
static void skip(struct scene_lexer *lexer, int class)
{
	const unsigned char *data = (const unsigned char *)lexer->data;
	size_t at = lexer->pos, len = lexer->len;

	while (at < len && (classes[data[at]] & class) != 0)
		at++;
	lexer->pos = at;
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

/* The first quote, backslash or NUL from a place on, or the end. */
static size_t plain_end(const char *data, size_t at, size_t len)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), escape = _mm_set1_epi8('\\');

	for (; len - at >= 16; at += 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i_u *)(data + at));
		__m128i found = _mm_or_si128(
			_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, escape)),
			_mm_cmpeq_epi8(bytes, _mm_setzero_si128()));
		unsigned mask = (unsigned)_mm_movemask_epi8(found);
		if (mask != 0)
			return at + (unsigned)__builtin_ctz(mask);
	}
#endif
	while (at < len && data[at] != '"' && data[at] != '\\' && data[at] != '\0')
		at++;
	return at;
}

/* The escape at the position, which then is behind it. False: failed. */
static bool escape(struct scene_lexer *lexer, struct scene_token *token, uint32_t *code)
{
	lexer->pos++;
	int c = peek(lexer, 0);
	if (c <= 0) {
		fail(lexer, token, (size_t)(token->text - lexer->data) - 1,
		     "this string has no closing quote");
		return false;
	}
	if ((c == 'u' || (c == 'U' && !lexer->godot3)) && !hex_escape(lexer, code)) {
		fail(lexer, token, lexer->pos,
		     "an escape in this string lacks hexadecimal digits");
		return false;
	}
	token->escaped = true;
	lexer->pos++;
	return true;
}

/* The position is behind the opening quote. Godot 4 wants surrogates in pairs. */
static void string(struct scene_lexer *lexer, struct scene_token *token,
		   enum scene_token_kind kind)
{
	size_t start = lexer->pos;
	bool lead = false; /* a first half has been escaped, the second has to follow */

	token->kind = kind;
	token->text = lexer->data + start;
	for (;;) {
		size_t from = lexer->pos;
		uint32_t code = 0;
		lexer->pos = plain_end(lexer->data, from, lexer->len);
		int c = peek(lexer, 0);
		if (lead && (lexer->pos > from || c != '\\')) {
			lexer->pos = from;
			break;
		}
		if (c == '"' && lexer->pos - start > JOBQ_SCENE_STRING_MAX) {
			fail(lexer, token, start - 1, "this string is longer than 64 MiB");
			return;
		}
		if (c == '"') {
			token->len = lexer->pos++ - start;
			return;
		}
		if (c <= 0) {
			fail(lexer, token, start - 1, "this string has no closing quote");
			return;
		}
		if (!escape(lexer, token, &code))
			return;
		bool trail = (code & 0xfffffc00) == 0xdc00;
		if (!lexer->godot3 && lead != trail)
			break;
		lead = !lexer->godot3 && (code & 0xfffffc00) == 0xd800;
	}
	fail(lexer, token, lexer->pos, "half of a UTF-16 pair is escaped without the other");
}

/* digits* [.digits*] [e[+-]digits*], from the position on. */
static void number(struct scene_lexer *lexer)
{
	skip(lexer, DIGIT);
	if (peek(lexer, 0) == '.') {
		lexer->pos++;
		skip(lexer, DIGIT);
	}
	if (peek(lexer, 0) == 'e' || (peek(lexer, 0) == 'E' && !lexer->godot3)) {
		lexer->pos++;
		if (peek(lexer, 0) == '+' || peek(lexer, 0) == '-')
			lexer->pos++;
		skip(lexer, DIGIT);
	}
}

/* A number, or a word that Godot 4 lets begin with a minus (`-inf`). */
static void minus(struct scene_lexer *lexer, struct scene_token *token)
{
	size_t start = lexer->pos++;
	int c = peek(lexer, 0);

	token->kind = SCENE_TOKEN_NUMBER;
	if (is(c, DIGIT) || (lexer->godot3 && (c == '.' || c == 'e'))) {
		number(lexer);
	} else if (!lexer->godot3 && is(c, LETTER)) {
		token->kind = SCENE_TOKEN_WORD;
		skip(lexer, LETTER | DIGIT);
	} else if (!lexer->godot3) {
		fail(lexer, token, start, "a minus stands before no number");
	}
}

/* White space, and comments from a `;` on. */
static void skip_blank(struct scene_lexer *lexer)
{
	for (;;) {
		skip(lexer, BLANK);
		if (peek(lexer, 0) != ';')
			return;
		const char *from = lexer->data + lexer->pos;
		const char *end = memchr(from, '\n', lexer->len - lexer->pos);
		lexer->pos = end == NULL ? lexer->len : (size_t)(end - lexer->data);
	}
}

static void colour(struct scene_lexer *lexer, struct scene_token *token)
{
	lexer->pos++;
	skip(lexer, HEX);
	/* Godot takes a colour that the file ends with for the end itself. */
	token->kind = peek(lexer, 0) < 0 ? SCENE_TOKEN_END : SCENE_TOKEN_COLOUR;
}

void scene_lexer_next(struct scene_lexer *lexer, struct scene_token *token)
{
	skip_blank(lexer);
	int c = peek(lexer, 0);
	size_t start = lexer->pos;

	*token = (struct scene_token){.text = lexer->data + start, .godot3 = lexer->godot3};
	if (c <= 0)
		return;
	if (is(c, MARK)) {
		token->kind = SCENE_TOKEN_MARK;
		token->mark = (char)c;
		token->len = 1;
		lexer->pos++;
		return;
	}
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
	if (is(c, DIGIT)) {
		token->kind = SCENE_TOKEN_NUMBER;
		number(lexer);
	} else if (is(c, LETTER)) {
		token->kind = SCENE_TOKEN_WORD;
		skip(lexer, LETTER | DIGIT);
	} else if (c == '-') {
		minus(lexer, token);
	} else if (c == '#') {
		colour(lexer, token);
	} else {
		fail(lexer, token, start, "this character has no meaning here");
	}
	token->len = lexer->pos - start;
	/* Godot pushes the byte behind these back, where a NUL means that there is none. */
	if ((token->kind == SCENE_TOKEN_WORD || token->kind == SCENE_TOKEN_NUMBER ||
	     token->kind == SCENE_TOKEN_COLOUR) && peek(lexer, 0) == '\0')
		lexer->pos++;
}

unsigned scene_lexer_numbers(struct scene_lexer *lexer)
{
	const unsigned char *at = (const unsigned char *)lexer->data + lexer->pos;
	const unsigned char *end = (const unsigned char *)lexer->data + lexer->len;
	unsigned count = 0;

	for (;;) {
		lexer->pos = (size_t)(at - (const unsigned char *)lexer->data);
		while (at < end && (classes[*at] & BLANK) != 0)
			at++;
		if (at < end && *at == '-')
			at++;
		const unsigned char *digits = at;
		while (at < end && (classes[*at] & DIGIT) != 0)
			at++;
		if (at == digits)
			return count;
		if (at < end && *at == '.')
			do
				at++;
			while (at < end && (classes[*at] & DIGIT) != 0);
		if (at == end || *at != ',' || count == UINT32_MAX)
			return count;
		at++;
		count++;
	}
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
