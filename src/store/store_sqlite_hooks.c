/*
 * Webhooks, events and deliveries in an SQLite database. An event counts the
 * deliveries of it, waiting or ended, in `refs`, and goes with the last one.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "store/store_sqlite.h"

static struct sqlite_store *self_of(struct jobq_store *store)
{
	return (struct sqlite_store *)store;
}

/* A statement with its first parameters bound; NULL as store_sqlite_statement(). */
static sqlite3_stmt *with(struct sqlite_store *self, enum store_statement which,
			  const uint64_t *numbers, size_t count)
{
	sqlite3_stmt *run = store_sqlite_statement(self, which);

	for (size_t i = 0; run != NULL && i < count; i++)
		sqlite3_bind_int64(run, (int)i + 1, (sqlite3_int64)numbers[i]);
	return run;
}
#define NUMBERS(...)                                                                               \
	(const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)

/* Runs a statement that returns no rows. How many it has changed, or an error. */
static int change(struct sqlite_store *self, enum store_statement which, const uint64_t *numbers,
		  size_t count)
{
	int rc = store_sqlite_step(self, with(self, which, numbers, count));

	return rc < 0 ? rc : sqlite3_changes(self->db);
}

/* The first column of the first row: 1; 0: there is none. */
static int ask(struct sqlite_store *self, enum store_statement which, int64_t *answer,
	       const uint64_t *numbers, size_t count)
{
	sqlite3_stmt *query = with(self, which, numbers, count);
	bool found = query != NULL && sqlite3_step(query) == SQLITE_ROW;

	if (found)
		*answer = sqlite3_column_int64(query, 0);
	if (query == NULL)
		return store_sqlite_errno(self->db, sqlite3_errcode(self->db));
	int rc = store_sqlite_errno(self->db, sqlite3_reset(query));
	return rc < 0 ? rc : found;
}

/* A walk through what a query finds. */
struct rows {
	sqlite3_stmt *query;
	uint64_t last; /* what rises from row to row: in a damaged tree a page may be met twice */
};

/* Moves on to the next row; false: there is none, or *rc is not 0. */
static bool next_row(struct rows *rows, int *rc)
{
	return rows->query != NULL && *rc == 0 && sqlite3_step(rows->query) == SQLITE_ROW;
}

static bool rises(struct rows *rows, int column)
{
	uint64_t now = (uint64_t)sqlite3_column_int64(rows->query, column);
	bool good = now > rows->last;

	rows->last = now;
	return good;
}

/* What a walk ends with. */
static int end_rows(struct sqlite_store *self, struct rows *rows, int rc)
{
	int end = store_sqlite_errno(self->db, rows->query != NULL ? sqlite3_reset(rows->query)
								   : sqlite3_errcode(self->db));
	return rc != 0 ? rc : end;
}

/* Copies a text that has to fit with its NUL, and to hold none. */
static bool read_text(sqlite3_stmt *row, int column, char *into, size_t room)
{
	struct jobq_text text = store_sqlite_text(row, column);

	if (text.data == NULL || text.len >= room || memchr(text.data, '\0', text.len) != NULL)
		return false;
	memcpy(into, text.data, text.len + 1);
	return true;
}

static bool read_kind(sqlite3_stmt *row, int column, enum jobq_event_kind *kind)
{
	struct jobq_text name = store_sqlite_text(row, column);

	return name.data != NULL && jobq_event_kind_of(name.data, name.len, kind);
}

/* A number from 0 to `max`. */
static bool read_number(sqlite3_stmt *row, int column, int64_t max, int64_t *into)
{
	*into = sqlite3_column_int64(row, column);
	return sqlite3_column_type(row, column) == SQLITE_INTEGER && *into >= 0 && *into <= max;
}

/* ---- webhooks --------------------------------------------------------------- */

static int put_webhook(struct sqlite_store *self, const struct jobq_webhook *webhook)
{
	sqlite3_stmt *run = store_sqlite_statement(self, PUT_WEBHOOK);

	if (run != NULL) {
		if (webhook->id == 0)
			sqlite3_bind_null(run, 1);
		else
			sqlite3_bind_int64(run, 1, (sqlite3_int64)webhook->id);
		sqlite3_bind_int64(run, 2, webhook->created);
		sqlite3_bind_int64(run, 3, webhook->enabled);
		sqlite3_bind_int64(run, 4, (sqlite3_int64)webhook->delivery_count);
		sqlite3_bind_int64(run, 5, (sqlite3_int64)webhook->failure_count);
		sqlite3_bind_int64(run, 6, webhook->last_delivery);
		sqlite3_bind_text(run, 7, webhook->url, -1, SQLITE_STATIC);
		sqlite3_bind_text(run, 8, webhook->events, -1, SQLITE_STATIC);
		sqlite3_bind_text(run, 9, webhook->secret, -1, SQLITE_STATIC);
		sqlite3_bind_int64(run, 10, (sqlite3_int64)store_webhook_sum(webhook));
	}
	return store_sqlite_step(self, run);
}

static int sqlite_put_webhook(struct jobq_store *base, struct jobq_webhook *webhook)
{
	struct sqlite_store *self = self_of(base);
	bool fresh = webhook->id == 0;
	int rc = put_webhook(self, webhook);

	if (rc < 0 || !fresh)
		return rc;
	webhook->id = (uint64_t)sqlite3_last_insert_rowid(self->db);
	return put_webhook(self, webhook); /* its sum is of its id, too */
}

static int sqlite_remove_webhook(struct jobq_store *base, uint64_t id)
{
	static const enum store_statement bite[] = {DROP_EVENTS, RELEASE_EVENTS, REMOVE_DELIVERIES};
	struct sqlite_store *self = self_of(base);
	int rc = change(self, REMOVE_WEBHOOK, NUMBERS(id));

	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	while (rc > 0) /* deliveries were removed: there may be more */
		for (size_t i = 0; i < JOBQ_LENGTH(bite) && rc >= 0; i++)
			rc = change(self, bite[i], NUMBERS(id));
	return rc;
}

/* False: the row makes no sense, or is not as it was written. */
static bool read_webhook(sqlite3_stmt *row, struct jobq_webhook *webhook)
{
	int64_t enabled;

	*webhook = (struct jobq_webhook){
		.id = (uint64_t)sqlite3_column_int64(row, 0),
		.created = sqlite3_column_int64(row, 1),
		.delivery_count = (uint64_t)sqlite3_column_int64(row, 3),
		.failure_count = (uint64_t)sqlite3_column_int64(row, 4),
		.last_delivery = sqlite3_column_int64(row, 5),
	};
	if (!read_number(row, 2, 1, &enabled) ||
	    !read_text(row, 6, webhook->url, sizeof(webhook->url)) ||
	    !read_text(row, 7, webhook->events, sizeof(webhook->events)) ||
	    !read_text(row, 8, webhook->secret, sizeof(webhook->secret)))
		return false;
	webhook->enabled = enabled != 0;
	webhook->has_secret = webhook->secret[0] != '\0';
	return (uint64_t)sqlite3_column_int64(row, 9) == store_webhook_sum(webhook) &&
	       store_webhook_kinds(webhook->events, &webhook->kinds);
}

static int sqlite_each_webhook(struct jobq_store *base, jobq_store_visit_webhook visit, void *arg)
{
	struct rows rows = {store_sqlite_statement(self_of(base), EACH_WEBHOOK), 0};
	struct jobq_webhook webhook;
	int rc = 0;

	while (next_row(&rows, &rc))
		rc = rises(&rows, 0) && read_webhook(rows.query, &webhook) ? visit(arg, &webhook)
									   : -EUCLEAN;
	return end_rows(self_of(base), &rows, rc);
}

/* ---- events ----------------------------------------------------------------- */

static int sqlite_add_event(struct jobq_store *base, struct jobq_event *event,
			    const uint64_t *webhooks, size_t count)
{
	struct sqlite_store *self = self_of(base);
	int64_t seq = 1;
	/* The number that SQLite would give it: needed before, for the sum. */
	int rc = ask(self, NEXT_EVENT, &seq, NULL, 0);

	if (rc >= 0 && seq <= 0)
		rc = -EUCLEAN;
	if (rc < 0)
		return rc;
	event->seq = (uint64_t)seq;
	sqlite3_stmt *run = with(self, ADD_EVENT, NUMBERS(event->seq));
	if (run != NULL) {
		sqlite3_bind_text(run, 2, jobq_event_name(event->kind), -1, SQLITE_STATIC);
		sqlite3_bind_int64(run, 3, (sqlite3_int64)event->job);
		sqlite3_bind_int64(run, 4, event->at);
		sqlite3_bind_int64(run, 5, (sqlite3_int64)count);
		sqlite3_bind_int64(run, 6, (sqlite3_int64)store_event_sum(event));
		store_sqlite_bind_text(run, 7, &event->data);
	}
	rc = store_sqlite_step(self, run);
	for (size_t i = 0; i < count && rc >= 0; i++)
		rc = change(self, ADD_DELIVERY, NUMBERS(webhooks[i], event->seq));
	return rc < 0 ? rc : 0;
}

static int read_event(sqlite3_stmt *row, struct jobq_event *event, struct jobq_buf *bytes)
{
	struct jobq_text data = store_sqlite_text(row, 4);

	event->job = (uint64_t)sqlite3_column_int64(row, 1);
	event->at = sqlite3_column_int64(row, 2);
	event->data = data;
	if (data.data == NULL || !read_kind(row, 0, &event->kind) ||
	    (uint64_t)sqlite3_column_int64(row, 3) != store_event_sum(event))
		return -EUCLEAN;
	jobq_buf_add(bytes, data.data, data.len);
	event->data.data = bytes->data;
	return bytes->failed ? -ENOMEM : 0;
}

static int sqlite_event(struct jobq_store *base, uint64_t seq, struct jobq_event *event,
			struct jobq_buf *bytes)
{
	struct sqlite_store *self = self_of(base);
	struct rows rows = {with(self, EVENT, NUMBERS(seq)), 0};
	int rc = 0;

	*event = (struct jobq_event){.seq = seq};
	bytes->len = 0;
	bytes->failed = false;
	bool found = next_row(&rows, &rc);
	if (found)
		rc = read_event(rows.query, event, bytes);
	rc = end_rows(self, &rows, rc);
	return rc == 0 && !found ? -ENOENT : rc;
}

/* One delivery less of it. */
static int release_event(struct sqlite_store *self, uint64_t seq)
{
	int rc = change(self, DROP_EVENT, NUMBERS(seq));

	if (rc == 0)
		rc = change(self, RELEASE_EVENT, NUMBERS(seq));
	return rc < 0 ? rc : rc == 0 ? -EUCLEAN : 0;
}

/* What kind of event a delivery is of: there has to be one. */
static int kind_of(struct sqlite_store *self, uint64_t seq, enum jobq_event_kind *kind)
{
	struct rows rows = {with(self, EVENT_KIND, NUMBERS(seq)), 0};
	int rc = 0;
	bool found = next_row(&rows, &rc) && read_kind(rows.query, 0, kind);

	rc = end_rows(self, &rows, rc);
	return rc == 0 && !found ? -EUCLEAN : rc;
}

/* ---- deliveries ------------------------------------------------------------- */

static bool read_pending(sqlite3_stmt *row, struct jobq_pending *pending)
{
	int64_t attempts;

	*pending = (struct jobq_pending){
		.event = (uint64_t)sqlite3_column_int64(row, 0),
		.job = (uint64_t)sqlite3_column_int64(row, 2),
		.due = sqlite3_column_int64(row, 4),
	};
	if (!read_kind(row, 1, &pending->kind) || !read_number(row, 3, UINT32_MAX, &attempts))
		return false;
	pending->attempts = (unsigned)attempts;
	return true;
}

static int sqlite_each_pending(struct jobq_store *base, uint64_t webhook, uint64_t after,
			       size_t most, jobq_store_visit_pending visit, void *arg)
{
	struct sqlite_store *self = self_of(base);
	uint64_t limit = most < INT64_MAX ? most : INT64_MAX; /* a negative one is none */
	struct rows rows = {with(self, EACH_PENDING, NUMBERS(webhook, after, limit)), after};
	struct jobq_pending pending;
	int rc = 0;

	while (next_row(&rows, &rc))
		rc = rises(&rows, 0) && read_pending(rows.query, &pending) ? visit(arg, &pending)
									   : -EUCLEAN;
	return end_rows(self, &rows, rc);
}

static int sqlite_count_pending(struct jobq_store *base, uint64_t webhook, uint64_t *count)
{
	int64_t answer = 0;
	int rc = ask(self_of(base), COUNT_PENDING, &answer, NUMBERS(webhook));

	*count = (uint64_t)answer;
	return rc < 0 ? rc : 0;
}

/* Lets go of what is further back than the history reaches when `newest` is its last number. */
static int cut_history(struct sqlite_store *self, uint64_t webhook, int64_t newest)
{
	uint64_t limit = (uint64_t)newest - JOBQ_WEBHOOK_HISTORY;
	int64_t event;
	int rc = 0;

	while (rc == 0 && newest > JOBQ_WEBHOOK_HISTORY) {
		rc = ask(self, OLD_END, &event, NUMBERS(webhook, limit));
		if (rc <= 0)
			return rc;
		rc = change(self, REMOVE_DELIVERY, NUMBERS(webhook, (uint64_t)event));
		if (rc == 0)
			rc = -EUCLEAN; /* the index has it, and the table has not */
		if (rc > 0)
			rc = release_event(self, (uint64_t)event);
	}
	return rc;
}

static int end_delivery(struct sqlite_store *self, const struct jobq_outcome *outcome)
{
	int64_t newest = 0;
	int rc = ask(self, NEWEST_END, &newest, NUMBERS(outcome->webhook));

	if (rc < 0)
		return rc;
	if (newest < 0 || newest == INT64_MAX)
		return -EUCLEAN;
	newest++;
	sqlite3_stmt *run = with(self, END,
				 NUMBERS(outcome->webhook, outcome->event, outcome->attempts,
					 (uint64_t)newest, (uint64_t)outcome->at,
					 outcome->verdict == JOBQ_OUTCOME_DELIVERED,
					 outcome->payload_size));
	if (run != NULL)
		sqlite3_bind_text(run, 8, outcome->message, -1, SQLITE_STATIC);
	rc = store_sqlite_step(self, run);
	if (rc < 0)
		return rc;
	if (sqlite3_changes(self->db) == 0)
		return -ENOENT;
	return cut_history(self, outcome->webhook, newest);
}

static int sqlite_settle(struct jobq_store *base, const struct jobq_outcome *outcome,
			 enum jobq_event_kind *kind)
{
	struct sqlite_store *self = self_of(base);
	int rc;

	if (outcome->verdict == JOBQ_OUTCOME_RETRY) {
		rc = change(self, RETRY, NUMBERS(outcome->webhook, outcome->event,
						 outcome->attempts, (uint64_t)outcome->due));
		rc = rc == 0 ? -ENOENT : rc;
	} else {
		rc = end_delivery(self, outcome);
	}
	return rc < 0 ? rc : kind_of(self, outcome->event, kind);
}

static int sqlite_redeliver(struct jobq_store *base, uint64_t webhook, uint64_t event)
{
	struct sqlite_store *self = self_of(base);
	int64_t end = 0;
	int rc = ask(self, END_OF, &end, NUMBERS(webhook, event));

	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	rc = change(self, WAIT_ANEW, NUMBERS(webhook, event));
	/* Without a gap the history has as many as its numbers say. */
	if (rc >= 0)
		rc = change(self, CLOSE_UP, NUMBERS(webhook, (uint64_t)end));
	return rc < 0 ? rc : 0;
}

static bool read_delivery(sqlite3_stmt *row, struct jobq_delivery *delivery)
{
	int64_t success, attempts, size;

	*delivery = (struct jobq_delivery){
		.event = (uint64_t)sqlite3_column_int64(row, 0),
		.at = sqlite3_column_int64(row, 2),
	};
	if (!read_kind(row, 1, &delivery->kind) || !read_number(row, 3, 1, &success) ||
	    !read_number(row, 4, UINT32_MAX, &attempts) ||
	    !read_number(row, 5, UINT32_MAX, &size) ||
	    !read_text(row, 6, delivery->message, sizeof(delivery->message)))
		return false;
	delivery->success = success != 0;
	delivery->attempts = (unsigned)attempts;
	delivery->payload_size = (uint32_t)size;
	return true;
}

static int sqlite_each_delivery(struct jobq_store *base, uint64_t webhook,
				jobq_store_visit_delivery visit, void *arg)
{
	struct sqlite_store *self = self_of(base);
	struct rows rows = {with(self, EACH_DELIVERY, NUMBERS(webhook)), 0};
	struct jobq_delivery delivery;
	int rc = 0;

	while (next_row(&rows, &rc))
		rc = rises(&rows, 7) && read_delivery(rows.query, &delivery) ? visit(arg, &delivery)
									     : -EUCLEAN;
	return end_rows(self, &rows, rc);
}

/* ---- the rest --------------------------------------------------------------- */

static int sqlite_set_messages(struct jobq_store *base, uint32_t generation, uint64_t position)
{
	struct sqlite_store *self = self_of(base);
	int rc = store_sqlite_set_number(self, "messages_generation", generation);

	if (rc == 0)
		rc = store_sqlite_set_number(self, "messages_position", position);
	return rc < 0 ? rc : store_sqlite_set_number(self, "messages_sum",
						     store_messages_sum(generation, position));
}

static int sqlite_messages(struct jobq_store *base, uint32_t *generation, uint64_t *position)
{
	static const char *const names[] = {"messages_generation", "messages_position",
					    "messages_sum"};
	struct sqlite_store *self = self_of(base);
	struct rows rows = {store_sqlite_statement(self, MESSAGES), 0};
	uint64_t values[JOBQ_LENGTH(names)] = {0};
	unsigned found = 0;
	int rc = 0;

	while (next_row(&rows, &rc)) {
		const char *name = (const char *)sqlite3_column_text(rows.query, 0);
		for (size_t i = 0; i < JOBQ_LENGTH(names); i++) {
			if (name == NULL || strcmp(name, names[i]) != 0)
				continue;
			values[i] = (uint64_t)sqlite3_column_int64(rows.query, 1);
			found |= 1u << i;
		}
	}
	rc = end_rows(self, &rows, rc);
	*generation = (uint32_t)values[0];
	*position = values[1];
	if (rc == 0 && (found != 7 || values[0] > UINT32_MAX ||
			values[2] != store_messages_sum(*generation, *position)))
		rc = -EUCLEAN;
	return rc;
}

static int sqlite_set_queue(struct jobq_store *base, enum jobq_queue_state state)
{
	return store_sqlite_set_number(self_of(base), "queue", (uint64_t)state);
}

static int sqlite_queue(struct jobq_store *base, enum jobq_queue_state *state)
{
	struct sqlite_store *self = self_of(base);
	struct rows rows = {store_sqlite_statement(self, QUEUE), 0};
	int64_t number = 0;
	int rc = 0;

	if (!next_row(&rows, &rc) || !read_number(rows.query, 0, JOBQ_QUEUE_ALL_STATES - 1, &number))
		rc = rc < 0 ? rc : -EUCLEAN;
	*state = (enum jobq_queue_state)number;
	return end_rows(self, &rows, rc);
}

static int sqlite_status(struct jobq_store *base, uint64_t id, enum jobq_job_status *status,
			 uint32_t *attempt, unsigned *progress)
{
	struct sqlite_store *self = self_of(base);
	struct rows rows = {with(self, STATUS, NUMBERS(id)), 0};
	int64_t percent = 0;
	int rc = 0;
	bool found = next_row(&rows, &rc);

	if (found) {
		struct jobq_text name = store_sqlite_text(rows.query, 0);
		*attempt = (uint32_t)sqlite3_column_int64(rows.query, 1);
		if (name.data == NULL || !jobq_job_status_of(name.data, name.len, status) ||
		    !read_number(rows.query, 2, 100, &percent))
			rc = -EUCLEAN;
		*progress = (unsigned)percent;
	}
	rc = end_rows(self, &rows, rc);
	return rc == 0 && !found ? -ENOENT : rc;
}

const struct store_hook_ops store_sqlite_hook_ops = {
	.put_webhook = sqlite_put_webhook,
	.remove_webhook = sqlite_remove_webhook,
	.each_webhook = sqlite_each_webhook,
	.add_event = sqlite_add_event,
	.event = sqlite_event,
	.each_pending = sqlite_each_pending,
	.count_pending = sqlite_count_pending,
	.settle = sqlite_settle,
	.redeliver = sqlite_redeliver,
	.each_delivery = sqlite_each_delivery,
	.set_messages = sqlite_set_messages,
	.messages = sqlite_messages,
	.set_queue = sqlite_set_queue,
	.queue = sqlite_queue,
	.status = sqlite_status,
};
