/* What every store must do for webhooks: the same tests for each backend. */
#include "config.h"

#include <inttypes.h>
#include <sqlite3.h>

#include "fixture.h"
#include "jobq/store_hooks.h"

#define ALL (JOBQ_EVENT_BIT(JOBQ_EVENT_KINDS) - 1)

static struct jobq_store *store;
static const char *place; /* of the store in a file; NULL: it is in memory */

/* *state: the place, or NULL for a file in a directory of the test's own. */
static int set_up(void **state)
{
	if (fixture_make("/tmp") < 0)
		return -1;
	place = *state == NULL ? fixture_path("store.db") : NULL;
	store = open_store(place != NULL ? place : *state, JOBQ_STORE_WRITE);
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

/* Closes and opens a store that lasts. */
static void reopen(enum jobq_store_mode mode)
{
	if (place == NULL)
		return;
	jobq_store_close(store);
	place = fixture_path("store.db");
	store = open_store(place, mode);
}

/* ---- webhooks --------------------------------------------------------------- */

static struct jobq_webhook a_webhook(const char *url)
{
	struct jobq_webhook webhook = {
		.created = SOME_DAY,
		.kinds = JOBQ_EVENT_BIT(JOBQ_EVENT_JOB_FAILED) | JOBQ_EVENT_BIT(JOBQ_EVENT_PING),
		.enabled = true,
		.has_secret = true,
		.events = "[\"job.failed\", \"ping\"]",
		.secret = "s3cret",
	};

	snprintf(webhook.url, sizeof(webhook.url), "%s", url);
	return webhook;
}

/* Those that ought to be there, by rising id. */
struct list {
	struct jobq_webhook webhooks[8];
	size_t count;
	size_t seen;
	bool wrong;
};
static struct list list;

static int look_at_webhook(void *arg, const struct jobq_webhook *webhook)
{
	struct list *look = arg;
	const struct jobq_webhook *put = &look->webhooks[look->seen++];

	look->wrong = look->wrong || look->seen > look->count || webhook->id != put->id ||
		      webhook->created != put->created || webhook->kinds != put->kinds ||
		      webhook->enabled != put->enabled || webhook->has_secret != put->has_secret ||
		      webhook->delivery_count != put->delivery_count ||
		      webhook->failure_count != put->failure_count ||
		      webhook->last_delivery != put->last_delivery ||
		      strcmp(webhook->url, put->url) != 0 ||
		      strcmp(webhook->events, put->events) != 0 ||
		      strcmp(webhook->secret, put->secret) != 0;
	return look->wrong ? -EBADMSG : 0;
}

static void assert_webhooks(struct jobq_store *in)
{
	list.seen = 0;
	list.wrong = false;
	assert_int_equal(jobq_store_each_webhook(in, look_at_webhook, &list), 0);
	assert_int_equal(list.seen, list.count);
}

static uint64_t put_webhook(struct jobq_webhook webhook)
{
	begin();
	assert_int_equal(jobq_store_put_webhook(store, &webhook), 0);
	commit();
	return webhook.id;
}

static void keep_webhook(struct jobq_webhook webhook)
{
	webhook.id = put_webhook(webhook);
	list.webhooks[list.count++] = webhook;
	assert_webhooks(store);
}

static void webhooks_come_back(void **state)
{
	struct jobq_webhook longest = a_webhook(""), plain = a_webhook("https://example.org/");
	(void)state;
	list.count = 0;
	assert_webhooks(store);
	keep_webhook(a_webhook("http://it's \"quoted\"; DROP TABLE webhooks; --"));
	memset(longest.url, 'u', JOBQ_WEBHOOK_URL_MAX);
	memset(longest.secret, 's', JOBQ_WEBHOOK_SECRET_MAX);
	memset(longest.events, ' ', JOBQ_WEBHOOK_EVENTS_MAX);
	memcpy(longest.events, "[\"job.*\",\"*\"", 12);
	longest.events[JOBQ_WEBHOOK_EVENTS_MAX - 1] = ']';
	longest.kinds = ALL;
	longest.delivery_count = longest.failure_count = INT64_MAX;
	longest.created = longest.last_delivery = INT64_MAX;
	keep_webhook(longest);
	plain.secret[0] = '\0';
	plain.has_secret = plain.enabled = false;
	snprintf(plain.events, sizeof(plain.events), "[]");
	plain.kinds = 0;
	keep_webhook(plain);
	for (size_t i = 0; i < list.count; i++)
		assert_int_equal(list.webhooks[i].id, i + 1);
	reopen(JOBQ_STORE_READ);
	assert_webhooks(store);
}

static void put_again_changes_all(void **state)
{
	(void)state;
	list.count = 0;
	keep_webhook(a_webhook("http://one"));
	keep_webhook(a_webhook("http://two"));
	struct jobq_webhook *first = &list.webhooks[0];
	*first = a_webhook("http://three");
	first->id = 1;
	first->created++;
	first->enabled = first->has_secret = false;
	first->delivery_count = 7;
	first->failure_count = 8;
	first->last_delivery = SOME_DAY + 9;
	first->secret[0] = '\0';
	snprintf(first->events, sizeof(first->events), "[\"scene.*\"]");
	first->kinds = jobq_event_pattern("scene.*", 7);
	put_webhook(*first);
	assert_webhooks(store);
	/* One with an id that is not there is inserted: a new store is filled so. */
	struct jobq_webhook filled = a_webhook("http://filled");
	filled.id = 40;
	keep_webhook(filled);
	keep_webhook(a_webhook("http://later"));
	assert_int_equal(list.webhooks[3].id, 41);
	reopen(JOBQ_STORE_WRITE);
	assert_webhooks(store);
}

static void senseless_webhooks_are_refused(void **state)
{
	static const char *const events[] = {"", "{}", "[1]", "[\"job\"]", "[\"job.failed\",\"x\"]",
					     "[\"*\"", "\"*\""};
	struct jobq_webhook webhook = a_webhook("http://x");
	(void)state;
	list.count = 0;
	begin();
	for (size_t i = 0; i < JOBQ_LENGTH(events); i++) {
		snprintf(webhook.events, sizeof(webhook.events), "%s", events[i]);
		assert_int_equal(jobq_store_put_webhook(store, &webhook), -EINVAL);
	}
	webhook = a_webhook("http://x");
	webhook.secret[0] = '\0'; /* it has one, but it is not there: it would be lost */
	assert_int_equal(jobq_store_put_webhook(store, &webhook), -EINVAL);
	webhook = a_webhook("http://x");
	memset(webhook.url, 'x', sizeof(webhook.url)); /* with no end */
	assert_int_equal(jobq_store_put_webhook(store, &webhook), -EINVAL);
	commit();
	assert_webhooks(store);
}

static int remove_webhook(uint64_t id)
{
	begin();
	int rc = jobq_store_remove_webhook(store, id);
	commit();
	return rc;
}

static void ids_are_never_given_again(void **state)
{
	(void)state;
	for (uint64_t id = 1; id <= 3; id++)
		assert_int_equal(put_webhook(a_webhook("http://x")), id);
	assert_int_equal(remove_webhook(3), 0);
	assert_int_equal(remove_webhook(3), -ENOENT);
	assert_int_equal(remove_webhook(99), -ENOENT);
	assert_int_equal(put_webhook(a_webhook("http://x")), 4);
	for (uint64_t id = 1; id <= 4; id++)
		assert_int_equal(remove_webhook(id), id == 3 ? -ENOENT : 0);
	reopen(JOBQ_STORE_WRITE);
	list.count = 0;
	assert_webhooks(store);
	assert_int_equal(put_webhook(a_webhook("http://x")), 5);
}

/* ---- events and what waits -------------------------------------------------- */

/* Adds an event to the open transaction; its seq. */
static uint64_t add(enum jobq_event_kind kind, struct jobq_text data, uint64_t first, size_t count)
{
	struct jobq_event event = {.kind = kind, .job = 70, .at = SOME_DAY, .data = data};
	uint64_t webhooks[8];

	for (size_t i = 0; i < count; i++)
		webhooks[i] = first + i;
	assert_int_equal(jobq_store_add_event(store, &event, webhooks, count), 0);
	return event.seq;
}

static uint64_t add_ping(uint64_t first, size_t count)
{
	return add(JOBQ_EVENT_PING, text_of("{}"), first, count);
}

/* What is given of them, one after the other, such as `event:attempts:due `. */
struct heard {
	char text[1024];
	size_t len;
	size_t stop; /* at this length or more, with 7 */
};

static int hear_pending(void *arg, const struct jobq_pending *pending)
{
	struct heard *heard = arg;

	heard->len += (size_t)snprintf(heard->text + heard->len, sizeof(heard->text) - heard->len,
				       "%" PRIu64 ":%u:%" PRIi64 " ", pending->event,
				       pending->attempts, pending->due);
	assert_int_equal(pending->kind, JOBQ_EVENT_PING);
	assert_int_equal(pending->job, 70);
	return heard->stop > 0 && heard->len >= heard->stop ? 7 : 0;
}

static void assert_pending(struct jobq_store *in, uint64_t webhook, uint64_t after, size_t most,
			   const char *expected)
{
	struct heard heard = {0};

	assert_int_equal(jobq_store_each_pending(in, webhook, after, most, hear_pending, &heard),
			 0);
	assert_string_equal(heard.text, expected);
}

static void assert_count(uint64_t webhook, uint64_t expected)
{
	uint64_t count = 99;

	assert_int_equal(jobq_store_count_pending(store, webhook, &count), 0);
	assert_int_equal(count, expected);
}

static bool event_is_there(uint64_t seq)
{
	struct jobq_buf bytes = {0};
	struct jobq_event event;
	int rc = jobq_store_event(store, seq, &event, &bytes);

	assert_true(rc == 0 || rc == -ENOENT);
	jobq_buf_free(&bytes);
	return rc == 0;
}

static void events_come_back(void **state)
{
	const struct jobq_text texts[] = {
		text_of("{\"quotes\":\"it's \\\"\"}"), text_of(""), text_of("{}"),
		long_text(1 << 20), long_text(JOBQ_EVENT_RESULT_MAX),
	};
	struct jobq_buf bytes = {0};
	struct jobq_event event;
	(void)state;
	begin();
	for (unsigned kind = 0; kind < JOBQ_EVENT_KINDS; kind++)
		assert_int_equal(add((enum jobq_event_kind)kind,
				     texts[kind % JOBQ_LENGTH(texts)], 1, 1 + kind % 3), kind + 1);
	commit();
	reopen(JOBQ_STORE_READ);
	jobq_buf_adds(&bytes, "what was there before");
	for (unsigned kind = 0; kind < JOBQ_EVENT_KINDS; kind++) {
		assert_int_equal(jobq_store_event(store, kind + 1, &event, &bytes), 0);
		assert_int_equal(event.seq, kind + 1);
		assert_int_equal(event.kind, kind);
		assert_int_equal(event.job, 70);
		assert_true(event.at == SOME_DAY);
		assert_true(same_text(&event.data, &texts[kind % JOBQ_LENGTH(texts)]));
	}
	assert_int_equal(jobq_store_event(store, 99, &event, &bytes), -ENOENT);
	jobq_buf_free(&bytes);
}

static void deliveries_wait_in_order(void **state)
{
	struct heard heard = {.stop = 8};
	(void)state;
	begin();
	add_ping(1, 2); /* for 1 and 2 */
	add_ping(2, 2); /* for 2 and 3 */
	add_ping(2, 1);
	commit();
	assert_pending(store, 1, 0, 10, "1:0:0 ");
	assert_pending(store, 2, 0, 10, "1:0:0 2:0:0 3:0:0 ");
	assert_pending(store, 2, 0, SIZE_MAX, "1:0:0 2:0:0 3:0:0 ");
	assert_pending(store, 2, 0, 2, "1:0:0 2:0:0 ");
	assert_pending(store, 2, 0, 0, "");
	assert_pending(store, 2, 1, 1, "2:0:0 ");
	assert_pending(store, 2, 3, 10, "");
	assert_pending(store, 9, 0, 10, "");
	assert_int_equal(jobq_store_each_pending(store, 2, 0, 10, hear_pending, &heard), 7);
	assert_string_equal(heard.text, "1:0:0 2:0:0 ");
	assert_count(1, 1);
	assert_count(2, 3);
	assert_count(9, 0);
	/* What the open transaction has done is seen within it. */
	begin();
	add_ping(1, 1);
	assert_pending(store, 1, 0, 10, "1:0:0 4:0:0 ");
	jobq_store_rollback(store);
	assert_pending(store, 1, 0, 10, "1:0:0 ");
}

static void an_event_for_nobody_is_refused(void **state)
{
	struct jobq_event event = {.kind = JOBQ_EVENT_PING, .data = text_of("{}")};
	uint64_t webhook = 1;
	(void)state;
	begin();
	assert_int_equal(jobq_store_add_event(store, &event, NULL, 0), -EINVAL);
	event.kind = JOBQ_EVENT_KINDS;
	assert_int_equal(jobq_store_add_event(store, &event, &webhook, 1), -EINVAL);
	commit();
	assert_false(event_is_there(1));
}

/* ---- what became of them ---------------------------------------------------- */

/* Settles in the open transaction. */
static int settle(uint64_t webhook, uint64_t event, enum jobq_outcome_verdict verdict)
{
	enum jobq_event_kind kind = JOBQ_EVENT_KINDS;
	struct jobq_outcome outcome = {
		.webhook = webhook,
		.event = event,
		.verdict = verdict,
		.attempts = 1 + (unsigned)verdict,
		.at = SOME_DAY + (int64_t)event,
		.due = SOME_DAY - (int64_t)event,
		.payload_size = 100 + (uint32_t)event,
		.message = "it's \"fine\"",
	};
	int rc = jobq_store_settle(store, &outcome, &kind);

	if (rc == 0)
		assert_int_equal(kind, JOBQ_EVENT_PING);
	return rc;
}

static int hear_end(void *arg, const struct jobq_delivery *end)
{
	struct heard *heard = arg;

	heard->len += (size_t)snprintf(heard->text + heard->len, sizeof(heard->text) - heard->len,
				       "%" PRIu64 ":%u:%s ", end->event, end->attempts,
				       end->success ? "good" : "bad");
	assert_int_equal(end->kind, JOBQ_EVENT_PING);
	assert_true(end->at == SOME_DAY + (int64_t)end->event);
	assert_int_equal(end->payload_size, 100 + end->event);
	assert_string_equal(end->message, "it's \"fine\"");
	return heard->stop > 0 && heard->len >= heard->stop ? 7 : 0;
}

static void assert_history(struct jobq_store *in, uint64_t webhook, const char *expected)
{
	struct heard heard = {0};

	assert_int_equal(jobq_store_each_delivery(in, webhook, hear_end, &heard), 0);
	assert_string_equal(heard.text, expected);
}

static void settled_is_waiting_or_history(void **state)
{
	struct heard heard = {.stop = 1};
	(void)state;
	begin();
	for (int i = 0; i < 5; i++)
		add_ping(1, 2);
	commit();
	begin();
	assert_int_equal(settle(1, 4, JOBQ_OUTCOME_DELIVERED), 0);
	assert_int_equal(settle(1, 2, JOBQ_OUTCOME_RETRY), 0);
	assert_int_equal(settle(1, 3, JOBQ_OUTCOME_GONE), 0);
	assert_int_equal(settle(1, 1, JOBQ_OUTCOME_FAILED), 0);
	commit();
	char waiting[64];
	snprintf(waiting, sizeof(waiting), "2:2:%" PRIi64 " 5:0:0 ", SOME_DAY - 2);
	for (int mode = JOBQ_STORE_READ; mode <= JOBQ_STORE_WRITE; mode++) {
		assert_pending(store, 1, 0, 10, waiting);
		assert_history(store, 1, "4:1:good 3:4:bad 1:3:bad ");
		assert_history(store, 2, "");
		assert_count(1, 2);
		assert_count(2, 5);
		reopen((enum jobq_store_mode)mode);
	}
	assert_int_equal(jobq_store_each_delivery(store, 1, hear_end, &heard), 7);
	assert_string_equal(heard.text, "4:1:good ");

	begin(); /* ended, not there, of another */
	assert_int_equal(settle(1, 4, JOBQ_OUTCOME_DELIVERED), -ENOENT);
	assert_int_equal(settle(1, 4, JOBQ_OUTCOME_RETRY), -ENOENT);
	assert_int_equal(settle(1, 99, JOBQ_OUTCOME_FAILED), -ENOENT);
	assert_int_equal(settle(99, 1, JOBQ_OUTCOME_RETRY), -ENOENT);
	assert_int_equal(settle(1, 2, JOBQ_OUTCOME_DELIVERED), 0);
	commit();
	assert_history(store, 1, "4:1:good 3:4:bad 1:3:bad 2:1:good ");
	assert_pending(store, 1, 0, 10, "5:0:0 ");
}

static int only_numbers(void *arg, const struct jobq_delivery *end)
{
	struct heard *heard = arg;

	if (heard->len == 0)
		heard->stop = end->event;
	heard->len++;
	return 0;
}

/* The history has `count` ended deliveries, of which the oldest is of event `first`. */
static void assert_span(uint64_t webhook, size_t count, uint64_t first)
{
	struct heard heard = {0};

	assert_int_equal(jobq_store_each_delivery(store, webhook, only_numbers, &heard), 0);
	assert_int_equal(heard.len, count);
	assert_int_equal(heard.stop, first);
}

static void history_has_an_end(void **state)
{
	const uint64_t most = JOBQ_WEBHOOK_HISTORY;
	(void)state;
	begin();
	for (uint64_t i = 1; i <= most + 5; i++)
		assert_int_equal(add_ping(1, i == 2 ? 2 : 1), i); /* the second is for 2 as well */
	for (uint64_t i = 1; i <= most; i++)
		assert_int_equal(settle(1, i, JOBQ_OUTCOME_DELIVERED), 0);
	commit();
	assert_span(1, most, 1);
	begin();
	assert_int_equal(settle(1, most + 1, JOBQ_OUTCOME_RETRY), 0);
	assert_true(event_is_there(1));
	assert_int_equal(settle(1, most + 1, JOBQ_OUTCOME_FAILED), 0);
	assert_false(event_is_there(1)); /* nobody else has it */
	assert_int_equal(settle(1, most + 2, JOBQ_OUTCOME_FAILED), 0);
	assert_true(event_is_there(2)); /* it waits for the other */
	assert_int_equal(settle(2, 2, JOBQ_OUTCOME_DELIVERED), 0);
	commit();
	assert_span(1, most, 3);
	assert_span(2, 1, 2);
	assert_true(event_is_there(2)); /* the other's history has it */

	/* One that is taken out of the middle leaves room for one more. */
	begin();
	assert_int_equal(jobq_store_redeliver(store, 1, 50), 0);
	assert_span(1, most - 1, 3);
	assert_int_equal(settle(1, most + 3, JOBQ_OUTCOME_FAILED), 0);
	assert_span(1, most, 3);
	assert_int_equal(settle(1, 50, JOBQ_OUTCOME_DELIVERED), 0);
	commit();
	assert_span(1, most, 4);
	assert_false(event_is_there(3));
	assert_true(event_is_there(50));
	assert_count(1, 2);
}

static void redelivered_waits_anew(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 4; i++)
		add_ping(1, 1);
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(settle(1, i, JOBQ_OUTCOME_FAILED), 0);
	assert_int_equal(settle(1, 4, JOBQ_OUTCOME_RETRY), 0);
	commit();
	begin();
	assert_int_equal(jobq_store_redeliver(store, 1, 2), 0);
	assert_int_equal(jobq_store_redeliver(store, 1, 2), -ENOENT);
	assert_int_equal(jobq_store_redeliver(store, 1, 4), -ENOENT); /* it waits already */
	assert_int_equal(jobq_store_redeliver(store, 1, 99), -ENOENT);
	assert_int_equal(jobq_store_redeliver(store, 2, 1), -ENOENT);
	commit();
	assert_pending(store, 1, 0, 1, "2:0:0 ");
	assert_history(store, 1, "1:3:bad 3:3:bad ");
	begin();
	assert_int_equal(settle(1, 2, JOBQ_OUTCOME_DELIVERED), 0);
	commit();
	assert_history(store, 1, "1:3:bad 3:3:bad 2:1:good ");
}

static void removed_webhook_leaves_nothing(void **state)
{
	(void)state;
	for (uint64_t id = 1; id <= 2; id++)
		put_webhook(a_webhook("http://x"));
	begin();
	for (uint64_t i = 1; i <= 2500; i++)
		add_ping(1, i % 100 == 0 ? 2 : 1);
	assert_int_equal(settle(1, 1, JOBQ_OUTCOME_DELIVERED), 0);
	assert_int_equal(settle(1, 200, JOBQ_OUTCOME_DELIVERED), 0);
	assert_int_equal(settle(2, 300, JOBQ_OUTCOME_DELIVERED), 0);
	commit();
	assert_int_equal(remove_webhook(1), 0);
	assert_count(1, 0);
	assert_count(2, 24);
	assert_history(store, 1, "");
	assert_history(store, 2, "300:1:good ");
	for (uint64_t i = 1; i <= 2500; i++)
		assert_true(event_is_there(i) == (i % 100 == 0));
	assert_int_equal(remove_webhook(2), 0);
	for (uint64_t i = 1; i <= 2500; i++)
		assert_false(event_is_there(i));
	reopen(JOBQ_STORE_WRITE);
	begin();
	assert_int_equal(add_ping(3, 1), 2501); /* no number is given again */
	commit();
}

/* ---- all of it -------------------------------------------------------------- */

static void messages_come_back(void **state)
{
	static const uint64_t positions[] = {0, 1, UINT32_MAX, INT64_MAX, UINT64_MAX, 5};
	uint32_t generation = 9;
	uint64_t position = 9;
	(void)state;
	assert_int_equal(jobq_store_messages(store, &generation, &position), 0);
	assert_int_equal(generation, 0);
	assert_int_equal(position, 0);
	for (size_t i = 0; i < JOBQ_LENGTH(positions); i++) {
		begin();
		assert_int_equal(jobq_store_set_messages(store, (uint32_t)positions[i],
							 positions[i]), 0);
		commit();
		assert_int_equal(jobq_store_messages(store, &generation, &position), 0);
		assert_int_equal(generation, (uint32_t)positions[i]);
		assert_true(position == positions[i]);
	}
	reopen(JOBQ_STORE_READ);
	assert_int_equal(jobq_store_messages(store, &generation, &position), 0);
	assert_int_equal(position, 5);
}

static void status_is_what_was_put(void **state)
{
	struct jobq_entry jobs[] = {queued_job(1), running_job(2), completed_job(INT64_MAX)};
	enum jobq_job_status status;
	uint32_t attempt;
	unsigned progress;
	(void)state;
	jobs[1].progress = 42;
	jobs[1].attempt = UINT32_MAX;
	begin();
	for (size_t i = 0; i < JOBQ_LENGTH(jobs); i++)
		assert_int_equal(jobq_store_put(store, &jobs[i]), 0);
	commit();
	for (size_t i = 0; i < JOBQ_LENGTH(jobs); i++) {
		assert_int_equal(jobq_store_status(store, jobs[i].id, &status, &attempt,
						   &progress), 0);
		assert_int_equal(status, jobs[i].status);
		assert_int_equal(attempt, jobs[i].attempt);
		assert_int_equal(progress, jobs[i].progress);
	}
	assert_int_equal(jobq_store_status(store, 3, &status, &attempt, &progress), -ENOENT);
	begin();
	assert_int_equal(jobq_store_remove(store, 1), 0);
	assert_int_equal(jobq_store_status(store, 1, &status, &attempt, &progress), -ENOENT);
	jobq_store_rollback(store);
	assert_int_equal(jobq_store_status(store, 1, &status, &attempt, &progress), 0);
}

/* Two webhooks, of which the first has something of everything. */
static void fill(void)
{
	list.count = 0;
	keep_webhook(a_webhook("http://one"));
	keep_webhook(a_webhook("http://two"));
	begin();
	for (int i = 0; i < 3; i++)
		add_ping(1, 2);
	assert_int_equal(settle(1, 2, JOBQ_OUTCOME_DELIVERED), 0);
	assert_int_equal(jobq_store_set_messages(store, 3, 4), 0);
	commit();
}

static void assert_filled(struct jobq_store *in)
{
	uint32_t generation;
	uint64_t position;

	assert_webhooks(in);
	assert_pending(in, 1, 0, 10, "1:0:0 3:0:0 ");
	assert_pending(in, 2, 0, 10, "1:0:0 2:0:0 3:0:0 ");
	assert_history(in, 1, "2:1:good ");
	assert_int_equal(jobq_store_messages(in, &generation, &position), 0);
	assert_int_equal(generation, 3);
	assert_int_equal(position, 4);
}

static void rollback_undoes_all(void **state)
{
	struct jobq_webhook draft = a_webhook("http://draft"), changed = a_webhook("http://changed");
	(void)state;
	fill();
	begin();
	changed.id = 2;
	assert_int_equal(jobq_store_put_webhook(store, &draft), 0);
	assert_int_equal(jobq_store_put_webhook(store, &changed), 0);
	assert_int_equal(add_ping(1, 2), 4);
	assert_int_equal(settle(1, 3, JOBQ_OUTCOME_RETRY), 0);
	assert_int_equal(settle(1, 1, JOBQ_OUTCOME_FAILED), 0);
	assert_int_equal(jobq_store_redeliver(store, 1, 2), 0);
	assert_int_equal(jobq_store_remove_webhook(store, 1), 0);
	assert_int_equal(jobq_store_set_messages(store, 5, 6), 0);
	jobq_store_rollback(store);
	assert_filled(store);
	assert_false(event_is_there(4));
	reopen(JOBQ_STORE_READ);
	assert_filled(store);
}

static void readers_and_copies_have_it_all(void **state)
{
	(void)state;
	fill();
	struct jobq_store *reader = open_store(place, JOBQ_STORE_READ);
	begin();
	add_ping(1, 2);
	assert_int_equal(jobq_store_remove_webhook(store, 2), 0);
	assert_filled(reader); /* while the writer is in the middle of it */
	assert_int_equal(jobq_store_backup(reader, fixture_path("copy.db")), 0);
	commit();
	assert_pending(reader, 1, 3, 10, "4:0:0 ");
	assert_pending(reader, 2, 0, 10, "");
	jobq_store_close(reader);
	for (int mode = JOBQ_STORE_READ; mode <= JOBQ_STORE_WRITE; mode++) {
		struct jobq_store *copy = open_store(fixture_path("copy.db"),
						     (enum jobq_store_mode)mode);
		assert_filled(copy);
		jobq_store_close(copy);
	}
}

/* ---- damage ----------------------------------------------------------------- */

/* What reading everything ends with: the first error. */
static int read_all(void)
{
	struct heard heard = {0};
	struct jobq_buf bytes = {0};
	struct jobq_event event;
	enum jobq_job_status status;
	uint32_t number;
	uint64_t count;
	unsigned progress;
	int rc = jobq_store_each_webhook(store, look_at_webhook, &list);

	if (rc == 0)
		rc = jobq_store_each_delivery(store, 1, only_numbers, &heard);
	if (rc == 0)
		rc = jobq_store_messages(store, &number, &count);
	if (rc == 0)
		rc = jobq_store_status(store, 1, &status, &number, &progress);
	heard = (struct heard){.len = 0};
	if (rc == 0)
		rc = jobq_store_event(store, 1, &event, &bytes);
	jobq_buf_free(&bytes);
	return rc == 0 ? jobq_store_each_pending(store, 1, 0, 10, hear_pending, &heard) : rc;
}

static void damage_is_noticed(void **state)
{
	static const char *const damages[] = {
		"UPDATE webhooks SET url = 'http://elsewhere' WHERE id = 1",
		"UPDATE webhooks SET url = url || char(0) WHERE id = 1",
		"UPDATE webhooks SET url = url || hex(zeroblob(2000)) WHERE id = 1",
		"UPDATE webhooks SET secret = hex(zeroblob(200)) WHERE id = 1",
		"UPDATE webhooks SET events = '[\"no.such\"]' WHERE id = 1",
		"UPDATE webhooks SET events = hex(zeroblob(300)) WHERE id = 1",
		"UPDATE webhooks SET enabled = 2 WHERE id = 1",
		"UPDATE webhooks SET id = 9 WHERE id = 2",
		"UPDATE webhooks SET failure_count = -1 WHERE id = 1",
		"UPDATE events SET kind = 'no.such' WHERE seq = 1",
		"UPDATE events SET kind = 'no.such' WHERE seq = 2",
		"UPDATE events SET data = '{ }' WHERE seq = 1",
		"UPDATE events SET job = 71 WHERE seq = 1",
		"UPDATE events SET at = 0 WHERE seq = 1",
		"DELETE FROM events WHERE seq = 1; UPDATE events SET seq = 1 WHERE seq = 2",
		"DELETE FROM events WHERE seq = 2",
		"DELETE FROM events WHERE seq = 3",
		"UPDATE deliveries SET attempts = -1 WHERE event = 1",
		"UPDATE deliveries SET attempts = 1 << 32 WHERE event = 2",
		"UPDATE deliveries SET success = 2 WHERE event = 2",
		"UPDATE deliveries SET payload_size = -1 WHERE event = 2",
		"UPDATE deliveries SET message = hex(zeroblob(48)) WHERE event = 2",
		"UPDATE meta SET value = value + 1 WHERE name = 'messages_position'",
		"UPDATE meta SET value = 1 << 32 WHERE name = 'messages_generation'",
		"DELETE FROM meta WHERE name = 'messages_sum'",
		"UPDATE jobs SET status = 'no.such'",
		"UPDATE jobs SET progress = 101",
	};
	struct jobq_entry job = queued_job(1);
	sqlite3 *db;
	(void)state;
	fill();
	begin();
	assert_int_equal(jobq_store_put(store, &job), 0);
	commit();
	jobq_store_close(store);
	struct jobq_buf bytes = fixture_read(place);
	for (size_t i = 0; i < JOBQ_LENGTH(damages); i++) {
		const char *path = fixture_path("damaged.db");
		assert_true(fixture_write(path, bytes.data, bytes.len));
		assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, damages[i], NULL, NULL, NULL), SQLITE_OK);
		assert_true(sqlite3_changes(db) > 0);
		assert_int_equal(sqlite3_close(db), SQLITE_OK);
		store = open_store(path, JOBQ_STORE_WRITE);
		list.seen = 0;
		list.wrong = false;
		int rc = read_all();
		if (rc != -EUCLEAN)
			fail_msg("after %s: %d", damages[i], rc);
		jobq_store_close(store);
	}
	jobq_buf_free(&bytes);
	store = open_store(fixture_path("store.db"), JOBQ_STORE_WRITE);
	list.seen = 0;
	assert_int_equal(read_all(), 0);
}

static char memory[] = "memory:";

#define FILE_TEST(f) {"file, " #f, f, set_up, tear_down, NULL}
#define TEST(f) {"memory, " #f, f, set_up, tear_down, memory}, FILE_TEST(f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(webhooks_come_back),
		TEST(put_again_changes_all),
		TEST(senseless_webhooks_are_refused),
		TEST(ids_are_never_given_again),
		TEST(events_come_back),
		TEST(deliveries_wait_in_order),
		TEST(an_event_for_nobody_is_refused),
		TEST(settled_is_waiting_or_history),
		TEST(history_has_an_end),
		TEST(redelivered_waits_anew),
		TEST(removed_webhook_leaves_nothing),
		TEST(messages_come_back),
		TEST(status_is_what_was_put),
		TEST(rollback_undoes_all),
		FILE_TEST(readers_and_copies_have_it_all),
		FILE_TEST(damage_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
