/* ctl: tokens, and what stands in their file. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/tokens.h"

#define NOW INT64_C(1800000000000)
#define HOUR INT64_C(3600000)
#define HASH(c) c c c c c c c c c c c c c c c c /* of 4 digits */

static json_t *parse(const char *text)
{
	struct jobq_buf why = {0};
	json_t *all = ctl_tokens_parse(text, strlen(text), &why);

	assert_non_null(all);
	assert_int_equal(why.len, 0);
	return all;
}

static void times_have_a_unit(void **state)
{
	static const struct {
		const char *text;
		int64_t milliseconds;
	} good[] = {{"90d", 7776000000}, {"12h", 12 * HOUR}, {"30m", HOUR / 2}, {"45s", 45000},
		    {"0", 0},		 {"0d", 0},	     {"36500d", 3153600000000}};
	static const char *const bad[] = {"", "90", "1", "d", "-1d", "+1d", " 1d", "1d ", "1w", "1ms",
					  "1D", "1.5d", "01d", "36501d", "18446744073709551615d", "dd"};
	int64_t time = 77;

	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(bad); i++)
		assert_false(ctl_token_time(bad[i], &time));
	assert_int_equal(time, 77);
	for (size_t i = 0; i < JOBQ_LENGTH(good); i++) {
		assert_true(ctl_token_time(good[i].text, &time));
		assert_int_equal(time, good[i].milliseconds);
	}
}

static void names_are_short_words(void **state)
{
	char name[66];

	(void)state;
	memset(name, 'n', 65);
	name[65] = '\0';
	assert_false(ctl_token_is_name(name));
	name[64] = '\0';
	assert_true(ctl_token_is_name(name));
	assert_true(ctl_token_is_name("a.b_c@d-E9"));
	static const char *const bad[] = {"", " ", "a b", "a\n", "a/b", "\xc3\xa4", "a\"", "a\x7f"};
	for (size_t i = 0; i < JOBQ_LENGTH(bad); i++)
		assert_false(ctl_token_is_name(bad[i]));
}

/* FIPS 180-2's example. */
static void hashes_are_sha_256(void **state)
{
	char hash[CTL_TOKEN_HASH];

	(void)state;
	ctl_token_hash("abc", hash);
	assert_string_equal(hash,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void tokens_are_all_different(void **state)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789-_";
	char tokens[200][CTL_TOKEN_TEXT];
	uint64_t seen = 0;

	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(tokens); i++) {
		assert_true(ctl_token_make(tokens[i]));
		assert_int_equal(strlen(tokens[i]), CTL_TOKEN_TEXT - 1);
		assert_memory_equal(tokens[i], "jobq_", 5);
		for (const char *c = tokens[i] + 5; *c != '\0'; c++) {
			assert_non_null(strchr(letters, *c));
			seen |= UINT64_C(1) << (strchr(letters, *c) - letters);
		}
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(tokens[i], tokens[j]);
	}
	assert_true(seen == UINT64_MAX); /* each of 64 letters, among 8,600 */
}

static void syntax_errors_have_a_place(void **state)
{
	struct jobq_buf why = {0};

	(void)state;
	assert_null(ctl_tokens_parse("{\n\"a\": 1,\n x}", 13, &why));
	assert_memory_equal(why.data, "line 3, column 2: ", 18);
	why.len = 0;
	assert_null(ctl_tokens_parse("[1]", 3, &why));
	assert_memory_equal(why.data, "line 1, column 1: ", 18);
	why.len = 0;
	assert_null(ctl_tokens_parse("{\"a\": 1, \"a\": 2}", 16, &why));
	assert_memory_equal(why.data, "line 1, column 12: ", 18);
	jobq_buf_free(&why);
}

static enum ctl_token_state judge(const char *hash, const char *entry)
{
	struct ctl_token token;
	json_t *parsed = json_loads(entry, JSON_DECODE_ANY, NULL);

	assert_non_null(parsed);
	ctl_token_judge(hash, parsed, NOW, &token);
	json_decref(parsed);
	return token.state;
}

static void entries_are_judged(void **state)
{
	static const char hash[] = HASH("0af9");

	(void)state;
	assert_int_equal(judge(hash, "\"a\""), CTL_TOKEN_VALID);
	assert_int_equal(judge(hash, "{\"name\": \"a\", \"expires\": 1800000001}"), CTL_TOKEN_VALID);
	assert_int_equal(judge(hash, "{\"name\": \"a\", \"expires\": 1800000000}"), CTL_TOKEN_EXPIRED);
	assert_int_equal(judge(hash, "{\"name\": \"a\", \"scope\": \"write\"}"), CTL_TOKEN_UNUSABLE);
	assert_int_equal(judge(HASH("0af"), "\"a\""), CTL_TOKEN_UNUSABLE);
	assert_int_equal(judge(HASH("0af9") "0", "\"a\""), CTL_TOKEN_UNUSABLE);
	assert_int_equal(judge(HASH("0AF9"), "\"a\""), CTL_TOKEN_UNUSABLE);
	assert_int_equal(judge("__proto__", "\"a\""), CTL_TOKEN_UNUSABLE);
}

static int64_t expires(const json_t *all, const char *hash)
{
	struct ctl_token token;
	const json_t *entry = json_object_get(all, hash);

	if (entry == NULL)
		return -1;
	ctl_token_judge(hash, entry, NOW, &token);
	return token.expires;
}

static void ends_only_come_nearer(void **state)
{
	json_t *all = parse("{\"" HASH("0001") "\": \"a\", "
			    "\"" HASH("0002") "\": {\"name\": \"a\", \"expires\": 1800000060},"
			    "\"" HASH("0003") "\": {\"name\": \"a\", \"expires\": 1900000000, \"x\": 1},"
			    "\"" HASH("0004") "\": {\"name\": \"a\", \"expires\": 1700000000},"
			    "\"" HASH("0005") "\": {\"name\": \"a\", \"scope\": \"?\"},"
			    "\"" HASH("0006") "\": \"b\"}");

	(void)state;
	assert_true(ctl_tokens_end(all, "a", NOW, NOW + HOUR));
	assert_int_equal(expires(all, HASH("0001")), NOW + HOUR);
	assert_int_equal(expires(all, HASH("0002")), NOW + 60000);
	assert_int_equal(expires(all, HASH("0003")), NOW + HOUR);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(all, HASH("0003")), "x")), 1);
	assert_int_equal(expires(all, HASH("0004")), -1);
	assert_non_null(json_object_get(all, HASH("0005")));
	assert_int_equal(expires(all, HASH("0006")), CTL_TOKEN_NEVER);
	assert_true(ctl_tokens_end(all, "a", NOW, NOW));
	assert_int_equal(ctl_tokens_count(all, "a"), 1); /* of no use to anybody, but not ours */
	assert_int_equal(ctl_tokens_remove(all, "a"), 1);
	assert_int_equal(json_object_size(all), 1);
	json_decref(all);
}

static void newest_is_the_last_made(void **state)
{
	struct ctl_token token;
	json_t *all = parse("{\"" HASH("0001") "\": {\"name\": \"a\", \"created\": 20},"
			    "\"" HASH("0002") "\": {\"name\": \"a\", \"created\": 10},"
			    "\"" HASH("0003") "\": {\"name\": \"a\", \"created\": 30, \"scope\": 1},"
			    "\"" HASH("0004") "\": {\"name\": \"b\", \"created\": 40}}");

	(void)state;
	assert_true(ctl_tokens_newest(all, "a", NOW, &token));
	assert_string_equal(token.hash, HASH("0001"));
	assert_false(ctl_tokens_newest(all, "c", NOW, &token));
	token = (struct ctl_token){HASH("0005"), "a", "read", 20000, CTL_TOKEN_NEVER, 0};
	assert_true(ctl_tokens_add(all, &token));
	assert_true(ctl_tokens_newest(all, "a", NOW, &token));
	assert_string_equal(token.hash, HASH("0005")); /* of the same second, but behind */
	assert_string_equal(token.scope, "read");
	assert_int_equal(token.expires, CTL_TOKEN_NEVER);
	json_decref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_have_a_unit),
		cmocka_unit_test(names_are_short_words),
		cmocka_unit_test(hashes_are_sha_256),
		cmocka_unit_test(tokens_are_all_different),
		cmocka_unit_test(syntax_errors_have_a_place),
		cmocka_unit_test(entries_are_judged),
		cmocka_unit_test(ends_only_come_nearer),
		cmocka_unit_test(newest_is_the_last_made),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
