/* job: names, the lifecycle, the wire form. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "jobq/job.h"

static void names_go_both_ways(void **state)
{
	(void)state;
	for (int i = 0; i < JOBQ_TYPES; i++) {
		enum jobq_job_type type;
		const char *name = jobq_job_type_name((enum jobq_job_type)i);
		assert_true(jobq_job_type_of(name, strlen(name), &type));
		assert_int_equal(type, i);
		assert_false(jobq_job_type_of(name, strlen(name) - 1, &type));
	}
	for (int i = JOBQ_STATUS_QUEUED; i < JOBQ_STATUSES; i++) {
		enum jobq_job_status status;
		const char *name = jobq_job_status_name((enum jobq_job_status)i);
		assert_true(jobq_job_status_of(name, strlen(name), &status));
		assert_int_equal(status, i);
	}
	enum jobq_job_status status;
	assert_false(jobq_job_status_of("none", 4, &status));
	assert_false(jobq_job_status_of("Queued", 6, &status));
	assert_string_equal(jobq_job_type_name((enum jobq_job_type)99), "unknown");
}

static void lifecycle_is_the_documented_one(void **state)
{
	(void)state;
	assert_true(jobq_job_may_move(JOBQ_STATUS_QUEUED, JOBQ_STATUS_RUNNING));
	assert_true(jobq_job_may_move(JOBQ_STATUS_QUEUED, JOBQ_STATUS_CANCELLED));
	assert_false(jobq_job_may_move(JOBQ_STATUS_QUEUED, JOBQ_STATUS_COMPLETED));
	assert_true(jobq_job_may_move(JOBQ_STATUS_RUNNING, JOBQ_STATUS_COMPLETED));
	assert_true(jobq_job_may_move(JOBQ_STATUS_RUNNING, JOBQ_STATUS_FAILED));
	assert_false(jobq_job_may_move(JOBQ_STATUS_RUNNING, JOBQ_STATUS_CANCELLED));
	for (int from = JOBQ_STATUS_COMPLETED; from < JOBQ_STATUSES; from++)
		for (int to = JOBQ_STATUS_QUEUED; to < JOBQ_STATUSES; to++)
			assert_false(jobq_job_may_move((enum jobq_job_status)from,
						       (enum jobq_job_status)to));
	assert_false(jobq_job_may_move((enum jobq_job_status)9, JOBQ_STATUS_QUEUED));
}

static void progress_is_a_real(void **state)
{
	static const struct { unsigned hundredths; const char *text; } cases[] = {
		{0, "0.0"}, {1, "0.01"}, {7, "0.07"}, {10, "0.1"}, {50, "0.5"},
		{67, "0.67"}, {90, "0.9"}, {99, "0.99"}, {100, "1.0"},
	};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(cases); i++) {
		struct jobq_buf out = {0};
		jobq_job_json_progress(&out, cases[i].hundredths);
		assert_string_equal(out.data, cases[i].text);
		jobq_buf_free(&out);
	}
}

static void wire_form_has_the_nine_members_in_order(void **state)
{
	struct jobq_buf out = {0};
	struct jobq_job job = {
		.id = 12, .type = JOBQ_TYPE_SCENE_PRELOAD, .status = JOBQ_STATUS_FAILED,
		.progress = 67, .created = 1699564800999999, .started = 1699564801000000,
		.completed = 1699564805000001,
	};
	(void)state;
	jobq_job_json(&out, &job, "{\"a\":1}", 7, "say \"no\"", 8);
	assert_string_equal(out.data,
		"{\"id\":\"12\",\"type\":\"scene_preload\",\"status\":\"failed\",\"progress\":0.67,"
		"\"created_at\":1699564800,\"started_at\":1699564801,\"completed_at\":1699564805,"
		"\"result\":{\"a\":1},\"error\":\"say \\\"no\\\"\"}");
	out.len = 0;
	job.status = JOBQ_STATUS_QUEUED;
	job.progress = 0;
	job.started = job.completed = 0;
	jobq_job_json(&out, &job, NULL, 0, NULL, 0);
	assert_string_equal(out.data,
		"{\"id\":\"12\",\"type\":\"scene_preload\",\"status\":\"queued\",\"progress\":0.0,"
		"\"created_at\":1699564800,\"started_at\":null,\"completed_at\":null,"
		"\"result\":null,\"error\":null}");
	out.len = 0;
	jobq_job_json_short(&out, &job);
	assert_string_equal(out.data,
		"{\"id\":\"12\",\"type\":\"scene_preload\",\"status\":\"queued\",\"progress\":0.0,"
		"\"created_at\":1699564800}");
	jobq_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_go_both_ways),
		cmocka_unit_test(lifecycle_is_the_documented_one),
		cmocka_unit_test(progress_is_a_real),
		cmocka_unit_test(wire_form_has_the_nine_members_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
