/* hook: what waits for a webhook, in which order it goes out, and what an answer means. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook/hook.h"

#define NOW (INT64_C(1764028800) * 1000000)
#define SECOND INT64_C(1000000)

static struct hook_window window;

static int set_up(void **state)
{
	(void)state;
	return hook_window_open(&window) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	hook_window_free(&window);
	return 0;
}

/* Reads events `from` to `to` as though they were all that waits; the job is event % jobs. */
static void read_some(uint64_t from, uint64_t to, uint64_t jobs)
{
	uint64_t after;
	size_t most = hook_window_wants(&window, &after), count = 0;

	assert_true(most > 0);
	for (uint64_t event = from; event <= to; event++) {
		struct jobq_pending pending = {
			.event = event, .job = jobs > 0 ? event % jobs + 1 : 0};
		if (event <= after || count == most)
			continue;
		hook_window_offer(&window, &pending);
		count++;
	}
	hook_window_taken(&window, count < most);
}

/* Starts what may start; returns how many, the first being `*first`. */
static size_t send_at(int64_t now, size_t max, uint64_t *first)
{
	struct hook_entry *out[HOOK_WINDOW];
	int64_t next;
	size_t count = hook_window_pick(&window, now, out, max, &next);

	for (size_t i = 0; i < count; i++) {
		out[i]->state = HOOK_RUNNING;
		window.running++;
	}
	if (first != NULL)
		*first = count > 0 ? out[0]->event : 0;
	return count;
}

static void end(uint64_t event, enum jobq_outcome_verdict verdict, int64_t due)
{
	struct hook_entry *entry = hook_window_find(&window, event);
	struct jobq_outcome outcome = {.event = event, .verdict = verdict, .due = due};

	assert_non_null(entry);
	outcome.attempts = entry->attempts + 1;
	hook_window_ended(&window, entry, &outcome);
}

static void settle(uint64_t event, uint64_t position)
{
	end(event, JOBQ_OUTCOME_DELIVERED, 0);
	hook_window_find(&window, event)->posted = position;
}

static void jobs_keep_their_order(void **state)
{
	uint64_t event;
	(void)state;
	read_some(1, 6, 2); /* 1 3 5 are of job 2, 2 4 6 of job 1 */
	assert_int_equal(send_at(NOW, 5, &event), 2);
	assert_int_equal(event, 1);
	assert_int_equal(send_at(NOW, 5, NULL), 0);
	end(1, JOBQ_OUTCOME_RETRY, NOW + SECOND);
	assert_int_equal(send_at(NOW, 5, NULL), 0);
	settle(2, 1);
	assert_int_equal(send_at(NOW, 5, &event), 1);
	assert_int_equal(event, 4);
	assert_int_equal(send_at(NOW + SECOND, 5, &event), 1);
	assert_int_equal(event, 1);
	end(1, JOBQ_OUTCOME_FAILED, 0);
	assert_int_equal(send_at(NOW, 5, &event), 1);
	assert_int_equal(event, 3);
	assert_int_equal(window.running, 2);
}

static void events_of_no_job_wait_for_nobody(void **state)
{
	uint64_t event;
	(void)state;
	read_some(1, 20, 0);
	assert_int_equal(send_at(NOW, 5, &event), 5);
	assert_int_equal(event, 1);
	assert_int_equal(send_at(NOW, 5, &event), 5);
	assert_int_equal(event, 6);
}

static void it_is_said_when_to_look_again(void **state)
{
	struct hook_entry *out[5];
	int64_t next;
	(void)state;
	read_some(1, 3, 3);
	send_at(NOW, 5, NULL);
	assert_int_equal(hook_window_pick(&window, NOW, out, 5, &next), 0);
	assert_true(next == INT64_MAX);
	end(1, JOBQ_OUTCOME_RETRY, NOW + 5 * SECOND);
	end(2, JOBQ_OUTCOME_RETRY, NOW + 2 * SECOND);
	assert_int_equal(hook_window_pick(&window, NOW, out, 5, &next), 0);
	assert_true(next == NOW + 2 * SECOND);
	/* A clock that was set back by a day holds up nothing. */
	assert_int_equal(hook_window_pick(&window, NOW - 86400 * SECOND, out, 5, &next), 2);
}

static void nothing_is_sent_twice_when_read_anew(void **state)
{
	(void)state;
	read_some(1, 4, 0);
	assert_int_equal(send_at(NOW, 2, NULL), 2);
	settle(1, 7);
	window.anew = true;
	read_some(1, 5, 0); /* the store does not know yet that 1 has ended */
	assert_int_equal(window.count, 5);
	assert_int_equal(send_at(NOW, 5, NULL), 3);
	hook_window_prune(&window, 6);
	assert_int_equal(window.count, 5);
	hook_window_prune(&window, 7);
	assert_null(hook_window_find(&window, 1));
	/* It may have been redelivered meanwhile: the store is looked at again. */
	assert_true(window.anew);
	read_some(2, 5, 0);
	assert_int_equal(window.count, 4);
	assert_int_equal(send_at(NOW, 5, NULL), 0);
}

static void what_the_store_has_lost_is_forgotten(void **state)
{
	(void)state;
	read_some(1, 5, 0);
	send_at(NOW, 1, NULL);
	window.anew = true;
	read_some(3, 4, 0);
	assert_non_null(hook_window_find(&window, 1)); /* it runs */
	assert_null(hook_window_find(&window, 2));
	assert_non_null(hook_window_find(&window, 3));
	assert_null(hook_window_find(&window, 5));
}

static void attempts_here_are_newer_than_the_stores(void **state)
{
	(void)state;
	read_some(1, 2, 0);
	send_at(NOW, 1, NULL);
	end(1, JOBQ_OUTCOME_RETRY, NOW + 5 * SECOND);
	window.anew = true;
	read_some(1, 2, 0);
	assert_int_equal(hook_window_find(&window, 1)->attempts, 1);
	assert_true(hook_window_find(&window, 1)->due == NOW + 5 * SECOND);
}

static void redelivered_events_come_before_others(void **state)
{
	uint64_t event;
	(void)state;
	read_some(500, 1600, 0);
	assert_int_equal(window.count, HOOK_WINDOW);
	assert_true(window.more);
	window.anew = true;
	read_some(1, 1600, 0);
	assert_int_equal(window.count, HOOK_WINDOW);
	assert_int_equal(send_at(NOW, 1, &event), 1);
	assert_int_equal(event, 1);
	assert_int_equal(window.last, 1000);
}

/* However many there are, all of them go out, once, in their order, in bounded memory. */
static void backlogs_pass_through(void **state)
{
	uint64_t event, expected = 1, after;
	(void)state;
	read_some(1, 20000, 0);
	while (expected <= 20000) {
		assert_int_equal(send_at(NOW, 1, &event), 1);
		assert_int_equal(event, expected);
		settle(event, expected);
		if (expected % 3 == 0)
			hook_window_prune(&window, expected);
		if (expected == 5000)
			window.anew = true;
		if (hook_window_wants(&window, &after) > 0)
			read_some(expected + 1, 20000, 0);
		assert_true(window.count <= HOOK_WINDOW);
		expected++;
	}
	assert_int_equal(send_at(NOW, 1, NULL), 0);
}

static void another_table_forgets_what_was_posted(void **state)
{
	(void)state;
	read_some(1, 4, 0);
	send_at(NOW, 3, NULL);
	settle(1, 9);
	end(2, JOBQ_OUTCOME_DELIVERED, 0); /* not posted yet */
	hook_window_restart(&window);
	read_some(1, 4, 0);
	assert_int_equal(hook_window_find(&window, 1)->state, HOOK_WAITING);
	assert_int_equal(hook_window_find(&window, 2)->state, HOOK_SETTLED);
	assert_int_equal(hook_window_find(&window, 3)->state, HOOK_RUNNING);
}

static void disabled_webhooks_keep_what_runs(void **state)
{
	(void)state;
	read_some(1, 4, 0);
	send_at(NOW, 1, NULL);
	hook_window_clear(&window);
	assert_int_equal(window.count, 1);
	assert_int_equal(window.running, 1);
	read_some(1, 4, 0);
	assert_int_equal(window.count, 4);
	assert_int_equal(send_at(NOW, 5, NULL), 3);
}

/* ---- judge ---------------------------------------------------------------- */

static struct jobq_outcome judged(long status, unsigned attempt, int64_t retry_after)
{
	struct hook_answer answer = {.status = status, .retry_after = retry_after,
				     .message = "HTTP"};
	struct jobq_outcome outcome;

	hook_judge(&answer, attempt, NOW, &outcome);
	assert_int_equal(outcome.attempts, attempt);
	assert_string_equal(outcome.message, "HTTP");
	return outcome;
}

static void answers_have_verdicts(void **state)
{
	static const long bad[] = {0, 100, 199, 300, 301, 302, 304, 400, 404, 409, 429, 500, 503, 999};
	(void)state;
	for (long status = 200; status < 300; status++)
		assert_int_equal(judged(status, 4, 0).verdict, JOBQ_OUTCOME_DELIVERED);
	for (size_t i = 0; i < JOBQ_LENGTH(bad); i++) {
		for (unsigned attempt = 1; attempt < 4; attempt++)
			assert_int_equal(judged(bad[i], attempt, 0).verdict, JOBQ_OUTCOME_RETRY);
		assert_int_equal(judged(bad[i], 4, 0).verdict, JOBQ_OUTCOME_FAILED);
	}
	assert_int_equal(judged(410, 1, 0).verdict, JOBQ_OUTCOME_GONE);
	assert_int_equal(judged(410, 4, 0).verdict, JOBQ_OUTCOME_GONE);
}

static void pauses_grow(void **state)
{
	(void)state;
	assert_true(judged(500, 1, 0).due == NOW + 1 * SECOND);
	assert_true(judged(500, 2, 0).due == NOW + 5 * SECOND);
	assert_true(judged(500, 3, 0).due == NOW + 15 * SECOND);
	assert_true(judged(503, 1, 7).due == NOW + 7 * SECOND);
	assert_true(judged(503, 3, 7).due == NOW + 15 * SECOND);
	assert_true(judged(429, 1, 86400).due == NOW + 3600 * SECOND);
	assert_true(judged(429, 1, INT64_MAX).due == NOW + 3600 * SECOND);
	assert_int_equal(judged(503, 4, 7).verdict, JOBQ_OUTCOME_FAILED);
}

static void messages_are_printable(void **state)
{
	char into[JOBQ_DELIVERY_MESSAGE], text[300];
	(void)state;
	hook_judge_text(into, "a\nb\x1b\xc3\xa4\x7f~");
	assert_string_equal(into, "a?b????~");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	hook_judge_text(into, text);
	assert_int_equal(strlen(into), sizeof(into) - 1);
}

#define WINDOW_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WINDOW_TEST(jobs_keep_their_order),
		WINDOW_TEST(events_of_no_job_wait_for_nobody),
		WINDOW_TEST(it_is_said_when_to_look_again),
		WINDOW_TEST(nothing_is_sent_twice_when_read_anew),
		WINDOW_TEST(what_the_store_has_lost_is_forgotten),
		WINDOW_TEST(attempts_here_are_newer_than_the_stores),
		WINDOW_TEST(redelivered_events_come_before_others),
		WINDOW_TEST(backlogs_pass_through),
		WINDOW_TEST(another_table_forgets_what_was_posted),
		WINDOW_TEST(disabled_webhooks_keep_what_runs),
		cmocka_unit_test(answers_have_verdicts),
		cmocka_unit_test(pauses_grow),
		cmocka_unit_test(messages_are_printable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
