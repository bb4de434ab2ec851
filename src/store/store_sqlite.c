/*
 * A store in an SQLite database (https://www.sqlite.org/): one writer, WAL,
 * readers beside it.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_ops.h"
#include "store/store_sqlite.h"

#define APPLICATION_ID 0x6a6f6271 /* "jobq": says in the file whose it is */
#define BUSY_MS 5000
#define WAL_BYTES_KEPT (64 << 20)

/*
 * What brings a store from version N to N + 1, all in one transaction when it
 * is opened. A version is never changed once it is released; only added to.
 */
static const char *const migrations[] = {
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;"
	"INSERT INTO meta VALUES ('store_id', 0), ('seq', 0), ('next_id', 1), ('sum', 0);"
	"CREATE TABLE jobs ("
	" id INTEGER PRIMARY KEY, type TEXT NOT NULL, status TEXT NOT NULL,"
	" progress INTEGER NOT NULL, attempt INTEGER NOT NULL, requeues INTEGER NOT NULL,"
	" created INTEGER NOT NULL, started INTEGER NOT NULL, completed INTEGER NOT NULL,"
	" owner TEXT NOT NULL, key TEXT NOT NULL, parameters TEXT NOT NULL,"
	" error TEXT NOT NULL, result TEXT NOT NULL, sum INTEGER NOT NULL) STRICT;"
	"CREATE INDEX jobs_by_completion ON jobs (completed) WHERE completed > 0;",
};
#define SCHEMA_VERSION ((int)JOBQ_LENGTH(migrations))

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	INSERT,
	UPDATE,
	REMOVE,
	EXPIRE,
	SET_META,
	META,
	EACH,
	STATEMENTS
};

static const char *const statements[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[INSERT] = "INSERT OR REPLACE INTO jobs VALUES "
		   "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
	[UPDATE] = "UPDATE jobs SET status = ?3, progress = ?4, attempt = ?5, requeues = ?6, "
		   "started = ?8, completed = ?9, error = ?13, result = ?14, sum = ?15 "
		   "WHERE id = ?1",
	[REMOVE] = "DELETE FROM jobs WHERE id = ?1",
	[EXPIRE] = "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE completed > 0 AND "
		   "completed < ?1 ORDER BY completed LIMIT ?2)",
	[SET_META] = "UPDATE meta SET value = ?2 WHERE name = ?1 AND value <> ?2",
	[META] = "SELECT name, value FROM meta",
	[EACH] = "SELECT id, type, status, progress, attempt, requeues, created, started, "
		 "completed, owner, key, parameters, error, result, sum FROM jobs "
		 "WHERE id > ?1 ORDER BY id",
};

struct sqlite_store {
	struct jobq_store base;
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS]; /* prepared when first used */
	bool full; /* every commit is synced */
	uint64_t store_id; /* 0: not read yet */
	char *place;	   /* owned */
	dev_t device;	   /* with inode: the file that stood there when it was opened */
	ino_t inode;
};

static struct sqlite_store *self_of(struct jobq_store *store)
{
	return (struct sqlite_store *)store;
}

int store_sqlite_errno(sqlite3 *db, int rc)
{
	int system = db != NULL ? sqlite3_system_errno(db) : 0;

	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_MISMATCH:
	case SQLITE_CONSTRAINT:
	case SQLITE_ERROR: /* all that is said here is constant: the schema is not as it was */
		return -EUCLEAN;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return system != 0 ? -system : -EACCES;
	case SQLITE_IOERR:
		return system == ENOSPC || system == EDQUOT ? -ENOSPC
		       : system == EROFS		    ? -EROFS
							    : -EIO;
	default:
		return -EIO;
	}
}

static sqlite3_stmt *statement(struct sqlite_store *self, enum statement which)
{
	if (self->statements[which] == NULL)
		sqlite3_prepare_v3(self->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
				   &self->statements[which], NULL);
	return self->statements[which];
}

/* Runs a statement that returns no rows. */
static int step(struct sqlite_store *self, sqlite3_stmt *run)
{
	if (run == NULL)
		return store_sqlite_errno(self->db, sqlite3_errcode(self->db));
	sqlite3_step(run);
	return store_sqlite_errno(self->db, sqlite3_reset(run));
}

static int execute(struct sqlite_store *self, const char *sql)
{
	return store_sqlite_errno(self->db, sqlite3_exec(self->db, sql, NULL, NULL, NULL));
}

/* A number that a pragma or a query answers; `otherwise` when it does not. */
static int64_t ask(struct sqlite_store *self, const char *sql, int64_t otherwise)
{
	sqlite3_stmt *query = NULL;
	int64_t answer = otherwise;

	if (sqlite3_prepare_v2(self->db, sql, -1, &query, NULL) == SQLITE_OK &&
	    sqlite3_step(query) == SQLITE_ROW)
		answer = sqlite3_column_int64(query, 0);
	sqlite3_finalize(query);
	return answer;
}

/* ---- opening -------------------------------------------------------------- */

static int migrate(struct sqlite_store *self, int from, const char *place, struct jobq_buf *why)
{
	char text[192];
	uint64_t id = 0;
	int rc = execute(self, "BEGIN IMMEDIATE");

	for (int version = from; rc == 0 && version < SCHEMA_VERSION; version++)
		rc = execute(self, migrations[version]);
	if (rc == 0 && from == 0) {
		if (getrandom(&id, sizeof(id), 0) < 0)
			id = (uint64_t)jobq_clock_wall();
		struct jobq_store_meta meta = {.store_id = id >> 1 | 1, .next_id = 1};
		snprintf(text, sizeof(text), "UPDATE meta SET value = %lld WHERE name = 'store_id';"
					     "UPDATE meta SET value = %lld WHERE name = 'sum'",
			 (long long)meta.store_id, (long long)store_meta_sum(&meta));
		rc = execute(self, text);
	}
	snprintf(text, sizeof(text), "PRAGMA application_id = %d; PRAGMA user_version = %d",
		 APPLICATION_ID, SCHEMA_VERSION);
	if (rc == 0)
		rc = execute(self, text);
	if (rc == 0)
		rc = execute(self, "COMMIT");
	if (rc < 0) {
		jobq_buf_addf(why, "%s: %s", place, sqlite3_errmsg(self->db));
		execute(self, "ROLLBACK");
	}
	return rc;
}

/* Looks whether the file is ours, without changing it; *found: its schema version. */
static int recognize(struct sqlite_store *self, const char *place, enum jobq_store_mode mode,
		     int *found, struct jobq_buf *why)
{
	int64_t objects = ask(self, "SELECT count(*) FROM sqlite_master", -1);
	int64_t application = ask(self, "PRAGMA application_id", 0);
	int64_t version = ask(self, "PRAGMA user_version", 0);

	if (objects < 0)
		return store_sqlite_errno(self->db, sqlite3_errcode(self->db));
	if (objects > 0 && application != APPLICATION_ID) {
		jobq_buf_addf(why, "%s is a database, but none of jobq's: choose another place for "
				   "the store", place);
		return -EPROTO;
	}
	if (version < 0 || (version == 0 && objects > 0)) {
		jobq_buf_addf(why, "%s is damaged: it says that it has schema version %lld", place,
			      (long long)version);
		return -EUCLEAN;
	}
	*found = (int)version;
	if (version > SCHEMA_VERSION) {
		jobq_buf_addf(why, "%s has schema version %lld, this program knows up to %d: it was "
				   "written by a newer release; run that one (nothing was changed)",
			      place, (long long)version, SCHEMA_VERSION);
		return -EPROTO;
	}
	if (mode == JOBQ_STORE_READ) {
		if (version == SCHEMA_VERSION)
			return 0;
		jobq_buf_addf(why, "%s has schema version %lld, this program reads %d: start jobqd "
				   "once, which brings it up to date", place, (long long)version,
			      SCHEMA_VERSION);
		return -EPROTO;
	}
	return 0;
}

/* Takes it for writing and brings it up to date. */
static int adopt(struct sqlite_store *self, int version, const char *place, struct jobq_buf *why)
{
	char text[256];

	/* From here on it is ours: the log may go into it when it is closed. */
	sqlite3_db_config(self->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	snprintf(text, sizeof(text), "PRAGMA journal_mode = WAL; PRAGMA synchronous = %s;"
				     "PRAGMA journal_size_limit = %d",
		 self->full ? "FULL" : "NORMAL", WAL_BYTES_KEPT);
	int rc = execute(self, text);
	return rc == 0 && version < SCHEMA_VERSION ? migrate(self, version, place, why) : rc;
}

static int configure(struct sqlite_store *self)
{
	sqlite3_busy_timeout(self->db, BUSY_MS);
	sqlite3_extended_result_codes(self->db, 1);
	sqlite3_db_config(self->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return execute(self, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
			     "PRAGMA temp_store = MEMORY");
}

static void sqlite_close(struct jobq_store *base)
{
	struct sqlite_store *self = self_of(base);

	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(self->statements[i]);
	sqlite3_close(self->db);
	free(self->place);
	free(self);
}

static int sqlite_open(const char *place, enum jobq_store_mode mode,
		       enum jobq_durability durability, struct jobq_store **out,
		       struct jobq_buf *why)
{
	struct sqlite_store *self = calloc(1, sizeof(*self));
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, version = 0;

	if (self == NULL)
		return -ENOMEM;
	self->full = durability == JOBQ_DURABILITY_FULL;
	flags |= mode == JOBQ_STORE_READ ? SQLITE_OPEN_READONLY
					 : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	mode_t mask = umask(0077); /* parameters and results are nobody else's business */
	int rc = store_sqlite_errno(self->db, sqlite3_open_v2(place, &self->db, flags, NULL));
	if (rc < 0)
		rc = store_sqlite_errno(self->db, sqlite3_extended_errcode(self->db));
	/* What cannot be opened for writing SQLite opens for reading, and leaves it at that. */
	if (rc == 0 && mode == JOBQ_STORE_WRITE && sqlite3_db_readonly(self->db, "main") == 1) {
		jobq_buf_addf(why, "%s cannot be written to", place);
		rc = -EROFS;
	}
	if (rc == 0)
		rc = configure(self);
	if (rc == 0)
		rc = recognize(self, place, mode, &version, why);
	if (rc == 0 && mode == JOBQ_STORE_WRITE)
		rc = adopt(self, version, place, why);
	umask(mask);
	struct stat st;
	self->place = strdup(place);
	if (rc == 0 && (self->place == NULL || stat(place, &st) < 0)) {
		rc = self->place == NULL ? -ENOMEM : -errno;
	} else if (rc == 0) {
		self->device = st.st_dev;
		self->inode = st.st_ino;
	}
	if (rc < 0) {
		if (why->len == 0)
			jobq_buf_addf(why, "%s: %s", place,
				      self->db != NULL ? sqlite3_errmsg(self->db) : "out of memory");
		sqlite_close(&self->base);
		return rc;
	}
	*out = &self->base;
	return 0;
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
	return step(self_of(base), statement(self_of(base), BEGIN));
}

/*
 * Syncs the log. synchronous cannot be changed within a transaction, and a
 * checkpoint syncs nothing while somebody reads.
 */
static int sync_log(struct sqlite_store *self)
{
	sqlite3_file *log = NULL;
	int rc = sqlite3_file_control(self->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);

	if (rc == SQLITE_OK && log != NULL && log->pMethods != NULL)
		rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
	return store_sqlite_errno(self->db, rc);
}

static int sqlite_commit(struct jobq_store *base, bool synced)
{
	struct sqlite_store *self = self_of(base);
	int rc = step(self, statement(self, COMMIT));

	return rc == 0 && synced && !self->full ? sync_log(self) : rc;
}

static void sqlite_rollback(struct jobq_store *base)
{
	struct sqlite_store *self = self_of(base);

	if (sqlite3_get_autocommit(self->db) == 0)
		step(self, statement(self, ROLLBACK));
}

static void bind_text(sqlite3_stmt *into, int column, const struct jobq_text *text)
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
	bind_text(into, 13, &entry->error);
	bind_text(into, 14, &entry->result);
	sqlite3_bind_int64(into, 15, (sqlite3_int64)store_sum(entry));
	if (!whole)
		return;
	sqlite3_bind_text(into, 2, jobq_job_type_name(entry->type), -1, SQLITE_STATIC);
	sqlite3_bind_int64(into, 7, entry->created);
	bind_text(into, 10, &entry->owner);
	bind_text(into, 11, &entry->key);
	bind_text(into, 12, &entry->parameters);
}

static int sqlite_put(struct jobq_store *base, const struct jobq_entry *entry)
{
	struct sqlite_store *self = self_of(base);
	sqlite3_stmt *run;
	int rc;

	/* Only a job that has moved on can be there already. */
	if (entry->status != JOBQ_STATUS_QUEUED) {
		run = statement(self, UPDATE);
		if (run != NULL)
			bind(run, entry, false);
		rc = step(self, run);
		if (rc < 0 || sqlite3_changes(self->db) > 0)
			return rc;
	}
	run = statement(self, INSERT);
	if (run != NULL)
		bind(run, entry, true);
	return step(self, run);
}

static int sqlite_remove(struct jobq_store *base, uint64_t id)
{
	sqlite3_stmt *run = statement(self_of(base), REMOVE);

	if (run != NULL)
		sqlite3_bind_int64(run, 1, (sqlite3_int64)id);
	return step(self_of(base), run);
}

static int sqlite_expire(struct jobq_store *base, int64_t limit, size_t most, size_t *removed)
{
	struct sqlite_store *self = self_of(base);
	sqlite3_stmt *run = statement(self, EXPIRE);

	*removed = 0;
	if (run != NULL) {
		sqlite3_bind_int64(run, 1, limit);
		sqlite3_bind_int64(run, 2, (sqlite3_int64)most);
	}
	int rc = step(self, run);
	if (rc == 0)
		*removed = (size_t)sqlite3_changes(self->db);
	return rc;
}

static int sqlite_meta(struct jobq_store *base, struct jobq_store_meta *out);

static int set_number(struct sqlite_store *self, const char *name, uint64_t value)
{
	sqlite3_stmt *run = statement(self, SET_META);

	if (run != NULL) {
		sqlite3_bind_text(run, 1, name, -1, SQLITE_STATIC);
		sqlite3_bind_int64(run, 2, (sqlite3_int64)value);
	}
	return step(self, run);
}

static int sqlite_set_meta(struct jobq_store *base, const struct jobq_store_meta *meta)
{
	struct sqlite_store *self = self_of(base);
	struct jobq_store_meta whole;
	int rc = self->store_id == 0 ? sqlite_meta(base, &whole) : 0;

	whole = *meta;
	whole.store_id = self->store_id;
	if (rc == 0)
		rc = set_number(self, "seq", whole.seq);
	if (rc == 0)
		rc = set_number(self, "next_id", whole.next_id);
	return rc < 0 ? rc : set_number(self, "sum", store_meta_sum(&whole));
}

/* ---- reading -------------------------------------------------------------- */

static int sqlite_meta(struct jobq_store *base, struct jobq_store_meta *out)
{
	struct sqlite_store *self = self_of(base);
	sqlite3_stmt *query = statement(self, META);
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

static struct jobq_text column_text(sqlite3_stmt *row, int column)
{
	const char *data = (const char *)sqlite3_column_text(row, column);

	return (struct jobq_text){data, (size_t)sqlite3_column_bytes(row, column)};
}

/* False: the row makes no sense, or is not as it was written. */
static bool read_row(sqlite3_stmt *row, struct jobq_entry *entry)
{
	struct jobq_text type = column_text(row, 1), status = column_text(row, 2);

	*entry = (struct jobq_entry){
		.id = (uint64_t)sqlite3_column_int64(row, 0),
		.progress = (unsigned)sqlite3_column_int64(row, 3),
		.attempt = (uint32_t)sqlite3_column_int64(row, 4),
		.requeues = (unsigned)sqlite3_column_int64(row, 5),
		.created = sqlite3_column_int64(row, 6),
		.started = sqlite3_column_int64(row, 7),
		.completed = sqlite3_column_int64(row, 8),
		.owner = column_text(row, 9),
		.key = column_text(row, 10),
		.parameters = column_text(row, 11),
		.error = column_text(row, 12),
		.result = column_text(row, 13),
	};
	return type.data != NULL && status.data != NULL && entry->owner.data != NULL &&
	       entry->key.data != NULL && entry->parameters.data != NULL &&
	       entry->error.data != NULL && entry->result.data != NULL && entry->progress <= 100 &&
	       entry->requeues <= 15 && entry->owner.len <= JOBQ_OWNER_MAX &&
	       entry->key.len <= JOBQ_KEY_MAX && entry->completed >= 0 &&
	       jobq_job_type_of(type.data, type.len, &entry->type) &&
	       jobq_job_status_of(status.data, status.len, &entry->status) &&
	       (uint64_t)sqlite3_column_int64(row, 14) == store_sum(entry);
}

static int sqlite_each(struct jobq_store *base, uint64_t after, jobq_store_visit visit, void *arg)
{
	struct sqlite_store *self = self_of(base);
	sqlite3_stmt *query = statement(self, EACH);
	struct jobq_entry entry;
	uint64_t last = after;
	int rc = 0;

	if (query == NULL)
		return store_sqlite_errno(self->db, sqlite3_errcode(self->db));
	sqlite3_bind_int64(query, 1, (sqlite3_int64)after);
	while (rc == 0 && sqlite3_step(query) == SQLITE_ROW) {
		/* In a damaged tree the same page may be met twice. */
		rc = read_row(query, &entry) && entry.id > last ? visit(arg, &entry) : -EUCLEAN;
		last = entry.id;
	}
	int end = store_sqlite_errno(self->db, sqlite3_reset(query));
	return rc != 0 ? rc : end;
}

/* ---- the rest --------------------------------------------------------------- */

static int sqlite_backup(struct jobq_store *base, const char *path)
{
	return store_sqlite_copy(self_of(base)->db, path);
}

static const char *sqlite_error(const struct jobq_store *base)
{
	return sqlite3_errmsg(((const struct sqlite_store *)base)->db);
}

const struct store_ops store_sqlite_ops = {
	.prefix = "",
	.open = sqlite_open,
	.close = sqlite_close,
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
};
