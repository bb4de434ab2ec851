#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "api/api.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int decode(const char *value, size_t len, char *into, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = value[i];
		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int high = len - i > 2 ? hex_digit(value[i + 1]) : -1;
			int low = len - i > 2 ? hex_digit(value[i + 2]) : -1;
			if (high < 0 || low < 0)
				return -2;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (n + 1 >= room)
			return -2;
		into[n++] = c;
	}
	into[n] = '\0';
	return (int)n;
}

int api_query(const char *query, const char *name, char *into, size_t room)
{
	size_t name_len = strlen(name);
	const char *value = NULL;
	size_t value_len = 0;

	for (const char *part = query; *part != '\0';) {
		size_t len = strcspn(part, "&");
		size_t key = strcspn(part, "=&");
		if (key == name_len && memcmp(part, name, key) == 0) {
			if (value != NULL)
				return -2;
			value = part + key + (key < len);
			value_len = len - key - (key < len);
		}
		part += len + (part[len] == '&');
	}
	return value == NULL ? -1 : decode(value, value_len, into, room);
}

bool api_query_number(struct api_request *request, const char *name, uint64_t least, uint64_t most,
		      uint64_t *out)
{
	char text[32], code[32] = "invalid_";
	int len = api_query(request->query, name, text, sizeof(text));

	if (len == -1 || (len >= 0 && jobq_text_u64(text, (size_t)len, most, out) && *out >= least))
		return true;
	strncat(code, name, sizeof(code) - strlen(code) - 1);
	api_reply_error(request, 400, code,
			"\"%s\" must be a whole number from %" PRIu64 " to %" PRIu64 ", once", name,
			least, most);
	return false;
}
