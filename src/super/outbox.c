#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "jobq/table_counters.h"
#include "super/outbox.h"

#define JOB_EVENTS                                                                                 \
	(JOBQ_EVENT_BIT(JOBQ_EVENT_JOB_QUEUED) | JOBQ_EVENT_BIT(JOBQ_EVENT_JOB_STARTED) |          \
	 JOBQ_EVENT_BIT(JOBQ_EVENT_JOB_PROGRESS) | JOBQ_EVENT_BIT(JOBQ_EVENT_JOB_COMPLETED) |      \
	 JOBQ_EVENT_BIT(JOBQ_EVENT_JOB_FAILED) | JOBQ_EVENT_BIT(JOBQ_EVENT_JOB_CANCELLED))

static struct outbox_hook *find(struct super_outbox *outbox, uint64_t id)
{
	for (size_t i = 0; i < outbox->count; i++)
		if (outbox->hooks[i].webhook.id == id)
			return &outbox->hooks[i];
	return NULL;
}

void outbox_count_wanted(struct super_outbox *outbox)
{
	outbox->wanted = 0;
	for (size_t i = 0; i < outbox->count; i++)
		if (outbox->hooks[i].webhook.enabled)
			outbox->wanted |= outbox->hooks[i].webhook.kinds;
}

void outbox_begin(struct super_outbox *outbox)
{
	outbox->end_count = outbox->verdict_count = outbox->removed_count = 0;
	outbox->delivered = outbox->undelivered = outbox->retried = 0;
	outbox->added = outbox->changed = false;
	outbox->queue = -1;
}

/* ---- events --------------------------------------------------------------- */

/* A delivery of the open transaction has ended. */
static void ended(struct super_outbox *outbox, struct outbox_hook *hook,
		  const struct jobq_outcome *outcome, enum jobq_event_kind kind)
{
	struct jobq_webhook *webhook = &hook->webhook;
	bool success = outcome->verdict == JOBQ_OUTCOME_DELIVERED;

	hook->waiting -= hook->waiting > 0;
	hook->dirty = true;
	webhook->delivery_count += success;
	webhook->failure_count += !success;
	outbox->delivered += success;
	outbox->undelivered += !success;
	webhook->last_delivery = outcome->at;
	if (outcome->verdict == JOBQ_OUTCOME_GONE && webhook->enabled) {
		webhook->enabled = false;
		outbox->changed = true;
		outbox_count_wanted(outbox);
		jobq_log(JOBQ_LOG_WARNING, "webhook_disabled",
			 "webhook=%" PRIu64 " msg=\"its receiver answered 410 Gone\"", webhook->id);
	}
	if (outbox->end_count == OUTBOX_MESSAGES) {
		outbox->stale = true; /* the history is read anew */
		return;
	}
	struct outbox_end *end = &outbox->ends[outbox->end_count++];
	*end = (struct outbox_end){
		.webhook = webhook->id,
		.delivery =
			{
				.event = outcome->event,
				.kind = kind,
				.at = outcome->at,
				.success = success,
				.attempts = outcome->attempts,
				.payload_size = outcome->payload_size,
			},
	};
	memcpy(end->delivery.message, outcome->message, sizeof(end->delivery.message));
}

/* A webhook with too much before it learns of no more. */
static int overflow(struct super_outbox *outbox, struct outbox_hook *hook,
		    const struct jobq_event *event)
{
	struct jobq_outcome outcome = {
		.webhook = hook->webhook.id,
		.event = event->seq,
		.verdict = JOBQ_OUTCOME_FAILED,
		.at = jobq_clock_wall(),
	};
	enum jobq_event_kind kind;

	snprintf(outcome.message, sizeof(outcome.message),
		 "not sent: %" PRIu64 " deliveries wait already (webhook_backlog)", hook->waiting);
	int rc = jobq_store_settle(outbox->store, &outcome, &kind);
	if (rc == 0) {
		hook->waiting++;
		ended(outbox, hook, &outcome, kind);
	}
	return rc;
}

/* Adds an event for those who want it; `only`: for that webhook, whatever it wants. */
static int add_event(struct super_outbox *outbox, struct jobq_event *event, uint64_t only)
{
	uint64_t ids[JOBQ_WEBHOOKS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < outbox->count; i++) {
		const struct jobq_webhook *webhook = &outbox->hooks[i].webhook;
		bool wants = webhook->enabled &&
			     (webhook->kinds & JOBQ_EVENT_BIT(event->kind)) != 0;
		if (only != 0 ? webhook->id == only : wants)
			ids[count++] = webhook->id;
	}
	if (count == 0)
		return 0;
	int rc = jobq_store_add_event(outbox->store, event, ids, count);
	outbox->added = true;
	for (size_t i = 0; i < count && rc == 0; i++) {
		struct outbox_hook *hook = find(outbox, ids[i]);
		if (hook->waiting >= outbox->conf->webhook_backlog)
			rc = overflow(outbox, hook, event);
		else
			hook->waiting++;
	}
	return rc;
}

/* The job as it was when it came to have the status, of which `entry` is what followed. */
static int tell(struct super_outbox *outbox, const struct jobq_entry *entry,
		enum jobq_event_kind kind, enum jobq_job_status status)
{
	struct jobq_entry then = *entry;
	struct jobq_event event = {.kind = kind, .job = entry->id};

	if ((outbox->wanted & JOBQ_EVENT_BIT(kind)) == 0)
		return 0;
	then.status = status;
	if (!jobq_job_finished(status)) {
		then.completed = 0;
		then.error = then.result = (struct jobq_text){"", 0};
	}
	if (kind != JOBQ_EVENT_JOB_PROGRESS && !jobq_job_finished(status))
		then.progress = 0;
	if (status == JOBQ_STATUS_QUEUED || status == JOBQ_STATUS_CANCELLED)
		then.started = 0;
	event.at = status == JOBQ_STATUS_QUEUED		 ? then.created
		   : jobq_job_finished(status)		 ? then.completed
		   : kind == JOBQ_EVENT_JOB_PROGRESS ? jobq_clock_wall()
							 : then.started;
	outbox->data.len = 0;
	jobq_event_job_data(&outbox->data, &then);
	if (outbox->data.failed) {
		jobq_buf_free(&outbox->data);
		return -ENOMEM;
	}
	event.data = (struct jobq_text){outbox->data.data, outbox->data.len};
	return add_event(outbox, &event, 0);
}

/* Whatever happened between what is stored of the job and what it is now. */
static int tell_changes(struct super_outbox *outbox, const struct jobq_entry *entry)
{
	enum jobq_job_status was = JOBQ_STATUS_NONE;
	uint32_t attempt = 0;
	unsigned progress = 0;
	bool runs = entry->status != JOBQ_STATUS_QUEUED &&
		    entry->status != JOBQ_STATUS_CANCELLED && entry->attempt > 0;

	int rc = jobq_store_status(outbox->store, entry->id, &was, &attempt, &progress);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	rc = was == JOBQ_STATUS_NONE
		     ? tell(outbox, entry, JOBQ_EVENT_JOB_QUEUED, JOBQ_STATUS_QUEUED)
		     : 0;
	bool started = runs && !jobq_job_finished(was) &&
		       (was != JOBQ_STATUS_RUNNING || attempt != entry->attempt);
	if (rc == 0 && started)
		rc = tell(outbox, entry, JOBQ_EVENT_JOB_STARTED, JOBQ_STATUS_RUNNING);
	if (rc == 0 && entry->status == JOBQ_STATUS_RUNNING && entry->progress > 0 &&
	    (started || entry->progress != progress))
		rc = tell(outbox, entry, JOBQ_EVENT_JOB_PROGRESS, JOBQ_STATUS_RUNNING);
	if (rc == 0 && jobq_job_finished(entry->status) && !jobq_job_finished(was))
		rc = tell(outbox, entry, jobq_event_of_status(entry->status), entry->status);
	return rc;
}

int super_outbox_put(struct super_outbox *outbox, const struct jobq_entry *entry)
{
	int rc = (outbox->wanted & JOB_EVENTS) != 0 ? tell_changes(outbox, entry) : 0;

	return rc < 0 ? rc : jobq_store_put(outbox->store, entry);
}

/* Has it told first that the job runs, which an event of its work follows. */
static int catch_up(struct super_outbox *outbox, uint64_t id)
{
	enum jobq_job_status was = JOBQ_STATUS_NONE;
	struct jobq_entry entry;
	uint32_t attempt;
	unsigned progress;

	int rc = jobq_store_status(outbox->store, id, &was, &attempt, &progress);
	if ((rc < 0 && rc != -ENOENT) || (was != JOBQ_STATUS_NONE && was != JOBQ_STATUS_QUEUED))
		return rc;
	rc = jobq_table_export(outbox->table, id, &entry, &outbox->bytes);
	if (rc < 0 || entry.attempt == 0 || entry.status == JOBQ_STATUS_NONE)
		return rc == -ENOMEM ? rc : 0;
	if (entry.status != JOBQ_STATUS_RUNNING) {
		entry.status = JOBQ_STATUS_RUNNING;
		entry.completed = 0;
		entry.progress = 0;
		entry.error = entry.result = (struct jobq_text){"", 0};
	}
	return super_outbox_put(outbox, &entry);
}

/* ---- commands ------------------------------------------------------------- */

static int create(struct super_outbox *outbox, struct jobq_webhook *webhook)
{
	if (outbox->count == JOBQ_WEBHOOKS_MAX)
		return -EDQUOT;
	webhook->id = 0;
	webhook->created = jobq_clock_wall();
	webhook->delivery_count = webhook->failure_count = 0;
	webhook->last_delivery = 0;
	int rc = jobq_store_put_webhook(outbox->store, webhook);
	if (rc == 0)
		outbox->hooks[outbox->count++] = (struct outbox_hook){.webhook = *webhook, .dirty = true};
	return rc;
}

static int update(struct super_outbox *outbox, struct outbox_hook *hook,
		  const struct jobq_command *command)
{
	const struct jobq_webhook *said = &command->webhook;
	struct jobq_webhook fresh = hook->webhook;

	if ((command->given & JOBQ_GIVEN_URL) != 0)
		memcpy(fresh.url, said->url, sizeof(fresh.url));
	if ((command->given & JOBQ_GIVEN_EVENTS) != 0)
		memcpy(fresh.events, said->events, sizeof(fresh.events));
	if ((command->given & JOBQ_GIVEN_ENABLED) != 0)
		fresh.enabled = said->enabled;
	if ((command->given & JOBQ_GIVEN_SECRET) != 0) {
		fresh.has_secret = said->has_secret;
		memcpy(fresh.secret, said->secret, sizeof(fresh.secret));
	}
	int rc = jobq_store_put_webhook(outbox->store, &fresh); /* finds the kinds, too */
	if (rc == 0) {
		hook->webhook = fresh;
		hook->dirty = true;
	}
	explicit_bzero(&fresh, sizeof(fresh));
	return rc;
}

static int remove_hook(struct super_outbox *outbox, struct outbox_hook *hook)
{
	int rc = jobq_store_remove_webhook(outbox->store, hook->webhook.id);

	if (rc < 0)
		return rc;
	outbox->removed[outbox->removed_count++] = hook->webhook.id;
	*hook = outbox->hooks[--outbox->count];
	return 0;
}

static int ping(struct super_outbox *outbox, const struct outbox_hook *hook, uint64_t *seq)
{
	static const char data[] = "{\"message\":\"This is a test\"}";
	struct jobq_event event = {
		.kind = JOBQ_EVENT_PING,
		.at = jobq_clock_wall(),
		.data = {data, sizeof(data) - 1},
	};

	if (!hook->webhook.enabled)
		return -EPERM;
	int rc = add_event(outbox, &event, hook->webhook.id);
	*seq = event.seq;
	return rc;
}

static int redeliver(struct super_outbox *outbox, struct outbox_hook *hook, uint64_t event)
{
	if (!hook->webhook.enabled)
		return -EPERM;
	int rc = jobq_store_redeliver(outbox->store, hook->webhook.id, event);
	if (rc < 0)
		return rc;
	hook->waiting++;
	if (outbox->end_count == OUTBOX_MESSAGES)
		outbox->stale = true;
	else
		outbox->ends[outbox->end_count++] = (struct outbox_end){
			.webhook = hook->webhook.id, .delivery.event = event, .dropped = true};
	outbox->changed = true;
	return 0;
}

static int carry_out(struct super_outbox *outbox, struct jobq_command *command, uint64_t *event)
{
	struct outbox_hook *hook = find(outbox, command->webhook.id);

	if (command->verb == JOBQ_COMMAND_CREATE)
		return create(outbox, &command->webhook);
	if (command->verb == JOBQ_COMMAND_QUEUE) {
		outbox->queue = (int)command->queue;
		return jobq_store_set_queue(outbox->store, command->queue);
	}
	if (hook == NULL)
		return -ENOENT;
	switch (command->verb) {
	case JOBQ_COMMAND_UPDATE:
		return update(outbox, hook, command);
	case JOBQ_COMMAND_REMOVE:
		return remove_hook(outbox, hook);
	case JOBQ_COMMAND_PING:
		return ping(outbox, hook, event);
	default:
		*event = command->event;
		return redeliver(outbox, hook, command->event);
	}
}

/* Those that the client made; all others are the store's. */
static bool is_answer(int rc)
{
	return rc == 0 || rc == -ENOENT || rc == -EDQUOT || rc == -EPERM || rc == -EINVAL;
}

static int run_command(struct super_outbox *outbox, const struct jobq_message *message)
{
	struct jobq_command *command = message->command;
	uint64_t event = 0;
	int rc = carry_out(outbox, command, &event);

	if (!is_answer(rc))
		return rc;
	if (rc == 0 && command->verb <= JOBQ_COMMAND_REMOVE) {
		outbox_count_wanted(outbox);
		outbox->changed = true;
	}
	outbox->verdicts[outbox->verdict_count++] = (struct jobq_command_verdict){
		message->position, rc, command->webhook.id, event};
	return 0;
}

/* ---- messages ------------------------------------------------------------- */

static int settle(struct super_outbox *outbox, const struct jobq_outcome *outcome)
{
	struct outbox_hook *hook = find(outbox, outcome->webhook);
	enum jobq_event_kind kind;

	if (hook == NULL)
		return 0; /* removed meanwhile */
	int rc = jobq_store_settle(outbox->store, outcome, &kind);
	if (rc == -ENOENT)
		return 0;
	if (rc == 0 && outcome->verdict == JOBQ_OUTCOME_RETRY)
		outbox->retried++;
	else if (rc == 0)
		ended(outbox, hook, outcome, kind);
	return rc;
}

static int do_message(struct super_outbox *outbox, struct jobq_message *message)
{
	int rc = 0;

	switch (message->kind) {
	case JOBQ_MESSAGE_VOID:
		return 0;
	case JOBQ_MESSAGE_EVENT:
		if (message->event.job != 0 && (outbox->wanted & JOB_EVENTS) != 0)
			rc = catch_up(outbox, message->event.job);
		return rc < 0 ? rc : add_event(outbox, &message->event, 0);
	case JOBQ_MESSAGE_OUTCOME:
		return settle(outbox, &message->outcome);
	case JOBQ_MESSAGE_COMMAND:
		return run_command(outbox, message);
	}
	return 0;
}

int super_outbox_take(struct super_outbox *outbox)
{
	struct jobq_message message;
	bool damaged = false;
	int rc = 0;

	outbox_begin(outbox);
	outbox->position = jobq_table_handled(outbox->table);
	for (int n = 0; rc == 0 && n < OUTBOX_MESSAGES; n++) {
		if (!jobq_table_take_message(outbox->table, &outbox->position, &message,
					     &outbox->message, &damaged))
			break;
		rc = do_message(outbox, &message);
		if (rc == -EINVAL) { /* or it would stand in everybody's way for ever */
			jobq_log(JOBQ_LOG_ERROR, "message_refused",
				 "kind=%d msg=\"the store takes no such thing\"", (int)message.kind);
			rc = 0;
		}
	}
	if (damaged)
		jobq_log(JOBQ_LOG_ERROR, "messages_damaged",
			 "msg=\"what was posted for webhooks made no sense and was dropped\"");
	return rc;
}

int super_outbox_finish(struct super_outbox *outbox)
{
	int rc = 0;

	for (size_t i = 0; i < outbox->count && rc == 0; i++)
		if (outbox->hooks[i].dirty)
			rc = jobq_store_put_webhook(outbox->store, &outbox->hooks[i].webhook);
	if (rc == 0 && outbox->position != jobq_table_handled(outbox->table))
		rc = jobq_store_set_messages(outbox->store, jobq_table_generation(outbox->table),
					     outbox->position);
	return rc;
}

void outbox_tell_waiting(const struct super_outbox *outbox)
{
	uint64_t waiting = 0;

	for (size_t i = 0; i < outbox->count; i++)
		waiting += outbox->hooks[i].waiting;
	jobq_table_tell_outbox(outbox->table, waiting);
}

void super_outbox_committed(struct super_outbox *outbox)
{
	struct jobq_table *table = outbox->table;

	if (outbox->queue >= 0)
		jobq_table_set_queue_state(table, (enum jobq_queue_state)outbox->queue);
	for (size_t i = 0; i < outbox->removed_count; i++)
		jobq_table_unset_webhook(table, outbox->removed[i]);
	for (size_t i = 0; i < outbox->count; i++) {
		if (outbox->hooks[i].dirty)
			jobq_table_set_webhook(table, &outbox->hooks[i].webhook);
		outbox->hooks[i].dirty = false;
	}
	for (size_t i = 0; i < outbox->end_count; i++) {
		const struct outbox_end *end = &outbox->ends[i];
		if (end->dropped)
			jobq_table_drop_delivery(table, end->webhook, end->delivery.event);
		else
			jobq_table_add_delivery(table, end->webhook, &end->delivery);
	}
	if (outbox->position != jobq_table_handled(table))
		jobq_table_messages_handled(table, outbox->position, outbox->verdicts,
					    outbox->verdict_count);
	jobq_table_count_deliveries(table, outbox->delivered, outbox->undelivered, outbox->retried);
	outbox_tell_waiting(outbox);
	if (outbox->added || outbox->changed)
		jobq_table_ring_outbox(table, outbox->changed);
	outbox_begin(outbox);
}

void super_outbox_failed(struct super_outbox *outbox)
{
	outbox_begin(outbox);
	outbox->stale = true;
	jobq_table_refuse_commands(outbox->table);
}
