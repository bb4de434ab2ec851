/* hook: what nginx tells of refused requests, and how often that is told on. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook/hook.h"

#define HEAD "<190>Nov 24 05:13:04 jobq: "
#define SECOND INT64_C(1000000)

static struct hook_notice notice;

static bool reads(const char *line)
{
	return hook_notice_read(line, strlen(line), &notice);
}

static void lines_of_nginx_are_read(void **state)
{
	(void)state;
	assert_true(reads(HEAD "{\"status\":\"401\",\"client\":\"192.0.2.7\","
			       "\"request\":\"GET /jobs\",\"token\":\"\"}"));
	assert_int_equal(notice.kind, JOBQ_EVENT_AUTH_FAILED);
	assert_string_equal(notice.client, "192.0.2.7");
	assert_string_equal(notice.request, "GET /jobs");
	assert_string_equal(notice.token, "");
	assert_true(reads("<14>Nov  1 00:00:00 jobq: {\"status\":\"429\",\"client\":\"::1\","
			  "\"request\":\"-\",\"token\":\"ci\"}"));
	assert_int_equal(notice.kind, JOBQ_EVENT_RATE_LIMIT_EXCEEDED);
	assert_string_equal(notice.token, "ci");
}

static void other_lines_are_not(void **state)
{
	static const char rest[] = "\"client\":\"a\",\"request\":\"b\",\"token\":\"c\"}";
	static const char *const lines[] = {
		"", "<", "<190", "<190>", "<190>Nov 24 05:13:04 jobq: ", "190>Nov 24 05:13:04 jobq: {}",
		HEAD "{}", HEAD "[]", HEAD "{", HEAD "x",
		HEAD "{\"status\":401,\"client\":\"a\",\"request\":\"b\",\"token\":\"c\"}",
		HEAD "{\"status\":\"401\",\"client\":\"a\",\"request\":\"b\"}",
		HEAD "{\"status\":\"401\",\"client\":\"a\",\"request\":\"b\\u0000\",\"token\":\"c\"}",
		("<190>Nov 24 05:13:04 other: {\"status\":\"401\",\"client\":\"a\","
		 "\"request\":\"b\",\"token\":\"c\"}"),
	};
	char line[256];

	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(lines); i++)
		if (reads(lines[i]))
			fail_msg("read: %s", lines[i]);
	for (int status = 0; status < 10000; status++) {
		snprintf(line, sizeof(line), HEAD "{\"status\":\"%d\",%s", status, rest);
		assert_int_equal(reads(line), status == 401 || status == 429);
	}
}

static void long_texts_are_cut_between_characters(void **state)
{
	struct jobq_buf line = {0};
	(void)state;
	jobq_buf_adds(&line, HEAD "{\"status\":\"401\",\"client\":\"c\",\"token\":\"\",\"request\":\"");
	for (int i = 0; i < 300; i++)
		jobq_buf_adds(&line, "\xc3\xa4");
	jobq_buf_adds(&line, "\"}");
	assert_true(hook_notice_read(line.data, line.len, &notice));
	assert_int_equal(strlen(notice.request), HOOK_NOTICE_TEXT - 2);
	jobq_buf_free(&line);
}

static void data_says_who_and_what(void **state)
{
	struct jobq_buf out = {0};
	(void)state;
	notice = (struct hook_notice){.kind = JOBQ_EVENT_AUTH_FAILED, .client = "::1",
				      .request = "GET \"x\"", .token = "never"};
	hook_notice_data(&out, &notice, 3);
	assert_string_equal(out.data, "{\"client\":\"::1\",\"request\":\"GET \\\"x\\\"\",\"suppressed\":3}");
	out.len = 0;
	notice = (struct hook_notice){.kind = JOBQ_EVENT_RATE_LIMIT_EXCEEDED, .client = "::1",
				      .request = "GET /jobs", .token = "ci"};
	hook_notice_data(&out, &notice, 0);
	assert_string_equal(out.data, "{\"client\":\"::1\",\"token\":\"ci\",\"request\":\"GET /jobs\","
				      "\"suppressed\":0}");
	out.len = 0;
	notice.token[0] = '\0';
	hook_notice_data(&out, &notice, 0);
	assert_non_null(strstr(out.data, "\"token\":null"));
	jobq_buf_free(&out);
}

/* A flood of `count` notices, `gap` microseconds apart; returns what was told, all in all. */
static uint64_t flood(unsigned count, int64_t gap, unsigned *events)
{
	struct hook_tally tally = {0};
	int64_t now = 1000 * SECOND, told[10000] = {0};
	uint64_t suppressed = 0, sum = 0;

	*events = 0;
	for (unsigned i = 0; i < count + 100; i++, now += i <= count ? gap : SECOND / 10) {
		bool tell = i < count ? hook_tally_take(&tally, &notice, now, &suppressed)
				      : hook_tally_rest(&tally, now, &suppressed);
		if (!tell)
			continue;
		sum += suppressed + 1;
		told[(*events)++] = now;
		if (*events > HOOK_NOTICES_A_SECOND)
			assert_true(now - told[*events - 1 - HOOK_NOTICES_A_SECOND] >= SECOND);
	}
	assert_int_equal(tally.held, 0);
	return sum;
}

static void few_are_told_each(void **state)
{
	unsigned events;
	(void)state;
	assert_int_equal(flood(5, 1, &events), 5);
	assert_int_equal(events, 5);
	assert_int_equal(flood(50, SECOND / 4, &events), 50);
	assert_int_equal(events, 50);
}

static void floods_are_counted(void **state)
{
	unsigned events;
	(void)state;
	assert_int_equal(flood(6, 1, &events), 6);
	assert_int_equal(events, 6);
	assert_int_equal(flood(1000000, 10, &events), 1000000);
	assert_true(events <= 10 * HOOK_NOTICES_A_SECOND + HOOK_NOTICES_A_SECOND + 1);
}

static void what_could_not_be_told_waits(void **state)
{
	struct hook_tally tally = {0};
	uint64_t suppressed;
	(void)state;
	assert_true(hook_tally_take(&tally, &notice, SECOND, &suppressed));
	hook_tally_hold(&tally, suppressed, SECOND);
	assert_false(hook_tally_rest(&tally, SECOND + 1, &suppressed));
	assert_true(hook_tally_rest(&tally, 2 * SECOND, &suppressed));
	assert_int_equal(suppressed, 0);
	assert_false(hook_tally_rest(&tally, 9 * SECOND, &suppressed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_nginx_are_read),
		cmocka_unit_test(other_lines_are_not),
		cmocka_unit_test(long_texts_are_cut_between_characters),
		cmocka_unit_test(data_says_who_and_what),
		cmocka_unit_test(few_are_told_each),
		cmocka_unit_test(floods_are_counted),
		cmocka_unit_test(what_could_not_be_told_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
