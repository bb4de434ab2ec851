/* The counters: each thing that happens once, when it can be seen, and in its place. */
#include "config.h"

#include "fixture.h"

#include "jobq/table_counters.h"

#define PRELOAD JOBQ_TYPE_SCENE_PRELOAD /* what the fixture submits */

static struct jobq_table_counters now(void)
{
	struct jobq_table_counters counters;

	jobq_table_counters(table, &counters);
	return counters;
}

static uint64_t total(const struct jobq_histogram *histogram)
{
	uint64_t sum = 0;

	for (size_t i = 0; i <= JOBQ_BOUNDS; i++)
		sum += histogram->counts[i];
	return sum;
}

static void bounds_rise(void **state)
{
	(void)state;
	for (int scale = JOBQ_SCALE_JOB; scale <= JOBQ_SCALE_GROUP; scale++) {
		const uint64_t *bounds = jobq_table_bounds((enum jobq_scale)scale);
		for (size_t i = 1; i < JOBQ_BOUNDS; i++)
			assert_true(bounds[i] > bounds[i - 1]);
	}
}

static void jobs_count_when_they_are_seen(void **state)
{
	(void)state;
	uint64_t id = submit("");
	assert_int_equal(now().jobs[PRELOAD].submitted, 0);
	assert_int_equal(now().oldest_queued, 0);
	publish();
	assert_int_equal(now().jobs[PRELOAD].submitted, 1);
	assert_int_equal(now().jobs[PRELOAD].kept[JOBQ_STATUS_QUEUED], 1);
	assert_int_equal(now().oldest_queued, get(id).created);

	struct jobq_job_claim running = claim(0);
	assert_int_equal(total(&now().jobs[PRELOAD].waited), 1);
	assert_int_equal(jobq_table_begin(table, &running), 0);
	assert_int_equal(jobq_table_progress(table, &running, 50), 0);
	finish(&running);
	assert_int_equal(now().jobs[PRELOAD].kept[JOBQ_STATUS_RUNNING], 1);
	assert_int_equal(total(&now().jobs[PRELOAD].ran), 0);
	publish();
	struct jobq_table_counters counters = now();
	struct jobq_job job = get(id);
	assert_int_equal(counters.jobs[PRELOAD].ended[JOBQ_STATUS_COMPLETED], 1);
	assert_int_equal(counters.jobs[PRELOAD].kept[JOBQ_STATUS_COMPLETED], 1);
	assert_int_equal(counters.jobs[PRELOAD].kept[JOBQ_STATUS_RUNNING], 0);
	assert_int_equal(total(&counters.jobs[PRELOAD].ran), 1);
	assert_int_equal(counters.jobs[PRELOAD].ran.sum, job.completed - job.started);
	assert_int_equal(counters.jobs[PRELOAD].waited.sum, job.started - job.created);
	assert_int_equal(counters.jobs[JOBQ_TYPE_CACHE_WARMING].submitted, 0);
}

static void replays_and_withdrawn_jobs_do_not_count(void **state)
{
	(void)state;
	uint64_t id, first = submit_stored("k");
	bool replayed;

	assert_int_equal(submit_with("k", PARAMETERS, &id, &replayed), 0);
	assert_true(replayed && id == first);
	id = submit("");
	assert_int_equal(jobq_table_withdraw(table, id), 0);
	publish();
	assert_int_equal(now().jobs[PRELOAD].submitted, 1);
	assert_int_equal(now().jobs[PRELOAD].ended[JOBQ_STATUS_CANCELLED], 0);
}

static void each_end_has_its_counter(void **state)
{
	(void)state;
	uint64_t job;
	bool requeued;

	submit_stored("");
	claim(1);
	assert_int_equal(jobq_table_settle(table, 1, "gone", &job, &requeued), 0);
	assert_true(requeued);
	assert_int_equal(now().jobs[PRELOAD].requeued, 1);
	struct jobq_job_claim again = claim(1);
	assert_int_equal(jobq_table_begin(table, &again), 0);
	assert_int_equal(jobq_table_settle(table, 1, "gone", &job, &requeued), 0);
	assert_int_equal(jobq_table_cancel(table, submit_stored("")), 0);
	publish();
	struct jobq_table_counters counters = now();
	assert_int_equal(counters.jobs[PRELOAD].submitted, 2);
	assert_int_equal(counters.jobs[PRELOAD].ended[JOBQ_STATUS_FAILED], 1);
	assert_int_equal(counters.jobs[PRELOAD].ended[JOBQ_STATUS_CANCELLED], 1);
	assert_int_equal(total(&counters.jobs[PRELOAD].waited), 2);
	assert_int_equal(total(&counters.jobs[PRELOAD].ran), 1);
}

static void next_owner_goes_on(void **state)
{
	(void)state;
	submit_stored("");
	jobq_table_count_request(table, 3, 204);
	jobq_table_detach(table);
	assert_int_equal(own(), 0);
	struct jobq_table_counters counters = now();
	assert_int_equal(counters.jobs[PRELOAD].submitted, 1);
	assert_int_equal(counters.jobs[PRELOAD].kept[JOBQ_STATUS_QUEUED], 1);
	assert_int_equal(counters.requests[3][2], 1);
}

static void expired_jobs_are_kept_no_more(void **state)
{
	(void)state;
	assert_int_equal(jobq_table_cancel(table, submit_stored("")), 0);
	publish();
	assert_int_equal(jobq_table_expire(table, jobq_clock_wall() + 3 * DAY), 1);
	assert_int_equal(now().jobs[PRELOAD].kept[JOBQ_STATUS_CANCELLED], 0);
	assert_int_equal(now().jobs[PRELOAD].ended[JOBQ_STATUS_CANCELLED], 1);
}

static void commits_have_two_histograms(void **state)
{
	(void)state;
	const size_t groups[] = {0, 1, 2, 3, 4096, 4097};

	for (size_t i = 0; i < JOBQ_LENGTH(groups); i++)
		jobq_table_count_commit(table, i == 0 ? -5 : 500 * (int64_t)i, groups[i]);
	jobq_table_count_failed_commit(table);
	struct jobq_table_counters counters = now();
	assert_int_equal(counters.commit_changes.counts[0], 2);
	assert_int_equal(counters.commit_changes.counts[1], 1);
	assert_int_equal(counters.commit_changes.counts[2], 1);
	assert_int_equal(counters.commit_changes.counts[12], 1);
	assert_int_equal(counters.commit_changes.counts[13], 1);
	assert_int_equal(counters.commit_changes.sum, 1 + 2 + 3 + 4096 + 4097);
	assert_int_equal(counters.commit_time.counts[0], 2); /* what a clock set back has made, too */
	assert_int_equal(counters.commit_time.sum, 500 * 15);
	assert_int_equal(counters.commits_failed, 1);
}

static void *ask(void *arg)
{
	for (int i = 0; i < 100000; i++)
		jobq_table_count_request(arg, 5, 200 + i % 2 * 204);
	return NULL;
}

static void requests_are_counted_by_all_at_once(void **state)
{
	(void)state;
	pthread_t threads[4];

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, table), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(now().requests[5][2], 200000);
	assert_int_equal(now().requests[5][4], 200000);
	/* Of no row or class there is. */
	jobq_table_count_request(table, JOBQ_REQUEST_ROWS, 200);
	jobq_table_count_request(table, 5, -1);
	jobq_table_count_request(table, 5, 1000);
	assert_int_equal(now().requests[5][0], 0);
}

static void other_routes_begin_anew(void **state)
{
	(void)state;
	jobq_table_count_routes(table, 4711);
	jobq_table_count_request(table, 0, 503);
	jobq_table_count_routes(table, 4711);
	assert_int_equal(now().requests[0][5], 1);
	jobq_table_count_routes(table, 4712);
	assert_int_equal(now().requests[0][5], 0);
}

static void caches_numbers_do_not_go_back(void **state)
{
	(void)state;
	struct jobq_cache_counters old = {.hits = 5, .misses = 2}, fresh = {.hits = 5, .misses = 3};

	jobq_table_tell_cache(table, &fresh, false);
	jobq_table_tell_cache(table, &old, false);
	assert_int_equal(now().cache.misses, 3);
	jobq_table_tell_cache(table, &old, true);
	assert_int_equal(now().cache.misses, 2);
}

static void deliveries_and_refusals(void **state)
{
	(void)state;
	jobq_table_count_deliveries(table, 3, 2, 1);
	jobq_table_count_deliveries(table, 1, 0, 0);
	jobq_table_count_refused(table, true);
	jobq_table_count_refused(table, false);
	jobq_table_count_refused(table, false);
	struct jobq_table_counters counters = now();
	assert_int_equal(counters.delivered, 4);
	assert_int_equal(counters.undelivered, 2);
	assert_int_equal(counters.retried, 1);
	assert_int_equal(counters.unauthorized, 1);
	assert_int_equal(counters.limited, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounds_rise),
		TEST(jobs_count_when_they_are_seen),
		TEST(replays_and_withdrawn_jobs_do_not_count),
		TEST(each_end_has_its_counter),
		TEST(next_owner_goes_on),
		TEST(expired_jobs_are_kept_no_more),
		TEST(commits_have_two_histograms),
		TEST(requests_are_counted_by_all_at_once),
		TEST(other_routes_begin_anew),
		TEST(caches_numbers_do_not_go_back),
		TEST(deliveries_and_refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
