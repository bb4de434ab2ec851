/*
 * libFuzzer target over the tokens file: whatever stands in it, a change must
 * leave a file that can be read, with the new token in it and none of the old.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/tokens.h"

#define NOW INT64_C(1800000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

/* As `rotate` does it. */
static void change(json_t *all, const char *hash)
{
	struct ctl_token token = {hash, "ci", "read", NOW, NOW + 1000, CTL_TOKEN_VALID};

	check(ctl_tokens_end(all, "ci", NOW, NOW));
	check(ctl_tokens_add(all, &token));
	check(ctl_tokens_newest(all, "ci", NOW, &token));
	check(strcmp(token.hash, hash) == 0 && token.state == CTL_TOKEN_VALID);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jobq_buf why = {0};
	struct ctl_token token;
	char hash[CTL_TOKEN_HASH];
	json_t *all = ctl_tokens_parse((const char *)data, size, &why), *entry;
	const char *key;

	check((all == NULL) == (why.len > 0));
	if (all != NULL) {
		json_object_foreach(all, key, entry)
			ctl_token_judge(key, entry, NOW, &token);
		ctl_token_hash("token", hash);
		change(all, hash);
		char *text = json_dumps(all, JSON_INDENT(1));
		json_decref(all);
		check(text != NULL);
		all = ctl_tokens_parse(text, strlen(text), &why);
		check(all != NULL && ctl_tokens_remove(all, "ci") >= 1);
		free(text);
		json_decref(all);
	}
	jobq_buf_free(&why);
	return 0;
}
