/* A table with a store that the test plays, and its everyday in one word each. */
#ifndef JOBQ_TEST_TABLE_FIXTURE_H
#define JOBQ_TEST_TABLE_FIXTURE_H

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "jobq/table.h"

#define BYTES ((size_t)32 << 20)
#define DAY (INT64_C(86400) * 1000000)
#define STORE 4711
#define LONG (jobq_clock_mono() + 10000000) /* a deadline that is not to be met */
#define PARAMETERS "{\"scene_paths\":[\"res://a.tscn\"]}"
#define RESULT "{\"scenes_loaded\":1}"

static char name[64], second_name[64];
static struct jobq_table *table;

static inline int own(void)
{
	struct jobq_buf why = {0};
	int rc = jobq_table_own(name, BYTES, 86400000, &table, &why);

	if (rc < 0)
		printf("# %s\n", why.data);
	jobq_buf_free(&why);
	return rc;
}

static inline int set_up(void **state)
{
	(void)state;
	snprintf(name, sizeof(name), "/jobq-test-durable-%d", (int)getpid());
	snprintf(second_name, sizeof(second_name), "/jobq-test-durable-2-%d", (int)getpid());
	int rc = own();
	if (rc == 0) {
		jobq_table_set_store(table, JOBQ_DURABILITY_FULL, STORE);
		jobq_table_set_ready(table);
	}
	return rc;
}

static inline int tear_down(void **state)
{
	struct jobq_buf why = {0};
	(void)state;
	jobq_table_detach(table);
	jobq_table_remove(name, &why);
	jobq_table_remove(second_name, &why);
	jobq_buf_free(&why);
	return 0;
}

static inline void assert_sound(void)
{
	struct jobq_buf out = {0};
	size_t violations = jobq_table_check(table, &out);

	if (violations > 0)
		fail_msg("%zu violations:\n%.2000s", violations, out.data);
	jobq_buf_free(&out);
}

static inline struct jobq_table_stats stats(void)
{
	struct jobq_table_stats now;

	jobq_table_stats(table, &now);
	return now;
}

static inline int submit_with(const char *key, const char *parameters, uint64_t *id, bool *replayed)
{
	struct jobq_table_submit submit = {
		.type = JOBQ_TYPE_SCENE_PRELOAD,
		.parameters = parameters,
		.parameters_len = strlen(parameters),
		.owner = "ci",
		.key = key,
	};
	return jobq_table_submit(table, &submit, id, replayed);
}

static inline int try_submit(void)
{
	uint64_t id;
	bool replayed;
	return submit_with("", PARAMETERS, &id, &replayed);
}

static inline uint64_t submit(const char *key)
{
	uint64_t id;
	bool replayed;

	assert_int_equal(submit_with(key, PARAMETERS, &id, &replayed), 0);
	assert_false(replayed);
	assert_sound();
	return id;
}

/* Status as shown; JOBQ_STATUS_NONE when there is no such job. */
static inline enum jobq_job_status shown(uint64_t id)
{
	struct jobq_job job;
	int rc = jobq_table_get(table, id, &job, NULL, NULL, NULL);

	assert_true(rc == 0 || rc == -ENOENT);
	return rc == 0 ? job.status : JOBQ_STATUS_NONE;
}

static inline struct jobq_job get(uint64_t id)
{
	struct jobq_job job;
	assert_int_equal(jobq_table_get(table, id, &job, NULL, NULL, NULL), 0);
	return job;
}

/* What the store is to know of it: also what is not shown yet. */
static inline enum jobq_job_status real(uint64_t id)
{
	struct jobq_entry entry;
	struct jobq_buf bytes = {0};

	assert_int_equal(jobq_table_export(table, id, &entry, &bytes), 0);
	jobq_buf_free(&bytes);
	return entry.status;
}

/* Plays the writer: all that has changed is stored. Returns how many changes. */
static inline size_t publish(void)
{
	static struct jobq_table_change changes[4096];
	uint64_t upto = stats().durable;
	size_t count = 0, n;

	do {
		n = jobq_table_changes(table, &upto, changes + count, 100);
		count += n;
	} while (n > 0 && count + 100 <= JOBQ_LENGTH(changes));
	jobq_table_publish(table, changes, count, upto);
	assert_int_equal(stats().durable, upto);
	assert_sound();
	return count;
}

/* A job that everybody knows of. */
static inline uint64_t submit_stored(const char *key)
{
	uint64_t id = submit(key);
	publish();
	assert_int_equal(shown(id), JOBQ_STATUS_QUEUED);
	return id;
}

static inline struct jobq_job_claim claim(unsigned slot)
{
	struct jobq_job_claim claim;

	assert_int_equal(jobq_table_claim(table, slot, &claim), 0);
	assert_sound();
	return claim;
}

static inline void finish(const struct jobq_job_claim *claim)
{
	assert_int_equal(jobq_table_finish(table, claim, RESULT, strlen(RESULT), NULL, NULL), 0);
	assert_sound();
}

static inline void ignore(int signal)
{
	(void)signal;
}

/* A signal every few milliseconds ends the sleep of a claim. */
static inline void disturb_often(bool on)
{
	struct sigaction action = {.sa_handler = ignore};
	struct itimerval often = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, on ? &often : &never, NULL);
}

static inline void assert_nothing_to_claim(unsigned slot)
{
	struct jobq_job_claim claim;

	disturb_often(true);
	int rc = jobq_table_claim(table, slot, &claim);
	disturb_often(false);
	assert_true(rc == -EINTR || rc == -EAGAIN);
}

static inline bool listed(uint64_t id, enum jobq_job_status status)
{
	struct jobq_table_filter filter = {.status = status, .type = -1};
	struct jobq_job jobs[JOBQ_LIST_BITE];
	uint64_t after = id - 1;

	return jobq_table_list(table, &filter, &after, jobs, JOBQ_LIST_BITE) > 0 &&
	       jobs[0].id == id;
}

static inline uint64_t jobs_shown(void)
{
	uint64_t sum = 0;

	for (int status = JOBQ_STATUS_QUEUED; status < JOBQ_STATUSES; status++)
		sum += stats().jobs[status];
	return sum;
}

#endif
