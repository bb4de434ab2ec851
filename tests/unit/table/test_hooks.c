/*
 * What the table has for webhooks: messages to the store's writer, which the test
 * plays, and the lists that jobq-api shows.
 */
#include "config.h"

#include "fixture.h"

#include "jobq/table_hooks.h"

#define DATA "{\"client\":\"192.0.2.1\"}"

static struct jobq_buf bytes;

static struct jobq_webhook webhook(uint64_t id)
{
	struct jobq_webhook webhook = {
		.id = id,
		.created = 1,
		.kinds = JOBQ_EVENT_BIT(JOBQ_EVENT_AUTH_FAILED),
		.enabled = true,
		.has_secret = true,
		.url = "http://example.org/",
		.events = "[\"auth.failed\"]",
		.secret = "very secret",
	};
	return webhook;
}

static void want(void)
{
	struct jobq_webhook one = webhook(1);

	assert_int_equal(jobq_table_set_webhook(table, &one), 0);
	jobq_table_show_webhooks(table);
}

static int post(size_t len)
{
	static char data[JOBQ_MESSAGE_MAX + 1];

	memset(data, 'x', sizeof(data));
	return jobq_table_post_event(table, JOBQ_EVENT_AUTH_FAILED, 7, data, len, 0);
}

static bool take(uint64_t *at, struct jobq_message *message)
{
	bool damaged, taken = jobq_table_take_message(table, at, message, &bytes, &damaged);

	assert_false(damaged);
	return taken;
}

static int tear_down_all(void **state)
{
	jobq_buf_free(&bytes);
	return tear_down(state);
}

/* ---- events ---------------------------------------------------------------- */

static void nobody_wants_it_and_nothing_is_posted(void **state)
{
	(void)state;
	assert_int_equal(jobq_table_wanted(table), 0);
	assert_int_equal(post(10), 0);
	assert_int_equal(jobq_table_posted(table), 0);
}

static void posted_is_taken_in_turn(void **state)
{
	struct jobq_message message;
	uint64_t at = 0;
	(void)state;
	want();
	assert_int_equal(jobq_table_post_event(table, JOBQ_EVENT_AUTH_FAILED, 0, DATA, strlen(DATA), 0), 0);
	for (size_t len = 0; len < 40; len++)
		assert_int_equal(post(len), 0);
	assert_true(take(&at, &message));
	assert_int_equal(message.kind, JOBQ_MESSAGE_EVENT);
	assert_int_equal(message.event.kind, JOBQ_EVENT_AUTH_FAILED);
	assert_int_equal(message.event.job, 0);
	assert_int_equal(message.event.data.len, strlen(DATA));
	assert_memory_equal(message.event.data.data, DATA, strlen(DATA));
	for (size_t len = 0; len < 40; len++) {
		assert_true(take(&at, &message));
		assert_int_equal(message.event.data.len, len);
		assert_int_equal(message.event.job, 7);
	}
	assert_false(take(&at, &message));
	assert_int_equal(at, jobq_table_posted(table));
	assert_int_equal(jobq_table_handled(table), 0);
	jobq_table_messages_handled(table, at, NULL, 0);
	assert_int_equal(jobq_table_handled(table), at);
	assert_sound();
}

static void full_ring_takes_no_more_and_goes_round(void **state)
{
	struct jobq_message message;
	uint64_t at = 0;
	(void)state;
	want();
	assert_int_equal(post(JOBQ_MESSAGE_MAX), 0);
	assert_int_equal(post(JOBQ_MESSAGE_MAX + 1), -E2BIG);
	for (int round = 0; round < 5; round++) {
		unsigned posted = 0, taken = 0;
		int rc;
		while ((rc = post(JOBQ_MESSAGE_MAX - 3)) == 0)
			posted++;
		assert_int_equal(rc, -EAGAIN);
		assert_sound();
		/* What became of deliveries still finds room. */
		struct jobq_outcome outcome = {.webhook = 1, .event = 2, .message = "HTTP 200"};
		assert_int_equal(jobq_table_post_outcomes(table, &outcome, 1), 1);
		while (take(&at, &message))
			taken++;
		assert_int_equal(taken, posted + 1 + (round == 0));
		assert_int_equal(message.kind, JOBQ_MESSAGE_OUTCOME);
		assert_string_equal(message.outcome.message, "HTTP 200");
		jobq_table_messages_handled(table, at, NULL, 0);
	}
	assert_sound();
}

static void waits_for_room_until_the_deadline(void **state)
{
	int64_t began = jobq_clock_mono();
	(void)state;
	want();
	for (size_t len = JOBQ_MESSAGE_MAX; len > 0; len /= 2)
		while (post(len) == 0)
			;
	assert_int_equal(jobq_table_post_event(table, JOBQ_EVENT_AUTH_FAILED, 0, DATA, strlen(DATA),
					       began + 50000), -EAGAIN);
	assert_true(jobq_clock_mono() >= began + 50000);
	jobq_table_refuse(table, ENOSPC);
	assert_int_equal(jobq_table_post_event(table, JOBQ_EVENT_AUTH_FAILED, 0, DATA, strlen(DATA), LONG),
			 -EIO);
}

/* ---- commands -------------------------------------------------------------- */

struct asked {
	struct jobq_command command;
	int64_t patience;
	uint64_t event;
	int rc;
};

static void *ask(void *arg)
{
	struct asked *asked = arg;

	asked->rc = jobq_table_command(table, &asked->command, &asked->event,
				       jobq_clock_mono() + asked->patience);
	return NULL;
}

static struct asked asked_to_create(int64_t patience)
{
	return (struct asked){
		.command = {.verb = JOBQ_COMMAND_CREATE, .webhook = webhook(0)}, .patience = patience};
}

static void take_one(uint64_t *at, struct jobq_message *message)
{
	while (!take(at, message))
		jobq_table_await_changes(table, stats().changes, jobq_clock_mono() + 1000000,
					 &(volatile sig_atomic_t){0});
}

static void command_is_answered_when_it_is_stored(void **state)
{
	struct asked asked = asked_to_create(10000000);
	struct jobq_message message;
	pthread_t thread;
	uint64_t at = 0;
	(void)state;
	pthread_create(&thread, NULL, ask, &asked);
	take_one(&at, &message);
	assert_int_equal(message.kind, JOBQ_MESSAGE_COMMAND);
	assert_int_equal(message.command->verb, JOBQ_COMMAND_CREATE);
	assert_string_equal(message.command->webhook.secret, "very secret");
	struct jobq_webhook made = message.command->webhook;
	made.id = 5;
	assert_int_equal(jobq_table_set_webhook(table, &made), 0);
	jobq_table_messages_handled(
		table, at, &(struct jobq_command_verdict){message.position, 0, 5, 9}, 1);
	pthread_join(thread, NULL);
	assert_int_equal(asked.rc, 0);
	assert_int_equal(asked.command.webhook.id, 5);
	assert_int_equal(asked.event, 9);
	assert_string_equal(asked.command.webhook.secret, "");
	assert_sound();
}

static void command_that_nobody_takes_is_taken_back(void **state)
{
	struct asked asked = asked_to_create(20000);
	struct jobq_message message;
	uint64_t at = 0;
	(void)state;
	ask(&asked);
	assert_int_equal(asked.rc, -ETIMEDOUT);
	assert_true(take(&at, &message));
	assert_int_equal(message.kind, JOBQ_MESSAGE_VOID);
}

static void command_that_the_store_refuses_is_not_done_later(void **state)
{
	struct asked asked = asked_to_create(10000000);
	struct jobq_message message;
	pthread_t thread;
	uint64_t at = 0;
	(void)state;
	pthread_create(&thread, NULL, ask, &asked);
	take_one(&at, &message);
	jobq_table_refuse_commands(table);
	pthread_join(thread, NULL);
	assert_int_equal(asked.rc, -ECANCELED);
	at = jobq_table_handled(table);
	assert_true(take(&at, &message));
	assert_int_equal(message.kind, JOBQ_MESSAGE_VOID);
}

static void command_at_hand_is_done_by_the_next_writer(void **state)
{
	struct asked asked = asked_to_create(10000000);
	struct jobq_message message;
	pthread_t thread;
	uint64_t at = 0, again = 0;
	(void)state;
	pthread_create(&thread, NULL, ask, &asked);
	take_one(&at, &message);
	/* The writer dies here, having stored nothing. */
	assert_true(take(&again, &message));
	assert_int_equal(message.kind, JOBQ_MESSAGE_COMMAND);
	/* The next one has stored it, but died before it said so. */
	jobq_table_skip_messages(table, at);
	pthread_join(thread, NULL);
	assert_int_equal(asked.rc, -EINPROGRESS);
}

/* ---- lists ----------------------------------------------------------------- */

static void lists_show_what_was_set(void **state)
{
	struct jobq_webhook out;
	uint64_t after = 0;
	(void)state;
	assert_false(jobq_table_webhooks_shown(table));
	for (uint64_t id = JOBQ_WEBHOOKS_MAX; id > 0; id--) {
		struct jobq_webhook one = webhook(id * 3);
		assert_int_equal(jobq_table_set_webhook(table, &one), 0);
	}
	struct jobq_webhook more = webhook(1000);
	assert_int_equal(jobq_table_set_webhook(table, &more), -EDQUOT);
	for (uint64_t id = 3; jobq_table_next_webhook(table, after, &out); id += 3) {
		assert_int_equal(out.id, id);
		assert_string_equal(out.secret, "");
		assert_true(out.has_secret);
		after = out.id;
	}
	assert_int_equal(after, 300);
	jobq_table_unset_webhook(table, 30);
	assert_int_equal(jobq_table_webhook(table, 30, &out), -ENOENT);
	assert_int_equal(jobq_table_webhook(table, 0, &out), -ENOENT);
	assert_int_equal(jobq_table_set_webhook(table, &more), 0);
	jobq_table_clear_webhooks(table);
	assert_false(jobq_table_next_webhook(table, 0, &out));
	assert_int_equal(jobq_table_wanted(table), 0);
}

static void disabled_webhook_wants_nothing(void **state)
{
	struct jobq_webhook one = webhook(1);
	(void)state;
	want();
	assert_int_equal(jobq_table_wanted(table), JOBQ_EVENT_BIT(JOBQ_EVENT_AUTH_FAILED));
	one.enabled = false;
	assert_int_equal(jobq_table_set_webhook(table, &one), 0);
	assert_int_equal(jobq_table_wanted(table), 0);
}

static void history_keeps_the_newest(void **state)
{
	struct jobq_delivery out[JOBQ_WEBHOOK_HISTORY + 1];
	size_t total;
	(void)state;
	want();
	assert_int_equal(jobq_table_deliveries(table, 2, out, 10, &total), -ENOENT);
	assert_int_equal(jobq_table_deliveries(table, 1, out, 10, &total), 0);
	for (uint64_t event = 1; event <= 250; event++) {
		struct jobq_delivery delivery = {.event = event, .message = "HTTP 200"};
		jobq_table_add_delivery(table, 1, &delivery);
	}
	assert_int_equal(jobq_table_deliveries(table, 1, out, 10, &total), 10);
	assert_int_equal(total, JOBQ_WEBHOOK_HISTORY);
	assert_int_equal(out[0].event, 250);
	assert_int_equal(out[9].event, 241);
	jobq_table_drop_delivery(table, 1, 245);
	assert_int_equal(jobq_table_deliveries(table, 1, out, JOBQ_LENGTH(out), &total), 99);
	assert_int_equal(out[4].event, 246);
	assert_int_equal(out[5].event, 244);
	assert_int_equal(out[98].event, 151);
}

/* ---- hook ------------------------------------------------------------------ */

static void progress_is_told_only_where_it_is_wanted(void **state)
{
	struct jobq_webhook one = webhook(1);
	(void)state;
	submit_stored("");
	struct jobq_job_claim running = claim(0);
	publish();
	assert_int_equal(jobq_table_progress(table, &running, 10), 0);
	assert_int_equal(publish(), 0);
	one.kinds = JOBQ_EVENT_BIT(JOBQ_EVENT_JOB_PROGRESS);
	assert_int_equal(jobq_table_set_webhook(table, &one), 0);
	assert_int_equal(jobq_table_progress(table, &running, 20), 0);
	assert_int_equal(publish(), 1);
	assert_int_equal(get(running.id).progress, 20);
}

static void bell_wakes(void **state)
{
	_Atomic uint32_t stop = 0;
	uint32_t seen = jobq_table_outbox_added(table);
	(void)state;
	assert_int_equal(jobq_table_await_outbox(table, seen, jobq_clock_mono() + 1000, &stop, 0),
			 -ETIMEDOUT);
	jobq_table_ring_outbox(table, true);
	assert_int_equal(jobq_table_await_outbox(table, seen, LONG, &stop, 0), 0);
	assert_int_equal(jobq_table_outbox_changed(table), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_all)
		TEST(nobody_wants_it_and_nothing_is_posted),
		TEST(posted_is_taken_in_turn),
		TEST(full_ring_takes_no_more_and_goes_round),
		TEST(waits_for_room_until_the_deadline),
		TEST(command_is_answered_when_it_is_stored),
		TEST(command_that_nobody_takes_is_taken_back),
		TEST(command_that_the_store_refuses_is_not_done_later),
		TEST(command_at_hand_is_done_by_the_next_writer),
		TEST(lists_show_what_was_set),
		TEST(disabled_webhook_wants_nothing),
		TEST(history_keeps_the_newest),
		TEST(progress_is_told_only_where_it_is_wanted),
		TEST(bell_wakes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
