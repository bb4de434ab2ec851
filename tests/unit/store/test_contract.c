/* What every store must do: the same tests for each backend. */
#include "config.h"

#include "fixture.h"

#define MIB ((size_t)1 << 20)

static struct jobq_store *store;
static struct shelf shelf;

/* *state: the place, or NULL for a file in a directory of the test's own. */
static int set_up(void **state)
{
	const char *place = *state;

	if (fixture_make("/tmp") < 0)
		return -1;
	shelf.count = 0;
	store = open_store(place != NULL ? place : fixture_path("store.db"), JOBQ_STORE_WRITE);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	jobq_store_close(store);
	return fixture_remove();
}

static void begin(void)
{
	assert_int_equal(jobq_store_begin(store), 0);
}

static void commit(void)
{
	assert_int_equal(jobq_store_commit(store, false), 0);
}

/* Puts one job in a transaction of its own and looks whether it is there. */
static void keep(struct jobq_entry job)
{
	begin();
	put(store, &shelf, job);
	commit();
	assert_holds(store, &shelf);
}

static void new_store_is_empty(void **state)
{
	(void)state;
	assert_holds(store, &shelf);
	assert_non_null(jobq_store_error(store));
}

static void every_type_and_status_comes_back(void **state)
{
	uint64_t id = 0;
	(void)state;
	for (int type = 0; type < JOBQ_TYPES; type++)
		for (int status = JOBQ_STATUS_QUEUED; status < JOBQ_STATUSES; status++) {
			struct jobq_entry job = queued_job(++id);
			job.type = (enum jobq_job_type)type;
			job.status = (enum jobq_job_status)status;
			keep(job);
		}
	assert_int_equal(shelf.count, 15);
}

static void every_number_comes_back(void **state)
{
	static const unsigned progress[] = {0, 1, 99, 100};
	static const uint32_t attempts[] = {0, 1, 2, 127, 128, 65536, INT32_MAX, UINT32_MAX};
	static const int64_t times[] = {0, 1, SOME_DAY, INT64_C(1) << 48, INT64_MAX};
	uint64_t id = 0;
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(progress); i++) {
		struct jobq_entry job = running_job(++id);
		job.progress = progress[i];
		keep(job);
	}
	for (size_t i = 0; i < JOBQ_LENGTH(attempts); i++) {
		struct jobq_entry job = running_job(++id);
		job.attempt = attempts[i];
		keep(job);
	}
	for (unsigned requeues = 0; requeues <= 15; requeues++) {
		struct jobq_entry job = queued_job(++id);
		job.requeues = requeues;
		keep(job);
	}
	for (size_t i = 0; i < JOBQ_LENGTH(times); i++) {
		struct jobq_entry job = completed_job(++id);
		job.created = times[i];
		job.started = times[JOBQ_LENGTH(times) - 1 - i];
		job.completed = times[(i + 2) % JOBQ_LENGTH(times)];
		keep(job);
	}
	struct jobq_entry last = queued_job(INT64_MAX);
	keep(last);
}

/* The texts of one job, each in turn: `i` says which. */
static struct jobq_text *text_at(struct jobq_entry *job, size_t i)
{
	struct jobq_text *const texts[] = {&job->owner, &job->key, &job->parameters, &job->error,
					   &job->result};
	return i < JOBQ_LENGTH(texts) ? texts[i] : NULL;
}

static void every_text_comes_back(void **state)
{
	static const char nul[] = "before\0behind", not_utf8[] = "\xff\xfe\x80";
	const struct jobq_text texts[] = {
		{NULL, 0}, text_of(""), text_of("x"), text_of("0"), text_of("1e3"),
		text_of("Gr\xc3\xb6\xc3\x9f" "e \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x8e\xae"),
		text_of("it's \"quoted\"; DROP TABLE jobs; --"), {nul, sizeof(nul) - 1},
		{not_utf8, sizeof(not_utf8) - 1}, long_text(JOBQ_KEY_MAX),
	};
	uint64_t id = 0;
	struct jobq_text *text;
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(texts); i++) {
		struct jobq_entry job = completed_job(++id);
		for (size_t which = 0; (text = text_at(&job, which)) != NULL; which++)
			*text = texts[i];
		keep(job);
	}
	/* Each alone, so that two that changed places would show. */
	for (size_t which = 0;; which++) {
		struct jobq_entry job = completed_job(++id);
		if ((text = text_at(&job, which)) == NULL)
			break;
		job.owner = job.parameters = job.result = text_of("");
		*text = text_of("alone");
		keep(job);
	}
}

static void long_texts_come_back(void **state)
{
	static const size_t sizes[] = {MIB, MIB - 1, 65536, 4096, 511};
	uint64_t id = 0;
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(sizes); i++) {
		struct jobq_entry job = completed_job(++id);
		job.parameters = long_text(sizes[i]);
		job.error = long_text(sizes[i] / 3);
		job.result = long_text(sizes[JOBQ_LENGTH(sizes) - 1 - i]);
		keep(job);
	}
}

static int stop_at(void *arg, const struct jobq_entry *job)
{
	uint64_t *last = arg;

	*last = job->id;
	return job->id >= 70 ? 7 : job->id >= 50 ? -ENOTTY : 0;
}

static void visits_rise_go_on_and_stop(void **state)
{
	static const uint64_t ids[] = {50, 7, 1000000, 70, 1, 8, UINT64_C(1) << 40, 9};
	uint64_t last = 0;
	(void)state;
	begin();
	for (size_t i = 0; i < JOBQ_LENGTH(ids); i++)
		put(store, &shelf, queued_job(ids[i]));
	commit();
	assert_holds(store, &shelf);
	assert_int_equal(jobq_store_each(store, 0, stop_at, &last), -ENOTTY);
	assert_int_equal(last, 50);
	assert_int_equal(jobq_store_each(store, 50, stop_at, &last), 7);
	assert_int_equal(last, 70);

	/* Each id as `after`: all above it and none else. */
	for (size_t i = 0; i < shelf.count; i++) {
		struct look look = {.shelf = &shelf};
		assert_int_equal(jobq_store_each(store, shelf.jobs[i].id, look_at, &look), 0);
		assert_string_equal(look.wrong, "");
		assert_int_equal(look.seen, shelf.count - i - 1);
	}
	struct look none = {.shelf = &shelf};
	assert_int_equal(jobq_store_each(store, INT64_MAX, look_at, &none), 0);
	assert_int_equal(none.seen, 0);
}

static void many_jobs_come_back_in_order(void **state)
{
	uint64_t count = 0, last = 0;
	(void)state;
	begin();
	for (uint64_t i = 0; i < 1009; i++) {
		struct jobq_entry job = queued_job(1 + i * 577 % 1009);
		assert_int_equal(jobq_store_put(store, &job), 0);
	}
	commit();
	/* stop_at() ends each visit at once from 50 on; before that it runs to 50. */
	while (jobq_store_each(store, last, stop_at, &last) != 0)
		count++;
	assert_int_equal(last, 1009);
	assert_int_equal(count, 1009 - 50 + 1);
}

/* A job's whole life, each step a put; what does not change is put as it was. */
static void put_again_is_an_update(void **state)
{
	struct jobq_entry job = queued_job(5), other = queued_job(6);
	(void)state;
	job.key = text_of("a key");
	keep(queued_job(4));
	keep(job);
	keep(other);

	job.status = JOBQ_STATUS_RUNNING;
	job.attempt = 1;
	job.started = job.created + 1;
	keep(job);
	job.status = JOBQ_STATUS_QUEUED; /* its worker died before it began */
	job.requeues = 1;
	keep(job);
	job.status = JOBQ_STATUS_RUNNING;
	job.attempt = 2;
	job.started++;
	job.progress = 40;
	keep(job);
	job.status = JOBQ_STATUS_FAILED;
	job.completed = job.started + 1;
	job.error = text_of("it broke");
	job.result = text_of("{\"loaded\":[]}");
	keep(job);
	keep(job); /* as it is */
	job.status = JOBQ_STATUS_COMPLETED; /* not in a job's life, but a put is a put */
	job.progress = 100;
	job.error = text_of("");
	job.result = long_text(100000);
	keep(job);
	other.status = JOBQ_STATUS_CANCELLED;
	other.completed = other.created + 2;
	keep(other);
	assert_int_equal(shelf.count, 3);
}

static void put_twice_in_a_transaction_keeps_the_last(void **state)
{
	(void)state;
	begin();
	put(store, &shelf, queued_job(1));
	put(store, &shelf, running_job(1));
	put(store, &shelf, completed_job(1));
	put(store, &shelf, running_job(2)); /* the first that the store hears of it */
	commit();
	assert_holds(store, &shelf);
}

static void removed_is_gone(void **state)
{
	(void)state;
	for (uint64_t id = 1; id <= 3; id++)
		keep(completed_job(id));
	begin();
	assert_int_equal(jobq_store_remove(store, 2), 0);
	assert_int_equal(jobq_store_remove(store, 2), 0);
	assert_int_equal(jobq_store_remove(store, 99), 0);
	put(store, &shelf, queued_job(4));
	assert_int_equal(jobq_store_remove(store, 4), 0);
	commit();
	shelf_remove(&shelf, 2);
	shelf_remove(&shelf, 4);
	assert_holds(store, &shelf);
	keep(queued_job(2)); /* its place may be taken again */
}

static void rollback_leaves_nothing(void **state)
{
	struct jobq_store_meta before, after, draft = {.seq = 77, .next_id = 78};
	struct jobq_entry job = queued_job(3), first = running_job(1);
	size_t removed;
	(void)state;
	keep(queued_job(1));
	keep(completed_job(2));
	assert_int_equal(jobq_store_meta(store, &before), 0);
	begin();
	assert_int_equal(jobq_store_put(store, &job), 0);
	assert_int_equal(jobq_store_put(store, &first), 0);
	assert_int_equal(jobq_store_expire(store, INT64_MAX, 10, &removed), 0);
	assert_int_equal(removed, 1);
	assert_int_equal(jobq_store_remove(store, 1), 0);
	assert_int_equal(jobq_store_set_meta(store, &draft), 0);
	jobq_store_rollback(store);
	assert_holds(store, &shelf);
	assert_int_equal(jobq_store_meta(store, &after), 0);
	assert_memory_equal(&before, &after, sizeof(after));
	jobq_store_rollback(store); /* of none: nothing happens */
	keep(job);
}

static void begin_within_begin_is_an_error(void **state)
{
	struct jobq_entry job = queued_job(1);
	(void)state;
	begin();
	assert_int_equal(jobq_store_put(store, &job), 0);
	assert_true(jobq_store_begin(store) < 0);
	jobq_store_rollback(store);
	assert_holds(store, &shelf);
	keep(job);
}

static void commit_is_whole(void **state)
{
	struct jobq_store_meta meta;
	(void)state;
	for (int synced = 0; synced < 2; synced++) {
		begin();
		for (uint64_t id = 1; id <= 20; id++)
			put(store, &shelf, synced ? completed_job(id) : queued_job(id));
		meta = (struct jobq_store_meta){.seq = 20, .next_id = 21 + (uint64_t)synced};
		assert_int_equal(jobq_store_set_meta(store, &meta), 0);
		assert_int_equal(jobq_store_commit(store, synced != 0), 0);
		assert_holds(store, &shelf);
		assert_int_equal(jobq_store_meta(store, &meta), 0);
		assert_int_equal(meta.next_id, 21 + synced);
	}
	begin(); /* with nothing in it */
	commit();
	assert_holds(store, &shelf);
}

static void meta_comes_back(void **state)
{
	static const uint64_t numbers[] = {1, 2, 127, UINT32_MAX, INT64_MAX, 1};
	struct jobq_store_meta first, meta;
	(void)state;
	assert_int_equal(jobq_store_meta(store, &first), 0);
	assert_true(first.store_id != 0);
	assert_int_equal(first.seq, 0);
	assert_int_equal(first.next_id, 1);
	for (size_t i = 0; i < JOBQ_LENGTH(numbers); i++) {
		meta = (struct jobq_store_meta){.store_id = 12345, .seq = numbers[i] - 1,
						.next_id = numbers[i]};
		begin();
		assert_int_equal(jobq_store_set_meta(store, &meta), 0);
		commit();
		assert_int_equal(jobq_store_meta(store, &meta), 0);
		assert_true(meta.store_id == first.store_id);
		assert_true(meta.seq == numbers[i] - 1);
		assert_true(meta.next_id == numbers[i]);
	}
}

/* Expires in a transaction of its own; what goes is the `count` oldest. */
static void expire(int64_t limit, size_t most, size_t count)
{
	size_t removed = 99;

	begin();
	assert_int_equal(jobq_store_expire(store, limit, most, &removed), 0);
	commit();
	assert_int_equal(removed, count);
}

static void old_jobs_expire(void **state)
{
	(void)state;
	keep(queued_job(1));
	keep(running_job(2));
	for (uint64_t id = 3; id <= 8; id++) { /* the higher the id, the longer ago */
		struct jobq_entry job = completed_job(id);
		job.status = id % 3 == 0   ? JOBQ_STATUS_COMPLETED
			     : id % 3 == 1 ? JOBQ_STATUS_FAILED
					   : JOBQ_STATUS_CANCELLED;
		job.completed = SOME_DAY - (int64_t)id * HOUR;
		keep(job);
	}
	expire(SOME_DAY - 8 * HOUR, 10, 0); /* the very microsecond is not before it */
	assert_holds(store, &shelf);
	expire(SOME_DAY - 8 * HOUR + 1, 10, 1);
	shelf_remove(&shelf, 8);
	assert_holds(store, &shelf);
	expire(INT64_MAX, 0, 0);
	assert_holds(store, &shelf);
	expire(INT64_MAX, 2, 2);
	shelf_remove(&shelf, 7);
	shelf_remove(&shelf, 6);
	assert_holds(store, &shelf);
	expire(INT64_MAX, 100, 3);
	expire(INT64_MAX, 100, 0);
	shelf_remove(&shelf, 5);
	shelf_remove(&shelf, 4);
	shelf_remove(&shelf, 3);
	assert_holds(store, &shelf); /* those that have not finished never go */
}

static char memory[] = "memory:";

#define TEST(f)                                                                                    \
	{"memory, " #f, f, set_up, tear_down, memory}, {"file, " #f, f, set_up, tear_down, NULL}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(new_store_is_empty),
		TEST(every_type_and_status_comes_back),
		TEST(every_number_comes_back),
		TEST(every_text_comes_back),
		TEST(long_texts_come_back),
		TEST(visits_rise_go_on_and_stop),
		TEST(many_jobs_come_back_in_order),
		TEST(put_again_is_an_update),
		TEST(put_twice_in_a_transaction_keeps_the_last),
		TEST(removed_is_gone),
		TEST(rollback_leaves_nothing),
		TEST(begin_within_begin_is_an_error),
		TEST(commit_is_whole),
		TEST(meta_comes_back),
		TEST(old_jobs_expire),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
