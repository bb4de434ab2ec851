/*
 * Opening an SQLite store: whose file it is, of which schema version, and what
 * brings it up to date.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

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
	/* How many there are tells when a damaged tree leaves some out. */
	"INSERT INTO meta SELECT 'jobs', count(*) FROM jobs;"
	"INSERT INTO meta VALUES ('failed_commits', 0);",
	"INSERT INTO meta VALUES ('messages_generation', 0), ('messages_position', 0),"
	" ('messages_sum', 0), ('queue', 0);"
	"CREATE TABLE webhooks ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, created INTEGER NOT NULL,"
	" enabled INTEGER NOT NULL, delivery_count INTEGER NOT NULL,"
	" failure_count INTEGER NOT NULL, last_delivery INTEGER NOT NULL, url TEXT NOT NULL,"
	" events TEXT NOT NULL, secret TEXT NOT NULL, sum INTEGER NOT NULL) STRICT;"
	/* What is long comes last: what only counts or asks never reads it. */
	"CREATE TABLE events ("
	" seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, job INTEGER NOT NULL,"
	" at INTEGER NOT NULL, refs INTEGER NOT NULL, sum INTEGER NOT NULL,"
	" data TEXT NOT NULL) STRICT;"
	/*
	 * done: 0 while it waits, then the number of its end among the webhook's. Those
	 * that wait have no index: behind the primary key's `webhook` there are no more
	 * others than the history has.
	 */
	"CREATE TABLE deliveries ("
	" webhook INTEGER NOT NULL, event INTEGER NOT NULL, done INTEGER NOT NULL,"
	" attempts INTEGER NOT NULL, due INTEGER NOT NULL, at INTEGER NOT NULL,"
	" success INTEGER NOT NULL, payload_size INTEGER NOT NULL, message TEXT NOT NULL,"
	" PRIMARY KEY (webhook, event)) WITHOUT ROWID, STRICT;"
	"CREATE INDEX deliveries_by_end ON deliveries (webhook, done) WHERE done > 0;"
	"ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE jobs ADD COLUMN labels TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE jobs ADD COLUMN log TEXT NOT NULL DEFAULT '';",
};
#define SCHEMA_VERSION ((int)JOBQ_LENGTH(migrations))

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

int store_sqlite_execute(struct sqlite_store *self, const char *sql)
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

/*
 * By itself, because synchronous cannot be changed within a transaction, and a
 * checkpoint syncs nothing while somebody reads.
 */
int store_sqlite_sync(struct sqlite_store *self)
{
	sqlite3_file *log = NULL;
	int rc = sqlite3_file_control(self->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);

	if (rc == SQLITE_OK && log != NULL && log->pMethods != NULL)
		rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
	return store_sqlite_errno(self->db, rc);
}

/* ---- opening -------------------------------------------------------------- */

static int migrate(struct sqlite_store *self, int from, const char *place, struct jobq_buf *why)
{
	char text[192];
	uint64_t id = 0;
	int rc = store_sqlite_execute(self, "BEGIN IMMEDIATE");

	for (int version = from; rc == 0 && version < SCHEMA_VERSION; version++)
		rc = store_sqlite_execute(self, migrations[version]);
	if (rc == 0 && from == 0) {
		if (getrandom(&id, sizeof(id), 0) < 0)
			id = (uint64_t)jobq_clock_wall();
		struct jobq_store_meta meta = {.store_id = id >> 1 | 1, .next_id = 1};
		snprintf(text, sizeof(text), "UPDATE meta SET value = %lld WHERE name = 'store_id';"
					     "UPDATE meta SET value = %lld WHERE name = 'sum'",
			 (long long)meta.store_id, (long long)store_meta_sum(&meta));
		rc = store_sqlite_execute(self, text);
	}
	snprintf(text, sizeof(text), "PRAGMA application_id = %d; PRAGMA user_version = %d",
		 APPLICATION_ID, SCHEMA_VERSION);
	if (rc == 0)
		rc = store_sqlite_execute(self, text);
	if (rc == 0)
		rc = store_sqlite_execute(self, "COMMIT");
	if (rc < 0) {
		jobq_buf_addf(why, "%s: %s", place, sqlite3_errmsg(self->db));
		store_sqlite_execute(self, "ROLLBACK");
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
	int rc = store_sqlite_execute(self, text);
	return rc == 0 && version < SCHEMA_VERSION ? migrate(self, version, place, why) : rc;
}

static int configure(struct sqlite_store *self)
{
	sqlite3_busy_timeout(self->db, BUSY_MS);
	sqlite3_extended_result_codes(self->db, 1);
	sqlite3_db_config(self->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return store_sqlite_execute(self, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
			     "PRAGMA temp_store = MEMORY");
}

void store_sqlite_close(struct jobq_store *base)
{
	struct sqlite_store *self = (struct sqlite_store *)base;

	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(self->statements[i]);
	sqlite3_close(self->db);
	free(self->place);
	free(self);
}

int store_sqlite_open(const char *place, enum jobq_store_mode mode,
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
	/*
	 * A writer that was killed may have written what it had no time to sync.
	 * Written again as it stands there, it would count as done, unsynced.
	 */
	if (rc == 0 && mode == JOBQ_STORE_WRITE)
		rc = store_sqlite_sync(self);
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
		store_sqlite_close(&self->base);
		return rc;
	}
	*out = &self->base;
	return 0;
}

