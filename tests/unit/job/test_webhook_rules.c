/* job: what POST and PUT /webhooks accept, and how they refuse the rest. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "jobq/event.h"

#define HEAD "{\"url\":\"http://a/\",\"events\":[\"ping\"]"
#define WITH_URL(value) "{\"url\":" value ",\"events\":[\"ping\"]}"
#define WITH_EVENTS(value) "{\"url\":\"http://a/\",\"events\":" value "}"
#define WITH_SECRET(value) HEAD ",\"secret\":" value "}"

static struct jobq_webhook webhook;
static struct jobq_refusal why;
static unsigned given;

static bool accepts(const char *body, size_t len, bool create)
{
	why = (struct jobq_refusal){0};
	return jobq_webhook_rules(body, len, create, &webhook, &given, &why);
}

static void assert_accepted(const char *body, bool create)
{
	if (!accepts(body, strlen(body), create))
		fail_msg("%.200s refused: %s %s", body, why.code, why.error);
}

static void assert_created(const char *body)
{
	webhook = (struct jobq_webhook){.enabled = true};
	assert_accepted(body, true);
}

static void assert_refused_bytes(const char *body, size_t len, bool create, const char *code,
				 const char *pointer)
{
	webhook = (struct jobq_webhook){.enabled = true};
	if (accepts(body, len, create))
		fail_msg("%.200s accepted", body);
	if (strcmp(why.code, code) != 0 || strcmp(why.pointer, pointer) != 0)
		fail_msg("%.200s: %s at \"%s\" (%s)", body, why.code, why.pointer, why.error);
	assert_true(strlen(why.error) > 10);
	assert_string_equal(webhook.secret, "");
}

static void assert_refused(const char *body, const char *code, const char *pointer)
{
	assert_refused_bytes(body, strlen(body), true, code, pointer);
}

static void good_bodies_pass(void **state)
{
	(void)state;
	assert_created("{\"url\": \"https://your-server.com/webhook\", \"events\": [\"scene.loaded\", "
		       "\"scene.validated\"], \"secret\": \"webhook_secret\"}");
	assert_string_equal(webhook.url, "https://your-server.com/webhook");
	assert_string_equal(webhook.events, "[\"scene.loaded\",\"scene.validated\"]");
	assert_int_equal(webhook.kinds, JOBQ_EVENT_BIT(JOBQ_EVENT_SCENE_LOADED) |
						JOBQ_EVENT_BIT(JOBQ_EVENT_SCENE_VALIDATED));
	assert_string_equal(webhook.secret, "webhook_secret");
	assert_true(webhook.has_secret && (given & JOBQ_GIVEN_SECRET) != 0 && webhook.enabled);
	assert_created("{\"enabled\":false,\"events\":[\"*\"],\"url\":\"http://a\"}");
	assert_false(webhook.enabled || webhook.has_secret || (given & JOBQ_GIVEN_SECRET) != 0);
	assert_created(WITH_SECRET("null"));
	assert_false(webhook.has_secret);
}

static void bodies_must_be_json_objects(void **state)
{
	static const char *const bad[] = {"", " ", "{", "{}x", "[]", "null", "{} {}", "\xef\xbb\xbf{}",
		HEAD ",\"url\":\"http://b/\"}", HEAD ",\"secret\":\"\xff\"}",
		HEAD ",\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(bad); i++)
		assert_refused(bad[i], "invalid_json", "");
	assert_refused_bytes("{}\0", 3, true, "invalid_json", "");
	assert_refused_bytes("[]", 2, false, "invalid_json", "");
}

static void unknown_members_are_named(void **state)
{
	(void)state;
	assert_refused(HEAD ",\"id\":\"1\"}", "unknown_member", "/id");
	assert_refused(HEAD ",\"Secret\":\"x\"}", "unknown_member", "/Secret");
	assert_refused_bytes("{\"delivery_count\":0}", 20, false, "unknown_member",
			     "/delivery_count");
}

static void addresses_are_checked(void **state)
{
	char body[JOBQ_WEBHOOK_URL_MAX + 100];
	(void)state;
	assert_refused("{\"events\":[\"ping\"]}", "invalid_url", "/url");
	assert_non_null(strstr(why.error, "missing"));
	assert_refused(WITH_URL("7"), "invalid_url", "/url");
	assert_refused(WITH_URL("null"), "invalid_url", "/url");
	assert_refused(WITH_URL("\"\""), "invalid_url", "/url");
	assert_refused(WITH_URL("\"ftp://a/\""), "invalid_url", "/url");
	assert_refused(WITH_URL("\"http://u:p@a/\""), "invalid_url", "/url");
	assert_null(strstr(why.error, "u:p"));
	assert_refused(WITH_URL("\"http://a/\\u0000\""), "invalid_url", "/url");
	for (int len = JOBQ_WEBHOOK_URL_MAX; len <= JOBQ_WEBHOOK_URL_MAX + 1; len++) {
		snprintf(body, sizeof(body), "{\"url\":\"http://a/%0*d\",\"events\":[\"*\"]}",
			 len - 9, 7);
		webhook = (struct jobq_webhook){0};
		assert_int_equal(accepts(body, strlen(body), true), len == JOBQ_WEBHOOK_URL_MAX);
	}
	assert_int_equal(why.limit, JOBQ_WEBHOOK_URL_MAX);
}

static void events_are_checked(void **state)
{
	(void)state;
	assert_refused("{\"url\":\"http://a/\"}", "invalid_events", "/events");
	assert_refused(WITH_EVENTS("[]"), "invalid_events", "/events");
	assert_refused(WITH_EVENTS("\"*\""), "invalid_events", "/events");
	assert_refused(WITH_EVENTS("null"), "invalid_events", "/events");
	assert_refused(WITH_EVENTS("{}"), "invalid_events", "/events");
	assert_refused(WITH_EVENTS("[7]"), "invalid_events", "/events/0");
	assert_refused(WITH_EVENTS("[\"\"]"), "invalid_events", "/events/0");
	assert_refused(WITH_EVENTS("[\"ping\\u0000\"]"), "invalid_events", "/events/0");
	assert_refused(WITH_EVENTS("[\"*\",\"job.done\"]"), "invalid_events", "/events/1");
	for (unsigned i = 0; i < JOBQ_EVENT_KINDS; i++)
		assert_non_null(strstr(why.error, jobq_event_name((enum jobq_event_kind)i)));
	assert_true(strlen(why.error) < sizeof(why.error) - 1);
	assert_non_null(strstr(why.error, "job.*"));
}

static void repeated_events_are_dropped(void **state)
{
	(void)state;
	assert_created(WITH_EVENTS("[\"job.*\",\"ping\",\"job.*\",\"job.failed\",\"ping\"]"));
	assert_string_equal(webhook.events, "[\"job.*\",\"ping\",\"job.failed\"]");
}

static void events_are_bounded(void **state)
{
	(void)state;
	for (int n = JOBQ_WEBHOOK_PATTERNS_MAX; n <= JOBQ_WEBHOOK_PATTERNS_MAX + 1; n++) {
		struct jobq_buf body = {0};
		jobq_buf_adds(&body, "{\"url\":\"http://a/\",\"events\":[\"job.*\"");
		for (int i = 1; i < n; i++)
			jobq_buf_adds(&body, ",\"*\"");
		jobq_buf_adds(&body, "]}");
		webhook = (struct jobq_webhook){0};
		assert_int_equal(accepts(body.data, body.len, true), n == JOBQ_WEBHOOK_PATTERNS_MAX);
		jobq_buf_free(&body);
	}
	assert_string_equal(why.code, "invalid_events");
	assert_int_equal(why.limit, JOBQ_WEBHOOK_PATTERNS_MAX);
}

/* Every pattern that there is finds room. */
static void all_patterns_fit(void **state)
{
	struct jobq_buf body = {0};
	(void)state;
	jobq_buf_adds(&body, "{\"url\":\"http://a/\",\"events\":[\"*\",\"job.*\",\"scene.*\","
			     "\"auth.*\",\"rate_limit.*\"");
	for (unsigned i = 0; i < JOBQ_EVENT_KINDS; i++)
		jobq_buf_addf(&body, ",\"%s\"", jobq_event_name((enum jobq_event_kind)i));
	jobq_buf_adds(&body, "]}");
	assert_created(body.data);
	json_t *events = json_loads(webhook.events, 0, NULL);
	assert_int_equal(json_array_size(events), 5 + JOBQ_EVENT_KINDS);
	json_decref(events);
	jobq_buf_free(&body);
}

static void secrets_are_checked(void **state)
{
	char body[JOBQ_WEBHOOK_SECRET_MAX + 100];
	(void)state;
	assert_refused(WITH_SECRET("7"), "invalid_secret", "/secret");
	assert_refused(WITH_SECRET("\"\""), "invalid_secret", "/secret");
	assert_refused(WITH_SECRET("\"a\\u0000\""), "invalid_secret", "/secret");
	assert_refused(WITH_SECRET("\"a\\tb\""), "invalid_secret", "/secret");
	assert_refused(WITH_SECRET("\"\\u007f\""), "invalid_secret", "/secret");
	assert_refused(WITH_SECRET("\"***\""), "invalid_secret", "/secret");
	assert_refused(WITH_SECRET("\"\xc3\xa4\""), "invalid_secret", "/secret");
	assert_created(WITH_SECRET("\" ~\""));
	assert_string_equal(webhook.secret, " ~");
	for (int len = JOBQ_WEBHOOK_SECRET_MAX; len <= JOBQ_WEBHOOK_SECRET_MAX + 1; len++) {
		snprintf(body, sizeof(body), HEAD ",\"secret\":\"%0*d\"}", len, 7);
		webhook = (struct jobq_webhook){0};
		assert_int_equal(accepts(body, strlen(body), true), len == JOBQ_WEBHOOK_SECRET_MAX);
	}
	assert_int_equal(why.limit, JOBQ_WEBHOOK_SECRET_MAX);
}

/* `len` times a character, then padding. */
static const char *with_key(size_t len, char c, const char *padding)
{
	static char body[400];
	size_t at = (size_t)snprintf(body, sizeof(body), HEAD ",\"secret\":\"whsec_");
	memset(body + at, c, len);
	snprintf(body + at + len, sizeof(body) - at - len, "%s\"}", padding);
	return body;
}

static void standard_secrets_are_base64_of_24_to_64_bytes(void **state)
{
	static const struct { size_t len; const char *padding; bool good; } cases[] = {
		{0, "", false}, {30, "==", false} /* 22 bytes */, {31, "=", false} /* 23 */,
		{32, "", true} /* 24 */, {34, "==", true} /* 25 */, {43, "=", true} /* 32 */,
		{84, "", true} /* 63 */, {86, "==", true} /* 64 */, {87, "=", false} /* 65 */,
		{88, "", false} /* 66 */, {33, "", false}, {33, "===", false}, {34, "", false},
	};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(cases); i++) {
		const char *body = with_key(cases[i].len, 'A', cases[i].padding);
		if (cases[i].good)
			assert_created(body);
		else
			assert_refused(body, "invalid_secret", "/secret");
	}
	assert_created(with_key(32, '/', ""));
	assert_created(with_key(32, '+', ""));
	assert_refused(with_key(32, '-', ""), "invalid_secret", "/secret");
	assert_refused(with_key(32, '_', ""), "invalid_secret", "/secret");
	assert_refused(with_key(32, '=', ""), "invalid_secret", "/secret");
	assert_refused(with_key(32, ' ', ""), "invalid_secret", "/secret");
	/* Only at the beginning is it a sign. */
	assert_created(WITH_SECRET("\"xwhsec_!\""));
	assert_created(WITH_SECRET("\"whsec\""));
}

static void enabled_is_a_boolean(void **state)
{
	(void)state;
	assert_refused(HEAD ",\"enabled\":1}", "invalid_enabled", "/enabled");
	assert_refused(HEAD ",\"enabled\":null}", "invalid_enabled", "/enabled");
	assert_refused(HEAD ",\"enabled\":\"true\"}", "invalid_enabled", "/enabled");
}

static void what_is_not_given_stays(void **state)
{
	(void)state;
	assert_created("{\"url\":\"http://a/\",\"events\":[\"ping\"],\"enabled\":false}");
	webhook.has_secret = true; /* one read from the table has it, but does not show it */
	assert_accepted("{}", false);
	assert_false((given & JOBQ_GIVEN_SECRET) != 0 || webhook.enabled);
	assert_true(webhook.has_secret);
	assert_string_equal(webhook.url, "http://a/");
	assert_accepted("{\"url\":\"https://b/\"}", false);
	assert_string_equal(webhook.url, "https://b/");
	assert_string_equal(webhook.events, "[\"ping\"]");
	assert_accepted("{\"events\":[\"job.*\"],\"enabled\":true}", false);
	assert_string_equal(webhook.events, "[\"job.*\"]");
	assert_true(webhook.enabled && !(webhook.kinds & JOBQ_EVENT_BIT(JOBQ_EVENT_PING)));
	assert_accepted("{\"secret\":\"new\"}", false);
	assert_true((given & JOBQ_GIVEN_SECRET) != 0 && webhook.has_secret);
	assert_string_equal(webhook.secret, "new");
}

static void secrets_are_taken_away(void **state)
{
	static const char *const bodies[] = {"{\"secret\":null}", "{\"secret\":\"\"}"};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(bodies); i++) {
		webhook = (struct jobq_webhook){.has_secret = true, .secret = "old"};
		assert_accepted(bodies[i], false);
		assert_true((given & JOBQ_GIVEN_SECRET) != 0);
		assert_false(webhook.has_secret);
		assert_string_equal(webhook.secret, "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_bodies_pass),
		cmocka_unit_test(bodies_must_be_json_objects),
		cmocka_unit_test(unknown_members_are_named),
		cmocka_unit_test(addresses_are_checked),
		cmocka_unit_test(events_are_checked),
		cmocka_unit_test(repeated_events_are_dropped),
		cmocka_unit_test(events_are_bounded),
		cmocka_unit_test(all_patterns_fit),
		cmocka_unit_test(secrets_are_checked),
		cmocka_unit_test(standard_secrets_are_base64_of_24_to_64_bytes),
		cmocka_unit_test(enabled_is_a_boolean),
		cmocka_unit_test(what_is_not_given_stays),
		cmocka_unit_test(secrets_are_taken_away),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
