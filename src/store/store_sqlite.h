/* store, inside: what the files about SQLite share. */
#ifndef JOBQ_STORE_SQLITE_H
#define JOBQ_STORE_SQLITE_H

#include <sqlite3.h>
#include <sys/types.h>

#include "store/store_ops.h"

/* Prepared when first used; see the table in store_sqlite.c. */
enum store_statement {
	BEGIN,
	BEGIN_READ,
	COMMIT,
	ROLLBACK,
	INSERT,
	UPDATE,
	REMOVE,
	EXPIRE,
	SET_META,
	ADD_JOBS,
	OVERWRITE,
	JOBS,
	META,
	EACH,
	STATUS,
	MESSAGES,
	QUEUE,
	PUT_WEBHOOK,
	REMOVE_WEBHOOK,
	DROP_EVENTS,
	RELEASE_EVENTS,
	REMOVE_DELIVERIES,
	EACH_WEBHOOK,
	NEXT_EVENT,
	ADD_EVENT,
	DROP_EVENT,
	RELEASE_EVENT,
	EVENT,
	EVENT_KIND,
	ADD_DELIVERY,
	REMOVE_DELIVERY,
	EACH_PENDING,
	COUNT_PENDING,
	RETRY,
	END,
	NEWEST_END,
	OLD_END,
	END_OF,
	WAIT_ANEW,
	CLOSE_UP,
	EACH_DELIVERY,
	STATEMENTS
};

struct sqlite_store {
	struct jobq_store base;
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	bool full;	   /* every commit is synced */
	uint64_t store_id; /* 0: not read yet */
	int64_t added;	   /* jobs more than before the open transaction */
	char failure[160]; /* why the last commit failed, until the next transaction */
	char *place;	   /* owned */
	dev_t device;	   /* with inode: the file that stood there when it was opened */
	ino_t inode;
};

/* SQLite's result as an errno (https://www.sqlite.org/rescode.html). */
int store_sqlite_errno(sqlite3 *db, int rc);

/* NULL: it cannot be prepared; store_sqlite_step() says why. */
sqlite3_stmt *store_sqlite_statement(struct sqlite_store *self, enum store_statement which);

/* Runs a statement that returns no rows. */
int store_sqlite_step(struct sqlite_store *self, sqlite3_stmt *run);

/* The text has to outlive the run. */
void store_sqlite_bind_text(sqlite3_stmt *into, int column, const struct jobq_text *text);

/* Lasts until the next step; its data is NULL where there is none. */
struct jobq_text store_sqlite_text(sqlite3_stmt *row, int column);

/* Sets one of the numbers in meta. */
int store_sqlite_set_number(struct sqlite_store *self, const char *name, uint64_t value);

/* Runs statements that return no rows. */
int store_sqlite_execute(struct sqlite_store *self, const char *sql);

/* Has the log on the disk. */
int store_sqlite_sync(struct sqlite_store *self);

/* Both as in store_ops. open leaves `ops` to its caller. */
int store_sqlite_open(const char *place, enum jobq_store_mode mode,
		      enum jobq_durability durability, struct jobq_store **out,
		      struct jobq_buf *why);
void store_sqlite_close(struct jobq_store *base);

/* Writes a consistent copy of the database to `path`, where nothing may be yet. */
int store_sqlite_copy(sqlite3 *from, const char *path);

#endif
