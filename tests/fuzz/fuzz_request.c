/* Query strings, path patterns and places in event streams. The first byte chooses; a zero byte divides. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "api/stream.h"
#include "jobq/paths.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 2), value[16];

	if (text == NULL || size == 0)
		goto out;
	memcpy(text, data + 1, size - 1);
	if (data[0] % 4 == 2) {
		uint64_t seq = 0;
		if (api_sse_id(text, 0xdeadbeef, &seq) && strncmp(text, "deadbeef-", 9) != 0)
			abort();
	} else if (data[0] % 2 == 0) {
		int len = api_query(text, "wait", value, sizeof(value));
		if (len >= (int)sizeof(value) || (len >= 0 && value[len] != '\0'))
			abort();
	} else {
		const char *path = text + strlen(text) + 1;
		if (path >= text + size)
			path = "res://a.tscn";
		jobq_paths_match(text, path);
		jobq_paths_malformed(text, size - 1);
	}
out:
	free(text);
	return 0;
}
