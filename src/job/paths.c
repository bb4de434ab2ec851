#include "config.h"

#include <string.h>

#include "jobq/paths.h"

#define SCHEME "res://"
#define SCHEME_LEN (sizeof(SCHEME) - 1)
#define SCENE_ENDING ".tscn"
#define FILE_MAX 1024

/* The length of the UTF-8 sequence at `at`, or 0 (RFC 3629 section 4). */
static size_t utf8_length(const unsigned char *at, size_t left)
{
	size_t len;
	unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */

	if (at[0] < 0x80)
		return 1;
	if (at[0] >= 0xc2 && at[0] <= 0xdf) {
		len = 2;
	} else if (at[0] >= 0xe0 && at[0] <= 0xef) {
		len = 3;
		low = at[0] == 0xe0 ? 0xa0 : low;
		high = at[0] == 0xed ? 0x9f : high; /* no surrogates */
	} else if (at[0] >= 0xf0 && at[0] <= 0xf4) {
		len = 4;
		low = at[0] == 0xf0 ? 0x90 : low;
		high = at[0] == 0xf4 ? 0x8f : high;
	} else {
		return 0;
	}
	if (left < len || at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static const char *malformed_bytes(const char *path, size_t len)
{
	for (size_t i = SCHEME_LEN; i < len;) {
		unsigned char c = (unsigned char)path[i];
		size_t step = utf8_length((const unsigned char *)path + i, len - i);
		if (step == 0)
			return "must be valid UTF-8";
		if (c < 0x20 || c == 0x7f)
			return "must not hold control bytes";
		if (c == '\\')
			return "must not hold a backslash";
		if (c == ':')
			return "must not hold a second colon";
		i += step;
	}
	return NULL;
}

static const char *malformed_segments(const char *path, size_t len)
{
	const char *segment = path + SCHEME_LEN, *end = path + len;

	for (;;) {
		const char *slash = memchr(segment, '/', (size_t)(end - segment));
		size_t n = (size_t)((slash != NULL ? slash : end) - segment);
		if (n == 0)
			return "must not hold an empty segment";
		if ((n == 1 && segment[0] == '.') || (n == 2 && memcmp(segment, "..", 2) == 0))
			return "must not hold a . or .. segment";
		if (slash == NULL)
			return NULL;
		segment = slash + 1;
	}
}

static const char *malformed(const char *path, size_t len)
{
	if (len < SCHEME_LEN || memcmp(path, SCHEME, SCHEME_LEN) != 0)
		return "must begin with res://";
	if (len == SCHEME_LEN)
		return "must name a file";
	const char *what = malformed_bytes(path, len);
	return what != NULL ? what : malformed_segments(path, len);
}

const char *jobq_paths_malformed(const char *path, size_t len)
{
	const size_t ending = sizeof(SCENE_ENDING) - 1;

	if (len > JOBQ_PATH_MAX)
		return "must be at most 256 bytes long";
	const char *what = malformed(path, len);
	if (what != NULL)
		return what;
	if (len < ending || memcmp(path + len - ending, SCENE_ENDING, ending) != 0)
		return "must end in .tscn";
	return NULL;
}

const char *jobq_paths_malformed_file(const char *path, size_t len)
{
	if (len > FILE_MAX)
		return "must be at most 1024 bytes long";
	return malformed(path, len);
}

/*
 * Without recursion: on a mismatch the last star that may still grow takes
 * one more byte. A `*` before a `**` never needs to be tried again: whatever
 * it could take, the `**` behind it can take as well.
 */
bool jobq_paths_match(const char *pattern, const char *path)
{
	const char *star = NULL, *star_at = NULL;   /* behind the last `*`; what it took up to */
	const char *stars = NULL, *stars_at = NULL; /* the same for the last `**` */
	const char *start = pattern;

	for (;;) {
		if (pattern[0] == '*' && pattern[1] == '*') {
			stars = pattern += 2;
			stars_at = path;
			star = NULL;
		} else if (pattern[0] == '*') {
			star = ++pattern;
			star_at = path;
		} else if (*pattern == *path) {
			if (*path == '\0')
				return true;
			pattern++;
			path++;
		} else if (*pattern == '\0' && pattern > start && pattern[-1] == '/') {
			return true; /* a directory: all below it */
		} else if (star != NULL && *star_at != '/' && *star_at != '\0') {
			pattern = star;
			path = ++star_at;
		} else if (stars != NULL && *stars_at != '\0') {
			pattern = stars;
			path = ++stars_at;
			star = NULL;
		} else {
			return false;
		}
	}
}

bool jobq_paths_match_any(const struct jobq_list *list, const char *path)
{
	for (size_t i = 0; i < list->count; i++)
		if (jobq_paths_match(list->items[i], path))
			return true;
	return false;
}
