/*
 * What the store's writer does for webhooks, with a real table and a store in
 * memory: which events follow from which changes, in which order, and what
 * becomes of commands and outcomes.
 */
#include "config.h"

#include "../table/fixture.h"

#include "super/outbox.h"

static struct jobq_store *store;
static struct super_outbox outbox;
static struct jobq_conf conf;
static struct jobq_buf bytes;
static char story[4096]; /* the kinds of all events of a webhook, in their order */

static int set_up_all(void **state)
{
	struct jobq_buf why = {0};
	int rc = set_up(state);

	conf.webhook_backlog = 1000;
	if (rc == 0)
		rc = jobq_store_open("memory:", JOBQ_STORE_WRITE, JOBQ_DURABILITY_FULL, &store, &why);
	outbox = (struct super_outbox){.conf = &conf, .table = table};
	return rc < 0 ? rc : super_outbox_load(&outbox, store, false);
}

static void free_buffers(void)
{
	jobq_buf_free(&outbox.message);
	jobq_buf_free(&outbox.bytes);
	jobq_buf_free(&outbox.data);
}

static int tear_down_all(void **state)
{
	jobq_store_close(store);
	free_buffers();
	jobq_buf_free(&bytes);
	return tear_down(state);
}

/* Plays one of the writer's transactions. */
static void write_all(void)
{
	struct jobq_table_change changes[256];
	uint64_t upto = stats().durable;
	struct jobq_entry entry;

	size_t count = jobq_table_changes(table, &upto, changes, JOBQ_LENGTH(changes));
	assert_int_equal(jobq_store_begin(store), 0);
	assert_int_equal(super_outbox_take(&outbox), 0);
	for (size_t i = 0; i < count; i++)
		if (jobq_table_export(table, changes[i].id, &entry, &bytes) == 0)
			assert_int_equal(entry.status == JOBQ_STATUS_NONE
						 ? jobq_store_remove(store, entry.id)
						 : super_outbox_put(&outbox, &entry), 0);
	assert_int_equal(super_outbox_finish(&outbox), 0);
	assert_int_equal(jobq_store_commit(store, false), 0);
	jobq_table_publish(table, changes, count, upto);
	super_outbox_committed(&outbox);
	assert_sound();
}

static void *write_once(void *arg)
{
	int64_t deadline = LONG;
	(void)arg;
	while (jobq_table_posted(table) == jobq_table_handled(table) && jobq_clock_mono() < deadline)
		jobq_table_await_changes(table, stats().changes, deadline, &(volatile sig_atomic_t){0});
	write_all();
	return NULL;
}

static int command(struct jobq_command *command, uint64_t *event)
{
	pthread_t thread;

	pthread_create(&thread, NULL, write_once, NULL);
	int rc = jobq_table_command(table, command, event, LONG);
	pthread_join(thread, NULL);
	return rc;
}

/* One that wants what the pattern stands for. */
static uint64_t create(const char *pattern)
{
	struct jobq_command create = {
		.verb = JOBQ_COMMAND_CREATE,
		.webhook = {.kinds = jobq_event_pattern(pattern, strlen(pattern)), .enabled = true,
			    .has_secret = true, .url = "http://a/", .secret = "secret"},
	};
	uint64_t event;

	snprintf(create.webhook.events, sizeof(create.webhook.events), "[\"%s\"]", pattern);

	assert_int_equal(command(&create, &event), 0);
	assert_string_equal(create.webhook.secret, "");
	assert_true(create.webhook.created > 0);
	return create.webhook.id;
}

static int add_to_story(void *arg, const struct jobq_pending *pending)
{
	struct jobq_event event;
	(void)arg;
	assert_int_equal(jobq_store_event(store, pending->event, &event, &bytes), 0);
	assert_int_equal(event.kind, pending->kind);
	size_t len = strlen(story);
	snprintf(story + len, sizeof(story) - len, "%s%s", len > 0 ? " " : "",
		 jobq_event_name(event.kind));
	return 0;
}

static const char *story_of(uint64_t id)
{
	story[0] = '\0';
	assert_int_equal(jobq_store_each_pending(store, id, 0, 1000, add_to_story, NULL), 0);
	return story;
}

static uint64_t waiting(uint64_t id)
{
	uint64_t count;

	assert_int_equal(jobq_store_count_pending(store, id, &count), 0);
	return count;
}

static struct jobq_webhook shown_webhook(uint64_t id)
{
	struct jobq_webhook webhook = {0};

	assert_int_equal(jobq_table_webhook(table, id, &webhook), 0);
	return webhook;
}

/* ---- jobs ------------------------------------------------------------------ */

static void each_change_is_told(void **state)
{
	uint64_t id = create("*");
	(void)state;
	submit("");
	write_all();
	assert_string_equal(story_of(id), "job.queued");
	struct jobq_job_claim running = claim(0);
	write_all();
	assert_int_equal(jobq_table_progress(table, &running, 50), 0);
	write_all();
	finish(&running);
	write_all();
	assert_string_equal(story_of(id), "job.queued job.started job.progress job.completed");
}

static void what_the_writer_missed_is_told_in_order(void **state)
{
	uint64_t id = create("*");
	(void)state;
	jobq_table_set_store(table, JOBQ_DURABILITY_OFF, STORE);
	submit("");
	struct jobq_job_claim running = claim(0);
	assert_int_equal(jobq_table_post_event(table, JOBQ_EVENT_SCENE_LOADED, running.id, "{}", 2, 0), 0);
	finish(&running);
	write_all();
	assert_string_equal(story_of(id), "job.queued job.started scene.loaded job.completed");
	write_all();
	assert_int_equal(waiting(id), 4);
}

static void cancelled_job_never_started(void **state)
{
	uint64_t id = create("*"), job;
	(void)state;
	job = submit("");
	write_all();
	assert_int_equal(jobq_table_cancel(table, job), 0);
	write_all();
	assert_string_equal(story_of(id), "job.queued job.cancelled");
}

static void only_who_wants_it_is_told(void **state)
{
	uint64_t ends = create("job.completed");
	uint64_t none = create("auth.failed");
	(void)state;
	submit("");
	write_all();
	struct jobq_job_claim running = claim(0);
	finish(&running);
	write_all();
	assert_string_equal(story_of(ends), "job.completed");
	assert_string_equal(story_of(none), "");
}

/* ---- commands -------------------------------------------------------------- */

static void limit_of_webhooks(void **state)
{
	struct jobq_command one_more = {.verb = JOBQ_COMMAND_CREATE,
					.webhook = {.url = "http://a/", .events = "[\"*\"]"}};
	uint64_t event;
	(void)state;
	for (uint64_t n = 1; n <= JOBQ_WEBHOOKS_MAX; n++)
		assert_int_equal(create("ping"), n);
	assert_int_equal(command(&one_more, &event), -EDQUOT);
	struct jobq_command removal = {.verb = JOBQ_COMMAND_REMOVE, .webhook.id = 7};
	assert_int_equal(command(&removal, &event), 0);
	assert_int_equal(command(&removal, &event), -ENOENT);
	assert_int_equal(create("ping"), JOBQ_WEBHOOKS_MAX + 1);
}

static void update_keeps_the_secret_or_changes_it(void **state)
{
	uint64_t id = create("ping"), event;
	struct jobq_command change = {.verb = JOBQ_COMMAND_UPDATE, .given = JOBQ_GIVEN_URL,
				      .webhook = {.id = id, .url = "http://b/"}};
	(void)state;
	assert_int_equal(command(&change, &event), 0);
	assert_string_equal(shown_webhook(id).url, "http://b/");
	assert_true(shown_webhook(id).has_secret);
	assert_true(shown_webhook(id).enabled);
	assert_string_equal(shown_webhook(id).events, "[\"ping\"]");
	assert_string_equal(outbox.hooks[0].webhook.secret, "secret");
	change.given = JOBQ_GIVEN_SECRET | JOBQ_GIVEN_ENABLED;
	change.webhook = (struct jobq_webhook){.id = id};
	assert_int_equal(command(&change, &event), 0);
	assert_false(shown_webhook(id).has_secret);
	assert_false(shown_webhook(id).enabled);
	assert_string_equal(shown_webhook(id).url, "http://b/");
	assert_string_equal(outbox.hooks[0].webhook.secret, "");
}

static void ping_goes_to_the_one(void **state)
{
	uint64_t id = create("ping"), other = create("*"), event = 0;
	struct jobq_command ping = {.verb = JOBQ_COMMAND_PING, .webhook.id = id};
	(void)state;
	assert_int_equal(command(&ping, &event), 0);
	assert_true(event > 0);
	assert_string_equal(story_of(id), "ping");
	assert_string_equal(story_of(other), "");
	ping.webhook.id = 99;
	assert_int_equal(command(&ping, &event), -ENOENT);
}

/* ---- outcomes -------------------------------------------------------------- */

static uint64_t ping(uint64_t id)
{
	struct jobq_command ping = {.verb = JOBQ_COMMAND_PING, .webhook.id = id};
	uint64_t event;

	assert_int_equal(command(&ping, &event), 0);
	return event;
}

static void settle(uint64_t id, uint64_t event, enum jobq_outcome_verdict verdict)
{
	struct jobq_outcome outcome = {.webhook = id, .event = event, .verdict = verdict,
				       .attempts = 2, .at = 77, .message = "HTTP 418"};

	assert_int_equal(jobq_table_post_outcomes(table, &outcome, 1), 1);
	write_all();
}

static void outcomes_are_counted_and_shown(void **state)
{
	struct jobq_delivery history[10];
	uint64_t id = create("ping"), first = ping(id), second = ping(id), event = 0;
	size_t total;
	(void)state;
	settle(id, first, JOBQ_OUTCOME_RETRY);
	assert_int_equal(waiting(id), 2);
	assert_int_equal(shown_webhook(id).failure_count, 0);
	settle(id, first, JOBQ_OUTCOME_FAILED);
	settle(id, second, JOBQ_OUTCOME_DELIVERED);
	settle(id, second, JOBQ_OUTCOME_DELIVERED); /* told twice, by a hook that was killed */
	assert_int_equal(waiting(id), 0);
	assert_int_equal(shown_webhook(id).failure_count, 1);
	assert_int_equal(shown_webhook(id).delivery_count, 1);
	assert_int_equal(shown_webhook(id).last_delivery, 77);
	assert_int_equal(jobq_table_deliveries(table, id, history, 10, &total), 2);
	assert_int_equal(history[0].event, second);
	assert_int_equal(history[1].event, first);
	assert_string_equal(history[1].message, "HTTP 418");

	struct jobq_command again = {.verb = JOBQ_COMMAND_REDELIVER, .webhook.id = id, .event = first};
	assert_int_equal(command(&again, &event), 0);
	assert_int_equal(event, first);
	assert_int_equal(waiting(id), 1);
	assert_int_equal(jobq_table_deliveries(table, id, history, 10, &total), 1);
	assert_int_equal(command(&again, &event), -ENOENT);
}

static void gone_disables(void **state)
{
	uint64_t id = create("*"), event = ping(id);
	struct jobq_command ping_again = {.verb = JOBQ_COMMAND_PING, .webhook.id = id};
	(void)state;
	assert_true(jobq_table_wanted(table) != 0);
	settle(id, event, JOBQ_OUTCOME_GONE);
	assert_false(shown_webhook(id).enabled);
	assert_int_equal(jobq_table_wanted(table), 0);
	assert_int_equal(command(&ping_again, &event), -EPERM);
	submit("");
	write_all();
	assert_int_equal(waiting(id), 0);
}

static void too_many_that_wait_fail_at_once(void **state)
{
	struct jobq_delivery history[10];
	uint64_t id = create("*");
	size_t total;
	(void)state;
	conf.webhook_backlog = 2;
	for (int i = 0; i < 5; i++)
		submit("");
	write_all();
	assert_int_equal(waiting(id), 2);
	assert_int_equal(shown_webhook(id).failure_count, 3);
	assert_int_equal(jobq_table_deliveries(table, id, history, 10, &total), 3);
	assert_true(strstr(history[0].message, "webhook_backlog") != NULL);
}

/* ---- what a writer finds --------------------------------------------------- */

static void next_writer_goes_on(void **state)
{
	uint64_t id = create("*"), event = ping(id);
	struct super_outbox next = {.conf = &conf, .table = table};
	(void)state;
	settle(id, event, JOBQ_OUTCOME_DELIVERED);
	uint64_t handled = jobq_table_handled(table);
	assert_int_equal(jobq_table_post_event(table, JOBQ_EVENT_AUTH_FAILED, 0, "{}", 2, 0), 0);
	assert_int_equal(super_outbox_load(&next, store, false), 0);
	assert_int_equal(jobq_table_handled(table), handled);
	assert_int_equal(next.count, 1);
	assert_string_equal(next.hooks[0].webhook.secret, "secret");
	assert_int_equal(shown_webhook(id).delivery_count, 1);
	free_buffers();
	outbox = next;
	write_all();
	assert_string_equal(story_of(id), "auth.failed");
}

static void new_store_gets_the_webhooks_of_the_old(void **state)
{
	uint64_t kept = create("*");
	struct super_outbox next = {.conf = &conf, .table = table};
	struct jobq_buf why = {0};
	(void)state;
	for (int known = 1; known >= 0; known--) {
		jobq_store_close(store);
		assert_int_equal(jobq_store_open("memory:", JOBQ_STORE_WRITE, JOBQ_DURABILITY_FULL,
						 &store, &why), 0);
		struct super_outbox *writer = known == 1 ? &outbox : &next;
		assert_int_equal(super_outbox_load(writer, store, true), 0);
		assert_int_equal(writer->count, 1);
		assert_int_equal(writer->hooks[0].webhook.id, kept);
		/* One that this writer does not know the secret of must not go out unsigned. */
		assert_string_equal(writer->hooks[0].webhook.secret, known == 1 ? "secret" : "");
		assert_int_equal(shown_webhook(kept).enabled, known == 1);
		assert_int_equal(shown_webhook(kept).has_secret, known == 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_all, tear_down_all)
		TEST(each_change_is_told),
		TEST(what_the_writer_missed_is_told_in_order),
		TEST(cancelled_job_never_started),
		TEST(only_who_wants_it_is_told),
		TEST(limit_of_webhooks),
		TEST(update_keeps_the_secret_or_changes_it),
		TEST(ping_goes_to_the_one),
		TEST(outcomes_are_counted_and_shown),
		TEST(gone_disables),
		TEST(too_many_that_wait_fail_at_once),
		TEST(next_writer_goes_on),
		TEST(new_store_gets_the_webhooks_of_the_old),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
