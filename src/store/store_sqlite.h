/* store, inside: what the two files about SQLite share. */
#ifndef JOBQ_STORE_SQLITE_H
#define JOBQ_STORE_SQLITE_H

#include <sqlite3.h>

/* SQLite's result as an errno (https://www.sqlite.org/rescode.html). */
int store_sqlite_errno(sqlite3 *db, int rc);

/* Writes a consistent copy of the database to `path`, where nothing may be yet. */
int store_sqlite_copy(sqlite3 *from, const char *path);

#endif
