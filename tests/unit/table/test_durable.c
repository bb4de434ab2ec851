/*
 * The table and its store: what is shown before it is stored and what is not,
 * and how changes are told. The store is played by the test.
 */
#include "config.h"

#include "fixture.h"

/* ---- a new job ------------------------------------------------------------- */

static void submitted_job_is_nowhere_until_stored(void **state)
{
	uint64_t id = submit("");
	struct jobq_entry entry;
	struct jobq_buf bytes = {0};
	(void)state;
	assert_int_equal(shown(id), JOBQ_STATUS_NONE);
	assert_false(listed(id, JOBQ_STATUS_NONE));
	assert_false(listed(id, JOBQ_STATUS_QUEUED));
	assert_int_equal(jobs_shown(), 0);
	assert_int_equal(stats().changes, 1);
	assert_int_equal(stats().durable, 0);
	assert_nothing_to_claim(0);
	assert_int_equal(jobq_table_cancel(table, id), -ENOENT);

	/* But the writer knows it. */
	assert_int_equal(jobq_table_next(table, 0), id);
	assert_int_equal(jobq_table_export(table, id, &entry, &bytes), 0);
	assert_int_equal(entry.status, JOBQ_STATUS_QUEUED);
	assert_memory_equal(entry.parameters.data, PARAMETERS, strlen(PARAMETERS));
	jobq_buf_free(&bytes);

	assert_int_equal(publish(), 1);
	assert_int_equal(shown(id), JOBQ_STATUS_QUEUED);
	assert_true(listed(id, JOBQ_STATUS_NONE));
	assert_true(listed(id, JOBQ_STATUS_QUEUED));
	assert_int_equal(stats().jobs[JOBQ_STATUS_QUEUED], 1);
	assert_int_equal(claim(0).id, id);
}

static void nobody_waits_for_a_job_that_is_not_there(void **state)
{
	_Atomic uint32_t never = 0;
	int64_t deadline = LONG;
	uint64_t id = submit("");
	(void)state;
	assert_int_equal(jobq_table_wait(table, id, deadline, &never, 0), -ENOENT);
	assert_int_equal(jobq_table_withdraw(table, id), 0);
	assert_int_equal(jobq_table_wait(table, id, deadline, &never, 0), -ENOENT);
	assert_true(jobq_clock_mono() < deadline);
}

static void stored_in_turn_is_claimed_in_turn(void **state)
{
	(void)state;
	uint64_t first = submit(""), second = submit(""), third = submit("");
	publish();
	assert_int_equal(claim(0).id, first);
	assert_int_equal(claim(1).id, second);
	assert_int_equal(claim(2).id, third);
}

/* What one who waits for the store is told, and after how long. */
struct awaiting {
	uint64_t id;
	int rc;
	int64_t took;
};

static void *await_stored(void *arg)
{
	struct awaiting *awaiting = arg;
	int64_t began = jobq_clock_mono();

	awaiting->rc = jobq_table_await_stored(table, awaiting->id, LONG);
	awaiting->took = jobq_clock_mono() - began;
	return NULL;
}

static void let_sleep(void)
{
	usleep(30000);
}

/* Has one wait for the job in a thread, does something, and sees what it is told. */
static void assert_told(uint64_t id, void (*happens)(uint64_t id), int expected)
{
	struct awaiting awaiting = {.id = id};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, await_stored, &awaiting), 0);
	let_sleep();
	happens(id);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(awaiting.rc, expected);
	if (awaiting.took > 5000000)
		fail_msg("nobody woke who waited for job %llu", (unsigned long long)id);
	assert_sound();
}

static void publish_it(uint64_t id)
{
	(void)id;
	publish();
}

static void refuse_it(uint64_t id)
{
	(void)id;
	jobq_table_refuse(table, ENOSPC);
}

static void withdraw_it(uint64_t id)
{
	assert_int_equal(jobq_table_withdraw(table, id), 0);
}

static void who_waits_is_told(void **state)
{
	uint64_t id = submit("");
	(void)state;
	assert_int_equal(jobq_table_await_stored(table, id, jobq_clock_mono() + 20000), -ETIMEDOUT);
	assert_int_equal(jobq_table_await_stored(table, id, 0), -ETIMEDOUT);
	assert_told(id, publish_it, 0);
	assert_int_equal(jobq_table_await_stored(table, id, LONG), 0);
	assert_int_equal(jobq_table_cancel(table, id), 0);
	assert_int_equal(jobq_table_await_stored(table, id, 0), -ETIMEDOUT);
	assert_told(id, publish_it, 0);

	assert_told(submit(""), refuse_it, -ECANCELED);
	publish();
	assert_int_equal(jobq_table_await_stored(table, 99, LONG), -ECANCELED);
}

/* Two requests with one key wait for one job: when one gives up, so does the other. */
static void who_waits_is_told_of_a_withdrawal(void **state)
{
	(void)state;
	assert_told(submit("key"), withdraw_it, -ECANCELED);
	publish();
}

/* ---- a job's end ----------------------------------------------------------- */

struct ending {
	uint64_t id;
	_Atomic uint32_t stop;
	_Atomic bool over;
};

static void *await_end(void *arg)
{
	struct ending *ending = arg;

	jobq_table_wait(table, ending->id, LONG, &ending->stop, 0);
	atomic_store(&ending->over, true);
	return NULL;
}

/* Its end is not stored: it runs, with what it showed before. */
static void assert_still_runs(uint64_t id)
{
	struct jobq_job job;
	struct jobq_buf bytes = {0};
	size_t error_len = 9, result_len = 9;

	assert_int_equal(jobq_table_get(table, id, &job, &bytes, &error_len, &result_len), 0);
	assert_int_equal(job.status, JOBQ_STATUS_RUNNING);
	assert_true(job.progress <= 99);
	assert_int_equal(job.completed, 0);
	assert_true(job.started > 0);
	assert_int_equal(bytes.len + error_len + result_len, 0);
	assert_true(listed(id, JOBQ_STATUS_RUNNING));
	assert_false(listed(id, JOBQ_STATUS_COMPLETED));
	assert_false(listed(id, JOBQ_STATUS_FAILED));
	assert_int_equal(stats().jobs[JOBQ_STATUS_RUNNING], 1);
	jobq_buf_free(&bytes);
}

/* Publishes, with one who waits for the job to end: it ends then and not before. */
static void publish_end(uint64_t id)
{
	struct ending ending = {.id = id};
	pthread_t thread;
	uint32_t version = get(id).version;

	assert_int_equal(pthread_create(&thread, NULL, await_end, &ending), 0);
	let_sleep();
	assert_false(atomic_load(&ending.over));
	int64_t began = jobq_clock_mono();
	publish();
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(jobq_clock_mono() - began < 5000000);
	assert_true(get(id).version != version);
	assert_true(get(id).completed > 0);
}

static void end_is_shown_when_stored(void **state)
{
	uint64_t id = submit_stored("");
	struct jobq_job_claim claimed = claim(0);
	struct jobq_job job;
	struct jobq_buf bytes = {0};
	size_t error_len, result_len;
	(void)state;
	assert_int_equal(jobq_table_begin(table, &claimed), 0);
	assert_int_equal(jobq_table_progress(table, &claimed, 40), 0);
	assert_still_runs(id);
	finish(&claimed);
	assert_still_runs(id);
	assert_int_equal(real(id), JOBQ_STATUS_COMPLETED);
	assert_int_equal(jobq_table_cancel(table, id), -EBUSY);
	assert_int_equal(jobq_table_finish(table, &claimed, "1", 1, NULL, NULL), -ESTALE);
	publish_end(id);
	assert_int_equal(jobq_table_get(table, id, &job, &bytes, &error_len, &result_len), 0);
	assert_int_equal(job.status, JOBQ_STATUS_COMPLETED);
	assert_int_equal(job.progress, 100);
	assert_int_equal(error_len, 0);
	assert_int_equal(result_len, strlen(RESULT));
	assert_memory_equal(bytes.data, RESULT, result_len);
	jobq_buf_free(&bytes);
}

static void failure_is_shown_when_stored(void **state)
{
	uint64_t id = submit_stored("");
	struct jobq_job_claim claimed = claim(0);
	(void)state;
	assert_int_equal(jobq_table_finish(table, &claimed, NULL, 0, "it broke", NULL), 0);
	assert_sound();
	assert_still_runs(id);
	publish_end(id);
	assert_int_equal(get(id).status, JOBQ_STATUS_FAILED);
}

/* The same when its worker dies; but back in the queue it is at once. */
static void settled_job_is_shown_when_stored(void **state)
{
	uint64_t id = submit_stored(""), job;
	bool requeued;
	(void)state;
	claim(1);
	assert_int_equal(jobq_table_settle(table, 1, "killed", &job, &requeued), 0);
	assert_true(requeued);
	assert_sound();
	assert_int_equal(shown(id), JOBQ_STATUS_QUEUED);
	struct jobq_job_claim claimed = claim(2);
	assert_int_equal(claimed.attempt, 2);
	assert_int_equal(jobq_table_settle(table, 2, "killed", &job, &requeued), 0);
	assert_int_equal(job, id);
	assert_false(requeued);
	assert_sound();
	assert_still_runs(id);
	publish_end(id);
	assert_int_equal(get(id).status, JOBQ_STATUS_FAILED);
}

static void cancelled_job_is_queued_until_stored(void **state)
{
	uint64_t id = submit_stored(""), next = submit_stored("");
	uint32_t version = get(id).version;
	(void)state;
	assert_int_equal(jobq_table_cancel(table, id), 0);
	assert_sound();
	assert_int_equal(get(id).status, JOBQ_STATUS_QUEUED);
	assert_int_equal(get(id).completed, 0);
	assert_true(listed(id, JOBQ_STATUS_QUEUED));
	assert_int_equal(stats().jobs[JOBQ_STATUS_QUEUED], 2);
	assert_int_equal(real(id), JOBQ_STATUS_CANCELLED);
	assert_int_equal(jobq_table_cancel(table, id), -EBUSY);
	assert_int_equal(claim(0).id, next); /* never the cancelled one */
	assert_nothing_to_claim(1);
	publish_end(id);
	assert_int_equal(get(id).status, JOBQ_STATUS_CANCELLED);
	assert_true(get(id).version != version);
}

static void *claim_next(void *arg)
{
	struct jobq_job_claim *next = arg;

	while (jobq_table_claim(table, next->slot, next) == -EAGAIN)
		;
	return NULL;
}

static void no_more_than_three_are_shown_running(void **state)
{
	struct jobq_job_claim claims[JOBQ_SLOTS], next = {.slot = 1};
	pthread_t thread;
	uint64_t last = 0;
	(void)state;
	for (int i = 0; i < JOBQ_SLOTS + 1; i++)
		last = submit("");
	publish();
	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++)
		claims[slot] = claim(slot);
	finish(&claims[1]);
	assert_int_equal(stats().jobs[JOBQ_STATUS_RUNNING], JOBQ_SLOTS);
	assert_nothing_to_claim(1);

	/* It sleeps, and goes on when the end has been stored. */
	assert_int_equal(pthread_create(&thread, NULL, claim_next, &next), 0);
	let_sleep();
	assert_int_equal(shown(last), JOBQ_STATUS_QUEUED);
	publish();
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(next.id, last);
	assert_int_equal(stats().jobs[JOBQ_STATUS_RUNNING], JOBQ_SLOTS);
	assert_sound();
}

/* ---- what could not be stored ---------------------------------------------- */

static void withdrawn_job_never_was(void **state)
{
	uint64_t id = submit("key"), again, other;
	bool replayed;
	(void)state;
	assert_int_equal(jobq_table_withdraw(table, id), 0);
	assert_sound();
	assert_int_equal(jobq_table_withdraw(table, id), 0);
	assert_int_equal(shown(id), JOBQ_STATUS_NONE);
	assert_int_equal(real(id), JOBQ_STATUS_NONE);
	assert_int_equal(jobq_table_cancel(table, id), -ENOENT);
	assert_int_equal(jobq_table_await_stored(table, id, LONG), -ECANCELED);
	/* Its key is free at once, for another job too. */
	assert_int_equal(submit_with("key", "{}", &other, &replayed), 0);
	assert_false(replayed);
	assert_true(other > id);
	assert_sound();
	assert_int_equal(submit_with("key", "{}", &again, &replayed), 0);
	assert_true(replayed);
	assert_int_equal(again, other);

	publish();
	assert_int_equal(shown(id), JOBQ_STATUS_NONE);
	assert_int_equal(jobq_table_next(table, 0), other);
	assert_int_equal(jobs_shown(), 1);
	assert_int_equal(claim(0).id, other);
	assert_int_equal(jobq_table_withdraw(table, id), 0); /* nobody sees it */
	assert_int_equal(jobq_table_withdraw(table, 99), 0);
}

static void stored_job_cannot_be_withdrawn(void **state)
{
	uint64_t id = submit_stored("");
	(void)state;
	assert_int_equal(jobq_table_withdraw(table, id), -EALREADY);
	struct jobq_job_claim claimed = claim(0);
	assert_int_equal(jobq_table_withdraw(table, id), -EALREADY);
	finish(&claimed);
	assert_int_equal(jobq_table_withdraw(table, id), -EALREADY);
	publish();
	assert_int_equal(jobq_table_withdraw(table, id), -EALREADY);
	uint64_t cancelled = submit_stored("");
	assert_int_equal(jobq_table_cancel(table, cancelled), 0);
	assert_int_equal(jobq_table_withdraw(table, cancelled), -EALREADY);
	publish();
	assert_int_equal(get(cancelled).status, JOBQ_STATUS_CANCELLED);
}

/* Withdrawn while its first transaction was on the way: what is told next counts. */
static void late_publish_shows_no_withdrawn_job(void **state)
{
	struct jobq_table_change change;
	uint64_t upto = 0, id = submit("");
	(void)state;
	assert_int_equal(jobq_table_changes(table, &upto, &change, 1), 1);
	assert_int_equal(change.id, id);
	assert_int_equal(jobq_table_withdraw(table, id), 0);
	jobq_table_publish(table, &change, 1, upto);
	assert_sound();
	assert_int_equal(shown(id), JOBQ_STATUS_NONE);
	assert_int_equal(real(id), JOBQ_STATUS_NONE);
	assert_int_equal(publish(), 1);
	assert_int_equal(jobq_table_next(table, 0), 0);
}

static void refused_changes_stay_but_new_jobs_go(void **state)
{
	uint64_t running, cancelled, news[3];
	(void)state;
	running = submit_stored("");
	cancelled = submit_stored("");
	struct jobq_job_claim claimed = claim(0);
	finish(&claimed);
	assert_int_equal(jobq_table_cancel(table, cancelled), 0);
	for (int i = 0; i < 3; i++)
		news[i] = submit("");
	jobq_table_refuse(table, ENOSPC);
	assert_sound();
	assert_int_equal(stats().store_error, ENOSPC);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(real(news[i]), JOBQ_STATUS_NONE);
		assert_int_equal(jobq_table_await_stored(table, news[i], LONG), -ECANCELED);
	}
	assert_int_equal(try_submit(), -EIO);
	assert_int_equal(shown(running), JOBQ_STATUS_RUNNING);
	assert_int_equal(shown(cancelled), JOBQ_STATUS_QUEUED);
	jobq_table_refuse(table, EIO); /* again, while nothing is new */
	assert_sound();
	assert_int_equal(stats().store_error, EIO);

	publish();
	assert_int_equal(stats().store_error, 0);
	assert_int_equal(shown(running), JOBQ_STATUS_COMPLETED);
	assert_int_equal(shown(cancelled), JOBQ_STATUS_CANCELLED);
	assert_int_equal(jobs_shown(), 2);
	assert_int_equal(jobq_table_next(table, cancelled), 0);
	submit_stored("");
}

static void keys_replay_before_they_are_stored(void **state)
{
	uint64_t id = submit("key"), again;
	bool replayed;
	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(submit_with("key", PARAMETERS, &again, &replayed), 0);
		assert_true(replayed);
		assert_int_equal(again, id);
		assert_int_equal(submit_with("key", "{}", &again, &replayed), -EEXIST);
		assert_int_equal(again, id);
		publish();
	}
	assert_int_equal(stats().changes, 1);
}

/* ---- limits ---------------------------------------------------------------- */

static void full_ring_is_an_answer(void **state)
{
	uint64_t count = 0;
	int rc;
	(void)state;
	jobq_table_set_store(table, JOBQ_DURABILITY_OFF, STORE);
	while ((rc = try_submit()) == 0)
		count++;
	assert_int_equal(rc, -EAGAIN);
	assert_true(count > 10000);
	assert_int_equal(stats().changes - stats().durable, count);
	assert_int_equal(jobs_shown(), count); /* with durability off all are shown */
	assert_int_equal(jobq_table_cancel(table, count), -EAGAIN);
	assert_sound();
	while (stats().durable < stats().changes)
		publish();
	assert_int_equal(try_submit(), 0);
	assert_int_equal(jobq_table_cancel(table, count), 0);
	assert_int_equal(publish(), 2);
}

/* Workers, too, may not outrun a store that takes nothing: each change is told. */
static void workers_do_not_overrun_the_ring(void **state)
{
	struct jobq_job_claim claimed;
	(void)state;
	jobq_table_set_store(table, JOBQ_DURABILITY_OFF, STORE);
	while (try_submit() == 0)
		;
	disturb_often(true); /* the claim that is to wait ends by a signal */
	for (int i = 0; i < 5000 && jobq_table_claim(table, 0, &claimed) == 0; i++)
		assert_int_equal(jobq_table_finish(table, &claimed, "1", 1, NULL, NULL), 0);
	disturb_often(false);
	assert_sound(); /* the ring names the last change of every job */
	while (stats().durable < stats().changes)
		publish();
	assert_int_equal(jobq_table_claim(table, 0, &claimed), 0);
}

/* Each of those that wait to be stored may have to be withdrawn. */
static void few_jobs_may_wait_to_be_stored(void **state)
{
	uint64_t count = 0;
	int rc;
	(void)state;
	while ((rc = try_submit()) == 0)
		count++;
	assert_int_equal(rc, -EAGAIN);
	assert_true(count > 1000 && count < 10000);
	assert_sound();
	jobq_table_refuse(table, EIO);
	assert_sound();
	assert_int_equal(stats().changes, 2 * count);
	publish();
	assert_int_equal(jobq_table_next(table, 0), 0);
	assert_int_equal(try_submit(), 0);
}

static void ids_end_at_the_limit(void **state)
{
	struct jobq_table_stats now;
	uint64_t id;
	bool replayed;
	(void)state;
	jobq_table_set_ids(table, 40, 42);
	assert_int_equal(submit("key"), 40);
	assert_int_equal(submit(""), 41);
	assert_int_equal(try_submit(), -EAGAIN);
	assert_int_equal(submit_with("key", PARAMETERS, &id, &replayed), 0); /* needs no id */
	assert_true(replayed);
	jobq_table_set_ids(table, 1, 43); /* never back */
	assert_int_equal(submit(""), 42);
	assert_int_equal(try_submit(), -EAGAIN);
	jobq_table_set_ids(table, 0, UINT64_MAX);
	assert_int_equal(submit(""), 43);
	now = stats();
	assert_int_equal(now.next_id, 44);
}

static void stored_jobs_alone_expire(void **state)
{
	uint64_t first = submit_stored(""), second = submit_stored("");
	int64_t later = jobq_clock_wall() + 2 * DAY;
	(void)state;
	assert_int_equal(jobq_table_cancel(table, first), 0);
	assert_int_equal(jobq_table_expire(table, later), 0);
	assert_int_equal(shown(first), JOBQ_STATUS_QUEUED);
	publish();
	assert_int_equal(jobq_table_cancel(table, second), 0);
	/* Its mark is off, but not all up to it counts as stored yet. */
	struct jobq_table_change change = {stats().changes, second};
	jobq_table_publish(table, &change, 1, stats().durable);
	assert_sound();
	assert_int_equal(shown(second), JOBQ_STATUS_CANCELLED);
	size_t removed = jobq_table_expire(table, later);
	assert_int_equal(shown(second), JOBQ_STATUS_CANCELLED);
	assert_sound();
	publish();
	removed += jobq_table_expire(table, later);
	assert_int_equal(removed, 2);
	assert_int_equal(jobs_shown(), 0);
	assert_sound();
}

/* With durability off a job is shown at once, and may not expire before it is stored. */
static void nothing_expires_unstored_with_durability_off(void **state)
{
	int64_t later = jobq_clock_wall() + 2 * DAY;
	(void)state;
	jobq_table_set_store(table, JOBQ_DURABILITY_OFF, STORE);
	uint64_t id = submit("");
	assert_int_equal(shown(id), JOBQ_STATUS_QUEUED);
	assert_int_equal(jobq_table_await_stored(table, id, LONG), 0);
	assert_int_equal(jobq_table_cancel(table, id), 0);
	assert_int_equal(shown(id), JOBQ_STATUS_CANCELLED);
	assert_int_equal(jobq_table_expire(table, later), 0);
	assert_int_equal(publish(), 1);
	assert_int_equal(jobq_table_expire(table, later), 1);
	assert_sound();
}

/* ---- what the writer is told ----------------------------------------------- */

static void overtaken_changes_are_not_told(void **state)
{
	struct jobq_table_change changes[8];
	uint64_t after = 0;
	(void)state;
	uint64_t first = submit_stored(""), second = submit_stored("");
	struct jobq_job_claim claimed = claim(0); /* change 3 */
	assert_int_equal(jobq_table_cancel(table, second), 0);
	finish(&claimed);

	assert_int_equal(jobq_table_changes(table, &after, changes, 8), 2);
	assert_int_equal(after, 5);
	assert_int_equal(changes[0].seq, 4);
	assert_int_equal(changes[0].id, second);
	assert_int_equal(changes[1].seq, 5);
	assert_int_equal(changes[1].id, first);
	assert_int_equal(jobq_table_changes(table, &after, changes, 8), 0);
	assert_int_equal(after, 5);
	after = 0; /* a bite at a time */
	assert_int_equal(jobq_table_changes(table, &after, changes, 1), 1);
	assert_int_equal(after, 4);
	assert_int_equal(changes[0].id, second);
	after = 4;
	assert_int_equal(jobq_table_changes(table, &after, changes, 8), 1);
	assert_int_equal(changes[0].id, first);

	/* A change that has been overtaken shows nothing. */
	struct jobq_table_change old = {3, first};
	jobq_table_publish(table, &old, 1, 2);
	assert_int_equal(shown(first), JOBQ_STATUS_RUNNING);
	assert_sound();
}

static void without_a_store_nothing_is_told(void **state)
{
	(void)state;
	jobq_table_set_store(table, JOBQ_DURABILITY_NONE, 0);
	uint64_t id = submit("");
	assert_int_equal(shown(id), JOBQ_STATUS_QUEUED);
	assert_int_equal(jobq_table_await_stored(table, id, LONG), 0);
	struct jobq_job_claim claimed = claim(0);
	finish(&claimed);
	assert_int_equal(shown(id), JOBQ_STATUS_COMPLETED);
	assert_int_equal(stats().changes, 0);
	assert_int_equal(publish(), 0);
	assert_int_equal(jobq_table_store_id(table), 0);
	jobq_table_set_store(table, JOBQ_DURABILITY_FAST, 7);
	assert_int_equal(jobq_table_store_id(table), 7);
	assert_int_equal(shown(submit("")), JOBQ_STATUS_NONE);
}

static volatile sig_atomic_t stop;

static void *disturb_writer(void *what)
{
	let_sleep();
	if (what != NULL) {
		stop = 1;
		jobq_table_nudge_writer(table);
	} else if (try_submit() != 0) {
		abort();
	}
	return NULL;
}

static void writer_sleeps_until_there_is_work(void **state)
{
	pthread_t thread;
	int64_t began = jobq_clock_mono();
	(void)state;
	stop = 0;
	jobq_table_await_changes(table, 0, began + 20000, &stop);
	assert_true(jobq_clock_mono() >= began + 20000);
	for (int what = 0; what < 2; what++) {
		uint64_t seen = stats().changes;
		assert_int_equal(pthread_create(&thread, NULL, disturb_writer,
						what ? &thread : NULL), 0);
		began = jobq_clock_mono();
		while (stats().changes == seen && !stop)
			jobq_table_await_changes(table, seen, LONG, &stop);
		assert_true(jobq_clock_mono() - began < 5000000);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
	jobq_table_await_changes(table, stats().changes, LONG, &stop); /* not when it is to stop */
	jobq_table_await_changes(table, 0, LONG, &stop);
}

static void second_writer_waits_for_the_first(void **state)
{
	int ends[2], status;
	char byte = 0;
	struct jobq_table *other;
	struct jobq_buf why = {0};
	(void)state;
	assert_int_equal(pipe(ends), 0);
	int64_t began = jobq_clock_mono();
	pid_t pid = fork();
	if (pid == 0) {
		bool entered = jobq_table_attach(name, &other, &why) == 0 &&
			       jobq_table_writer_enter(other) == 0 && write(ends[1], "", 1) == 1;
		usleep(100000);
		_exit(entered ? 0 : 1);
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_int_equal(jobq_table_attach(name, &other, &why), 0);
	assert_int_equal(jobq_table_writer_enter(other), 0);
	assert_true(jobq_clock_mono() - began >= 100000);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	jobq_table_detach(other);
	close(ends[0]);
	close(ends[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(submitted_job_is_nowhere_until_stored),
		TEST(nobody_waits_for_a_job_that_is_not_there),
		TEST(stored_in_turn_is_claimed_in_turn),
		TEST(who_waits_is_told),
		TEST(who_waits_is_told_of_a_withdrawal),
		TEST(end_is_shown_when_stored),
		TEST(failure_is_shown_when_stored),
		TEST(settled_job_is_shown_when_stored),
		TEST(cancelled_job_is_queued_until_stored),
		TEST(no_more_than_three_are_shown_running),
		TEST(withdrawn_job_never_was),
		TEST(stored_job_cannot_be_withdrawn),
		TEST(late_publish_shows_no_withdrawn_job),
		TEST(refused_changes_stay_but_new_jobs_go),
		TEST(keys_replay_before_they_are_stored),
		TEST(full_ring_is_an_answer),
		TEST(workers_do_not_overrun_the_ring),
		TEST(few_jobs_may_wait_to_be_stored),
		TEST(ids_end_at_the_limit),
		TEST(stored_jobs_alone_expire),
		TEST(nothing_expires_unstored_with_durability_off),
		TEST(overtaken_changes_are_not_told),
		TEST(without_a_store_nothing_is_told),
		TEST(writer_sleeps_until_there_is_work),
		TEST(second_writer_waits_for_the_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
