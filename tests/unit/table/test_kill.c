/*
 * Kills a process in the middle of every operation of the table, single-stepped
 * with ptrace(2) so that every instruction can be the last, and looks whether
 * the next process finds a sound table that has the change whole or not at all.
 *
 * As many kills are spread over each operation as a budget of single steps
 * allows. JOBQ_KILL_STEPS sets that budget; with 10000000 the short operations
 * are killed at every instruction.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "jobq/table_feed.h"
#include "jobq/table_hooks.h"

#define RESULT "{\"scenes_loaded\":1}"
#define STEPS_MOST 60000 /* in all, for one operation; a step takes 10 us and more */
#define DAY (INT64_C(86400) * 1000000)

static char name[64];
static struct jobq_table *table;
static uint64_t last_id;    /* the highest id that anybody was told of */
static uint64_t subject;    /* the job that the operation is about */
static uint64_t second;     /* another that it touches, or may */
static struct jobq_job_claim claim;
static char long_parameters[70000], key[32];
static unsigned long kills, kills_in_lock;
static struct jobq_table_change told[64]; /* what the store's writer was told last, */
static size_t told_count;
static uint64_t told_upto; /* and up to which number */

static void assert_sound(const char *operation, long steps)
{
	struct jobq_buf out = {0};
	size_t violations = jobq_table_check(table, &out);
	if (violations > 0)
		fail_msg("%s killed after %ld instructions: %s", operation, steps, out.data);
	jobq_buf_free(&out);
}

static int submit(const char *parameters, size_t len, uint64_t *id)
{
	struct jobq_table_submit entry = {JOBQ_TYPE_SCENE_PRELOAD, parameters, len, "ci", key, NULL, 0};
	bool replayed;
	return jobq_table_submit(table, &entry, id, &replayed);
}

static struct jobq_job get(uint64_t id)
{
	struct jobq_job job;
	if (jobq_table_get(table, id, &job, NULL, NULL, NULL) < 0)
		job.status = JOBQ_STATUS_NONE;
	return job;
}

/* Copies the job out as the store gets it; JOBQ_STATUS_NONE: to be forgotten. -1: none. */
static int real(uint64_t id, struct jobq_entry *entry)
{
	struct jobq_buf bytes = {0};
	int rc = jobq_table_export(table, id, entry, &bytes);

	jobq_buf_free(&bytes); /* only what lies in the entry itself is looked at */
	return rc < 0 ? -1 : (int)entry->status;
}

/* Asks what has changed since the last that is stored, as the writer does. */
static void ask(void)
{
	struct jobq_table_stats stats;

	jobq_table_stats(table, &stats);
	told_upto = stats.durable;
	told_count = jobq_table_changes(table, &told_upto, told, JOBQ_LENGTH(told));
}

static bool is_told(uint64_t id)
{
	ask();
	for (size_t i = 0; i < told_count; i++)
		if (told[i].id == id)
			return true;
	return false;
}

/* What is not shown as it is will be: the writer is told of it. */
static void assert_told(uint64_t id)
{
	struct jobq_entry entry;
	int status = real(id, &entry);

	if (status >= 0 && (status != (int)get(id).status || status == JOBQ_STATUS_NONE))
		assert_true(is_told(id));
}

/* What the feed says of the job last is how it shows. */
static void assert_fed(uint64_t id)
{
	struct jobq_feed_entry entries[64];
	uint64_t last = jobq_table_feed_last(table), after = last < 64 ? 0 : last - 64;
	struct jobq_job job = get(id);
	int n = jobq_table_feed_read(table, &after, entries, JOBQ_LENGTH(entries));

	assert_int_equal(n, last < 64 ? last : 64);
	while (n > 0 && entries[n - 1].job.id != id)
		n--;
	if (n == 0 || job.status == JOBQ_STATUS_NONE)
		return;
	assert_int_equal(entries[n - 1].job.status, job.status);
	assert_int_equal(entries[n - 1].job.attempt, job.attempt);
	if (job.status != JOBQ_STATUS_RUNNING || job.progress != 99) /* its end waits for the store */
		assert_int_equal(entries[n - 1].job.progress, job.progress);
}

/* Plays the writer to the end: all that has changed is stored. Nothing without a store. */
static void publish(void)
{
	ask();
	jobq_table_publish(table, told, told_count, told_upto);
}

/* ---- the operations: before (parent), act (child, killed), after (parent) --- */

static void before_submit(void)
{
	static unsigned n;
	snprintf(key, sizeof(key), "key-%u", ++n);
}

static void act_submit(void)
{
	uint64_t id;
	submit("{\"scene_paths\":[\"res://a.tscn\"]}", 33, &id);
}

static void act_submit_long(void)
{
	uint64_t id;
	submit(long_parameters, sizeof(long_parameters), &id);
}

/* The job is there with its key and parameters, or the key is still free. */
static void after_submit(void)
{
	struct jobq_table_stats stats;
	uint64_t id, before;

	jobq_table_stats(table, &stats);
	before = stats.jobs[JOBQ_STATUS_QUEUED] + stats.jobs[JOBQ_STATUS_NONE];
	assert_true(before <= 1);
	int rc = submit("{}", 2, &id);
	assert_int_equal(rc, before == 1 ? -EEXIST : 0); /* replayed, with other parameters */
	assert_true(id > last_id);
	last_id = id;
	assert_told(id);
	publish();
	assert_int_equal(get(id).status, JOBQ_STATUS_QUEUED);
	assert_int_equal(jobq_table_claim(table, 0, &claim), 0);
	assert_int_equal(claim.id, id);
	if (before == 1) {
		struct jobq_buf out = {0};
		assert_int_equal(jobq_table_parameters(table, &claim, &out), 0);
		assert_true(out.len == 33 || out.len == sizeof(long_parameters));
		if (out.len != 33)
			assert_memory_equal(out.data, long_parameters, out.len);
		jobq_buf_free(&out);
	}
	assert_int_equal(jobq_table_finish(table, &claim, "1", 1, NULL, NULL), 0);
	publish();
}

static void before_queued(void)
{
	before_submit();
	assert_int_equal(submit("{}", 2, &subject), 0);
	publish();
}

static void act_claim(void)
{
	jobq_table_claim(table, 1, &claim);
}

static void after_claim(void)
{
	uint64_t job;
	bool requeued;
	enum jobq_job_status status = get(subject).status;

	assert_true(status == JOBQ_STATUS_QUEUED || status == JOBQ_STATUS_RUNNING);
	jobq_table_settle(table, 1, "killed", &job, &requeued);
	assert_int_equal(job, status == JOBQ_STATUS_RUNNING ? subject : 0);
	assert_int_equal(get(subject).status, JOBQ_STATUS_QUEUED);
	assert_int_equal(jobq_table_cancel(table, subject), 0);
}

static void act_cancel(void)
{
	jobq_table_cancel(table, subject);
}

static void after_cancel(void)
{
	struct jobq_entry entry;
	int status = real(subject, &entry);
	enum jobq_job_status shown = get(subject).status;

	assert_true(status == JOBQ_STATUS_QUEUED || status == JOBQ_STATUS_CANCELLED);
	assert_true(shown == JOBQ_STATUS_QUEUED || (int)shown == status);
	assert_true((entry.completed > 0) == (status == JOBQ_STATUS_CANCELLED));
	assert_told(subject);
	assert_int_equal(jobq_table_cancel(table, subject),
			 status == JOBQ_STATUS_QUEUED ? 0 : -EBUSY);
	publish();
	assert_int_equal(get(subject).status, JOBQ_STATUS_CANCELLED);
}

static void before_running(void)
{
	before_queued();
	assert_int_equal(jobq_table_claim(table, 1, &claim), 0);
	assert_int_equal(claim.id, subject);
}

static void act_begin(void)
{
	jobq_table_begin(table, &claim);
	jobq_table_progress(table, &claim, 50);
}

static void act_finish(void)
{
	jobq_table_finish(table, &claim, RESULT, strlen(RESULT), NULL, NULL);
}

static void act_finish_long(void)
{
	jobq_table_finish(table, &claim, long_parameters, sizeof(long_parameters), NULL, NULL);
}

/* Running, to be settled; or completed with all of its result. */
static void after_running(void)
{
	struct jobq_job job;
	struct jobq_buf bytes = {0};
	size_t error_len, result_len;
	uint64_t settled;
	bool requeued;

	assert_int_equal(jobq_table_get(table, subject, &job, &bytes, &error_len, &result_len), 0);
	jobq_table_settle(table, 1, "killed", &settled, &requeued);
	if (job.status == JOBQ_STATUS_COMPLETED) {
		assert_int_equal(settled, 0);
		assert_int_equal(job.progress, 100);
		assert_int_equal(error_len, 0);
		if (result_len == strlen(RESULT))
			assert_memory_equal(bytes.data, RESULT, result_len);
		else
			assert_memory_equal(bytes.data, long_parameters, sizeof(long_parameters));
	} else {
		assert_int_equal(job.status, JOBQ_STATUS_RUNNING);
		assert_int_equal(settled, subject);
		enum jobq_job_status status = get(subject).status;
		assert_int_equal(status, requeued ? JOBQ_STATUS_QUEUED : JOBQ_STATUS_FAILED);
		if (requeued)
			assert_int_equal(jobq_table_cancel(table, subject), 0);
	}
	jobq_buf_free(&bytes);
}

static void act_settle(void)
{
	uint64_t job;
	bool requeued;
	jobq_table_settle(table, 1, "worker killed", &job, &requeued);
}

/* jobqd was killed while it settled: the next jobqd settles what is left. */
static void after_settle(void)
{
	uint64_t job;
	bool requeued;

	jobq_table_settle(table, 1, "worker killed", &job, &requeued);
	assert_int_equal(get(subject).status, JOBQ_STATUS_QUEUED);
	assert_int_equal(jobq_table_cancel(table, subject), 0);
}

static void before_expire(void)
{
	for (int i = 0; i < 3; i++) {
		before_queued();
		assert_int_equal(jobq_table_cancel(table, subject), 0);
	}
	before_queued();
}

static void act_expire(void)
{
	jobq_table_expire(table, jobq_clock_wall() + 2 * DAY);
}

static void after_expire(void)
{
	struct jobq_table_stats stats;

	assert_int_equal(get(subject).status, JOBQ_STATUS_QUEUED);
	assert_int_equal(jobq_table_cancel(table, subject), 0);
	act_expire();
	jobq_table_stats(table, &stats);
	for (int status = JOBQ_STATUS_QUEUED; status < JOBQ_STATUSES; status++)
		assert_int_equal(stats.jobs[status], 0);
}

/* ---- the same with a store, and what the store brings --------------------- */

static void act_submit_stored(void)
{
	act_submit();
}

static void act_cancel_stored(void)
{
	act_cancel();
}

static void act_publish_new(void)
{
	jobq_table_publish(table, told, told_count, told_upto);
}

static void act_publish_end(void)
{
	act_publish_new();
}

static void act_publish_cancel(void)
{
	act_publish_new();
}

static void before_pending(void)
{
	before_submit();
	assert_int_equal(submit("{}", 2, &subject), 0);
	ask();
}

/* Nowhere, and told, or in the queue. */
static void after_publish_new(void)
{
	enum jobq_job_status status = get(subject).status;

	assert_true(status == JOBQ_STATUS_NONE || status == JOBQ_STATUS_QUEUED);
	assert_told(subject);
	publish();
	assert_int_equal(get(subject).status, JOBQ_STATUS_QUEUED);
	assert_int_equal(jobq_table_cancel(table, subject), 0);
	publish();
}

static void before_ended(void)
{
	before_running();
	act_finish();
	ask();
}

/* Runs, and told, or completed with all of its result. */
static void after_publish_end(void)
{
	struct jobq_job job;
	struct jobq_buf bytes = {0};
	size_t error_len, result_len;

	assert_told(subject);
	for (int turn = 0; turn < 2; turn++) {
		bytes.len = 0;
		assert_int_equal(jobq_table_get(table, subject, &job, &bytes, &error_len,
						&result_len), 0);
		if (job.status == JOBQ_STATUS_COMPLETED) {
			assert_int_equal(result_len, strlen(RESULT));
			assert_memory_equal(bytes.data, RESULT, result_len);
		} else {
			assert_int_equal(turn, 0);
			assert_int_equal(job.status, JOBQ_STATUS_RUNNING);
			assert_int_equal(result_len, 0);
		}
		publish();
	}
	jobq_buf_free(&bytes);
}

static void before_cancelled(void)
{
	before_queued();
	act_cancel();
	ask();
}

/* Two that wait to be stored: what befalls the first may not put it behind the other. */
static void before_two_pending(void)
{
	char first_key[sizeof(key)];

	before_submit();
	memcpy(first_key, key, sizeof(key));
	assert_int_equal(submit("{}", 2, &subject), 0);
	before_submit();
	assert_int_equal(submit("{}", 2, &second), 0);
	memcpy(key, first_key, sizeof(key));
}

static void act_withdraw(void)
{
	jobq_table_withdraw(table, subject);
}

/* Nobody sees either; the key is free when the job is to be forgotten. */
static void after_withdraw(void)
{
	struct jobq_entry entry;
	uint64_t id;
	int status = real(subject, &entry);

	assert_true(status == JOBQ_STATUS_QUEUED || status == JOBQ_STATUS_NONE);
	assert_true(status == JOBQ_STATUS_NONE || entry.completed == 0);
	assert_int_equal(get(subject).status, JOBQ_STATUS_NONE);
	assert_told(subject);
	assert_told(second);
	int rc = submit("{\"other\":1}", 11, &id);
	assert_int_equal(rc, status == JOBQ_STATUS_QUEUED ? -EEXIST : 0);
	publish();
	assert_sound("withdraw, then published,", 0);
	assert_int_equal(get(subject).status, status);
	if (status == JOBQ_STATUS_NONE)
		assert_int_equal(real(subject, &entry), -1);
	assert_int_equal(jobq_table_cancel(table, second), 0);
	assert_int_equal(jobq_table_cancel(table, id), 0);
	publish();
}

static void act_refuse(void)
{
	jobq_table_refuse(table, ENOSPC);
}

static void assert_hidden(uint64_t id)
{
	struct jobq_entry entry;
	int status = real(id, &entry);

	assert_true(status == JOBQ_STATUS_QUEUED || status == JOBQ_STATUS_NONE);
	assert_int_equal(get(id).status, JOBQ_STATUS_NONE);
	assert_told(id);
}

static void after_refuse(void)
{
	struct jobq_entry entry;
	uint64_t id;

	assert_hidden(subject);
	assert_hidden(second);
	act_refuse(); /* the next writer's store takes nothing either */
	assert_int_equal(real(subject, &entry), JOBQ_STATUS_NONE);
	assert_int_equal(real(second, &entry), JOBQ_STATUS_NONE);
	assert_int_equal(submit("{}", 2, &id), -EIO);
	publish();
	assert_int_equal(real(subject, &entry), -1);
	assert_int_equal(real(second, &entry), -1);
}

static void before_withdrawn(void)
{
	before_submit();
	assert_int_equal(submit("{}", 2, &subject), 0);
	act_withdraw();
	ask();
}

static void act_publish_withdrawn(void)
{
	act_publish_new();
}

/* Gone, or still to be forgotten, and told. */
static void after_publish_withdrawn(void)
{
	struct jobq_entry entry;
	uint64_t id;
	int status = real(subject, &entry);

	assert_true(status == -1 || status == JOBQ_STATUS_NONE);
	assert_told(subject);
	assert_int_equal(submit("{\"other\":1}", 11, &id), 0);
	publish();
	assert_int_equal(real(subject, &entry), -1);
	assert_int_equal(get(id).status, JOBQ_STATUS_QUEUED);
	assert_int_equal(jobq_table_cancel(table, id), 0);
	publish();
}

static void before_import(void)
{
	struct jobq_table_stats stats;

	before_submit();
	jobq_table_stats(table, &stats);
	subject = stats.next_id + 1;
}

static int import(void)
{
	struct jobq_entry entry = {
		.id = subject,
		.status = JOBQ_STATUS_FAILED,
		.attempt = 1,
		.created = 1,
		.started = 2,
		.completed = jobq_clock_wall(),
		.owner = {"ci", 2},
		.key = {key, strlen(key)},
		.parameters = {"{}", 2},
		.error = {"it broke", 8},
		.result = {RESULT, strlen(RESULT)},
	};
	return jobq_table_import(table, &entry, true);
}

static void act_import(void)
{
	import();
}

static void assert_imported(void)
{
	struct jobq_job job;
	struct jobq_buf bytes = {0};
	size_t error_len, result_len;

	assert_int_equal(jobq_table_get(table, subject, &job, &bytes, &error_len, &result_len), 0);
	assert_int_equal(job.status, JOBQ_STATUS_FAILED);
	assert_int_equal(error_len, 8);
	assert_int_equal(result_len, strlen(RESULT));
	assert_memory_equal(bytes.data, "it broke" RESULT, bytes.len);
	assert_true(is_told(subject));
	jobq_buf_free(&bytes);
}

/* There with all its texts, or not; and the next writer begins again. */
static void after_import(void)
{
	uint64_t id;

	if (get(subject).status != JOBQ_STATUS_NONE)
		assert_imported();
	assert_int_equal(import(), 0);
	assert_imported();
	assert_sound("import, then imported again,", 0);
	publish();
	act_expire();
	assert_int_equal(get(subject).status, JOBQ_STATUS_NONE);
	assert_int_equal(submit("{\"other\":1}", 11, &id), 0); /* its key is free */
	assert_true(id > subject);
	publish();
	assert_int_equal(jobq_table_cancel(table, id), 0);
	publish();
}

/* ---- messages and webhooks ------------------------------------------------ */

static struct jobq_webhook hook;
static uint64_t posted_before;

static void before_post(void)
{
	hook = (struct jobq_webhook){.id = 1, .kinds = UINT32_MAX, .enabled = true, .url = "http://a/"};
	jobq_table_clear_webhooks(table);
	assert_int_equal(jobq_table_set_webhook(table, &hook), 0);
	jobq_table_show_webhooks(table);
	posted_before = jobq_table_posted(table);
}

static void act_post(void)
{
	jobq_table_post_event(table, JOBQ_EVENT_PING, 3, "{\"message\":\"a test\"}", 20, 0);
}

/* Posted whole, or not at all; it can be taken and be done with. */
static void after_post(void)
{
	struct jobq_buf bytes = {0};
	struct jobq_message message;
	uint64_t at = jobq_table_handled(table);
	bool damaged, posted = jobq_table_posted(table) != posted_before;

	while (jobq_table_take_message(table, &at, &message, &bytes, &damaged)) {
		assert_int_equal(message.event.job, 3);
		assert_memory_equal(message.event.data.data, "{\"message\":\"a test\"}", 20);
	}
	assert_false(damaged);
	assert_int_equal(at, jobq_table_posted(table));
	assert_true(posted == (at != posted_before));
	jobq_table_messages_handled(table, at, NULL, 0);
	jobq_buf_free(&bytes);
}

static void before_handled(void)
{
	before_post();
	act_post();
	act_post();
}

static void act_handled(void)
{
	jobq_table_messages_handled(table, jobq_table_posted(table), NULL, 0);
}

static void act_change_webhook(void)
{
	memset(hook.url, 'b', 2000);
	jobq_table_set_webhook(table, &hook);
}

/* As it was or as it is now; or not shown, until the next writer has filled the list. */
static void after_change_webhook(void)
{
	struct jobq_webhook out;

	assert_sound("change_webhook", 0); /* takes the lock: what a dead holder left is seen to */
	if (jobq_table_webhooks_shown(table)) {
		assert_int_equal(jobq_table_webhook(table, 1, &out), 0);
		assert_true(strcmp(out.url, "http://a/") == 0 || strlen(out.url) == 2000);
	}
}

struct operation {
	const char *name;
	void (*before)(void);
	void (*act)(void);
	void (*after)(void);
};

/* ---- the killing ----------------------------------------------------------- */

/*
 * Lets a child do the operation and kills it after `steps` instructions; a
 * negative number lets it end. Returns how many it made.
 */
static long run_child(const struct operation *operation, long steps)
{
	long made = 0;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		operation->act();
		raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	while (steps < 0 || made < steps) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
			fail_msg("ptrace: %s", strerror(errno));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			break; /* the second SIGSTOP: it has done the operation */
		made++;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return made;
}

static void kill_at_every_step(const struct operation *operation)
{
	const char *budget = getenv("JOBQ_KILL_STEPS");
	struct jobq_table_stats before, after;

	operation->before();
	operation->act(); /* once here, so that no symbol is left to be bound */
	operation->after();
	operation->before();
	long length = run_child(operation, -1);
	operation->after();

	long count = 2 * (budget != NULL ? atol(budget) : STEPS_MOST) / length;
	long stride = length / (count + 1) + 1;
	jobq_table_stats(table, &before);
	for (long steps = 1; steps <= length; steps += stride) {
		operation->before();
		run_child(operation, steps);
		kills++;
		assert_sound(operation->name, steps);
		assert_fed(subject);
		operation->after();
		assert_sound(operation->name, steps);
		assert_fed(subject);
	}
	jobq_table_stats(table, &after);
	kills_in_lock += after.repairs - before.repairs;
	/* Else the test would pass without having met the lock. Of a long copy most is outside. */
	if (count > 50)
		assert_true(after.repairs > before.repairs);
	printf("# %s: %ld instructions, one in %ld killed, %llu in the lock\n", operation->name,
	       length, stride, (unsigned long long)(after.repairs - before.repairs));
}

static int set_up(void **state)
{
	struct jobq_buf why = {0};
	(void)state;
	last_id = 0;
	memset(long_parameters, '7', sizeof(long_parameters));
	snprintf(name, sizeof(name), "/jobq-test-kill-%d", (int)getpid());
	int rc = jobq_table_own(name, (size_t)8 << 20, 86400000, &table, &why);
	if (rc == 0)
		jobq_table_set_ready(table);
	jobq_buf_free(&why);
	return rc;
}

static int set_up_stored(void **state)
{
	int rc = set_up(state);

	if (rc == 0)
		jobq_table_set_store(table, JOBQ_DURABILITY_FULL, 1);
	return rc;
}

static int tear_down(void **state)
{
	struct jobq_buf why = {0};
	(void)state;
	jobq_table_detach(table);
	jobq_table_remove(name, &why);
	jobq_buf_free(&why);
	printf("# %lu kills, %lu of them in the lock\n", kills, kills_in_lock);
	return 0;
}

#define KILL(op, before, after)                                                                    \
	static void kill_##op(void **state)                                                        \
	{                                                                                          \
		static const struct operation operation = {#op, before, act_##op, after};          \
		(void)state;                                                                       \
		kill_at_every_step(&operation);                                                    \
	}

KILL(submit, before_submit, after_submit)
KILL(submit_long, before_submit, after_submit)
KILL(claim, before_queued, after_claim)
KILL(cancel, before_queued, after_cancel)
KILL(begin, before_running, after_running)
KILL(finish, before_running, after_running)
KILL(finish_long, before_running, after_running)
KILL(settle, before_running, after_settle)
KILL(expire, before_expire, after_expire)
KILL(submit_stored, before_submit, after_submit)
KILL(cancel_stored, before_queued, after_cancel)
KILL(publish_new, before_pending, after_publish_new)
KILL(publish_end, before_ended, after_publish_end)
KILL(publish_cancel, before_cancelled, after_cancel)
KILL(withdraw, before_two_pending, after_withdraw)
KILL(refuse, before_two_pending, after_refuse)
KILL(publish_withdrawn, before_withdrawn, after_publish_withdrawn)
KILL(import, before_import, after_import)
KILL(post, before_post, after_post)
KILL(handled, before_handled, after_post)
KILL(change_webhook, before_post, after_change_webhook)

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define STORED(f) cmocka_unit_test_setup_teardown(f, set_up_stored, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(kill_submit), TEST(kill_submit_long), TEST(kill_claim),
		TEST(kill_cancel), TEST(kill_begin),       TEST(kill_finish),
		TEST(kill_finish_long), TEST(kill_settle), TEST(kill_expire),
		STORED(kill_submit_stored), STORED(kill_cancel_stored),
		STORED(kill_publish_new), STORED(kill_publish_end),
		STORED(kill_publish_cancel), STORED(kill_withdraw), STORED(kill_refuse),
		STORED(kill_publish_withdrawn), STORED(kill_import),
		STORED(kill_post), STORED(kill_handled), STORED(kill_change_webhook),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
