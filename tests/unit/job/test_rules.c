/* job: what POST /jobs accepts, and how it refuses the rest. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jobq/job.h"

static char *allowed_items[] = {"res://ok/", "res://a.tscn"};
static char *denied_items[] = {"res://ok/secret/"};
static const struct jobq_list allowed = {allowed_items, 2}, denied = {denied_items, 1};

static struct jobq_submission out;
static struct jobq_refusal why;

static bool accepts(const char *body, size_t len)
{
	jobq_submission_free(&out);
	return jobq_job_rules(body, len, &allowed, &denied, &out, &why);
}

static void assert_accepted(const char *body, enum jobq_job_type type, const char *parameters)
{
	if (!accepts(body, strlen(body)))
		fail_msg("%s refused: %s %s", body, why.code, why.error);
	assert_int_equal(out.type, type);
	assert_string_equal(out.parameters, parameters);
}

static void assert_refused_bytes(const char *body, size_t len, const char *code,
				 const char *pointer)
{
	if (accepts(body, len))
		fail_msg("%.200s accepted", body);
	if (strcmp(why.code, code) != 0 || strcmp(why.pointer, pointer) != 0)
		fail_msg("%.200s: %s at \"%s\" (%s)", body, why.code, why.pointer, why.error);
	assert_true(strlen(why.error) > 10);
}

static void assert_refused(const char *body, const char *code, const char *pointer)
{
	assert_refused_bytes(body, strlen(body), code, pointer);
}

static void good_bodies_pass(void **state)
{
	(void)state;
	assert_accepted(" {\"type\":\"cache_warming\", \"parameters\":{ }} ",
			JOBQ_TYPE_CACHE_WARMING, "{}");
	assert_accepted("{\"parameters\":{\"scope\":\"stale\"},\"type\":\"cache_warming\"}",
			JOBQ_TYPE_CACHE_WARMING, "{\"scope\":\"stale\"}");
	assert_accepted("{\"type\":\"scene_preload\",\"parameters\":{\"scene_paths\":"
			"[\"res://a.tscn\", \"res://ok/\\u00e4.tscn\"]}}",
			JOBQ_TYPE_SCENE_PRELOAD,
			"{\"scene_paths\":[\"res://a.tscn\",\"res://ok/\xc3\xa4.tscn\"]}");
	assert_accepted("{\"type\":\"batch_operations\",\"parameters\":{\"mode\":\"transactional\","
			"\"operations\":[{\"action\":\"get_info\",\"scene_path\":\"res://a.tscn\"}]}}",
			JOBQ_TYPE_BATCH_OPERATIONS,
			"{\"mode\":\"transactional\",\"operations\":[{\"action\":\"get_info\","
			"\"scene_path\":\"res://a.tscn\"}]}");
}

static void bodies_must_be_json_objects(void **state)
{
	static const char *const bad[] = {"", " ", "{", "{}x", "[]", "\"x\"", "null", "{'a':1}",
		"{\"type\":\"a\",\"type\":\"b\"}", "{} {}", "{\"a\":1,}", "\xef\xbb\xbf{}",
		"{\"type\":\"\xff\"}", "{\"type\":\"\\ud800\"}", "{\"parameters\":{\"a\":1,\"a\":1}}",
		"{\"type\": NaN}", "{\"type\":01}"};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(bad); i++)
		assert_refused(bad[i], "invalid_json", "");
	assert_refused_bytes("{}\0", 3, "invalid_json", "");
}

static void nesting_is_bounded(void **state)
{
	char body[256];
	(void)state;
	for (int depth = JOBQ_NESTING_MAX; depth <= JOBQ_NESTING_MAX + 1; depth++) {
		int arrays = depth - 1; /* the object is a level as well */
		int len = snprintf(body, sizeof(body), "{\"type\":");
		memset(body + len, '[', (size_t)arrays);
		memset(body + len + arrays, ']', (size_t)arrays);
		body[len + 2 * arrays] = '}';
		assert_refused_bytes(body, (size_t)len + 2 * (size_t)arrays + 1,
				     depth <= JOBQ_NESTING_MAX ? "invalid_type" : "invalid_json",
				     depth <= JOBQ_NESTING_MAX ? "/type" : "");
	}
	assert_int_equal(why.limit, JOBQ_NESTING_MAX);
	/* Brackets in strings do not nest. */
	assert_refused("{\"type\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\"}",
		       "invalid_type", "/type");
}

static void types_are_checked(void **state)
{
	(void)state;
	assert_refused("{}", "invalid_type", "/type");
	assert_refused("{\"type\":5}", "invalid_type", "/type");
	assert_refused("{\"type\":\"Cache_warming\"}", "invalid_type", "/type");
	assert_refused("{\"type\":\"cache_warming\\u0000\"}", "invalid_type", "/type");
	assert_string_equal(why.error, "Unknown job type: it must be batch_operations, scene_preload "
				       "or cache_warming");
	assert_refused("{\"type\":\"cache_warming\"}", "invalid_parameters", "/parameters");
	assert_refused("{\"type\":\"cache_warming\",\"parameters\":[]}", "invalid_parameters",
		       "/parameters");
}

static void unknown_members_are_named(void **state)
{
	(void)state;
	assert_refused("{\"type\":\"cache_warming\",\"parameters\":{},\"x\":1}", "unknown_member",
		       "/x");
	assert_refused("{\"type\":\"cache_warming\",\"parameters\":{\"a/b~c\":1}}",
		       "unknown_member", "/parameters/a~1b~0c");
	assert_refused("{\"type\":\"scene_preload\",\"parameters\":{\"scene_paths\":"
		       "[\"res://a.tscn\"],\"operations\":[]}}", "unknown_member",
		       "/parameters/operations");
	assert_refused("{\"type\":\"batch_operations\",\"parameters\":{\"operations\":[{\"action\":"
		       "\"load\",\"scene_path\":\"res://a.tscn\",\"extra\":1}]}}", "unknown_member",
		       "/parameters/operations/0/extra");
	/* A name too long to quote is not quoted, and nothing is cut in a character. */
	char body[400];
	snprintf(body, sizeof(body), "{\"type\":\"cache_warming\",\"parameters\":{\"%0200d\":1}}", 7);
	assert_refused(body, "unknown_member", "/parameters");
}

#define PRELOAD(value) "{\"type\":\"scene_preload\",\"parameters\":{\"scene_paths\":" value "}}"
#define BATCH(value) "{\"type\":\"batch_operations\",\"parameters\":{\"operations\":" value "}}"

static void parameters_are_checked(void **state)
{
	const char *paths = "/parameters/scene_paths", *ops = "/parameters/operations";
	(void)state;
	assert_refused("{\"type\":\"scene_preload\",\"parameters\":{}}", "invalid_parameters", paths);
	assert_refused(PRELOAD("[]"), "invalid_parameters", paths);
	assert_refused(PRELOAD("\"res://a.tscn\""), "invalid_parameters", paths);
	assert_refused(PRELOAD("[7]"), "invalid_parameters", "/parameters/scene_paths/0");
	assert_refused(PRELOAD("[\"res://a.tscn\",\"a.tscn\"]"), "invalid_scene_path",
		       "/parameters/scene_paths/1");
	assert_refused(PRELOAD("[\"res://a\\u0000.tscn\"]"), "invalid_scene_path",
		       "/parameters/scene_paths/0");
	assert_refused(PRELOAD("[\"res://b.tscn\"]"), "scene_not_whitelisted",
		       "/parameters/scene_paths/0");
	assert_refused(PRELOAD("[\"res://ok/secret/b.tscn\"]"), "scene_not_whitelisted",
		       "/parameters/scene_paths/0");
	assert_refused("{\"type\":\"batch_operations\",\"parameters\":{}}", "invalid_parameters", ops);
	assert_refused(BATCH("{}"), "invalid_parameters", ops);
	assert_refused(BATCH("[]"), "invalid_parameters", ops);
	assert_refused(BATCH("[[]]"), "invalid_parameters", "/parameters/operations/0");
	assert_refused(BATCH("[{}]"), "invalid_parameters", "/parameters/operations/0/action");
	assert_refused(BATCH("[{\"action\":\"delete\",\"scene_path\":\"res://a.tscn\"}]"),
		       "invalid_parameters", "/parameters/operations/0/action");
	assert_refused(BATCH("[{\"action\":\"load\"}]"), "invalid_parameters",
		       "/parameters/operations/0/scene_path");
	assert_refused("{\"type\":\"batch_operations\",\"parameters\":{\"mode\":\"atomic\",\"operations\":"
		       "[{\"action\":\"load\",\"scene_path\":\"res://a.tscn\"}]}}",
		       "invalid_parameters", "/parameters/mode");
	assert_string_equal(why.error, "\"mode\" must be continue or transactional");
	assert_refused("{\"type\":\"cache_warming\",\"parameters\":{\"scope\":\"none\"}}",
		       "invalid_parameters", "/parameters/scope");
	assert_string_equal(why.error, "\"scope\" must be all or stale");
	assert_refused("{\"type\":\"cache_warming\",\"parameters\":{\"scope\":[\"all\"]}}",
		       "invalid_parameters", "/parameters/scope");
}

/* What is quick to see comes before each step of a long list. */
static void checks_have_an_order(void **state)
{
	(void)state;
	assert_refused("{\"type\":\"batch_operations\",\"parameters\":{\"mode\":\"x\",\"y\":1}}",
		       "unknown_member", "/parameters/y");
	assert_refused("{\"type\":\"batch_operations\",\"parameters\":{\"mode\":\"x\"}}",
		       "invalid_parameters", "/parameters/operations");
	assert_refused("{\"type\":\"batch_operations\",\"parameters\":{\"mode\":\"x\","
		       "\"operations\":[1]}}", "invalid_parameters", "/parameters/mode");
	assert_refused(BATCH("[{\"action\":\"load\",\"scene_path\":\"res://a.tscn\"},1]"),
		       "invalid_parameters", "/parameters/operations/1");
}

static void steps_are_known_by_name(void **state)
{
	(void)state;
	assert_string_equal(jobq_job_steps(JOBQ_TYPE_BATCH_OPERATIONS).parameter, "operations");
	assert_string_equal(jobq_job_steps(JOBQ_TYPE_BATCH_OPERATIONS).result, "operations");
	assert_string_equal(jobq_job_steps(JOBQ_TYPE_SCENE_PRELOAD).parameter, "scene_paths");
	assert_string_equal(jobq_job_steps(JOBQ_TYPE_SCENE_PRELOAD).result, "scenes");
	assert_null(jobq_job_steps(JOBQ_TYPE_CACHE_WARMING).parameter);
	assert_null(jobq_job_steps(JOBQ_TYPES).parameter);
}

static void entries_are_bounded(void **state)
{
	(void)state;
	for (int n = JOBQ_OPERATIONS_MAX; n <= JOBQ_OPERATIONS_MAX + 1; n++) {
		struct jobq_buf body = {0};
		jobq_buf_adds(&body, "{\"type\":\"scene_preload\",\"parameters\":{\"scene_paths\":[");
		for (int i = 0; i < n; i++)
			jobq_buf_adds(&body, i > 0 ? ",\"res://a.tscn\"" : "\"res://a.tscn\"");
		jobq_buf_adds(&body, "]}}");
		assert_int_equal(accepts(body.data, body.len), n == JOBQ_OPERATIONS_MAX);
		jobq_buf_free(&body);
	}
	assert_string_equal(why.code, "invalid_parameters");
	assert_int_equal(why.limit, JOBQ_OPERATIONS_MAX);
}

static int clear(void **state)
{
	(void)state;
	jobq_submission_free(&out);
	return 0;
}

static void keys_are_printable_ascii(void **state)
{
	char text[JOBQ_KEY_MAX + 2];

	(void)state;
	memset(text, '~', sizeof(text));
	text[JOBQ_KEY_MAX + 1] = '\0';
	assert_false(jobq_job_is_key(text));
	text[JOBQ_KEY_MAX] = '\0';
	assert_true(jobq_job_is_key(text));
	assert_true(jobq_job_is_key("a b"));
	assert_false(jobq_job_is_key(""));
	assert_false(jobq_job_is_key("a\nb"));
	assert_false(jobq_job_is_key("\x7f"));
	assert_false(jobq_job_is_key("\xc3\xa4"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_bodies_pass),	     cmocka_unit_test(bodies_must_be_json_objects),
		cmocka_unit_test(nesting_is_bounded),	     cmocka_unit_test(types_are_checked),
		cmocka_unit_test(unknown_members_are_named), cmocka_unit_test(parameters_are_checked),
		cmocka_unit_test(entries_are_bounded),	     cmocka_unit_test(checks_have_an_order),
		cmocka_unit_test(steps_are_known_by_name),   cmocka_unit_test(keys_are_printable_ascii),
	};
	return cmocka_run_group_tests(tests, NULL, clear);
}
