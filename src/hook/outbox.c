#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hook/hook.h"

#define RETRY INT64_C(1000000)	 /* between two tries while the store cannot be read */
#define LOOK INT64_C(60000000)	 /* all is looked at anew after so long, whoever rings or not */
#define HANDLED_LOOK INT64_C(50000) /* while a window is full of what the writer has yet to store */

static struct hook_receiver *find(const struct hook_outbox *outbox, uint64_t webhook)
{
	for (size_t i = 0; i < outbox->count; i++)
		if (outbox->receivers[i]->webhook.id == webhook)
			return outbox->receivers[i];
	return NULL;
}

static void free_receiver(struct hook_receiver *receiver)
{
	hook_window_free(&receiver->window);
	explicit_bzero(&receiver->webhook, sizeof(receiver->webhook));
	free(receiver);
}

void hook_outbox_free(struct hook_outbox *outbox)
{
	for (size_t i = 0; i < outbox->count; i++)
		free_receiver(outbox->receivers[i]);
	outbox->count = 0;
	jobq_store_close(outbox->store);
	outbox->store = NULL;
	jobq_buf_free(&outbox->bytes);
}

void hook_outbox_restart(struct hook_outbox *outbox)
{
	for (size_t i = 0; i < outbox->count; i++)
		hook_window_restart(&outbox->receivers[i]->window);
	outbox->anew = true;
}

/* ---- the store ------------------------------------------------------------ */

/* Notes how a try at the store ended. */
static void tried(struct hook_outbox *outbox, const struct jobq_conf *conf, int rc,
		  const char *detail)
{
	char quoted[512];

	if (rc == 0 && outbox->error != 0)
		jobq_log(JOBQ_LOG_INFO, "store_works_again", "store=\"%s\"", conf->store);
	if (rc < 0 && rc != -outbox->error)
		jobq_log(rc == -ENOENT ? JOBQ_LOG_INFO : JOBQ_LOG_ERROR, "store_not_read",
			 "store=\"%s\" msg=\"%s\" detail=\"%s\"", conf->store, strerror(-rc),
			 jobq_log_quote(quoted, sizeof(quoted), detail != NULL ? detail : ""));
	outbox->error = -rc;
}

static void fail(struct hook_outbox *outbox, const struct jobq_conf *conf, int rc)
{
	tried(outbox, conf, rc, jobq_store_error(outbox->store));
	jobq_store_close(outbox->store); /* the next try begins with a fresh look */
	outbox->store = NULL;
	outbox->anew = true;
	outbox->open_at = jobq_clock_mono() + RETRY;
}

static bool open_store(struct hook_outbox *outbox, const struct jobq_conf *conf)
{
	struct jobq_buf why = {0};

	if (outbox->store != NULL)
		return true;
	if (jobq_clock_mono() < outbox->open_at)
		return false;
	int rc = jobq_store_open(conf->store, JOBQ_STORE_READ, conf->durability, &outbox->store,
				 &why);
	if (rc < 0) {
		outbox->store = NULL;
		tried(outbox, conf, rc, why.data);
		outbox->open_at = jobq_clock_mono() + RETRY;
	}
	jobq_buf_free(&why);
	return rc == 0;
}

static void check_store(struct hook_outbox *outbox)
{
	if (outbox->store == NULL || jobq_store_current(outbox->store))
		return;
	jobq_store_close(outbox->store);
	outbox->store = NULL;
	outbox->open_at = 0;
	outbox->anew = true;
}

/* ---- webhooks ------------------------------------------------------------- */

static struct hook_receiver *add_receiver(struct hook_outbox *outbox)
{
	if (outbox->count == JOBQ_LENGTH(outbox->receivers))
		return NULL;
	struct hook_receiver *receiver = calloc(1, sizeof(*receiver));
	if (receiver != NULL && !hook_window_open(&receiver->window)) {
		free(receiver);
		receiver = NULL;
	}
	if (receiver != NULL)
		outbox->receivers[outbox->count++] = receiver;
	return receiver;
}

static int take_webhook(void *arg, const struct jobq_webhook *webhook)
{
	struct hook_outbox *outbox = arg;
	struct hook_receiver *receiver = find(outbox, webhook->id);

	if (receiver == NULL)
		receiver = add_receiver(outbox);
	if (receiver == NULL)
		return -ENOMEM;
	receiver->webhook = *webhook;
	receiver->listed = true;
	return 0;
}

/* Those that were removed go when their last request has ended. */
static void drop_removed(struct hook_outbox *outbox)
{
	size_t kept = 0;

	for (size_t i = 0; i < outbox->count; i++) {
		struct hook_receiver *receiver = outbox->receivers[i];
		if (receiver->listed || receiver->window.running > 0)
			outbox->receivers[kept++] = receiver;
		else
			free_receiver(receiver);
	}
	outbox->count = kept;
}

static int read_webhooks(struct hook_outbox *outbox)
{
	for (size_t i = 0; i < outbox->count; i++)
		outbox->receivers[i]->listed = false;
	int rc = jobq_store_each_webhook(outbox->store, take_webhook, outbox);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < outbox->count; i++) {
		struct hook_receiver *receiver = outbox->receivers[i];
		receiver->window.anew = true;
		receiver->next = 0;
		if (!receiver->listed || !receiver->webhook.enabled)
			hook_window_clear(&receiver->window);
	}
	drop_removed(outbox);
	return 0;
}

/* ---- what waits ----------------------------------------------------------- */

struct reading {
	struct hook_window *window;
	size_t count;
};

static int take_pending(void *arg, const struct jobq_pending *pending)
{
	struct reading *reading = arg;

	reading->count++;
	hook_window_offer(reading->window, pending);
	return 0;
}

static int read_window(struct hook_outbox *outbox, struct hook_receiver *receiver)
{
	struct reading reading = {.window = &receiver->window};
	uint64_t after;
	size_t most = hook_window_wants(&receiver->window, &after);

	if (most == 0)
		return 0;
	int rc = jobq_store_each_pending(outbox->store, receiver->webhook.id, after, most,
					 take_pending, &reading);
	hook_window_taken(&receiver->window, rc == 0 && reading.count < most);
	receiver->next = 0;
	return rc;
}

/* The outcome of something that has ended, for the window and for the writer. */
static void settle(struct hook_outbox *outbox, struct hook_receiver *receiver,
		   struct hook_entry *entry, const struct jobq_outcome *outcome)
{
	hook_window_ended(&receiver->window, entry, outcome);
	receiver->next = 0;
	if (receiver->listed)
		hook_post_add(&outbox->post, outcome);
}

/* Its event is nowhere: that is a delivery that cannot succeed. */
static void give_up(struct hook_outbox *outbox, struct hook_receiver *receiver,
		    struct hook_entry *entry, const char *message)
{
	struct jobq_outcome outcome = {
		.webhook = receiver->webhook.id,
		.event = entry->event,
		.verdict = JOBQ_OUTCOME_FAILED,
		.attempts = entry->attempts,
		.at = jobq_clock_wall(),
	};

	hook_judge_text(outcome.message, message);
	settle(outbox, receiver, entry, &outcome);
}

static int start(struct hook_outbox *outbox, struct hook_receiver *receiver,
		 struct hook_entry *entry, struct hook_sender *sender)
{
	struct jobq_event event;
	int rc = jobq_store_event(outbox->store, entry->event, &event, &outbox->bytes);

	if (rc == -ENOENT) {
		give_up(outbox, receiver, entry, "its event is not stored any more");
		return 0;
	}
	if (rc < 0)
		return rc;
	if (!hook_sender_start(sender, &receiver->webhook, &event, entry->attempts + 1)) {
		entry->due = receiver->next = jobq_clock_wall() + RETRY; /* out of memory */
		return 0;
	}
	entry->state = HOOK_RUNNING;
	receiver->window.running++;
	return 0;
}

static int turn_receiver(struct hook_outbox *outbox, struct hook_receiver *receiver,
			 struct hook_sender *sender)
{
	struct hook_window *window = &receiver->window;
	struct hook_entry *due[HOOK_AT_ONCE];
	int64_t now = jobq_clock_wall();
	int rc = read_window(outbox, receiver);

	if (rc < 0 || now < receiver->next)
		return rc;
	receiver->next = INT64_MAX; /* until one of those that run has ended */
	if (window->running >= HOOK_AT_ONCE)
		return 0;
	size_t count = hook_window_pick(window, now, due, HOOK_AT_ONCE - window->running,
					&receiver->next);
	if (window->more && window->count == HOOK_WINDOW && receiver->next > now + HANDLED_LOOK)
		receiver->next = now + HANDLED_LOOK;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = start(outbox, receiver, due[i], sender);
	return rc;
}

/* ---- the turn ------------------------------------------------------------- */

/* Notes who has rung. */
static void hear(struct hook_outbox *outbox, const struct jobq_table *table)
{
	uint32_t added = jobq_table_outbox_added(table);
	uint32_t changed = jobq_table_outbox_changed(table);
	int64_t now = jobq_clock_mono();

	if (added != outbox->added)
		for (size_t i = 0; i < outbox->count; i++)
			outbox->receivers[i]->window.more = true;
	if (changed != outbox->changed || now >= outbox->look_at) {
		outbox->anew = true;
		outbox->look_at = now + LOOK;
	}
	outbox->added = added;
	outbox->changed = changed;
}

int64_t hook_outbox_turn(struct hook_outbox *outbox, const struct jobq_conf *conf,
			 struct jobq_table *table, struct hook_sender *sender)
{
	int64_t next = INT64_MAX;
	uint64_t handled = jobq_table_handled(table);
	int rc = 0;

	hear(outbox, table);
	check_store(outbox);
	if (!open_store(outbox, conf))
		return jobq_clock_wall() + RETRY;
	if (outbox->anew)
		rc = read_webhooks(outbox);
	if (rc == 0)
		outbox->anew = false;
	if (outbox->post.count >= HOOK_OUTCOMES)
		return jobq_clock_wall() + HANDLED_LOOK;
	for (size_t i = 0; i < outbox->count && rc == 0; i++) {
		struct hook_receiver *receiver = outbox->receivers[i];
		hook_window_prune(&receiver->window, handled);
		if (!receiver->listed || !receiver->webhook.enabled)
			continue;
		rc = turn_receiver(outbox, receiver, sender);
		if (receiver->next < next)
			next = receiver->next;
	}
	if (rc < 0) {
		fail(outbox, conf, rc);
		return jobq_clock_wall() + RETRY;
	}
	tried(outbox, conf, 0, NULL);
	return next;
}

/* ---- what became of it ---------------------------------------------------- */

static void tell(const struct jobq_outcome *outcome)
{
	static const char *const names[] = {
		[JOBQ_OUTCOME_DELIVERED] = "delivered",
		[JOBQ_OUTCOME_RETRY] = "delivery_retried",
		[JOBQ_OUTCOME_FAILED] = "delivery_failed",
		[JOBQ_OUTCOME_GONE] = "webhook_gone",
	};
	static const enum jobq_log_level levels[] = {
		[JOBQ_OUTCOME_DELIVERED] = JOBQ_LOG_DEBUG,
		[JOBQ_OUTCOME_RETRY] = JOBQ_LOG_DEBUG,
		[JOBQ_OUTCOME_FAILED] = JOBQ_LOG_INFO,
		[JOBQ_OUTCOME_GONE] = JOBQ_LOG_WARNING,
	};
	char quoted[2 * JOBQ_DELIVERY_MESSAGE];

	jobq_log(levels[outcome->verdict], names[outcome->verdict],
		 "webhook=%llu event_seq=%llu attempt=%u msg=\"%s\"",
		 (unsigned long long)outcome->webhook, (unsigned long long)outcome->event,
		 outcome->attempts, jobq_log_quote(quoted, sizeof(quoted), outcome->message));
}

void hook_outbox_ended(struct hook_outbox *outbox, const struct hook_answer *answer)
{
	struct hook_receiver *receiver = find(outbox, answer->webhook);
	struct hook_entry *entry =
		receiver != NULL ? hook_window_find(&receiver->window, answer->event) : NULL;
	struct jobq_outcome outcome;

	if (entry == NULL)
		return;
	hook_judge(answer, entry->attempts + 1, jobq_clock_wall(), &outcome);
	tell(&outcome);
	settle(outbox, receiver, entry, &outcome);
	if (outcome.verdict == JOBQ_OUTCOME_GONE) {
		receiver->webhook.enabled = false; /* the writer's word will be the same */
		hook_window_clear(&receiver->window);
	}
}

void hook_outbox_post(struct hook_outbox *outbox, struct jobq_table *table, bool now)
{
	struct hook_post *post = &outbox->post;

	if (post->count == 0 || (!now && jobq_clock_mono() < post->since + HOOK_BATCH))
		return;
	size_t gone = hook_post_flush(post, table);
	uint64_t position = jobq_table_posted(table);
	for (size_t i = 0; i < gone; i++) {
		const struct jobq_outcome *outcome = &post->outcomes[i];
		struct hook_receiver *receiver = find(outbox, outcome->webhook);
		struct hook_entry *entry = receiver != NULL ? hook_window_find(&receiver->window,
									       outcome->event)
							    : NULL;
		if (entry != NULL && entry->state == HOOK_SETTLED)
			entry->posted = position;
	}
	hook_post_drop(post, gone);
}
