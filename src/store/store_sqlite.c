/*
 * A store in an SQLite database (https://www.sqlite.org/): one writer, WAL,
 * readers beside it.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/store_sqlite.h"

/* A bite of a webhook's deliveries, for statements that end soon. */
#define SOME_OF_WEBHOOK "SELECT event FROM deliveries WHERE webhook = ?1 ORDER BY event LIMIT 1000"

static const char *const statements[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[BEGIN_READ] = "BEGIN",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[INSERT] = "INSERT OR IGNORE INTO jobs VALUES "
		   "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
	[UPDATE] = "UPDATE jobs SET status = ?3, progress = ?4, attempt = ?5, requeues = ?6, "
		   "started = ?8, completed = ?9, error = ?13, result = ?14, sum = ?15, log = ?18 "
		   "WHERE id = ?1",
	[REMOVE] = "DELETE FROM jobs WHERE id = ?1",
	[EXPIRE] = "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE completed > 0 AND "
		   "completed < ?1 ORDER BY completed LIMIT ?2)",
	[SET_META] = "UPDATE meta SET value = ?2 WHERE name = ?1 AND value <> ?2",
	[ADD_JOBS] = "UPDATE meta SET value = value + ?1 WHERE name = 'jobs'",
	[OVERWRITE] = "UPDATE meta SET value = value + 1 WHERE name = 'failed_commits'",
	[JOBS] = "SELECT value FROM meta WHERE name = 'jobs'",
	[META] = "SELECT name, value FROM meta",
	[EACH] = "SELECT id, type, status, progress, attempt, requeues, created, started, "
		 "completed, owner, key, parameters, error, result, sum, priority, labels, log "
		 "FROM jobs "
		 "WHERE id > ?1 ORDER BY id",
	[STATUS] = "SELECT status, attempt, progress FROM jobs WHERE id = ?1",
	[MESSAGES] = "SELECT name, value FROM meta WHERE name IN "
		     "('messages_generation', 'messages_position', 'messages_sum')",
	[QUEUE] = "SELECT value FROM meta WHERE name = 'queue'",
	[PUT_WEBHOOK] = "INSERT INTO webhooks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) "
			"ON CONFLICT (id) DO UPDATE SET created = ?2, enabled = ?3, "
			"delivery_count = ?4, failure_count = ?5, last_delivery = ?6, url = ?7, "
			"events = ?8, secret = ?9, sum = ?10",
	[REMOVE_WEBHOOK] = "DELETE FROM webhooks WHERE id = ?1",
	[DROP_EVENTS] = "DELETE FROM events WHERE refs <= 1 AND seq IN (" SOME_OF_WEBHOOK ")",
	[RELEASE_EVENTS] = "UPDATE events SET refs = refs - 1 WHERE seq IN (" SOME_OF_WEBHOOK ")",
	[REMOVE_DELIVERIES] = "DELETE FROM deliveries WHERE webhook = ?1 AND event IN "
			      "(" SOME_OF_WEBHOOK ")",
	[EACH_WEBHOOK] = "SELECT id, created, enabled, delivery_count, failure_count, "
			 "last_delivery, url, events, secret, sum FROM webhooks ORDER BY id",
	[NEXT_EVENT] = "SELECT seq + 1 FROM sqlite_sequence WHERE name = 'events'",
	[ADD_EVENT] = "INSERT INTO events (seq, kind, job, at, refs, sum, data) "
		      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[DROP_EVENT] = "DELETE FROM events WHERE seq = ?1 AND refs <= 1",
	[RELEASE_EVENT] = "UPDATE events SET refs = refs - 1 WHERE seq = ?1",
	[EVENT] = "SELECT kind, job, at, sum, data FROM events WHERE seq = ?1",
	[EVENT_KIND] = "SELECT kind FROM events WHERE seq = ?1",
	[ADD_DELIVERY] = "INSERT INTO deliveries VALUES (?1, ?2, 0, 0, 0, 0, 0, 0, '')",
	[REMOVE_DELIVERY] = "DELETE FROM deliveries WHERE webhook = ?1 AND event = ?2",
	[EACH_PENDING] = "SELECT d.event, e.kind, e.job, d.attempts, d.due FROM deliveries d "
			 "LEFT JOIN events e ON e.seq = d.event WHERE d.webhook = ?1 AND "
			 "d.event > ?2 AND d.done = 0 ORDER BY d.event LIMIT ?3",
	[COUNT_PENDING] = "SELECT count(*) FROM deliveries WHERE webhook = ?1 AND done = 0",
	[RETRY] = "UPDATE deliveries SET attempts = ?3, due = ?4 "
		  "WHERE webhook = ?1 AND event = ?2 AND done = 0",
	[END] = "UPDATE deliveries SET attempts = ?3, due = 0, done = ?4, at = ?5, success = ?6, "
		"payload_size = ?7, message = ?8 WHERE webhook = ?1 AND event = ?2 AND done = 0",
	[NEWEST_END] = "SELECT max(done) FROM deliveries WHERE webhook = ?1 AND done > 0",
	[OLD_END] = "SELECT event FROM deliveries WHERE webhook = ?1 AND done > 0 AND done <= ?2 "
		    "LIMIT 1",
	[END_OF] = "SELECT done FROM deliveries WHERE webhook = ?1 AND event = ?2 AND done > 0",
	[WAIT_ANEW] = "UPDATE deliveries SET done = 0, attempts = 0, due = 0, at = 0, success = 0, "
		      "payload_size = 0, message = '' WHERE webhook = ?1 AND event = ?2",
	[CLOSE_UP] = "UPDATE deliveries SET done = done + 1 "
		     "WHERE webhook = ?1 AND done > 0 AND done < ?2",
	[EACH_DELIVERY] = "SELECT d.event, e.kind, d.at, d.success, d.attempts, d.payload_size, "
			  "d.message, d.done FROM deliveries d LEFT JOIN events e ON "
			  "e.seq = d.event WHERE d.webhook = ?1 AND d.done > 0 ORDER BY d.done",
};

static struct sqlite_store *self_of(struct jobq_store *store)
{
	return (struct sqlite_store *)store;
}

#define CHECKPOINT_PAGES 1000 /* as is SQLite's default */

sqlite3_stmt *store_sqlite_statement(struct sqlite_store *self, enum store_statement which)
{
	if (self->statements[which] == NULL)
		sqlite3_prepare_v3(self->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
				   &self->statements[which], NULL);
	return self->statements[which];
}

int store_sqlite_step(struct sqlite_store *self, sqlite3_stmt *run)
{
	if (run == NULL)
		return store_sqlite_errno(self->db, sqlite3_errcode(self->db));
	sqlite3_step(run);
	return store_sqlite_errno(self->db, sqlite3_reset(run));
}

static bool sqlite_current(struct jobq_store *base)
{
	struct sqlite_store *self = self_of(base);
	struct stat st;

	return stat(self->place, &st) == 0 && st.st_dev == self->device &&
	       st.st_ino == self->inode;
}

/* ---- writing -------------------------------------------------------------- */

static int sqlite_begin(struct jobq_store *base)
{
	if (sqlite3_get_autocommit(self_of(base)->db) == 0)
		return -EBUSY;
	self_of(base)->failure[0] = '\0';
	return store_sqlite_step(self_of(base), store_sqlite_statement(self_of(base), BEGIN));
}

static void sqlite_rollback(struct jobq_store *base)
{
	struct sqlite_store *self = self_of(base);

	if (sqlite3_get_autocommit(self->db) == 0)
		store_sqlite_step(self, store_sqlite_statement(self, ROLLBACK));
	self->added = 0;
}

/*
 * A commit whose sync has failed can stand in the log whole all the same, and
 * the next start would find jobs that were refused. The log goes on where it
 * went on before, so a small transaction written at once takes their place. (It
 * has to change something: SQLite writes no page that is as it was.)
 */
static void overwrite_failed(struct sqlite_store *self)
{
	snprintf(self->failure, sizeof(self->failure), "%s", sqlite3_errmsg(self->db));
	sqlite_rollback(&self->base);
	/* Nothing may go from a log that is not synced into the database. */
	sqlite3_wal_autocheckpoint(self->db, 0);
	store_sqlite_execute(self, "PRAGMA synchronous = OFF");
	store_sqlite_step(self, store_sqlite_statement(self, OVERWRITE));
	store_sqlite_execute(self, self->full ? "PRAGMA synchronous = FULL"
					      : "PRAGMA synchronous = NORMAL");
	sqlite3_wal_autocheckpoint(self->db, CHECKPOINT_PAGES);
}

static int count_added(struct sqlite_store *self)
{
	sqlite3_stmt *run = self->added != 0 ? store_sqlite_statement(self, ADD_JOBS) : NULL;

	if (self->added == 0)
		return 0;
	if (run != NULL)
		sqlite3_bind_int64(run, 1, self->added);
	int rc = store_sqlite_step(self, run);
	return rc == 0 && sqlite3_changes(self->db) != 1 ? -EUCLEAN : rc;
}

static int sqlite_commit(struct jobq_store *base, bool synced)
{
	struct sqlite_store *self = self_of(base);
	int rc = count_added(self);

	if (rc < 0)
		return rc;
	rc = store_sqlite_step(self, store_sqlite_statement(self, COMMIT));
	if (rc < 0)
		overwrite_failed(self);
	self->added = 0;
	return rc == 0 && synced && !self->full ? store_sqlite_sync(self) : rc;
}

void store_sqlite_bind_text(sqlite3_stmt *into, int column, const struct jobq_text *text)
{
	sqlite3_bind_text64(into, column, text->len > 0 ? text->data : "", text->len,
			    SQLITE_STATIC, SQLITE_UTF8);
}

static void bind(sqlite3_stmt *into, const struct jobq_entry *entry, bool whole)
{
	sqlite3_bind_int64(into, 1, (sqlite3_int64)entry->id);
	sqlite3_bind_text(into, 3, jobq_job_status_name(entry->status), -1, SQLITE_STATIC);
	sqlite3_bind_int64(into, 4, entry->progress);
	sqlite3_bind_int64(into, 5, entry->attempt);
	sqlite3_bind_int64(into, 6, entry->requeues);
	sqlite3_bind_int64(into, 8, entry->started);
	sqlite3_bind_int64(into, 9, entry->completed);
	store_sqlite_bind_text(into, 13, &entry->error);
	store_sqlite_bind_text(into, 14, &entry->result);
	sqlite3_bind_int64(into, 15, (sqlite3_int64)store_sum(entry));
	store_sqlite_bind_text(into, 18, &entry->log);
	if (!whole)
		return;
	sqlite3_bind_int64(into, 16, entry->priority);
	store_sqlite_bind_text(into, 17, &entry->labels);
	sqlite3_bind_text(into, 2, jobq_job_type_name(entry->type), -1, SQLITE_STATIC);
	sqlite3_bind_int64(into, 7, entry->created);
	store_sqlite_bind_text(into, 10, &entry->owner);
	store_sqlite_bind_text(into, 11, &entry->key);
	store_sqlite_bind_text(into, 12, &entry->parameters);
}

static int sqlite_put(struct jobq_store *base, const struct jobq_entry *entry)
{
	struct sqlite_store *self = self_of(base);
	/* Mostly it is there already if it has moved on, and only then. */
	bool moved = entry->status != JOBQ_STATUS_QUEUED;

	for (int i = 0; i < 2; i++) {
		bool whole = moved == (i == 1);
		sqlite3_stmt *run = store_sqlite_statement(self, whole ? INSERT : UPDATE);
		if (run != NULL)
			bind(run, entry, whole);
		int rc = store_sqlite_step(self, run);
		if (rc < 0)
			return rc;
		if (sqlite3_changes(self->db) > 0) {
			self->added += whole;
			return 0;
		}
	}
	return -EUCLEAN;
}

static int sqlite_remove(struct jobq_store *base, uint64_t id)
{
	struct sqlite_store *self = self_of(base);
	sqlite3_stmt *run = store_sqlite_statement(self, REMOVE);

	if (run != NULL)
		sqlite3_bind_int64(run, 1, (sqlite3_int64)id);
	int rc = store_sqlite_step(self, run);
	if (rc == 0)
		self->added -= sqlite3_changes(self->db);
	return rc;
}

static int sqlite_expire(struct jobq_store *base, int64_t limit, size_t most, size_t *removed)
{
	struct sqlite_store *self = self_of(base);
	sqlite3_stmt *run = store_sqlite_statement(self, EXPIRE);

	*removed = 0;
	if (run != NULL) {
		sqlite3_bind_int64(run, 1, limit);
		sqlite3_bind_int64(run, 2, (sqlite3_int64)most);
	}
	int rc = store_sqlite_step(self, run);
	if (rc == 0)
		*removed = (size_t)sqlite3_changes(self->db);
	self->added -= (int64_t)*removed;
	return rc;
}

static int sqlite_meta(struct jobq_store *base, struct jobq_store_meta *out);

int store_sqlite_set_number(struct sqlite_store *self, const char *name, uint64_t value)
{
	sqlite3_stmt *run = store_sqlite_statement(self, SET_META);

	if (run != NULL) {
		sqlite3_bind_text(run, 1, name, -1, SQLITE_STATIC);
		sqlite3_bind_int64(run, 2, (sqlite3_int64)value);
	}
	return store_sqlite_step(self, run);
}

static int sqlite_set_meta(struct jobq_store *base, const struct jobq_store_meta *meta)
{
	struct sqlite_store *self = self_of(base);
	struct jobq_store_meta whole;
	int rc = self->store_id == 0 ? sqlite_meta(base, &whole) : 0;

	whole = *meta;
	whole.store_id = self->store_id;
	if (rc == 0)
		rc = store_sqlite_set_number(self, "seq", whole.seq);
	if (rc == 0)
		rc = store_sqlite_set_number(self, "next_id", whole.next_id);
	return rc < 0 ? rc : store_sqlite_set_number(self, "sum", store_meta_sum(&whole));
}

/* ---- reading -------------------------------------------------------------- */

static int sqlite_meta(struct jobq_store *base, struct jobq_store_meta *out)
{
	struct sqlite_store *self = self_of(base);
	sqlite3_stmt *query = store_sqlite_statement(self, META);
	uint64_t sum = 0;
	int found = 0;

	*out = (struct jobq_store_meta){0};
	if (query == NULL)
		return store_sqlite_errno(self->db, sqlite3_errcode(self->db));
	while (sqlite3_step(query) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(query, 0);
		uint64_t value = (uint64_t)sqlite3_column_int64(query, 1);
		uint64_t *member = name == NULL			     ? NULL
				   : strcmp(name, "store_id") == 0 ? &out->store_id
				   : strcmp(name, "seq") == 0	     ? &out->seq
				   : strcmp(name, "next_id") == 0  ? &out->next_id
				   : strcmp(name, "sum") == 0	     ? &sum
								     : NULL;
		if (member != NULL) {
			*member = value;
			found++;
		}
	}
	int rc = store_sqlite_errno(self->db, sqlite3_reset(query));
	if (rc == 0 && (found != 4 || out->store_id == 0 || out->next_id == 0 ||
			sum != store_meta_sum(out)))
		rc = -EUCLEAN;
	self->store_id = rc == 0 ? out->store_id : 0;
	return rc;
}

struct jobq_text store_sqlite_text(sqlite3_stmt *row, int column)
{
	const char *data = (const char *)sqlite3_column_text(row, column);

	return (struct jobq_text){data, (size_t)sqlite3_column_bytes(row, column)};
}

/* False: the row makes no sense, or is not as it was written. */
static bool read_row(sqlite3_stmt *row, struct jobq_entry *entry)
{
	struct jobq_text type = store_sqlite_text(row, 1), status = store_sqlite_text(row, 2);

	*entry = (struct jobq_entry){
		.id = (uint64_t)sqlite3_column_int64(row, 0),
		.progress = (unsigned)sqlite3_column_int64(row, 3),
		.attempt = (uint32_t)sqlite3_column_int64(row, 4),
		.requeues = (unsigned)sqlite3_column_int64(row, 5),
		.created = sqlite3_column_int64(row, 6),
		.started = sqlite3_column_int64(row, 7),
		.completed = sqlite3_column_int64(row, 8),
		.owner = store_sqlite_text(row, 9),
		.key = store_sqlite_text(row, 10),
		.parameters = store_sqlite_text(row, 11),
		.error = store_sqlite_text(row, 12),
		.result = store_sqlite_text(row, 13),
		.priority = (int)sqlite3_column_int64(row, 15),
		.labels = store_sqlite_text(row, 16),
		.log = store_sqlite_text(row, 17),
	};
	return type.data != NULL && status.data != NULL && entry->owner.data != NULL &&
	       entry->key.data != NULL && entry->parameters.data != NULL &&
	       entry->error.data != NULL && entry->result.data != NULL &&
	       entry->labels.data != NULL && entry->log.data != NULL &&
	       entry->labels.len <= JOBQ_LABELS_BYTES && entry->log.len <= JOBQ_LOG_MAX &&
	       entry->priority >= -JOBQ_PRIORITY_MAX && entry->priority <= JOBQ_PRIORITY_MAX &&
	       entry->progress <= 100 &&
	       entry->requeues <= 15 && entry->owner.len <= JOBQ_OWNER_MAX &&
	       entry->key.len <= JOBQ_KEY_MAX && entry->completed >= 0 &&
	       jobq_job_type_of(type.data, type.len, &entry->type) &&
	       jobq_job_status_of(status.data, status.len, &entry->status) &&
	       (uint64_t)sqlite3_column_int64(row, 14) == store_sum(entry);
}

/* How many jobs there should be, by the count that is kept of them; -1: none is. */
static int64_t count_kept(struct sqlite_store *self)
{
	sqlite3_stmt *query = store_sqlite_statement(self, JOBS);
	int64_t count = -1;

	if (query != NULL && sqlite3_step(query) == SQLITE_ROW)
		count = sqlite3_column_int64(query, 0) + self->added;
	sqlite3_reset(query);
	return count;
}

static int visit_rows(struct sqlite_store *self, uint64_t after, jobq_store_visit visit, void *arg)
{
	sqlite3_stmt *query = store_sqlite_statement(self, EACH);
	struct jobq_entry entry;
	uint64_t last = after;
	int64_t count = 0;
	int rc = 0;

	if (query == NULL)
		return store_sqlite_errno(self->db, sqlite3_errcode(self->db));
	sqlite3_bind_int64(query, 1, (sqlite3_int64)after);
	while (rc == 0 && sqlite3_step(query) == SQLITE_ROW) {
		/* In a damaged tree the same page may be met twice. */
		rc = read_row(query, &entry) && entry.id > last ? visit(arg, &entry) : -EUCLEAN;
		last = entry.id;
		count++;
	}
	int end = store_sqlite_errno(self->db, sqlite3_reset(query));
	rc = rc != 0 ? rc : end;
	/* Or some may not be met at all. */
	return rc == 0 && after == 0 && count != count_kept(self) ? -EUCLEAN : rc;
}

static int sqlite_each(struct jobq_store *base, uint64_t after, jobq_store_visit visit, void *arg)
{
	struct sqlite_store *self = self_of(base);
	/* The rows and their count, of one instant. */
	bool ours = sqlite3_get_autocommit(self->db) != 0;
	int rc = ours ? store_sqlite_step(self, store_sqlite_statement(self, BEGIN_READ)) : 0;

	if (rc == 0)
		rc = visit_rows(self, after, visit, arg);
	if (ours && sqlite3_get_autocommit(self->db) == 0)
		store_sqlite_step(self, store_sqlite_statement(self, ROLLBACK));
	return rc;
}

/* ---- the rest --------------------------------------------------------------- */

static int sqlite_backup(struct jobq_store *base, const char *path)
{
	return store_sqlite_copy(self_of(base)->db, path);
}

static const char *sqlite_error(const struct jobq_store *base)
{
	const struct sqlite_store *self = (const struct sqlite_store *)base;

	return self->failure[0] != '\0' ? self->failure : sqlite3_errmsg(self->db);
}

const struct store_ops store_sqlite_ops = {
	.prefix = "",
	.open = store_sqlite_open,
	.close = store_sqlite_close,
	.current = sqlite_current,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.put = sqlite_put,
	.remove = sqlite_remove,
	.expire = sqlite_expire,
	.set_meta = sqlite_set_meta,
	.meta = sqlite_meta,
	.each = sqlite_each,
	.backup = sqlite_backup,
	.error = sqlite_error,
	.hooks = &store_sqlite_hook_ops,
};
