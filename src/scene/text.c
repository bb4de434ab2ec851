#include "config.h"

#include <string.h>

#include "scene/scene.h"

#define REPLACEMENT 0xfffdu

static char *put(char *out, uint32_t code)
{
	if (code == 0 || code > 0x10ffff || (code & 0xfffff800) == 0xd800)
		code = REPLACEMENT;
	if (code < 0x80) {
		*out++ = (char)code;
		return out;
	}
	if (code < 0x800) {
		*out++ = (char)(0xc0 | code >> 6);
	} else {
		if (code < 0x10000) {
			*out++ = (char)(0xe0 | code >> 12);
		} else {
			*out++ = (char)(0xf0 | code >> 18);
			*out++ = (char)(0x80 | (code >> 12 & 0x3f));
		}
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
	}
	*out++ = (char)(0x80 | (code & 0x3f));
	return out;
}

/* One code point of UTF-8; a byte that starts none is replaced by itself alone. */
static uint32_t get(const unsigned char **from, const unsigned char *end)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	const unsigned char *at = *from;
	uint32_t code = *at++;
	int more = code < 0xe0 ? 1 : code < 0xf0 ? 2 : 3;

	*from = at;
	if (code < 0x80)
		return code;
	if (code < 0xc2 || code > 0xf4)
		return REPLACEMENT;
	code &= 0x3fu >> more;
	for (int i = 0; i < more; i++) {
		if (at == end || (*at & 0xc0) != 0x80)
			return REPLACEMENT;
		code = code << 6 | (*at++ & 0x3f);
	}
	if (code < least[more] || code > 0x10ffff || (code & 0xfffff800) == 0xd800)
		return REPLACEMENT;
	*from = at;
	return code;
}

/* Whether all of it is UTF-8: U+FFFD may be there itself, too. */
static bool is_utf8(const unsigned char *from, const unsigned char *end)
{
	while (from < end) {
		const unsigned char *at = from;
		if (get(&from, end) == REPLACEMENT && from - at != 3)
			return false;
	}
	return true;
}

/* The digits behind \u or \U; the lexer has checked that they are there. */
static uint32_t hex(const unsigned char **from, int digits)
{
	uint32_t code = 0;

	for (; digits > 0; digits--) {
		uint32_t c = *(*from)++;
		code = code << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return code;
}

static uint32_t escape(const unsigned char **from, const unsigned char *end)
{
	uint32_t c = get(from, end);

	if (c == 'b')
		return '\b';
	if (c == 't')
		return '\t';
	if (c == 'n')
		return '\n';
	if (c == 'f')
		return '\f';
	if (c == 'r')
		return '\r';
	/* In Godot 3 \U stands for a plain U; what follows then need not be digits. */
	if (c != 'u' && !(c == 'U' && end - *from >= 6))
		return c;
	uint32_t code = hex(from, c == 'u' ? 4 : 6);
	if ((code & 0xfffffc00) == 0xd800 && end - *from >= 6 && (*from)[0] == '\\' &&
	    (*from)[1] == 'u') {
		*from += 2;
		code = 0x10000 + ((code & 0x3ff) << 10) + (hex(from, 4) & 0x3ff);
	}
	return code;
}

/* How many characters the first bytes promise; as many as bytes when one promises none. */
static size_t promised(const unsigned char *from, const unsigned char *end)
{
	size_t count = 0, more = 0;

	for (const unsigned char *at = from; at < end; at++) {
		if (more > 0) {
			more--;
			continue;
		}
		if (*at >= 0x80 && (*at < 0xc2 || *at > 0xfd))
			return (size_t)(end - from);
		if (*at >= 0x80)
			more = *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : *at < 0xf8 ? 3 : *at < 0xfc ? 4 : 5;
		count++;
	}
	return more > 0 ? (size_t)(end - from) : count;
}

/*
 * What Godot 3 makes of bytes that are no UTF-8: it takes them for Latin-1, but may
 * have cut them to the characters that they promise by then, and decoded those before
 * the fault, each in the place of one byte.
 */
static char *put_latin(char *out, const unsigned char *from, const unsigned char *end)
{
	size_t count = promised(from, end), done = 0;
	const unsigned char *bytes = from, *at = from;

	while (count < (size_t)(end - bytes) && from < end) {
		uint32_t code = get(&from, end);
		if (code == REPLACEMENT && from - at != 3)
			break;
		at = from;
		out = put(out, code);
		done++;
	}
	for (; done < count; done++)
		out = put(out, bytes[done]);
	return out;
}

char *scene_lexer_text(const struct scene_token *token, struct scene_arena *arena)
{
	const unsigned char *from = (const unsigned char *)token->text;
	const unsigned char *end = from + token->len;
	size_t high = 0;

	for (size_t i = 0; i < token->len; i++)
		high += from[i] >= 0x80;
	if (high == 0 && !token->escaped)
		return scene_arena_copy(arena, token->text, token->len);
	bool latin = token->godot3 && high > 0 && !is_utf8(from, end);
	/* A byte that is replaced takes three. */
	char *text = scene_arena_get(arena, token->len + 2 * high + 2 * token->len * token->escaped + 1);
	if (text == NULL)
		return NULL;
	char *out = text;
	if (latin && !token->escaped) {
		put_latin(out, from, end);
		return text;
	}
	while (from < end) {
		uint32_t code = latin ? *from++ : get(&from, end);
		if (code == '\\' && token->escaped && from < end)
			code = escape(&from, end);
		out = put(out, code);
	}
	return text;
}
