/* The feed: what clients can see of jobs, in order, when they can, and no sooner. */
#include "config.h"

#include "fixture.h"

#include <sched.h>
#include <sys/mman.h>

#include "jobq/table_feed.h"

static uint64_t after;

static int begin(void **state)
{
	after = 0;
	return set_up(state);
}

static int begin_unstored(void **state)
{
	int rc = begin(state);

	if (rc == 0)
		jobq_table_set_store(table, JOBQ_DURABILITY_NONE, 0);
	return rc;
}

/* The next change is this one. */
static struct jobq_job expect(uint64_t id, enum jobq_job_status status, unsigned progress)
{
	struct jobq_feed_entry entry;
	uint64_t before = after;

	assert_int_equal(jobq_table_feed_read(table, &after, &entry, 1), 1);
	assert_int_equal(after, before + 1);
	assert_int_equal(entry.seq, after);
	assert_int_equal(entry.job.id, id);
	assert_int_equal(entry.job.status, status);
	assert_int_equal(entry.job.progress, progress);
	return entry.job;
}

static void expect_nothing(void)
{
	struct jobq_feed_entry entry;

	assert_int_equal(jobq_table_feed_read(table, &after, &entry, 1), 0);
	assert_int_equal(jobq_table_feed_last(table), after);
}

static void life_of_a_job(void **state)
{
	(void)state;
	uint64_t id = submit("");
	struct jobq_job job = expect(id, JOBQ_STATUS_QUEUED, 0);
	assert_true(job.created > 0);
	assert_int_equal(job.started, 0);
	assert_int_equal(job.type, JOBQ_TYPE_SCENE_PRELOAD);
	struct jobq_job_claim running = claim(0);
	job = expect(id, JOBQ_STATUS_RUNNING, 0);
	assert_true(job.started > 0);
	assert_int_equal(jobq_table_begin(table, &running), 0);
	expect_nothing();
	jobq_table_progress(table, &running, 30);
	expect(id, JOBQ_STATUS_RUNNING, 30);
	jobq_table_progress(table, &running, 30);
	jobq_table_progress(table, &running, 20);
	expect_nothing();
	finish(&running);
	job = expect(id, JOBQ_STATUS_COMPLETED, 100);
	assert_true(job.completed > 0);
	expect_nothing();
	jobq_table_expire(table, jobq_clock_wall() + 2 * DAY);
	assert_int_equal(shown(id), JOBQ_STATUS_NONE);
	expect_nothing();
}

/* Versions are those of jobq_table_get(): who has seen the job knows what is news. */
static void entries_have_the_version_of_the_job(void **state)
{
	(void)state;
	uint64_t id = submit("");
	assert_int_equal(expect(id, JOBQ_STATUS_QUEUED, 0).version, get(id).version);
	claim(0);
	assert_int_equal(expect(id, JOBQ_STATUS_RUNNING, 0).version, get(id).version);
}

static void cancelled_and_put_back(void **state)
{
	uint64_t job, id = submit("");
	bool requeued;
	(void)state;
	expect(id, JOBQ_STATUS_QUEUED, 0);
	claim(1);
	expect(id, JOBQ_STATUS_RUNNING, 0);
	assert_int_equal(jobq_table_settle(table, 1, "killed", &job, &requeued), 0);
	assert_true(requeued);
	assert_int_equal(expect(id, JOBQ_STATUS_QUEUED, 0).started, 0);
	struct jobq_job_claim running = claim(1);
	expect(id, JOBQ_STATUS_RUNNING, 0);
	jobq_table_begin(table, &running);
	assert_int_equal(jobq_table_settle(table, 1, "killed", &job, &requeued), 0);
	expect(id, JOBQ_STATUS_FAILED, 0);
	id = submit("");
	expect(id, JOBQ_STATUS_QUEUED, 0);
	assert_int_equal(jobq_table_cancel(table, id), 0);
	expect(id, JOBQ_STATUS_CANCELLED, 0);
	expect_nothing();
}

static void nothing_is_told_before_it_is_stored(void **state)
{
	(void)state;
	uint64_t id = submit("");
	expect_nothing();
	publish();
	expect(id, JOBQ_STATUS_QUEUED, 0);
	struct jobq_job_claim running = claim(0);
	expect(id, JOBQ_STATUS_RUNNING, 0);
	jobq_table_progress(table, &running, 50);
	expect(id, JOBQ_STATUS_RUNNING, 50);
	finish(&running);
	expect_nothing();
	publish();
	expect(id, JOBQ_STATUS_COMPLETED, 100);
	publish();
	expect_nothing();

	id = submit_stored("");
	expect(id, JOBQ_STATUS_QUEUED, 0);
	assert_int_equal(jobq_table_cancel(table, id), 0);
	expect_nothing();
	publish();
	expect(id, JOBQ_STATUS_CANCELLED, 0);
	expect_nothing();
}

static void withdrawn_jobs_were_never_there(void **state)
{
	(void)state;
	uint64_t id = submit("");
	assert_int_equal(jobq_table_withdraw(table, id), 0);
	publish();
	submit("");
	jobq_table_refuse(table, ENOSPC);
	publish();
	expect_nothing();
}

static void filling_a_table_is_no_news(void **state)
{
	struct jobq_entry entry = {
		.id = 1,
		.status = JOBQ_STATUS_QUEUED,
		.created = 1,
		.parameters = {"{}", 2},
	};
	(void)state;
	after = 0;
	snprintf(name, sizeof(name), "/jobq-test-feed-%d", (int)getpid());
	assert_int_equal(own(), 0);
	jobq_table_set_store(table, JOBQ_DURABILITY_FULL, STORE);
	assert_int_equal(jobq_table_import(table, &entry, false), 0);
	jobq_table_set_ready(table);
	assert_sound();
	expect_nothing();
	claim(0);
	expect(1, JOBQ_STATUS_RUNNING, 0);
	tear_down(NULL);
}

static void next_owner_goes_on(void **state)
{
	(void)state;
	uint64_t id = submit_stored("");
	jobq_table_detach(table);
	assert_int_equal(own(), 0);
	assert_int_equal(jobq_table_feed_last(table), 1);
	expect(id, JOBQ_STATUS_QUEUED, 0);
	assert_int_equal(jobq_table_cancel(table, id), 0);
	publish();
	expect(id, JOBQ_STATUS_CANCELLED, 0);
	expect_nothing();
}

/* So many changes that nothing but their number counts. */
static void change(uint64_t count)
{
	static struct jobq_job_claim running;

	for (uint64_t n = 0; n < count;) {
		if (running.id == 0 || get(running.id).progress == 99) {
			if (running.id != 0)
				jobq_table_finish(table, &running, "1", 1, NULL, NULL);
			try_submit();
			assert_int_equal(jobq_table_claim(table, 0, &running), 0);
			n += running.id > 1 ? 3 : 2;
		} else {
			jobq_table_progress(table, &running, get(running.id).progress + 1);
			n++;
		}
	}
}

static void ring_forgets_the_oldest(void **state)
{
	struct jobq_feed_entry entries[100];
	uint64_t fresh;
	int n, count = 0;
	(void)state;
	change(JOBQ_FEED_LENGTH + 1000);
	uint64_t last = jobq_table_feed_last(table);
	assert_int_equal(jobq_table_feed_read(table, &after, entries, 100), -ESTALE);
	assert_int_equal(after, 0);
	after = last - JOBQ_FEED_LENGTH;
	assert_int_equal(jobq_table_feed_read(table, &after, entries, 100), -ESTALE);
	after = last - JOBQ_FEED_LENGTH + 1;
	uint64_t first = after + 1;
	while ((n = jobq_table_feed_read(table, &after, entries, 100)) > 0)
		for (int i = 0; i < n; i++)
			assert_int_equal(entries[i].seq, first + (uint64_t)count++);
	assert_int_equal(n, 0);
	assert_int_equal(count, JOBQ_FEED_LENGTH - 1);
	fresh = last + 1; /* of another table, say */
	assert_int_equal(jobq_table_feed_read(table, &fresh, entries, 100), -ESTALE);
	fresh = UINT64_MAX;
	assert_int_equal(jobq_table_feed_read(table, &fresh, entries, 100), -ESTALE);
	assert_sound();
}

/* ---- sleeping --------------------------------------------------------------- */

static _Atomic uint32_t stop;
static _Atomic bool awake;

static void *sleeper(void *unused)
{
	(void)unused;
	while (jobq_table_feed_last(table) == after && atomic_load(&stop) == 0)
		jobq_table_feed_await(table, after, LONG, &stop, 0);
	atomic_store(&awake, true);
	return NULL;
}

static void assert_wakes(void (*act)(void))
{
	pthread_t thread;
	int64_t began = jobq_clock_mono();

	after = jobq_table_feed_last(table);
	atomic_store(&awake, false);
	assert_int_equal(pthread_create(&thread, NULL, sleeper, NULL), 0);
	usleep(20000); /* mostly asleep by then; right if not, too */
	assert_false(atomic_load(&awake));
	act();
	pthread_join(thread, NULL);
	assert_true(jobq_clock_mono() - began < 5000000);
}

static struct jobq_job_claim running;
static uint64_t subject;

static void do_submit(void) { try_submit(); }
static void do_publish(void) { publish(); }
static void do_claim(void) { running = claim(0); }
static void do_progress(void) { jobq_table_progress(table, &running, 10); }
static void do_finish(void) { finish(&running); }
static void do_cancel(void) { jobq_table_cancel(table, subject); }

static void do_settle(void)
{
	uint64_t job;
	bool requeued;
	jobq_table_settle(table, 0, "killed", &job, &requeued);
}

static void do_stop(void)
{
	atomic_store(&stop, 1);
	jobq_table_interrupt(&stop);
}

static void every_change_wakes(void **state)
{
	(void)state;
	assert_wakes(do_submit);
	assert_wakes(do_claim);
	assert_wakes(do_progress);
	assert_wakes(do_finish);
	subject = submit("");
	assert_wakes(do_cancel);
	submit("");
	claim(0);
	assert_wakes(do_settle);
	assert_wakes(do_stop);
	atomic_store(&stop, 0);
}

static void publishing_wakes(void **state)
{
	(void)state;
	submit("");
	assert_wakes(do_publish);
}

/* ---- several at once --------------------------------------------------------- */

#define ACTS 30000

/* Ahead of the reader, but never without one: a tenth of it must have been read meanwhile. */
static void act_for_long(atomic_int *told)
{
	for (int i = 0; i < ACTS; i++) {
		while (atomic_load(told) < i / 10)
			sched_yield();
		struct jobq_table_submit entry = {JOBQ_TYPE_SCENE_PRELOAD, "{}", 2, "ci", "", NULL, 0};
		uint64_t id;
		bool replayed;
		if (jobq_table_submit(table, &entry, &id, &replayed) == 0)
			jobq_table_cancel(table, id);
	}
}

/* A reader without the lock gets whole entries, all of them, or is told. */
static void readers_see_whole_entries(void **state)
{
	static uint64_t last_of[2 * ACTS + 2];
	struct jobq_feed_entry entries[64];
	atomic_int *told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, done = 0;
	pid_t pids[2];
	(void)state;
	assert_true(told != MAP_FAILED);
	memset(last_of, 0, sizeof(last_of));
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			act_for_long(told);
			_exit(0);
		}
	}
	for (;;) {
		int n = jobq_table_feed_read(table, &after, entries, 64);
		if (n == -ESTALE)
			after = jobq_table_feed_last(table) - JOBQ_FEED_LENGTH / 2;
		if (n == 0 && done == 2)
			break;
		for (int i = 0; i < n; i++) {
			const struct jobq_job *job = &entries[i].job;
			assert_true(job->id >= 1 && job->id < JOBQ_LENGTH(last_of));
			if (job->status == JOBQ_STATUS_CANCELLED)
				assert_true(job->completed >= job->created);
			else
				assert_int_equal(job->status, JOBQ_STATUS_QUEUED);
			assert_true(last_of[job->id] < entries[i].seq);
			last_of[job->id] = entries[i].seq;
			atomic_fetch_add(told, 1);
		}
		while (waitpid(-1, &status, WNOHANG) > 0) {
			assert_int_equal(status, 0);
			done++;
		}
	}
	assert_true(atomic_load(told) >= ACTS / 10);
	assert_int_equal(jobq_table_feed_last(table), 4 * ACTS);
	munmap(told, sizeof(*told));
	assert_sound();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_unstored, tear_down)
#define STORED(f) cmocka_unit_test_setup_teardown(f, begin, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(life_of_a_job),
		TEST(entries_have_the_version_of_the_job),
		TEST(cancelled_and_put_back),
		STORED(nothing_is_told_before_it_is_stored),
		STORED(withdrawn_jobs_were_never_there),
		cmocka_unit_test(filling_a_table_is_no_news),
		STORED(next_owner_goes_on),
		TEST(ring_forgets_the_oldest),
		TEST(every_change_wakes),
		STORED(publishing_wakes),
		TEST(readers_see_whole_entries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
