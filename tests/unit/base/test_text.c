/* base: numbers, buffers, JSON strings. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "jobq/base.h"

static bool reads(const char *text, uint64_t max, uint64_t expected)
{
	uint64_t n = 0;
	return jobq_text_u64(text, strlen(text), max, &n) && n == expected;
}

static void numbers_are_read_exactly(void **state)
{
	uint64_t n = 77;
	(void)state;
	assert_true(reads("0", 9, 0));
	assert_true(reads("9", 9, 9));
	assert_false(reads("10", 9, 10));
	assert_true(reads("18446744073709551615", UINT64_MAX, UINT64_MAX));
	assert_false(jobq_text_u64("18446744073709551616", 20, UINT64_MAX, &n));
	assert_false(jobq_text_u64("99999999999999999999", 20, UINT64_MAX, &n));
	static const char *const bad[] = {"", "00", "01", "-1", "+1", " 1", "1 ", "1a", "0x1", "1.0"};
	for (size_t i = 0; i < JOBQ_LENGTH(bad); i++)
		assert_false(jobq_text_u64(bad[i], strlen(bad[i]), 100, &n));
	assert_int_equal(n, 77);
}

static void choices_read_as_in_a_sentence(void **state)
{
	static const char *const words[] = {"one", "two", "three"};
	char text[32], cut[8];
	(void)state;
	jobq_text_choice(text, sizeof(text), words, 1);
	assert_string_equal(text, "one");
	jobq_text_choice(text, sizeof(text), words, 2);
	assert_string_equal(text, "one or two");
	jobq_text_choice(text, sizeof(text), words, 3);
	assert_string_equal(text, "one, two or three");
	jobq_text_choice(cut, sizeof(cut), words, 3);
	assert_string_equal(cut, "one, tw");
}

static void buffers_grow_and_end_in_nul(void **state)
{
	struct jobq_buf buf = {0};
	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		jobq_buf_addu(&buf, i);
	jobq_buf_addf(&buf, "%s-%d", "x", 7);
	assert_false(buf.failed);
	assert_int_equal(buf.len, 10 + 2 * 90 + 3 * 900 + 3);
	assert_int_equal(strlen(buf.data), buf.len);
	assert_string_equal(buf.data + buf.len - 6, "999x-7");
	assert_false(jobq_buf_reserve(&buf, SIZE_MAX / 2));
	assert_true(buf.failed);
	jobq_buf_adds(&buf, "nothing happens");
	assert_int_equal(buf.len, 10 + 2 * 90 + 3 * 900 + 3);
	jobq_buf_free(&buf);
}

static void json_strings_are_escaped(void **state)
{
	struct jobq_buf buf = {0};
	static const char text[] = "a\"b\\c\n\t\x01\x1f\x7f/\xc3\xa4";
	(void)state;
	jobq_buf_addjson(&buf, text, sizeof(text) - 1);
	assert_string_equal(buf.data, "\"a\\\"b\\\\c\\n\\u0009\\u0001\\u001f\x7f/\xc3\xa4\"");
	buf.len = 0;
	jobq_buf_addjson(&buf, "", 0);
	assert_string_equal(buf.data, "\"\"");
	buf.len = 0;
	jobq_buf_addjson(&buf, "\0", 1);
	assert_string_equal(buf.data, "\"\\u0000\"");
	jobq_buf_free(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_read_exactly),
		cmocka_unit_test(choices_read_as_in_a_sentence),
		cmocka_unit_test(buffers_grow_and_end_in_nul),
		cmocka_unit_test(json_strings_are_escaped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
