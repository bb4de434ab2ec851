/*
 * Jobs out of a table and into another, as they go through a store; and from
 * when on a table counts as filled.
 */
#include "config.h"

#include "fixture.h"

#define MOST 32

/* Copies of exported jobs; each with its texts. */
struct exported {
	struct jobq_entry jobs[MOST];
	struct jobq_buf bytes[MOST];
	size_t count;
};

static char long_result[300000];

static void export_all(struct exported *out)
{
	uint64_t id = 0;

	out->count = 0;
	while ((id = jobq_table_next(table, id)) != 0) {
		assert_true(out->count < MOST);
		struct jobq_buf *bytes = &out->bytes[out->count];
		*bytes = (struct jobq_buf){0};
		assert_int_equal(jobq_table_export(table, id, &out->jobs[out->count], bytes), 0);
		assert_int_equal(out->jobs[out->count++].id, id);
	}
}

static void forget(struct exported *exported)
{
	for (size_t i = 0; i < exported->count; i++)
		jobq_buf_free(&exported->bytes[i]);
}

static void assert_text(const struct jobq_text *text, const char *expected, size_t len)
{
	assert_int_equal(text->len, len);
	if (len > 0)
		assert_memory_equal(text->data, expected, len);
}

static void assert_same_text(const struct jobq_text *a, const struct jobq_text *b)
{
	assert_text(a, b->data, b->len);
}

static void assert_same(const struct jobq_entry *a, const struct jobq_entry *b)
{
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->progress, b->progress);
	assert_int_equal(a->attempt, b->attempt);
	assert_int_equal(a->requeues, b->requeues);
	assert_true(a->created == b->created);
	assert_true(a->started == b->started);
	assert_true(a->completed == b->completed);
	assert_same_text(&a->owner, &b->owner);
	assert_same_text(&a->key, &b->key);
	assert_same_text(&a->parameters, &b->parameters);
	assert_same_text(&a->error, &b->error);
	assert_same_text(&a->result, &b->result);
}

static struct jobq_text text_of(const char *text)
{
	return (struct jobq_text){text, strlen(text)};
}

/* A job as a store would give it. */
static struct jobq_entry job_of(uint64_t id, enum jobq_job_status status, const char *key)
{
	struct jobq_entry job = {
		.id = id,
		.type = JOBQ_TYPE_SCENE_PRELOAD,
		.status = status,
		.created = jobq_clock_wall(),
		.owner = text_of("ci"),
		.key = text_of(key),
		.parameters = text_of(PARAMETERS),
	};

	if (jobq_job_finished(status))
		job.completed = job.created;
	if (status == JOBQ_STATUS_COMPLETED) {
		job.started = job.created;
		job.attempt = 1;
		job.progress = 100;
		job.result = text_of(RESULT);
	}
	return job;
}

/* Goes on with a table that nobody has filled yet, as after the machine's start. */
static void begin_anew(void)
{
	struct jobq_buf why = {0};

	jobq_table_detach(table);
	assert_int_equal(jobq_table_own(second_name, BYTES, 86400000, &table, &why), 0);
	assert_false(jobq_table_is_ready(table));
	jobq_table_set_store(table, JOBQ_DURABILITY_FULL, STORE);
}

static void import(const struct jobq_entry *job, bool changed)
{
	assert_int_equal(jobq_table_import(table, job, changed), 0);
	assert_sound();
}

/* ---- exporting ------------------------------------------------------------- */

static void export_gives_what_was_put(void **state)
{
	struct jobq_entry job;
	struct jobq_buf bytes = {0};
	uint64_t id, settled;
	bool requeued, replayed;
	(void)state;
	int64_t began = jobq_clock_wall();
	assert_int_equal(submit_with("a key", "{\"scope\":1}", &id, &replayed), 0);
	assert_int_equal(jobq_table_export(table, id, &job, &bytes), 0);
	assert_int_equal(job.status, JOBQ_STATUS_QUEUED);
	assert_int_equal(job.type, JOBQ_TYPE_SCENE_PRELOAD);
	assert_text(&job.owner, "ci", 2);
	assert_text(&job.key, "a key", 5);
	assert_text(&job.parameters, "{\"scope\":1}", 11);
	assert_int_equal(job.error.len + job.result.len, 0);
	assert_true(job.created >= began && job.created <= jobq_clock_wall());
	assert_true(job.started == 0 && job.completed == 0);
	assert_int_equal(job.attempt + job.requeues + job.progress, 0);

	publish();
	claim(0);
	assert_int_equal(jobq_table_settle(table, 0, "killed", &settled, &requeued), 0);
	struct jobq_job_claim claimed = claim(1);
	assert_int_equal(jobq_table_progress(table, &claimed, 30), 0);
	assert_int_equal(jobq_table_export(table, id, &job, &bytes), 0);
	assert_int_equal(job.status, JOBQ_STATUS_RUNNING);
	assert_int_equal(job.attempt, 2);
	assert_int_equal(job.requeues, 1);
	assert_int_equal(job.progress, 30);
	assert_true(job.started >= job.created && job.completed == 0);

	assert_int_equal(jobq_table_finish(table, &claimed, long_result, sizeof(long_result),
					   "it broke", NULL), 0);
	assert_int_equal(jobq_table_export(table, id, &job, &bytes), 0);
	assert_int_equal(job.status, JOBQ_STATUS_FAILED);
	assert_int_equal(job.attempt, 2);
	assert_int_equal(job.progress, 30);
	assert_true(job.completed >= job.started);
	assert_text(&job.owner, "ci", 2);
	assert_text(&job.key, "a key", 5);
	assert_text(&job.parameters, "{\"scope\":1}", 11);
	assert_text(&job.error, "it broke", 8);
	assert_text(&job.result, long_result, sizeof(long_result));
	jobq_buf_free(&bytes);
}

static void export_of_no_job(void **state)
{
	struct jobq_entry job;
	struct jobq_buf bytes = {0};
	(void)state;
	submit("");
	assert_int_equal(jobq_table_export(table, 0, &job, &bytes), -ENOENT);
	assert_int_equal(jobq_table_export(table, 2, &job, &bytes), -ENOENT);
	assert_int_equal(jobq_table_export(table, UINT64_MAX, &job, &bytes), -ENOENT);
	jobq_buf_free(&bytes);
}

/* Its result found no room: the store gets the words that clients get. */
static void export_says_that_memory_ran_out(void **state)
{
	char *big = calloc(1, BYTES);
	struct jobq_entry job;
	struct jobq_buf bytes = {0};
	uint64_t id = submit_stored("");
	(void)state;
	struct jobq_job_claim claimed = claim(0);
	assert_int_equal(jobq_table_finish(table, &claimed, big, BYTES, NULL, NULL), 0);
	assert_int_equal(jobq_table_export(table, id, &job, &bytes), 0);
	assert_int_equal(job.status, JOBQ_STATUS_FAILED);
	assert_true(job.error.len > 10);
	assert_int_equal(job.result.len, 0);
	assert_sound();
	jobq_buf_free(&bytes);
	free(big);
}

/* ---- there and back -------------------------------------------------------- */

/* Jobs 1 to 8, of them one in every status. */
static void make_one_of_each(void)
{
	struct jobq_job_claim claims[JOBQ_SLOTS];
	uint64_t job;
	bool requeued;

	for (int i = 0; i < 4; i++)
		submit("");
	publish();
	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++)
		claims[slot] = claim(slot);
	assert_int_equal(jobq_table_finish(table, &claims[0], long_result, sizeof(long_result),
					   NULL, NULL), 0); /* 1 is completed */
	assert_int_equal(jobq_table_finish(table, &claims[1], "{}", 2, "failed", NULL), 0); /* 2 failed */
	assert_int_equal(jobq_table_progress(table, &claims[2], 60), 0); /* 3 runs */
	assert_int_equal(jobq_table_cancel(table, 4), 0);
	publish();
	submit("key 5");
	submit("");
	submit("key 7");
	publish();
	claim(0);
	assert_int_equal(jobq_table_settle(table, 0, "killed", &job, &requeued), 0);
	assert_int_equal(job, 5); /* queued, the second time */
	assert_int_equal(jobq_table_cancel(table, 7), 0);
	submit("key 8"); /* and nobody has been told of it yet */
}

static void jobs_come_back_as_they_were(void **state)
{
	struct exported before, after;
	struct jobq_table_change changes[MOST];
	uint64_t upto = 1000, id;
	bool replayed;
	(void)state;
	make_one_of_each();
	export_all(&before);
	assert_int_equal(before.count, 8);

	begin_anew();
	jobq_table_start_at(table, 1000);
	jobq_table_set_ids(table, 70, UINT64_MAX);
	for (size_t i = 0; i < before.count; i++) {
		struct jobq_entry *job = &before.jobs[i];
		bool lost = job->status == JOBQ_STATUS_RUNNING;
		if (lost) { /* as the writer does: nobody works on it any more */
			job->status = JOBQ_STATUS_FAILED;
			job->completed = jobq_clock_wall();
			job->error = text_of("the service went down");
		}
		import(job, lost);
	}
	export_all(&after);
	assert_int_equal(after.count, before.count);
	for (size_t i = 0; i < before.count; i++)
		assert_same(&before.jobs[i], &after.jobs[i]);

	/* Of all these only the lost one is news for the store. */
	assert_int_equal(stats().durable, 1000);
	assert_int_equal(stats().changes, 1001);
	assert_int_equal(jobq_table_changes(table, &upto, changes, MOST), 1);
	assert_int_equal(changes[0].id, 3);
	assert_int_equal(changes[0].seq, 1001);

	/* Clients see them, keys replay, and the queue is in order. */
	jobq_table_set_ready(table);
	assert_int_equal(stats().jobs[JOBQ_STATUS_QUEUED], 3);
	assert_int_equal(stats().jobs[JOBQ_STATUS_COMPLETED], 1);
	assert_int_equal(stats().jobs[JOBQ_STATUS_FAILED], 2);
	assert_int_equal(stats().jobs[JOBQ_STATUS_CANCELLED], 2);
	for (uint64_t keyed = 5; keyed <= 8; keyed++) {
		char key[8];
		snprintf(key, sizeof(key), "key %d", (int)keyed);
		if (keyed == 6)
			continue; /* has none */
		assert_int_equal(submit_with(key, PARAMETERS, &id, &replayed), 0);
		assert_true(replayed);
		assert_int_equal(id, keyed);
		assert_int_equal(submit_with(key, "{}", &id, &replayed), -EEXIST);
	}
	assert_int_equal(claim(0).id, 5);
	assert_int_equal(claim(1).id, 6);
	assert_int_equal(claim(2).id, 8);
	assert_int_equal(submit(""), 70);
	publish();
	assert_int_equal(shown(70), JOBQ_STATUS_QUEUED);
	forget(&before);
	forget(&after);
}

/* All its texts, long ones too, and the bytes that clients get. */
static void imported_result_is_shown(void **state)
{
	struct jobq_entry job = job_of(9, JOBQ_STATUS_FAILED, "");
	struct jobq_job got;
	struct jobq_buf bytes = {0};
	size_t error_len, result_len;
	(void)state;
	begin_anew();
	job.error = text_of("it broke");
	job.result = (struct jobq_text){long_result, sizeof(long_result)};
	import(&job, false);
	jobq_table_set_ready(table);
	assert_int_equal(jobq_table_get(table, 9, &got, &bytes, &error_len, &result_len), 0);
	assert_int_equal(got.status, JOBQ_STATUS_FAILED);
	assert_int_equal(error_len, 8);
	assert_int_equal(result_len, sizeof(long_result));
	assert_memory_equal(bytes.data, "it broke", 8);
	assert_memory_equal(bytes.data + 8, long_result, result_len);
	jobq_buf_free(&bytes);
}

static void ids_may_have_gaps(void **state)
{
	static const uint64_t ids[] = {1, 2, 510, 511, 512, 513, 1024, 70000};
	uint64_t id = 0;
	(void)state;
	begin_anew();
	for (size_t i = 0; i < JOBQ_LENGTH(ids); i++) {
		struct jobq_entry job = job_of(ids[i], JOBQ_STATUS_COMPLETED, "");
		import(&job, false);
	}
	for (size_t i = 0; i < JOBQ_LENGTH(ids); i++)
		assert_int_equal(id = jobq_table_next(table, id), ids[i]);
	assert_int_equal(jobq_table_next(table, id), 0);
	jobq_table_set_ready(table);
	assert_int_equal(submit(""), 70001); /* never one that a job has */
	publish();
	assert_int_equal(jobq_table_expire(table, jobq_clock_wall() + 2 * DAY), 8);
	assert_sound();
	assert_int_equal(jobq_table_next(table, 0), 70001);
}

/* Keys 1 and 2 are known; in a child, for in a chain that is a ring a walk never ends. */
static bool keys_are_sound(void)
{
	struct jobq_buf out = {0};
	uint64_t id;
	bool replayed;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(10);
		if (submit_with("key 1", PARAMETERS, &id, &replayed) != 0 || !replayed || id != 1 ||
		    submit_with("key 2", PARAMETERS, &id, &replayed) != 0 || !replayed || id != 2)
			_exit(1);
		_exit(jobq_table_check(table, &out) == 0 ? 0 : 2);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

/* The writer was killed while it filled the table: the next one begins again. */
static void filling_may_begin_again(void **state)
{
	const struct jobq_entry jobs[] = {job_of(1, JOBQ_STATUS_QUEUED, "key 1"),
					  job_of(2, JOBQ_STATUS_COMPLETED, "key 2"),
					  job_of(3, JOBQ_STATUS_QUEUED, "")};
	struct jobq_table_change changes[8];
	uint64_t upto = 50;
	(void)state;
	begin_anew();
	for (int turn = 0; turn < 2; turn++) {
		jobq_table_start_at(table, 50);
		for (size_t i = 0; i < JOBQ_LENGTH(jobs); i++)
			assert_int_equal(jobq_table_import(table, &jobs[i], i == 2), 0);
	}
	assert_int_equal(jobq_table_changes(table, &upto, changes, 8), 1);
	assert_int_equal(changes[0].id, 3);
	assert_true(keys_are_sound());
	publish();
	jobq_table_set_ready(table);
	assert_int_equal(stats().jobs[JOBQ_STATUS_QUEUED], 2);
	assert_int_equal(claim(0).id, 1);
	assert_int_equal(claim(1).id, 3);
}

static void full_table_takes_no_more(void **state)
{
	uint64_t id = 0;
	int rc = 0;
	(void)state;
	begin_anew();
	while (rc == 0) {
		struct jobq_entry job = job_of(++id, JOBQ_STATUS_COMPLETED, "");
		job.result = (struct jobq_text){long_result, sizeof(long_result)};
		rc = jobq_table_import(table, &job, false);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_true(id > 50);
	assert_sound();
	assert_int_equal(stats().jobs[JOBQ_STATUS_COMPLETED], id - 1);
}

/* ---- ready or not ---------------------------------------------------------- */

static void nothing_is_claimed_before_the_table_is_ready(void **state)
{
	struct jobq_entry job = job_of(1, JOBQ_STATUS_QUEUED, "");
	(void)state;
	begin_anew();
	import(&job, false);
	assert_false(stats().ready);
	assert_nothing_to_claim(0);
	jobq_table_set_ready(table);
	assert_true(stats().ready);
	assert_true(jobq_table_is_ready(table));
	assert_int_equal(claim(0).id, 1);
}

/* Its owner died while it was being filled: what is in it is only a part. */
static void half_filled_table_is_made_anew(void **state)
{
	struct jobq_entry job = job_of(1, JOBQ_STATUS_QUEUED, "");
	struct jobq_table *writers;
	struct jobq_buf why = {0};
	(void)state;
	begin_anew();
	import(&job, false);
	assert_int_equal(jobq_table_attach(second_name, &writers, &why), 0);
	begin_anew();
	assert_true(jobq_table_retired(writers));
	assert_true(jobq_table_replaced(writers));
	assert_false(jobq_table_retired(table));
	assert_true(jobq_table_generation(writers) != jobq_table_generation(table));
	assert_int_equal(jobq_table_next(table, 0), 0);
	assert_int_equal(stats().next_id, 1);
	assert_int_equal(jobq_table_next(writers, 0), 1); /* harmless to who still looks at it */
	jobq_table_detach(writers);

	/* Once it has been ready it stays. */
	import(&job, false);
	jobq_table_set_ready(table);
	uint32_t generation = jobq_table_generation(table);
	assert_int_equal(jobq_table_attach(second_name, &writers, &why), 0);
	jobq_table_detach(table);
	assert_int_equal(jobq_table_own(second_name, BYTES, 86400000, &table, &why), 0);
	assert_false(jobq_table_retired(writers));
	assert_true(jobq_table_is_ready(table));
	assert_int_equal(jobq_table_generation(table), generation);
	assert_int_equal(shown(1), JOBQ_STATUS_QUEUED);
	jobq_table_detach(writers);
	jobq_buf_free(&why);
}

static void *make_ready(void *unused)
{
	usleep(30000);
	jobq_table_set_ready(table);
	return unused;
}

static void owner_is_awaited_until_ready(void **state)
{
	struct jobq_table *clients;
	struct jobq_buf why = {0};
	pthread_t thread;
	(void)state;
	begin_anew();
	assert_int_equal(jobq_table_attach(second_name, &clients, &why), 0);
	assert_true(jobq_table_owned(clients));
	assert_false(jobq_table_await_owner(clients, jobq_clock_mono() + 20000));
	assert_int_equal(pthread_create(&thread, NULL, make_ready, NULL), 0);
	int64_t began = jobq_clock_mono();
	assert_true(jobq_table_await_owner(clients, LONG));
	assert_true(jobq_clock_mono() - began < 5000000);
	assert_int_equal(pthread_join(thread, NULL), 0);

	/* Ready alone is not enough. */
	jobq_table_detach(table);
	table = clients;
	assert_false(jobq_table_await_owner(table, jobq_clock_mono() + 20000));
}

/* jobqd was killed: the next one's writer is told of all that is not stored. */
static void next_owner_finds_what_is_not_stored(void **state)
{
	struct jobq_table_change before[8], after[8];
	uint64_t upto, again;
	(void)state;
	uint64_t done = submit_stored(""), gone = submit_stored("");
	struct jobq_job_claim claimed = claim(0);
	finish(&claimed);
	assert_int_equal(jobq_table_cancel(table, gone), 0);
	uint64_t late = submit("");
	assert_int_equal(jobq_table_withdraw(table, submit("")), 0);
	upto = again = stats().durable;
	size_t count = jobq_table_changes(table, &upto, before, 8);
	assert_int_equal(count, 4);
	jobq_table_detach(table);
	assert_int_equal(own(), 0);
	assert_true(jobq_table_is_ready(table));
	assert_int_equal(jobq_table_store_id(table), STORE);
	assert_int_equal(jobq_table_changes(table, &again, after, 8), count);
	assert_int_equal(again, upto);
	assert_memory_equal(before, after, count * sizeof(before[0]));
	assert_int_equal(shown(done), JOBQ_STATUS_RUNNING);
	assert_int_equal(shown(gone), JOBQ_STATUS_QUEUED);
	publish();
	assert_int_equal(shown(done), JOBQ_STATUS_COMPLETED);
	assert_int_equal(shown(gone), JOBQ_STATUS_CANCELLED);
	assert_int_equal(shown(late), JOBQ_STATUS_QUEUED);
	assert_int_equal(jobs_shown(), 3);
}

static int set_up_result(void **state)
{
	for (size_t i = 0; i < sizeof(long_result); i++)
		long_result[i] = (char)('a' + i % 23);
	return set_up(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_result, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(export_gives_what_was_put),
		TEST(export_of_no_job),
		TEST(export_says_that_memory_ran_out),
		TEST(jobs_come_back_as_they_were),
		TEST(imported_result_is_shown),
		TEST(ids_may_have_gaps),
		TEST(filling_may_begin_again),
		TEST(full_table_takes_no_more),
		TEST(nothing_is_claimed_before_the_table_is_ready),
		TEST(half_filled_table_is_made_anew),
		TEST(owner_is_awaited_until_ready),
		TEST(next_owner_finds_what_is_not_stored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
