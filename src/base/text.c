#include "config.h"

#include <stdio.h>

#include "jobq/base.h"

bool jobq_text_u64(const char *text, size_t len, uint64_t max, uint64_t *out)
{
	uint64_t number = 0;

	if (len == 0 || (text[0] == '0' && len > 1))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(text[i] - '0');
		if (digit > max || number > (max - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*out = number;
	return true;
}

void jobq_text_choice(char *into, size_t room, const char *const words[], size_t count)
{
	size_t at = 0;

	for (size_t i = 0; i < count && at < room; i++) {
		const char *between = i == 0 ? "" : i + 1 < count ? ", " : " or ";
		at += (size_t)snprintf(into + at, room - at, "%s%s", between, words[i]);
	}
}
