/* job: events and their patterns, ids of deliveries, addresses, what an event tells of a job. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jobq/event.h"

#define ALL (JOBQ_EVENT_BIT(JOBQ_EVENT_KINDS) - 1)

static void names_go_both_ways(void **state)
{
	enum jobq_event_kind kind;
	(void)state;
	for (unsigned i = 0; i < JOBQ_EVENT_KINDS; i++) {
		const char *name = jobq_event_name((enum jobq_event_kind)i);
		assert_true(jobq_event_kind_of(name, strlen(name), &kind));
		assert_int_equal(kind, i);
		assert_false(jobq_event_kind_of(name, strlen(name) - 1, &kind));
	}
	assert_false(jobq_event_kind_of("Ping", 4, &kind));
	assert_false(jobq_event_kind_of("ping\0", 5, &kind));
	assert_string_equal(jobq_event_name(JOBQ_EVENT_KINDS), "unknown");
}

static uint32_t kinds_of(const char *pattern)
{
	return jobq_event_pattern(pattern, strlen(pattern));
}

static void patterns_stand_for_kinds(void **state)
{
	static const char *const none[] = {"", ".", ".*", "**", "*.*", "job", "job.", "job*", "jo.*",
		"job.*.*", "job.q*", "job.Queued", "JOB.*", "ping.*", "rate_limit", " *", "* "};
	uint32_t job = 0, scene = 0;
	(void)state;
	for (unsigned i = JOBQ_EVENT_JOB_QUEUED; i <= JOBQ_EVENT_JOB_CANCELLED; i++)
		job |= JOBQ_EVENT_BIT(i);
	for (unsigned i = JOBQ_EVENT_SCENE_LOADED; i <= JOBQ_EVENT_SCENE_RELOADED; i++)
		scene |= JOBQ_EVENT_BIT(i);
	assert_int_equal(kinds_of("*"), ALL);
	assert_int_equal(kinds_of("job.*"), job);
	assert_int_equal(kinds_of("scene.*"), scene);
	assert_int_equal(kinds_of("auth.*"), JOBQ_EVENT_BIT(JOBQ_EVENT_AUTH_FAILED));
	assert_int_equal(kinds_of("rate_limit.*"), JOBQ_EVENT_BIT(JOBQ_EVENT_RATE_LIMIT_EXCEEDED));
	assert_int_equal(kinds_of("ping"), JOBQ_EVENT_BIT(JOBQ_EVENT_PING));
	assert_int_equal(kinds_of("job.progress"), JOBQ_EVENT_BIT(JOBQ_EVENT_JOB_PROGRESS));
	for (size_t i = 0; i < JOBQ_LENGTH(none); i++)
		if (kinds_of(none[i]) != 0)
			fail_msg("\"%s\" stands for something", none[i]);
	assert_int_equal(jobq_event_pattern("ping\0.*", 7), 0);
	assert_int_equal(jobq_event_pattern("job.*\0", 6), 0);
}

static void every_status_has_its_event(void **state)
{
	(void)state;
	for (unsigned i = JOBQ_STATUS_QUEUED; i < JOBQ_STATUSES; i++) {
		enum jobq_job_status status = (enum jobq_job_status)i;
		const char *event = jobq_event_name(jobq_event_of_status(status));
		const char *name = status == JOBQ_STATUS_RUNNING ? "started"
								 : jobq_job_status_name(status);
		assert_memory_equal(event, "job.", 4);
		assert_string_equal(event + 4, name);
	}
}

static void delivery_ids_go_both_ways(void **state)
{
	static const struct { const char *text; uint64_t webhook, event; } good[] = {
		{"1-7", 1, 7}, {"0-0", 0, 0}, {"9223372036854775807-9223372036854775807", INT64_MAX,
		INT64_MAX},
	};
	static const char *const bad[] = {"", "-", "1", "1-", "-1", "1-2-3", "01-2", "1-02", "1--2",
		"a-1", "1-a", " 1-2", "1-2 ", "1-9223372036854775808", "18446744073709551616-1"};
	char text[JOBQ_DELIVERY_ID];
	uint64_t webhook, event;
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(good); i++) {
		assert_true(jobq_event_delivery_of(good[i].text, strlen(good[i].text), &webhook,
						   &event));
		assert_true(webhook == good[i].webhook && event == good[i].event);
		jobq_event_delivery_id(text, webhook, event);
		assert_string_equal(text, good[i].text);
	}
	for (size_t i = 0; i < JOBQ_LENGTH(bad); i++)
		if (jobq_event_delivery_of(bad[i], strlen(bad[i]), &webhook, &event))
			fail_msg("\"%s\" is taken", bad[i]);
	assert_true(jobq_event_delivery_of("1-77", 3, &webhook, &event));
	assert_int_equal(event, 7);
	jobq_event_delivery_id(text, UINT64_MAX, UINT64_MAX);
	assert_string_equal(text, "18446744073709551615-18446744073709551615");
}

/* ---- addresses ------------------------------------------------------------ */

static void good_addresses_pass(void **state)
{
	static const char *const good[] = {"http://a", "https://your-server.com/webhook", "HTTP://A/",
		"hTTps://x_y.example:8443/a/b?c=d&e=%20", "http://a?q", "http://127.0.0.1:1/",
		"http://a:65535", "http://a:/", "http://[::1]", "http://[::1]:80/x",
		"http://[::ffff:127.0.0.1]:9/", "http://2130706433/", "http://0x7f.1/",
		"http://a/@b", "http://a/?u=b@c", "http://a/[x]", "http://a./~!$&'()*+,;="};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(good); i++) {
		const char *what = jobq_event_url_malformed(good[i], strlen(good[i]));
		if (what != NULL)
			fail_msg("%s: %s", good[i], what);
	}
}

static void assert_malformed(const char *url, size_t len, const char *because)
{
	const char *what = jobq_event_url_malformed(url, len);
	if (what == NULL)
		fail_msg("%s is taken", url);
	if (strstr(what, because) == NULL)
		fail_msg("%s: \"%s\" does not say \"%s\"", url, what, because);
}

static void bad_addresses_are_told_why(void **state)
{
	static const struct { const char *url, *because; } bad[] = {
		{"", "http:// or https://"}, {"a", "http:// or https://"},
		{"ftp://a/", "http:// or https://"}, {"http:/a", "http:// or https://"},
		{"httpx://a", "http:// or https://"}, {"//a/b", "http:// or https://"},
		{"file:///etc/passwd", "http:// or https://"}, {"gopher://a", "http:// or https://"},
		{"http://", "no host"}, {"https:///x", "no host"}, {"http://?x", "no host"},
		{"http://:80/", "no host"}, {"http://[]/", "no host"},
		{"http://a#b", "fragment"}, {"http://a/?b#", "fragment"},
		{"http://u@a/", "user"}, {"http://u:p@a/", "user"}, {"http://@a", "user"},
		{"http://a:@b", "user"}, {"http://a b/", "percent"}, {"http://a/ ", "percent"},
		{" http://a", "percent"}, {"http://a/\t", "percent"}, {"http://a\r\nX: y", "percent"},
		{"http://a/\xc3\xa4", "percent"}, {"http://a/\x7f", "percent"},
		{"http://a\\@b/", "percent"}, {"http://a/<", "percent"}, {"http://a/`", "percent"},
		{"http://a%41/", "no host name has"}, {"http://a!/", "no host name has"},
		{"http://a]/", "no host name has"}, {"http://[fe80::1%25eth0]/", "no IPv6"},
		{"http://[::g]/", "no IPv6"}, {"http://[127.0.0.1]/", "no IPv6"},
		{"http://[a]/", "no IPv6"}, {"http://[v1.x]/", "no IPv6"},
		{"http://[1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0:1:2:3:4:5:6]/", "no IPv6"},
		{"http://[::1/", "no end"}, {"http://[::1]x/", "port"}, {"http://a:0/", "port"},
		{"http://a:65536/", "port"}, {"http://a:80x", "port"}, {"http://a:-1", "port"},
		{"http://a:080", "port"}, {"http://a:1:2", "port"}, {"http://[::1]:65536", "port"},
		{"http://::1/", "no host"}, {"http://a::1/", "port"},
	};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(bad); i++)
		assert_malformed(bad[i].url, strlen(bad[i].url), bad[i].because);
	assert_malformed("http://a\0b", 10, "percent");
}

static void addresses_are_bounded(void **state)
{
	char url[JOBQ_WEBHOOK_URL_MAX + 2];
	(void)state;
	memset(url, 'a', sizeof(url));
	memcpy(url, "http://h/", 9);
	assert_null(jobq_event_url_malformed(url, JOBQ_WEBHOOK_URL_MAX));
	url[JOBQ_WEBHOOK_URL_MAX + 1] = '\0';
	assert_malformed(url, JOBQ_WEBHOOK_URL_MAX + 1, "longer than 2048 bytes");
}

/* ---- what an event tells of a job ----------------------------------------- */

static void data_is_the_job_with_its_id_before_it(void **state)
{
	struct jobq_buf out = {0};
	struct jobq_entry entry = {
		.id = 12, .type = JOBQ_TYPE_CACHE_WARMING, .status = JOBQ_STATUS_COMPLETED,
		.progress = 100, .created = 1699564800999999, .started = 1699564801000000,
		.completed = 1699564805000001, .result = {"{\"a\":1}", 7},
	};
	(void)state;
	jobq_event_job_data(&out, &entry);
	assert_string_equal(out.data,
		"{\"job_id\":\"12\",\"id\":\"12\",\"type\":\"cache_warming\",\"status\":\"completed\","
		"\"progress\":1.0,\"created_at\":1699564800,\"started_at\":1699564801,"
		"\"completed_at\":1699564805,\"result\":{\"a\":1},\"error\":null}");
	assert_int_equal(strlen(out.data), out.len);
	out.len = 0;
	entry = (struct jobq_entry){.id = 1, .type = JOBQ_TYPE_SCENE_PRELOAD,
				    .status = JOBQ_STATUS_FAILED, .created = 1000000,
				    .error = {"say \"no\"", 8}};
	jobq_event_job_data(&out, &entry);
	assert_string_equal(out.data,
		"{\"job_id\":\"1\",\"id\":\"1\",\"type\":\"scene_preload\",\"status\":\"failed\","
		"\"progress\":0.0,\"created_at\":1,\"started_at\":null,\"completed_at\":null,"
		"\"result\":null,\"error\":\"say \\\"no\\\"\"}");
	jobq_buf_free(&out);
}

static void long_results_are_left_out(void **state)
{
	char *result = malloc(JOBQ_EVENT_RESULT_MAX + 1);
	(void)state;
	assert_non_null(result);
	memset(result, '7', JOBQ_EVENT_RESULT_MAX + 1);
	for (size_t len = JOBQ_EVENT_RESULT_MAX; len <= JOBQ_EVENT_RESULT_MAX + 1; len++) {
		struct jobq_buf out = {0};
		struct jobq_entry entry = {.id = 5, .status = JOBQ_STATUS_COMPLETED,
					   .result = {result, len}};
		bool whole = len <= JOBQ_EVENT_RESULT_MAX;
		jobq_event_job_data(&out, &entry);
		json_t *data = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES |
					  JSON_DECODE_INT_AS_REAL, NULL);
		if (whole) {
			/* A number too large to read, but whole. */
			assert_true(out.len > len);
			assert_null(strstr(out.data, "result_omitted"));
		} else {
			assert_non_null(data);
			assert_true(json_is_true(json_object_get(data, "result_omitted")));
			assert_true(json_is_null(json_object_get(data, "result")));
			assert_memory_equal(out.data, "{\"job_id\":\"5\",\"result_omitted\":true,\"id\":",
					    41);
		}
		json_decref(data);
		jobq_buf_free(&out);
	}
	free(result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_go_both_ways),
		cmocka_unit_test(patterns_stand_for_kinds),
		cmocka_unit_test(every_status_has_its_event),
		cmocka_unit_test(delivery_ids_go_both_ways),
		cmocka_unit_test(good_addresses_pass),
		cmocka_unit_test(bad_addresses_are_told_why),
		cmocka_unit_test(addresses_are_bounded),
		cmocka_unit_test(data_is_the_job_with_its_id_before_it),
		cmocka_unit_test(long_results_are_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
