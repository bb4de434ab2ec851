/* The table under several threads and processes: nothing twice, nothing lost. */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "jobq/table.h"

#define SUBMITTERS 4
#define JOBS 3000 /* each */

static char name[64];
static struct jobq_table *table;
static _Atomic unsigned seen[SUBMITTERS * JOBS + 1]; /* how often each id was claimed */
static _Atomic unsigned done, torn;

static int set_up(void **state)
{
	struct jobq_buf why = {0};
	(void)state;
	snprintf(name, sizeof(name), "/jobq-test-share-%d", (int)getpid());
	int rc = jobq_table_own(name, (size_t)32 << 20, 86400000, &table, &why);
	if (rc == 0)
		jobq_table_set_ready(table);
	jobq_buf_free(&why);
	return rc;
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

static void *submitter(void *unused)
{
	struct jobq_table_submit entry = {JOBQ_TYPE_CACHE_WARMING, "{}", 2, "ci", "", NULL, 0};
	uint64_t id;
	bool replayed;

	for (int i = 0; i < JOBS; i++)
		if (jobq_table_submit(table, &entry, &id, &replayed) < 0)
			abort();
	return unused;
}

/* The result of job n is n, as often as its length says: torn reads show. */
static void *worker(void *slot)
{
	struct jobq_job_claim claim;

	while (jobq_table_claim(table, (unsigned)(uintptr_t)slot, &claim) == 0) {
		char result[256];
		size_t len = 1 + claim.id % (sizeof(result) - 1);
		memset(result, 'a' + (int)(claim.id % 26), len);
		atomic_fetch_add(&seen[claim.id], 1);
		if (jobq_table_begin(table, &claim) < 0 ||
		    jobq_table_progress(table, &claim, 30) < 0 ||
		    jobq_table_finish(table, &claim, result, len, NULL, NULL) < 0)
			abort();
		if (atomic_fetch_add(&done, 1) + 1 == SUBMITTERS * JOBS)
			jobq_table_drain(table, true);
	}
	return NULL;
}

static void *reader(void *unused)
{
	struct jobq_buf bytes = {0};
	uint64_t id = 1;

	while (atomic_load(&done) < SUBMITTERS * JOBS) {
		struct jobq_job job;
		size_t error_len = 0, result_len = 0;
		id = id % (SUBMITTERS * JOBS) + 1;
		bytes.len = 0;
		int rc = jobq_table_get(table, id, &job, &bytes, &error_len, &result_len);
		if (rc == -ENOENT)
			continue;
		bool finished = job.status == JOBQ_STATUS_COMPLETED;
		bool whole = rc == 0 && job.id == id && error_len == 0 &&
			     result_len == (finished ? 1 + id % 255 : 0);
		for (size_t i = 0; whole && i < result_len; i++)
			whole = bytes.data[i] == 'a' + (char)(id % 26);
		if (!whole || (job.progress == 100) != finished)
			atomic_fetch_add(&torn, 1);
	}
	jobq_buf_free(&bytes);
	return unused;
}

static void each_job_is_claimed_once(void **state)
{
	pthread_t threads[SUBMITTERS + JOBQ_SLOTS + 2];
	size_t n = 0;
	struct jobq_buf out = {0};
	(void)state;

	for (uintptr_t i = 0; i < JOBQ_SLOTS; i++)
		pthread_create(&threads[n++], NULL, worker, (void *)i);
	for (int i = 0; i < SUBMITTERS; i++)
		pthread_create(&threads[n++], NULL, submitter, NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[n++], NULL, reader, NULL);
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	for (uint64_t id = 1; id <= SUBMITTERS * JOBS; id++)
		assert_int_equal(seen[id], 1);
	assert_int_equal(torn, 0);
	if (jobq_table_check(table, &out) > 0)
		fail_msg("%s", out.data);
	jobq_buf_free(&out);
	jobq_table_drain(table, false);
}

static uint64_t submit(void)
{
	struct jobq_table_submit entry = {JOBQ_TYPE_CACHE_WARMING, "{}", 2, "ci", "", NULL, 0};
	uint64_t id;
	bool replayed;
	assert_int_equal(jobq_table_submit(table, &entry, &id, &replayed), 0);
	return id;
}

struct waiting {
	uint64_t id;
	int64_t deadline;
	_Atomic uint32_t stop;
	int64_t took;
};

static void *waiter(void *arg)
{
	struct waiting *w = arg;
	int64_t began = jobq_clock_mono();
	jobq_table_wait(table, w->id, w->deadline, &w->stop, 0);
	w->took = jobq_clock_mono() - began;
	return NULL;
}

/* A wait ends with the job, with its own deadline, or when it is interrupted. */
static void waits_end_for_their_reasons(void **state)
{
	struct waiting w = {.id = submit(), .deadline = jobq_clock_mono() + 60000000};
	struct jobq_job_claim claim;
	pthread_t thread;
	(void)state;

	pthread_create(&thread, NULL, waiter, &w);
	assert_int_equal(jobq_table_claim(table, 0, &claim), 0);
	assert_int_equal(jobq_table_finish(table, &claim, "1", 1, NULL, NULL), 0);
	pthread_join(thread, NULL);
	assert_true(w.took < 30000000);

	w.id = submit();
	pthread_create(&thread, NULL, waiter, &w);
	assert_int_equal(jobq_table_cancel(table, w.id), 0);
	pthread_join(thread, NULL);
	assert_true(w.took < 30000000);

	w.id = submit();
	w.deadline = jobq_clock_mono() + 50000;
	pthread_create(&thread, NULL, waiter, &w);
	pthread_join(thread, NULL);
	assert_true(jobq_clock_mono() >= w.deadline);

	w.deadline = jobq_clock_mono() + 60000000;
	pthread_create(&thread, NULL, waiter, &w);
	jobq_table_interrupt(&w.stop);
	pthread_join(thread, NULL);
	assert_true(w.took < 30000000);
	assert_int_equal(jobq_table_wait(table, 99999, -1, &w.stop, 1), -ENOENT);
}

/* A slot that sleeps is woken by a submission of another process. */
static void sleeping_slot_is_woken(void **state)
{
	struct jobq_job_claim claim;
	(void)state;
	jobq_table_drain(table, true);
	assert_int_equal(jobq_table_claim(table, 0, &claim), -ESHUTDOWN);
	jobq_table_drain(table, false);
	while (true) {
		struct jobq_table_stats stats;
		jobq_table_stats(table, &stats);
		if (stats.jobs[JOBQ_STATUS_QUEUED] == 0)
			break;
		assert_int_equal(jobq_table_claim(table, 0, &claim), 0);
		assert_int_equal(jobq_table_finish(table, &claim, "1", 1, NULL, NULL), 0);
	}
	pid_t pid = fork();
	if (pid == 0) {
		submit();
		_exit(0);
	}
	assert_int_equal(jobq_table_claim(table, 0, &claim), 0);
	waitpid(pid, NULL, 0);
	assert_int_equal(jobq_table_finish(table, &claim, "1", 1, NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_job_is_claimed_once),
		cmocka_unit_test(waits_end_for_their_reasons),
		cmocka_unit_test(sleeping_slot_is_woken),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
