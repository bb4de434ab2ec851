/* The table's everyday life: submit, claim, finish, cancel, list, expire, full. */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "jobq/table.h"

#define MIB ((size_t)1 << 20)

static char name[64];
static struct jobq_table *table;

static int own(size_t bytes, int64_t retention_ms)
{
	struct jobq_buf why = {0};
	int rc = jobq_table_own(name, bytes, retention_ms, &table, &why);
	if (rc == 0)
		jobq_table_set_ready(table);
	jobq_buf_free(&why);
	return rc;
}

static int set_up(void **state)
{
	(void)state;
	snprintf(name, sizeof(name), "/jobq-test-table-%d", (int)getpid());
	return own(16 * MIB, 86400000);
}

static int tear_down(void **state)
{
	struct jobq_buf why = {0};
	(void)state;
	jobq_table_detach(table);
	jobq_table_remove(name, &why);
	jobq_buf_free(&why);
	return 0;
}

static void assert_sound(void)
{
	struct jobq_buf out = {0};
	size_t violations = jobq_table_check(table, &out);
	if (violations > 0)
		fail_msg("%zu violations:\n%s", violations, out.data);
	jobq_buf_free(&out);
}

static int submit_text(const char *parameters, size_t len, const char *key, uint64_t *id,
		       bool *replayed)
{
	struct jobq_table_submit submit = {
		.type = JOBQ_TYPE_SCENE_PRELOAD,
		.parameters = parameters,
		.parameters_len = len,
		.owner = "ci",
		.key = key,
	};
	return jobq_table_submit(table, &submit, id, replayed);
}

static uint64_t submit(void)
{
	uint64_t id;
	bool replayed;
	assert_int_equal(submit_text("{}", 2, "", &id, &replayed), 0);
	assert_false(replayed);
	return id;
}

static struct jobq_job get(uint64_t id)
{
	struct jobq_job job;
	assert_int_equal(jobq_table_get(table, id, &job, NULL, NULL, NULL), 0);
	return job;
}

static void ids_count_from_one(void **state)
{
	(void)state;
	assert_int_equal(submit(), 1);
	assert_int_equal(submit(), 2);
	struct jobq_job job = get(1);
	assert_int_equal(job.status, JOBQ_STATUS_QUEUED);
	assert_int_equal(job.type, JOBQ_TYPE_SCENE_PRELOAD);
	assert_true(job.created > 0);
	assert_int_equal(job.started, 0);
	assert_int_equal(jobq_table_get(table, 3, &job, NULL, NULL, NULL), -ENOENT);
	assert_int_equal(jobq_table_get(table, 0, &job, NULL, NULL, NULL), -ENOENT);
	assert_int_equal(jobq_table_get(table, UINT64_MAX, &job, NULL, NULL, NULL), -ENOENT);
	assert_sound();
}

static void claims_are_first_in_first_out(void **state)
{
	struct jobq_job_claim claim;
	(void)state;
	submit();
	submit();
	submit();
	assert_int_equal(jobq_table_cancel(table, 2), 0);
	assert_int_equal(jobq_table_claim(table, 0, &claim), 0);
	assert_int_equal(claim.id, 1);
	assert_int_equal(claim.attempt, 1);
	assert_int_equal(get(1).status, JOBQ_STATUS_RUNNING);
	assert_int_equal(jobq_table_claim(table, 1, &claim), 0);
	assert_int_equal(claim.id, 3);
	assert_int_equal(jobq_table_cancel(table, 3), -EBUSY);
	assert_int_equal(jobq_table_cancel(table, 2), -EBUSY);
	assert_int_equal(jobq_table_cancel(table, 9), -ENOENT);
	assert_sound();
}

static void result_comes_back_whole(void **state)
{
	/* One of each way of storing: small, whole span, chain of spans. */
	static const size_t sizes[] = {1, 63, 64, 65, 4096, 65535, 65536, 65537, 3000000};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(sizes); i++) {
		struct jobq_job_claim claim;
		struct jobq_buf bytes = {0};
		struct jobq_job job;
		size_t error_len, result_len;
		char *result = malloc(sizes[i]);
		for (size_t k = 0; k < sizes[i]; k++)
			result[k] = (char)('a' + k % 23);
		uint64_t id = submit();
		assert_int_equal(jobq_table_claim(table, 0, &claim), 0);
		assert_int_equal(jobq_table_begin(table, &claim), 0);
		assert_int_equal(jobq_table_finish(table, &claim, result, sizes[i],
						   i % 2 ? "it broke" : NULL, NULL), 0);
		assert_int_equal(jobq_table_get(table, id, &job, &bytes, &error_len, &result_len),
				 0);
		assert_int_equal(job.status, i % 2 ? JOBQ_STATUS_FAILED : JOBQ_STATUS_COMPLETED);
		assert_int_equal(job.progress, i % 2 ? 0 : 100);
		assert_int_equal(error_len, i % 2 ? 8 : 0);
		assert_int_equal(result_len, sizes[i]);
		assert_memory_equal(bytes.data + error_len, result, sizes[i]);
		jobq_buf_free(&bytes);
		free(result);
		assert_sound();
	}
}

static void late_attempt_is_refused(void **state)
{
	struct jobq_job_claim claim, stale;
	uint64_t job;
	bool requeued;
	(void)state;
	submit();
	submit();
	assert_int_equal(jobq_table_claim(table, 0, &claim), 0);
	stale = claim;
	/* It never began: back to the head of the queue, once. */
	assert_int_equal(jobq_table_settle(table, 0, "gone", &job, &requeued), 0);
	assert_int_equal(job, 1);
	assert_true(requeued);
	assert_int_equal(get(1).started, 0);
	assert_int_equal(jobq_table_begin(table, &stale), -ESTALE);
	assert_int_equal(jobq_table_finish(table, &stale, "1", 1, NULL, NULL), -ESTALE);
	assert_int_equal(jobq_table_claim(table, 1, &claim), 0);
	assert_int_equal(claim.id, 1);
	assert_int_equal(claim.attempt, 2);
	assert_int_equal(jobq_table_progress(table, &stale, 50), -ESTALE);
	/* The second time it fails, with the reason. */
	assert_int_equal(jobq_table_settle(table, 1, "worker killed", &job, &requeued), 0);
	assert_false(requeued);
	assert_int_equal(get(1).status, JOBQ_STATUS_FAILED);
	assert_sound();
}

/* Whichever worker is found dead first: jobs start in the order in which they came. */
static void requeued_jobs_keep_their_order(void **state)
{
	struct jobq_job_claim claim;
	uint64_t job;
	bool requeued;
	(void)state;
	for (int i = 0; i < 4; i++)
		submit();
	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++)
		assert_int_equal(jobq_table_claim(table, slot, &claim), 0);
	for (unsigned i = 0; i < JOBQ_SLOTS; i++) {
		static const unsigned order[] = {1, 2, 0};
		assert_int_equal(jobq_table_settle(table, order[i], "gone", &job, &requeued), 0);
		assert_true(requeued);
		assert_sound();
	}
	for (uint64_t id = 1; id <= JOBQ_SLOTS; id++) {
		assert_int_equal(jobq_table_claim(table, (unsigned)id - 1, &claim), 0);
		assert_int_equal(claim.id, id);
	}
}

static void begun_job_fails_at_once(void **state)
{
	struct jobq_job_claim claim;
	struct jobq_buf bytes = {0};
	struct jobq_job shown;
	size_t error_len, result_len;
	uint64_t job;
	bool requeued;
	(void)state;
	submit();
	assert_int_equal(jobq_table_claim(table, 2, &claim), 0);
	assert_int_equal(jobq_table_begin(table, &claim), 0);
	assert_int_equal(jobq_table_settle(table, 2, "worker killed by signal 11 (SIGSEGV)", &job,
					   &requeued), 0);
	assert_false(requeued);
	assert_int_equal(jobq_table_get(table, 1, &shown, &bytes, &error_len, &result_len), 0);
	assert_int_equal(shown.status, JOBQ_STATUS_FAILED);
	assert_int_equal(result_len, 0);
	assert_int_equal(error_len, strlen("worker killed by signal 11 (SIGSEGV)"));
	assert_memory_equal(bytes.data, "worker killed by signal 11 (SIGSEGV)", error_len);
	jobq_buf_free(&bytes);
	assert_sound();
}

static void progress_never_falls_nor_reaches_one(void **state)
{
	struct jobq_job_claim claim;
	(void)state;
	submit();
	assert_int_equal(jobq_table_claim(table, 0, &claim), 0);
	assert_int_equal(jobq_table_progress(table, &claim, 40), 0);
	assert_int_equal(jobq_table_progress(table, &claim, 20), 0);
	assert_int_equal(get(1).progress, 40);
	assert_int_equal(jobq_table_progress(table, &claim, 250), 0);
	assert_int_equal(get(1).progress, 99);
}

static void list_filters_and_goes_on(void **state)
{
	struct jobq_table_filter any = {.status = JOBQ_STATUS_NONE, .type = -1};
	struct jobq_table_filter cancelled = {.status = JOBQ_STATUS_CANCELLED, .type = -1};
	struct jobq_table_filter none = {.status = JOBQ_STATUS_NONE, .type = JOBQ_TYPE_CACHE_WARMING};
	struct jobq_job jobs[JOBQ_LIST_BITE];
	uint64_t after = 0, expected = 1;
	size_t n;
	(void)state;
	for (int i = 0; i < 1500; i++)
		submit();
	for (uint64_t id = 7; id <= 1500; id += 7)
		assert_int_equal(jobq_table_cancel(table, id), 0);
	while ((n = jobq_table_list(table, &any, &after, jobs, JOBQ_LIST_BITE)) > 0)
		for (size_t i = 0; i < n; i++)
			assert_int_equal(jobs[i].id, expected++);
	assert_int_equal(expected, 1501);
	after = 700;
	n = jobq_table_list(table, &cancelled, &after, jobs, 3);
	assert_int_equal(n, 3);
	assert_int_equal(jobs[0].id, 707);
	assert_int_equal(jobs[2].id, 721);
	assert_int_equal(after, 721);
	after = 0;
	assert_int_equal(jobq_table_list(table, &none, &after, jobs, 10), 0);
	after = UINT64_MAX;
	assert_int_equal(jobq_table_list(table, &any, &after, jobs, 10), 0);
	assert_sound();
}

static void keys_replay(void **state)
{
	uint64_t id, again;
	bool replayed;
	(void)state;
	assert_int_equal(submit_text("{\"a\":1}", 7, "k1", &id, &replayed), 0);
	assert_int_equal(submit_text("{\"a\":1}", 7, "k1", &again, &replayed), 0);
	assert_true(replayed);
	assert_int_equal(again, id);
	assert_int_equal(submit_text("{\"a\":2}", 7, "k1", &again, &replayed), -EEXIST);
	assert_int_equal(submit_text("{\"a\":1}", 7, "k2", &again, &replayed), 0);
	assert_false(replayed);
	assert_int_not_equal(again, id);
	assert_sound();
}

static void old_jobs_expire_and_memory_returns(void **state)
{
	struct jobq_job_claim claim;
	struct jobq_table_stats stats;
	uint64_t id;
	bool replayed;
	(void)state;
	for (int i = 0; i < 3000; i++) {
		char key[16];
		snprintf(key, sizeof(key), "key%d", i);
		assert_int_equal(submit_text("{}", 2, key, &id, &replayed), 0);
	}
	for (id = 1; id <= 2000; id++)
		assert_int_equal(jobq_table_cancel(table, id), 0);
	assert_int_equal(jobq_table_claim(table, 0, &claim), 0);
	assert_int_equal(jobq_table_finish(table, &claim, "{}", 2, NULL, NULL), 0);

	int64_t day = INT64_C(86400) * 1000000;
	assert_int_equal(jobq_table_expire(table, jobq_clock_wall()), 0);
	assert_int_equal(jobq_table_expire(table, jobq_clock_wall() + day - 1000000), 0);
	assert_sound();
	assert_int_equal(jobq_table_expire(table, jobq_clock_wall() + day + day / 500), 2001);
	assert_sound();
	jobq_table_stats(table, &stats);
	assert_int_equal(stats.jobs[JOBQ_STATUS_QUEUED], 999);
	assert_int_equal(stats.jobs[JOBQ_STATUS_CANCELLED], 0);
	/* The key is free again, the id is not. */
	assert_int_equal(submit_text("{}", 2, "key5", &id, &replayed), 0);
	assert_false(replayed);
	assert_int_equal(id, 3001);
	assert_sound();
}

static void full_is_an_answer(void **state)
{
	char *big = malloc(MIB);
	struct jobq_table_stats stats;
	struct jobq_job_claim claim;
	uint64_t id = 0, first = 0;
	bool replayed;
	int rc;
	(void)state;
	memset(big, 'x', MIB);
	while ((rc = submit_text(big, MIB, "", &id, &replayed)) == 0)
		first = first == 0 ? id : first;
	assert_int_equal(rc, -ENOSPC);
	assert_sound();
	/* A result still finds room: some is kept for it. */
	assert_int_equal(jobq_table_claim(table, 0, &claim), 0);
	assert_int_equal(jobq_table_finish(table, &claim, big, MIB / 2, NULL, NULL), 0);
	assert_int_equal(get(claim.id).status, JOBQ_STATUS_COMPLETED);
	/* When even that is gone the job fails and says why. */
	do {
		assert_int_equal(jobq_table_claim(table, 0, &claim), 0);
		assert_int_equal(jobq_table_finish(table, &claim, big, MIB, NULL, NULL), 0);
	} while (get(claim.id).status == JOBQ_STATUS_COMPLETED);
	assert_int_equal(get(claim.id).status, JOBQ_STATUS_FAILED);
	assert_sound();
	/* Room returns with expiry. */
	int64_t later = jobq_clock_wall() + INT64_C(90000) * 1000000;
	assert_true(jobq_table_expire(table, later) > 0);
	assert_int_equal(submit_text(big, MIB, "", &id, &replayed), 0);
	assert_sound();
	/* And goes back to the system in two steps. */
	while (jobq_table_claim(table, 0, &claim) == 0) {
		assert_int_equal(jobq_table_finish(table, &claim, "1", 1, NULL, NULL), 0);
		jobq_table_stats(table, &stats);
		if (stats.jobs[JOBQ_STATUS_QUEUED] == 0)
			break;
	}
	assert_true(jobq_table_expire(table, later + INT64_C(90000) * 1000000) > 0);
	assert_int_equal(jobq_table_trim(table), 0);
	assert_sound();
	assert_true(jobq_table_trim(table) > 4 * MIB);
	assert_sound();
	assert_int_equal(submit_text(big, MIB, "", &id, &replayed), 0);
	assert_sound();
	free(big);
}

/* Of the process that is the slot's worker now, not of the one before. */
static void confinement_is_its_workers(void **state)
{
	struct jobq_table_confinement is = {.told = true, .landlock = 7, .seccomp = true};
	struct jobq_table_slot at;
	pid_t holder;

	(void)state;
	assert_int_equal(jobq_table_enter(table, 1, &holder), 0);
	jobq_table_tell_confinement(table, 1, &is);
	jobq_table_slot(table, 1, &at);
	assert_true(at.confinement.told && at.confinement.seccomp);
	assert_int_equal(at.confinement.landlock, 7);
	jobq_table_slot(table, 0, &at);
	assert_false(at.confinement.told);
	assert_int_equal(jobq_table_enter(table, 1, &holder), 0);
	jobq_table_slot(table, 1, &at);
	assert_false(at.confinement.told || at.confinement.seccomp);
	assert_int_equal(at.confinement.landlock, 0);
	assert_sound();
}

static void second_owner_is_refused(void **state)
{
	struct jobq_table *second = NULL;
	struct jobq_buf why = {0};
	(void)state;
	assert_int_equal(jobq_table_own(name, MIB, 1000, &second, &why), -EBUSY);
	assert_non_null(strstr(why.data, "another jobqd"));
	jobq_buf_free(&why);
	jobq_buf_free(&why);
	assert_int_equal(jobq_table_remove(name, &why), -EBUSY);
	jobq_buf_free(&why);
	assert_int_equal(jobq_table_attach(name, &second, &why), 0);
	assert_true(jobq_table_owned(second));
	jobq_table_detach(table);
	assert_false(jobq_table_owned(second));
	table = second;
}

static void next_owner_finds_the_jobs(void **state)
{
	(void)state;
	submit();
	submit();
	jobq_table_detach(table);
	assert_int_equal(own(16 * MIB, 86400000), 0);
	assert_int_equal(get(2).status, JOBQ_STATUS_QUEUED);
	assert_int_equal(submit(), 3);
	assert_sound();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ids_count_from_one),
		TEST(claims_are_first_in_first_out),
		TEST(result_comes_back_whole),
		TEST(late_attempt_is_refused),
		TEST(requeued_jobs_keep_their_order),
		TEST(begun_job_fails_at_once),
		TEST(progress_never_falls_nor_reaches_one),
		TEST(list_filters_and_goes_on),
		TEST(keys_replay),
		TEST(old_jobs_expire_and_memory_returns),
		TEST(full_is_an_answer),
		TEST(confinement_is_its_workers),
		TEST(second_owner_is_refused),
		TEST(next_owner_finds_the_jobs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
