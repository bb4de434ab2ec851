#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "store/store_sqlite.h"

int store_sqlite_copy(sqlite3 *from, const char *path)
{
	sqlite3 *to = NULL;

	/* Made here, so that a file that is there is never written over. */
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	int rc = store_sqlite_errno(NULL, sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE, NULL));
	sqlite3_backup *copy = rc == 0 ? sqlite3_backup_init(to, "main", from, "main") : NULL;
	if (copy != NULL) {
		/* All in one step: one state of the store; in WAL mode nobody waits for it. */
		sqlite3_backup_step(copy, -1);
		rc = store_sqlite_errno(to, sqlite3_backup_finish(copy));
	} else if (rc == 0) {
		rc = store_sqlite_errno(to, sqlite3_errcode(to));
	}
	if (rc == 0) /* one file, that needs no log beside it */
		rc = store_sqlite_errno(
			to, sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL));
	sqlite3_close(to);
	if (rc < 0)
		unlink(path);
	return rc;
}
