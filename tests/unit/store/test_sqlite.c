/*
 * The store in an SQLite file: what it takes and what it refuses to open, who
 * sees what beside whom, copies, and that the files of older schema versions are
 * still read.
 *
 * JOBQ_MAKE_FIXTURE=PATH makes such a file, tests/fixtures/store-vN.db, of the
 * version that the program writes. That is never done to an older one.
 */
#include "config.h"

#include <sqlite3.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"
#include "jobq/store_hooks.h"

/* The files of older schema versions, and the store_id that each was given. */
struct old_file {
	const char *path;
	uint64_t store_id;
	const char *words; /* of who may only read it */
};
static const struct old_file old_files[] = {
	{FIXTURES "/store-v1.db", UINT64_C(7856390453728261979),
	 "schema version 1, this program reads 3"},
	{FIXTURES "/store-v2.db", UINT64_C(1400724511957812999),
	 "schema version 2, this program reads 3"},
};

static struct shelf shelf;

static int set_up(void **state)
{
	(void)state;
	shelf.count = 0;
	return fixture_make("/tmp");
}

static int tear_down(void **state)
{
	(void)state;
	return fixture_remove();
}

static int files_seen;

static int count_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path;
	(void)st;
	(void)ftw;
	files_seen += flag == FTW_F;
	return 0;
}

static int files_there(void)
{
	files_seen = 0;
	assert_int_equal(nftw(fixture_root, count_file, 16, FTW_PHYS), 0);
	return files_seen;
}

static void assert_bytes(const char *path, const struct jobq_buf *expected)
{
	struct jobq_buf bytes = fixture_read(path);

	assert_int_equal(bytes.len, expected->len);
	if (bytes.len > 0)
		assert_memory_equal(bytes.data, expected->data, bytes.len);
	jobq_buf_free(&bytes);
}

static void keep(struct jobq_store *store, struct jobq_entry job)
{
	assert_int_equal(jobq_store_begin(store), 0);
	put(store, &shelf, job);
	assert_int_equal(jobq_store_commit(store, false), 0);
}

/* A store with some jobs at store.db, closed. */
static const char *make_store(void)
{
	const char *path = fixture_path("store.db");
	struct jobq_store *store = open_store(path, JOBQ_STORE_WRITE);

	keep(store, queued_job(1));
	keep(store, running_job(2));
	keep(store, completed_job(3));
	jobq_store_close(store);
	return path;
}

/* Says something to the database behind the store's back. */
static void tell(const char *path, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Opening fails like this, with these words, and changes nothing. */
static void refuse(const char *path, enum jobq_store_mode mode, int expected, const char *words)
{
	struct jobq_store *store = NULL;
	struct jobq_buf why = {0}, before = fixture_read(path);
	int files = files_there();

	assert_int_equal(jobq_store_open(path, mode, JOBQ_DURABILITY_FULL, &store, &why), expected);
	assert_null(store);
	assert_non_null(why.data);
	if (strstr(why.data, path) == NULL || strstr(why.data, words) == NULL)
		fail_msg("expected \"%s\" in \"%s\"", words, why.data);
	assert_bytes(path, &before);
	/* SQLite makes an empty log beside a file that says it has one; it may stay. */
	if (before.len < 100 || before.data[18] == 1)
		assert_int_equal(files_there(), files);
	jobq_buf_free(&why);
	jobq_buf_free(&before);
}

/* ---- opening --------------------------------------------------------------- */

static void reopened_store_has_everything(void **state)
{
	const char *path = fixture_path("store.db");
	struct jobq_store_meta meta = {.seq = 9, .next_id = 10}, again;
	(void)state;
	struct jobq_store *store = open_store(path, JOBQ_STORE_WRITE);
	for (uint64_t id = 1; id <= 9; id++) {
		struct jobq_entry job = id % 3 == 0 ? completed_job(id) : queued_job(id);
		job.result = long_text(id * 2000);
		keep(store, job);
	}
	assert_int_equal(jobq_store_begin(store), 0);
	assert_int_equal(jobq_store_set_meta(store, &meta), 0);
	assert_int_equal(jobq_store_commit(store, true), 0);
	assert_int_equal(jobq_store_meta(store, &meta), 0);
	for (int mode = JOBQ_STORE_READ; mode <= JOBQ_STORE_WRITE; mode++) {
		jobq_store_close(store);
		store = open_store(path, (enum jobq_store_mode)mode);
		assert_holds(store, &shelf);
		assert_int_equal(jobq_store_meta(store, &again), 0);
		assert_memory_equal(&meta, &again, sizeof(meta));
	}
	jobq_store_close(store);
}

/* A process that dies leaves what it has committed, and nothing of the rest. */
static void dead_writers_commits_are_there(void **state)
{
	const char *path = fixture_path("store.db");
	int status;
	(void)state;
	struct jobq_entry jobs[] = {queued_job(1), completed_job(2), queued_job(3)};
	pid_t pid = fork();
	if (pid == 0) {
		struct jobq_store *store = open_store(path, JOBQ_STORE_WRITE);
		bool done = jobq_store_begin(store) == 0 && jobq_store_put(store, &jobs[0]) == 0 &&
			    jobq_store_commit(store, false) == 0 && jobq_store_begin(store) == 0 &&
			    jobq_store_put(store, &jobs[1]) == 0 &&
			    jobq_store_commit(store, true) == 0 && jobq_store_begin(store) == 0 &&
			    jobq_store_put(store, &jobs[2]) == 0;
		_exit(done ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	shelf_put(&shelf, &jobs[0]);
	shelf_put(&shelf, &jobs[1]);
	struct jobq_store *store = open_store(path, JOBQ_STORE_READ);
	assert_holds(store, &shelf);
	jobq_store_close(store);
	store = open_store(path, JOBQ_STORE_WRITE);
	assert_holds(store, &shelf);
	jobq_store_close(store);
}

static void newer_version_is_refused(void **state)
{
	const char *path = make_store();
	static const char words[] = "schema version 99, this program knows up to 3";
	(void)state;
	tell(path, "PRAGMA user_version = 99");
	refuse(path, JOBQ_STORE_WRITE, -EPROTO, words);
	refuse(path, JOBQ_STORE_READ, -EPROTO, words);
}

/* Also in a file that is of one piece, as backups are. */
static void newer_backup_is_refused(void **state)
{
	const char *path = make_store();
	(void)state;
	tell(path, "PRAGMA user_version = 4; PRAGMA journal_mode = DELETE");
	refuse(path, JOBQ_STORE_WRITE, -EPROTO, "schema version 4");
	refuse(path, JOBQ_STORE_READ, -EPROTO, "schema version 4");
}

/* And when its program was killed: its log stays for the one that can read it. */
static void newer_log_is_left_alone(void **state)
{
	const char *path = fixture_path("killed.db"), *log = fixture_path("killed.db-wal");
	struct jobq_store *store = open_store(make_store(), JOBQ_STORE_WRITE);
	(void)state;
	keep(store, queued_job(4));
	tell(fixture_path("store.db"), "PRAGMA user_version = 99");
	struct jobq_buf main = fixture_read(fixture_path("store.db"));
	struct jobq_buf wal = fixture_read(fixture_path("store.db-wal"));
	jobq_store_close(store);
	assert_true(wal.len > 0);
	assert_true(fixture_write(path, main.data, main.len));
	assert_true(fixture_write(log, wal.data, wal.len));
	for (int mode = JOBQ_STORE_READ; mode <= JOBQ_STORE_WRITE; mode++) {
		struct jobq_buf why = {0};
		store = NULL;
		assert_int_equal(jobq_store_open(path, (enum jobq_store_mode)mode,
						 JOBQ_DURABILITY_FULL, &store, &why), -EPROTO);
		assert_non_null(strstr(why.data, "99"));
		assert_bytes(path, &main);
		assert_bytes(log, &wal);
		jobq_buf_free(&why);
	}
	jobq_buf_free(&main);
	jobq_buf_free(&wal);
}

static void senseless_version_is_refused(void **state)
{
	static const char *const versions[] = {"PRAGMA user_version = -1",
					       "PRAGMA user_version = -2147483647",
					       "PRAGMA user_version = 0"};
	const char *path = make_store();
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(versions); i++)
		for (int mode = JOBQ_STORE_READ; mode <= JOBQ_STORE_WRITE; mode++) {
			struct jobq_store *store = NULL;
			struct jobq_buf why = {0};
			tell(path, versions[i]);
			assert_true(jobq_store_open(path, (enum jobq_store_mode)mode,
						    JOBQ_DURABILITY_FAST, &store, &why) < 0);
			assert_non_null(strstr(why.data, path));
			assert_null(strstr(why.data, "not an error"));
			jobq_buf_free(&why);
		}
}

static void foreign_database_is_refused(void **state)
{
	const char *path = fixture_path("mail.db");
	static const char words[] = "is a database, but none of jobq's";
	(void)state;
	tell(path, "CREATE TABLE mails (id INTEGER PRIMARY KEY, text); INSERT INTO mails (text) "
		   "VALUES ('hello'), ('world')");
	refuse(path, JOBQ_STORE_WRITE, -EPROTO, words);
	refuse(path, JOBQ_STORE_READ, -EPROTO, words);
	tell(path, "PRAGMA journal_mode = WAL");
	refuse(path, JOBQ_STORE_WRITE, -EPROTO, words);
	refuse(path, JOBQ_STORE_READ, -EPROTO, words);
}

static void file_of_another_kind_is_refused(void **state)
{
	const char *path = fixture_path("notes.txt");
	(void)state;
	static const size_t sizes[] = {2, 5, 99, 100, 511, 512, 4096, 100000};
	for (size_t i = 0; i < JOBQ_LENGTH(sizes); i++) {
		assert_true(fixture_write(path, long_text(sizes[i]).data, sizes[i]));
		refuse(path, JOBQ_STORE_WRITE, -EUCLEAN, "not a database");
		refuse(path, JOBQ_STORE_READ, -EUCLEAN, "not a database");
	}
}

static void place_that_cannot_be_is_refused(void **state)
{
	struct jobq_store *store = NULL;
	struct jobq_buf why = {0};
	(void)state;
	assert_int_equal(jobq_store_open(fixture_path("no/such/store.db"), JOBQ_STORE_WRITE,
					 JOBQ_DURABILITY_FULL, &store, &why), -ENOENT);
	assert_non_null(strstr(why.data, "no/such/store.db"));
	jobq_buf_free(&why);
	assert_true(jobq_store_open(fixture_root, JOBQ_STORE_WRITE, JOBQ_DURABILITY_FULL, &store,
				    &why) < 0);
	assert_non_null(strstr(why.data, fixture_root));
	jobq_buf_free(&why);
	assert_int_equal(files_there(), 0);
}

static void missing_file_is_not_made_by_a_reader(void **state)
{
	const char *path = fixture_path("store.db");
	struct jobq_store *store = NULL;
	struct jobq_buf why = {0};
	(void)state;
	assert_int_equal(jobq_store_open(path, JOBQ_STORE_READ, JOBQ_DURABILITY_FULL, &store, &why),
			 -ENOENT);
	assert_null(store);
	assert_non_null(strstr(why.data, path));
	assert_int_equal(files_there(), 0);
	jobq_buf_free(&why);
}

static void empty_file_becomes_a_store(void **state)
{
	const char *path = fixture_path("store.db");
	struct jobq_store_meta meta;
	(void)state;
	assert_true(fixture_write(path, "", 0));
	refuse(path, JOBQ_STORE_READ, -EPROTO, "schema version 0, this program reads 3");
	struct jobq_store *store = open_store(path, JOBQ_STORE_WRITE);
	assert_int_equal(jobq_store_meta(store, &meta), 0);
	assert_true(meta.store_id != 0);
	assert_holds(store, &shelf);
	jobq_store_close(store);
}

/* What is in a store is nobody else's business, whatever the umask. */
static void files_are_the_owners_alone(void **state)
{
	static const char *const names[] = {"store.db", "store.db-wal", "store.db-shm", "copy.db"};
	struct stat st;
	(void)state;
	mode_t mask = umask(0);
	struct jobq_store *store = open_store(fixture_path("store.db"), JOBQ_STORE_WRITE);
	keep(store, queued_job(1));
	assert_int_equal(jobq_store_backup(store, fixture_path("copy.db")), 0);
	for (size_t i = 0; i < JOBQ_LENGTH(names); i++) {
		assert_int_equal(stat(fixture_path(names[i]), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	jobq_store_close(store);
	assert_int_equal(umask(mask), 0);
}

/* ---- beside each other ----------------------------------------------------- */

static void reader_sees_the_last_commit(void **state)
{
	const char *path = fixture_path("store.db");
	struct jobq_entry job = completed_job(1), draft = queued_job(2);
	struct shelf before;
	(void)state;
	struct jobq_store *writer = open_store(path, JOBQ_STORE_WRITE);
	keep(writer, queued_job(1));
	struct jobq_store *reader = open_store(path, JOBQ_STORE_READ);
	assert_holds(reader, &shelf);

	before = shelf;
	assert_int_equal(jobq_store_begin(writer), 0);
	put(writer, &shelf, job);
	put(writer, &shelf, draft);
	assert_holds(reader, &before);
	struct jobq_store *late = open_store(path, JOBQ_STORE_READ);
	assert_holds(late, &before);
	assert_int_equal(jobq_store_commit(writer, true), 0);
	assert_holds(reader, &shelf);
	assert_holds(late, &shelf);
	jobq_store_close(late);

	/* The writer may go and come back meanwhile. */
	jobq_store_close(writer);
	assert_holds(reader, &shelf);
	writer = open_store(path, JOBQ_STORE_WRITE);
	keep(writer, queued_job(3));
	assert_holds(reader, &shelf);
	jobq_store_close(reader);
	jobq_store_close(writer);
}

/* SQLite's own calls end here: how often it has asked for the disk. */
static unsigned syncs;

int fsync(int fd)
{
	syncs++;
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	syncs++;
	return (int)syscall(SYS_fdatasync, fd);
}

/* Commits one job; whether that asked for the disk. */
static bool keeps_on_disk(struct jobq_store *store, uint64_t id, bool synced)
{
	struct jobq_entry job = queued_job(id);

	assert_int_equal(jobq_store_begin(store), 0);
	put(store, &shelf, job);
	syncs = 0;
	assert_int_equal(jobq_store_commit(store, synced), 0);
	return syncs > 0;
}

static int commit_meanwhile(void *arg, const struct jobq_entry *job)
{
	(void)job;
	keeps_on_disk(arg, 51, false);
	assert_true(keeps_on_disk(arg, 52, true));
	assert_true(keeps_on_disk(arg, 53, true));
	return 1;
}

static void commit_waits_for_what_was_asked(void **state)
{
	const char *path = fixture_path("store.db");
	struct jobq_buf why = {0};
	struct jobq_store *store, *reader;
	uint64_t id = 0;
	(void)state;
	for (int asked = JOBQ_DURABILITY_OFF; asked <= JOBQ_DURABILITY_FULL; asked++) {
		bool full = asked == JOBQ_DURABILITY_FULL;
		assert_int_equal(jobq_store_open(path, JOBQ_STORE_WRITE,
						 (enum jobq_durability)asked, &store, &why), 0);
		for (int turn = 0; turn < 2; turn++) {
			assert_true(keeps_on_disk(store, ++id, true));
			assert_true(keeps_on_disk(store, ++id, true));
			keeps_on_disk(store, ++id, false); /* a log's beginning is always synced */
			assert_int_equal(keeps_on_disk(store, ++id, false), full);
		}
		jobq_store_close(store);
	}
	/* Also beside one who is in the middle of reading, as fsck and backup are. */
	store = open_store(path, JOBQ_STORE_WRITE);
	keeps_on_disk(store, 50, true);
	reader = open_store(path, JOBQ_STORE_READ);
	assert_int_equal(jobq_store_each(reader, 0, commit_meanwhile, store), 1);
	assert_holds(reader, &shelf);
	jobq_store_close(reader);
	jobq_store_close(store);
}

static void reader_cannot_write(void **state)
{
	struct jobq_entry job = queued_job(9);
	struct jobq_store *store = open_store(make_store(), JOBQ_STORE_READ);
	(void)state;
	int rc = jobq_store_begin(store);
	if (rc == 0)
		rc = jobq_store_put(store, &job);
	assert_int_equal(rc, -EROFS);
	jobq_store_rollback(store);
	assert_holds(store, &shelf);
	jobq_store_close(store);
}

/* ---- copies ---------------------------------------------------------------- */

/* The copy is one file, a store, and holds these jobs. */
static void assert_copy(const char *path, const struct shelf *expected)
{
	const char *const beside[] = {"-wal", "-shm", "-journal"};
	char name[PATH_MAX];
	struct stat st;

	for (size_t i = 0; i < JOBQ_LENGTH(beside); i++) {
		snprintf(name, sizeof(name), "%s%s", path, beside[i]);
		assert_int_equal(stat(name, &st), -1);
	}
	struct jobq_store *copy = open_store(path, JOBQ_STORE_READ);
	assert_holds(copy, expected);
	jobq_store_close(copy);
	copy = open_store(path, JOBQ_STORE_WRITE);
	assert_holds(copy, expected);
	jobq_store_close(copy);
}

static void copy_is_of_the_last_commit(void **state)
{
	const char *path = make_store();
	struct jobq_store_meta meta, copied;
	struct shelf before;
	(void)state;
	struct jobq_store *writer = open_store(path, JOBQ_STORE_WRITE);
	struct jobq_entry job = completed_job(4);
	job.result = long_text(300000);
	keep(writer, job);
	before = shelf;
	assert_int_equal(jobq_store_begin(writer), 0);
	for (uint64_t id = 5; id < 40; id++)
		put(writer, &shelf, queued_job(id));
	struct jobq_store *reader = open_store(path, JOBQ_STORE_READ);
	assert_int_equal(jobq_store_backup(reader, fixture_path("during.db")), 0);
	assert_copy(fixture_path("during.db"), &before);
	assert_int_equal(jobq_store_commit(writer, false), 0);
	assert_int_equal(jobq_store_backup(reader, fixture_path("reader.db")), 0);
	assert_copy(fixture_path("reader.db"), &shelf);
	assert_int_equal(jobq_store_backup(writer, fixture_path("writer.db")), 0);
	assert_copy(fixture_path("writer.db"), &shelf);

	struct jobq_store *copy = open_store(fixture_path("writer.db"), JOBQ_STORE_READ);
	assert_int_equal(jobq_store_meta(writer, &meta), 0);
	assert_int_equal(jobq_store_meta(copy, &copied), 0);
	assert_memory_equal(&meta, &copied, sizeof(meta));
	jobq_store_close(copy);
	jobq_store_close(reader);
	jobq_store_close(writer);
}

/* Within its own transaction a handle copies the last commit, or says that it cannot. */
static void copy_within_a_transaction_is_no_draft(void **state)
{
	const char *path = fixture_path("copy.db");
	struct shelf before;
	struct stat st;
	(void)state;
	struct jobq_store *store = open_store(make_store(), JOBQ_STORE_WRITE);
	before = shelf;
	assert_int_equal(jobq_store_begin(store), 0);
	put(store, &shelf, queued_job(7));
	int rc = jobq_store_backup(store, path);
	jobq_store_rollback(store);
	if (rc == 0)
		assert_copy(path, &before);
	else
		assert_int_equal(stat(path, &st), -1);
	assert_holds(store, &before);
	jobq_store_close(store);
}

static void copy_replaces_nothing(void **state)
{
	static const char notes[] = "do not lose this";
	const char *path = fixture_path("there");
	(void)state;
	struct jobq_store *store = open_store(make_store(), JOBQ_STORE_READ);
	assert_true(fixture_write(path, notes, strlen(notes)));
	struct jobq_buf before = fixture_read(path);
	assert_int_equal(jobq_store_backup(store, path), -EEXIST);
	assert_int_equal(jobq_store_backup(store, fixture_root), -EEXIST);
	assert_int_equal(jobq_store_backup(store, fixture_path("no/such")), -ENOENT);
	assert_bytes(path, &before);
	jobq_store_close(store);
	jobq_buf_free(&before);
}

/* As a tree can that lost a page: nothing in it is wrong, but something is not there. */
static void missing_job_is_noticed(void **state)
{
	const char *path = make_store();
	struct look look = {.shelf = &shelf};
	struct jobq_entry job = queued_job(4);
	(void)state;
	struct jobq_store *store = open_store(path, JOBQ_STORE_WRITE);
	keep(store, job);
	job.status = JOBQ_STATUS_RUNNING;
	job.attempt = 1;
	job.started = SOME_DAY;
	keep(store, job);
	job.status = JOBQ_STATUS_QUEUED; /* put back: there already all the same */
	keep(store, job);
	keep(store, queued_job(6));
	assert_int_equal(jobq_store_begin(store), 0);
	assert_int_equal(jobq_store_remove(store, 6), 0);
	jobq_store_rollback(store);
	assert_int_equal(jobq_store_begin(store), 0);
	assert_int_equal(jobq_store_remove(store, 5), 0); /* which there never was */
	assert_int_equal(jobq_store_remove(store, 6), 0);
	assert_int_equal(jobq_store_commit(store, false), 0);
	shelf_remove(&shelf, 6);
	assert_holds(store, &shelf);
	jobq_store_close(store);
	tell(path, "DELETE FROM jobs WHERE id = 4");
	store = open_store(path, JOBQ_STORE_READ);
	assert_int_equal(jobq_store_each(store, 0, look_at, &look), -EUCLEAN);
	jobq_store_close(store);
}

/* ---- the files of older versions --------------------------------------------- */

/* One job a line: what was put into each of them. */
static void old_jobs(struct shelf *into)
{
	static const char list[] = "{\"scene_paths\":[\"res://a.tscn\",\"res://b/c.tscn\"]}";
	struct jobq_entry jobs[] = {
		{1, JOBQ_TYPE_SCENE_PRELOAD, JOBQ_STATUS_COMPLETED, 100, 1, 0, SOME_DAY,
		 SOME_DAY + 1, SOME_DAY + 2, text_of("ci"), text_of("key-1"), text_of(list),
		 text_of(""), long_text(2048), 0, text_of(""), text_of("")},
		{2, JOBQ_TYPE_BATCH_OPERATIONS, JOBQ_STATUS_FAILED, 50, 2, 1, SOME_DAY + 3,
		 SOME_DAY + 4, SOME_DAY + 5, text_of("ci"), text_of(""),
		 text_of("{\"operations\":[]}"), text_of("worker killed by signal 11 (SIGSEGV)"),
		 text_of(""), 0, text_of(""), text_of("")},
		{3, JOBQ_TYPE_CACHE_WARMING, JOBQ_STATUS_CANCELLED, 0, 0, 0, SOME_DAY + 6, 0,
		 SOME_DAY + 7, text_of("Gr\xc3\xb6\xc3\x9f" "e"), text_of("key 3"), text_of("{}"),
		 text_of(""), text_of(""), 0, text_of(""), text_of("")},
		{5, JOBQ_TYPE_SCENE_PRELOAD, JOBQ_STATUS_RUNNING, 7, 1, 0, SOME_DAY + 8,
		 SOME_DAY + 9, 0, text_of(""), text_of(""), text_of(list), text_of(""),
		 text_of(""), 0, text_of(""), text_of("")},
		{6, JOBQ_TYPE_CACHE_WARMING, JOBQ_STATUS_QUEUED, 0, 1, 1, SOME_DAY + 10,
		 SOME_DAY + 11, 0, text_of("ci"), text_of("key-6"),
		 text_of("{\"scope\":\"stale\"}"), text_of(""), text_of(""), 0, text_of(""), text_of("")},
		{70000, JOBQ_TYPE_BATCH_OPERATIONS, JOBQ_STATUS_QUEUED, 0, 0, 0, SOME_DAY + 12, 0,
		 0, text_of("ci"), text_of(""),
		 text_of("{\"operations\":[],\"mode\":\"continue\"}"), text_of(""), text_of(""), 0, text_of(""), text_of("")},
	};

	for (size_t i = 0; i < JOBQ_LENGTH(jobs); i++)
		shelf_put(into, &jobs[i]);
}

static int make_fixture(const char *path)
{
	struct jobq_store_meta meta = {.seq = 123, .next_id = 70009};
	struct jobq_store *store = NULL;
	struct jobq_buf why = {0};

	old_jobs(&shelf);
	if (fixture_make("/tmp") < 0 ||
	    jobq_store_open(fixture_path("store.db"), JOBQ_STORE_WRITE, JOBQ_DURABILITY_FULL,
			    &store, &why) < 0)
		return 1;
	int rc = jobq_store_begin(store);
	for (size_t i = 0; i < shelf.count && rc == 0; i++)
		rc = jobq_store_put(store, &shelf.jobs[i]);
	if (rc == 0)
		rc = jobq_store_set_meta(store, &meta);
	if (rc == 0)
		rc = jobq_store_commit(store, true);
	if (rc == 0)
		rc = jobq_store_backup(store, path); /* one file, with no log beside it */
	if (rc == 0)
		rc = jobq_store_meta(store, &meta);
	if (rc == 0)
		printf("its store_id is %llu\n", (unsigned long long)meta.store_id);
	else
		fprintf(stderr, "%s: %s\n", path, strerror(-rc));
	jobq_store_close(store);
	fixture_remove();
	return rc < 0;
}

/* What came later can be kept as well. */
static void keep_webhook(struct jobq_store *store)
{
	struct jobq_webhook webhook = {.url = "http://x", .events = "[\"*\"]"};
	struct jobq_event event = {.data = text_of("{}")};
	uint32_t generation;
	uint64_t count, position;

	assert_int_equal(jobq_store_messages(store, &generation, &position), 0);
	assert_int_equal(position, 0);
	assert_int_equal(jobq_store_begin(store), 0);
	assert_int_equal(jobq_store_put_webhook(store, &webhook), 0);
	assert_int_equal(jobq_store_add_event(store, &event, &webhook.id, 1), 0);
	assert_int_equal(jobq_store_commit(store, false), 0);
	assert_int_equal(webhook.id, 1);
	assert_int_equal(jobq_store_count_pending(store, 1, &count), 0);
	assert_int_equal(count, 1);
}

/* Whoever only reads leaves it alone. */
static void bring_up_to_date(const struct old_file *old)
{
	const char *path = fixture_path("store.db");
	struct jobq_buf bytes = fixture_read(old->path);
	struct jobq_store_meta meta;

	shelf.count = 0;
	assert_true(bytes.len > 0);
	old_jobs(&shelf);
	assert_true(fixture_write(path, bytes.data, bytes.len));
	refuse(path, JOBQ_STORE_READ, -EPROTO, old->words);
	assert_bytes(path, &bytes);
	jobq_buf_free(&bytes);
	for (int mode = JOBQ_STORE_WRITE; mode >= JOBQ_STORE_READ; mode--) {
		struct jobq_store *store = open_store(path, (enum jobq_store_mode)mode);
		assert_holds(store, &shelf);
		assert_int_equal(jobq_store_meta(store, &meta), 0);
		assert_true(meta.store_id == old->store_id);
		assert_int_equal(meta.seq, 123);
		assert_int_equal(meta.next_id, 70009);
		jobq_store_close(store);
	}
	/* It goes on living. */
	struct jobq_store *store = open_store(path, JOBQ_STORE_WRITE);
	struct jobq_entry job = *shelf_find(&shelf, 6);
	job.status = JOBQ_STATUS_COMPLETED;
	job.progress = 100;
	job.completed = SOME_DAY + 13;
	job.result = text_of("{}");
	keep(store, job);
	keep(store, queued_job(70009));
	assert_holds(store, &shelf);
	keep_webhook(store);
	jobq_store_close(store);
}

static void old_files_are_brought_up_to_date(void **state)
{
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(old_files); i++)
		bring_up_to_date(&old_files[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reopened_store_has_everything),
		TEST(dead_writers_commits_are_there),
		TEST(newer_version_is_refused),
		TEST(newer_backup_is_refused),
		TEST(newer_log_is_left_alone),
		TEST(senseless_version_is_refused),
		TEST(foreign_database_is_refused),
		TEST(file_of_another_kind_is_refused),
		TEST(place_that_cannot_be_is_refused),
		TEST(missing_file_is_not_made_by_a_reader),
		TEST(empty_file_becomes_a_store),
		TEST(files_are_the_owners_alone),
		TEST(reader_sees_the_last_commit),
		TEST(commit_waits_for_what_was_asked),
		TEST(reader_cannot_write),
		TEST(copy_is_of_the_last_commit),
		TEST(copy_within_a_transaction_is_no_draft),
		TEST(copy_replaces_nothing),
		TEST(missing_job_is_noticed),
		TEST(old_files_are_brought_up_to_date),
	};
	const char *fixture = getenv("JOBQ_MAKE_FIXTURE");

	return fixture != NULL ? make_fixture(fixture) : cmocka_run_group_tests(tests, NULL, NULL);
}
