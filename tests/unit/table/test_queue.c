/* The queue: priorities, places, labels, and what an administrator makes of it. */
#include "config.h"

#include "fixture.h"

static uint64_t submit_as(int priority, const char *labels)
{
	struct jobq_table_submit job = {
		.type = JOBQ_TYPE_SCENE_PRELOAD,
		.parameters = PARAMETERS,
		.parameters_len = strlen(PARAMETERS),
		.owner = "ci",
		.key = "",
		.labels = labels,
		.priority = priority,
	};
	uint64_t id;
	bool replayed;

	assert_int_equal(jobq_table_submit(table, &job, &id, &replayed), 0);
	assert_sound();
	return id;
}

/* Claims and ends a job. */
static uint64_t do_next(void)
{
	struct jobq_job_claim running = claim(0);

	finish(&running);
	publish();
	return running.id;
}

static void higher_priority_first_and_fifo_within(void **state)
{
	uint64_t none = submit_as(0, NULL), low = submit_as(-10, NULL), high = submit_as(10, NULL);
	uint64_t again = submit_as(0, NULL), higher = submit_as(10, NULL);
	(void)state;
	publish();
	assert_int_equal(jobq_table_position(table, high), 1);
	assert_int_equal(jobq_table_position(table, higher), 2);
	assert_int_equal(jobq_table_position(table, none), 3);
	assert_int_equal(jobq_table_position(table, again), 4);
	assert_int_equal(jobq_table_position(table, low), 5);
	assert_int_equal(do_next(), high);
	assert_int_equal(jobq_table_position(table, high), 0);
	assert_int_equal(jobq_table_position(table, low), 4);
	assert_int_equal(do_next(), higher);
	assert_int_equal(do_next(), none);
	assert_int_equal(do_next(), again);
	assert_int_equal(do_next(), low);
	assert_int_equal(jobq_table_position(table, 12345), 0);
}

static void position_counts_what_is_before_it(void **state)
{
	static uint64_t ids[1500];
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(ids); i++) {
		bool replayed;
		assert_int_equal(submit_with("", PARAMETERS, &ids[i], &replayed), 0);
	}
	publish();
	for (size_t i = 0; i < JOBQ_LENGTH(ids); i += 7)
		assert_int_equal(jobq_table_position(table, ids[i]), i + 1);
	for (size_t i = 0; i < JOBQ_LENGTH(ids); i += 3)
		assert_int_equal(jobq_table_cancel(table, ids[i]), 0);
	publish();
	for (size_t i = 1; i < JOBQ_LENGTH(ids); i += 3)
		assert_int_equal(jobq_table_position(table, ids[i]), i - (i + 2) / 3 + 1);
	/* One of another priority, and the counting is another. */
	uint64_t first = submit_as(5, NULL), last = submit_as(-5, NULL);
	publish();
	assert_int_equal(jobq_table_position(table, first), 1);
	assert_int_equal(jobq_table_position(table, last), 1002);
	for (size_t i = 1; i < JOBQ_LENGTH(ids); i += 3)
		assert_int_equal(jobq_table_position(table, ids[i]), i - (i + 2) / 3 + 2);
}

static void requeued_goes_to_the_head_of_its_own(void **state)
{
	uint64_t high = submit_as(1, NULL), other = submit_as(1, NULL), job;
	bool requeued;
	(void)state;
	publish();
	assert_int_equal(claim(0).id, high);
	publish();
	assert_int_equal(jobq_table_settle(table, 0, "killed", &job, &requeued), 0);
	assert_true(requeued);
	publish();
	assert_sound();
	assert_int_equal(jobq_table_position(table, high), 1);
	assert_int_equal(jobq_table_position(table, other), 2);
}

static void same_key_with_other_priority_or_labels_is_another(void **state)
{
	struct jobq_table_submit job = {
		.type = JOBQ_TYPE_SCENE_PRELOAD, .parameters = PARAMETERS,
		.parameters_len = strlen(PARAMETERS), .owner = "ci", .key = "k",
		.labels = "{\"a\":\"b\"}", .priority = 3,
	};
	uint64_t id, other;
	bool replayed;
	(void)state;
	assert_int_equal(jobq_table_submit(table, &job, &id, &replayed), 0);
	assert_int_equal(jobq_table_submit(table, &job, &other, &replayed), 0);
	assert_true(replayed);
	job.priority = 4;
	assert_int_equal(jobq_table_submit(table, &job, &other, &replayed), -EEXIST);
	job.priority = 3;
	job.labels = "{\"a\":\"c\"}";
	assert_int_equal(jobq_table_submit(table, &job, &other, &replayed), -EEXIST);
	job.labels = NULL;
	assert_int_equal(jobq_table_submit(table, &job, &other, &replayed), -EEXIST);
}

static void labels_and_priority_reach_everybody(void **state)
{
	struct jobq_table_remarks remarks;
	struct jobq_buf bytes = {0};
	struct jobq_entry entry;
	uint64_t id = submit_as(-7, "{\"team\":\"art\"}");
	(void)state;
	publish();
	assert_int_equal(jobq_table_remarks(table, id, &remarks), 0);
	assert_int_equal(remarks.priority, -7);
	assert_string_equal(remarks.labels, "{\"team\":\"art\"}");
	assert_int_equal(jobq_table_remarks(table, id + 1, &remarks), -ENOENT);
	struct jobq_job_claim running = claim(0);
	assert_int_equal(jobq_table_parameters(table, &running, &bytes), 0);
	assert_string_equal(bytes.data, PARAMETERS);
	const struct jobq_text log = {"one\ntwo\n", 8};
	assert_int_equal(jobq_table_finish(table, &running, RESULT, strlen(RESULT), "broke", &log), 0);
	publish();
	assert_int_equal(jobq_table_export(table, id, &entry, &bytes), 0);
	assert_int_equal(entry.priority, -7);
	assert_memory_equal(entry.labels.data, "{\"team\":\"art\"}", entry.labels.len);
	assert_memory_equal(entry.log.data, "one\ntwo\n", 8);
	assert_memory_equal(entry.error.data, "broke", 5);
	assert_memory_equal(entry.result.data, RESULT, strlen(RESULT));
	/* Who reads the job gets error and result, side by side. */
	struct jobq_job job;
	size_t error_len, result_len;
	bytes.len = 0;
	assert_int_equal(jobq_table_get(table, id, &job, &bytes, &error_len, &result_len), 0);
	assert_int_equal(error_len, 5);
	assert_int_equal(result_len, strlen(RESULT));
	assert_memory_equal(bytes.data, "broke" RESULT, bytes.len);
	jobq_buf_free(&bytes);
}

static void list_by_label(void **state)
{
	struct jobq_table_filter filter = {.type = -1, .label = "\"team\":\"art\""};
	struct jobq_job jobs[JOBQ_LIST_BITE];
	uint64_t after = 0, ids[3];
	(void)state;
	for (int i = 0; i < 2000; i++) {
		const char *labels = i % 700 == 5 ? "{\"level\":\"1\",\"team\":\"art\"}"
				     : i % 2 == 0 ? "{\"team\":\"artists\"}"
						  : NULL;
		struct jobq_table_submit job = {
			.type = JOBQ_TYPE_SCENE_PRELOAD, .parameters = "{}", .parameters_len = 2,
			.owner = "ci", .key = "", .labels = labels};
		bool replayed;
		assert_int_equal(jobq_table_submit(table, &job, &ids[i / 700 % 3], &replayed), 0);
	}
	publish();
	assert_int_equal(jobq_table_list(table, &filter, &after, jobs, JOBQ_LIST_BITE), 3);
	assert_int_equal(jobs[0].id % 700, 6);
	assert_int_equal(jobs[2].id, 1406);
	assert_int_equal(jobq_table_list(table, &filter, &after, jobs, JOBQ_LIST_BITE), 0);
}

static void stop_is_seen_by_its_worker_only(void **state)
{
	uint64_t id = submit_stored("");
	(void)state;
	assert_int_equal(jobq_table_stop(table, id), -EBUSY);
	assert_int_equal(jobq_table_stop(table, id + 1), -ENOENT);
	struct jobq_job_claim running = claim(0), other = running;
	other.attempt++;
	assert_false(jobq_table_stop_asked(table, &running));
	assert_int_equal(jobq_table_stop(table, id), 0);
	assert_true(jobq_table_stop_asked(table, &running));
	assert_false(jobq_table_stop_asked(table, &other));
	assert_int_equal(shown(id), JOBQ_STATUS_RUNNING);
	finish(&running);
	publish();
	assert_int_equal(jobq_table_stop(table, id), -EBUSY);
	assert_sound();
}

static void paused_starts_none_and_draining_takes_none(void **state)
{
	uint64_t id = submit_stored("");
	(void)state;
	jobq_table_set_queue_state(table, JOBQ_QUEUE_PAUSED);
	assert_nothing_to_claim(0);
	assert_int_equal(try_submit(), 0);
	publish();
	jobq_table_set_queue_state(table, JOBQ_QUEUE_DRAINING);
	assert_int_equal(try_submit(), -ESHUTDOWN);
	assert_int_equal(do_next(), id);
	jobq_table_set_queue_state(table, JOBQ_QUEUE_OPEN);
	assert_int_equal(jobq_table_queue_state(table), JOBQ_QUEUE_OPEN);
	assert_int_equal(try_submit(), 0);
	assert_int_equal(do_next(), id + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(higher_priority_first_and_fifo_within),
		TEST(position_counts_what_is_before_it),
		TEST(requeued_goes_to_the_head_of_its_own),
		TEST(same_key_with_other_priority_or_labels_is_another),
		TEST(labels_and_priority_reach_everybody),
		TEST(list_by_label),
		TEST(stop_is_seen_by_its_worker_only),
		TEST(paused_starts_none_and_draining_takes_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
