/*
 * The store's writer: `jobqd -x store`, a process of its own, so that a slow
 * disk holds up nobody but those who wait for it. It gathers what has changed
 * in the table, writes it in one transaction, and lets it be seen.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "jobq/store.h"
#include "jobq/table_counters.h"
#include "super/outbox.h"
#include "super/super.h"

#define BATCH 4096       /* changes in one transaction, at the most */
#define BITE 256         /* changes asked for at a time */
#define ID_BLOCK 16384   /* ids made durable ahead where commits are not: what a reboot skips */
#define EXPIRE_BITE 1000 /* jobs forgotten in one transaction */
#define RETRY_MS 1000    /* between two tries while the store takes nothing */
/*
 * Where many wait, a moment's patience makes one transaction of several (as
 * PostgreSQL's commit_delay and commit_siblings do); where nobody waits, more of it
 * saves most of the work.
 */
#define COMMIT_SIBLINGS 4        /* changes in the last transaction */
#define COMMIT_DELAY 500000      /* nanoseconds */
#define COMMIT_DELAY_OFF 20000000 /* with durability = off */

struct writer {
	const struct jobq_conf *conf;
	struct jobq_table *table;
	struct jobq_store *store;
	struct jobq_store_meta meta; /* as it is in the store */
	uint64_t done;               /* number of the last change that is stored */
	int error;                   /* what the last try ended with: 0 or an errno */
	int64_t next_expire;         /* jobq_clock_mono() */
	struct jobq_buf bytes;
	struct super_outbox outbox;
	struct jobq_table_change changes[BATCH];
	size_t last_count;	  /* changes in the last transaction */
	uint64_t commits, stored; /* for the log */
};

static volatile sig_atomic_t leaving;
static struct jobq_table *nudged;

static void on_term(int signal)
{
	(void)signal;
	leaving = 1;
	if (nudged != NULL)
		jobq_table_nudge_writer(nudged);
}

static int64_t expire_limit(const struct writer *writer)
{
	return jobq_clock_wall() - writer->conf->retention * 1000;
}

/* ---- writing -------------------------------------------------------------- */

/* Writes one job as it is now; `tell`: with the events of how it came to be so. */
static int put_job(struct writer *writer, uint64_t id, bool tell)
{
	struct jobq_entry entry;
	int rc = jobq_table_export(writer->table, id, &entry, &writer->bytes);

	if (rc == -ENOENT)
		return 0; /* removed meanwhile: only what is stored already is */
	if (rc == -EIO) {
		jobq_log(JOBQ_LOG_ERROR, "job_unreadable",
			 "job=%llu msg=\"its record makes no sense and is not stored\"",
			 (unsigned long long)id);
		return 0;
	}
	if (rc < 0)
		return rc;
	if (entry.status == JOBQ_STATUS_NONE)
		return jobq_store_remove(writer->store, id);
	return tell ? super_outbox_put(&writer->outbox, &entry)
		    : jobq_store_put(writer->store, &entry);
}

/*
 * Which ids are given away once this transaction is safe. With full durability
 * nobody sees an id before; else they are reserved in blocks, for which
 * *synced is set, and that only the last transaction cuts down to what was used.
 */
static uint64_t next_id(const struct writer *writer, bool *synced)
{
	struct jobq_table_stats stats;
	uint64_t id = writer->meta.next_id;

	jobq_table_stats(writer->table, &stats);
	if (writer->conf->durability == JOBQ_DURABILITY_FULL || leaving)
		return stats.next_id;
	if (stats.next_id + ID_BLOCK / 2 > id) {
		*synced = true;
		id = stats.next_id + ID_BLOCK;
	}
	return id;
}

static void let_ids(const struct writer *writer)
{
	bool full = writer->conf->durability == JOBQ_DURABILITY_FULL;

	jobq_table_set_ids(writer->table, 0, full || leaving ? UINT64_MAX : writer->meta.next_id);
}

/*
 * Gathers changes into the open transaction; *count of them, up to number *upto.
 * What was posted for webhooks before a change goes before it, which is why the
 * list of changes is made first.
 */
static int gather(struct writer *writer, size_t *count, uint64_t *upto)
{
	size_t n;

	do {
		n = jobq_table_changes(writer->table, upto, writer->changes + *count,
				       BATCH - *count < BITE ? BATCH - *count : BITE);
		*count += n;
	} while (n > 0 && *count < BATCH);
	int rc = super_outbox_take(&writer->outbox);
	for (size_t i = 0; i < *count && rc == 0; i++)
		rc = put_job(writer, writer->changes[i].id, true);
	return rc < 0 ? rc : super_outbox_finish(&writer->outbox);
}

/* One transaction with all that has changed; then lets it be seen. */
static int write_changes(struct writer *writer)
{
	struct jobq_store_meta meta = writer->meta;
	uint64_t upto = writer->done;
	size_t count = 0;
	bool synced = leaving;
	int64_t began = jobq_clock_mono();

	int rc = jobq_store_begin(writer->store);
	if (rc == 0)
		rc = gather(writer, &count, &upto);
	if (rc == 0) {
		meta.seq = upto;
		meta.next_id = next_id(writer, &synced);
		rc = jobq_store_set_meta(writer->store, &meta);
	}
	if (rc == 0)
		rc = jobq_store_commit(writer->store, synced);
	if (rc < 0)
		return rc;
	bool more_ids = meta.next_id != writer->meta.next_id;
	writer->meta = meta;
	writer->done = upto;
	writer->last_count = count;
	writer->commits++;
	writer->stored += count;
	jobq_table_count_commit(writer->table, jobq_clock_mono() - began, count);
	if (more_ids)
		let_ids(writer);
	jobq_table_publish(writer->table, writer->changes, count, upto);
	super_outbox_committed(&writer->outbox);
	return 0;
}

static int expire(struct writer *writer)
{
	size_t removed = EXPIRE_BITE;
	int rc = 0;

	if (jobq_clock_mono() < writer->next_expire)
		return 0;
	for (size_t total = 0; rc == 0 && removed == EXPIRE_BITE && total < BATCH; total += removed) {
		rc = jobq_store_begin(writer->store);
		if (rc == 0)
			rc = jobq_store_expire(writer->store, expire_limit(writer), EXPIRE_BITE,
					       &removed);
		if (rc == 0)
			rc = jobq_store_commit(writer->store, false);
	}
	/* More than a batch goes on between other work, without a pause. */
	if (rc == 0 && removed < EXPIRE_BITE)
		writer->next_expire = jobq_clock_mono() + writer->conf->cleanup_interval * 1000;
	return rc;
}

/* ---- starting ------------------------------------------------------------- */

static int load_one(void *arg, const struct jobq_entry *entry)
{
	struct writer *writer = arg;
	static const char down[] = "the service went down while the job was running";
	struct jobq_entry job = *entry;

	if (leaving)
		return -EINTR;
	if (job.completed > 0 && job.completed < expire_limit(writer))
		return 0;
	bool lost = job.status == JOBQ_STATUS_RUNNING;
	if (lost) {
		job.status = JOBQ_STATUS_FAILED;
		job.completed = jobq_clock_wall();
		job.error = (struct jobq_text){down, sizeof(down) - 1};
		jobq_log(JOBQ_LOG_WARNING, "job_failed", "job=%llu error=\"%s\"",
			 (unsigned long long)job.id, down);
	}
	writer->stored++;
	return jobq_table_import(writer->table, &job, lost);
}

/* Wakes jobqd, which tells the service manager that the table is ready. */
static void wake_supervisor(const struct writer *writer)
{
	int parent = pidfd_open(getppid(), 0);

	/* Looked at with the pidfd in hand: the number cannot change its owner now. */
	if (parent >= 0 && jobq_table_started_by_owner(writer->table))
		pidfd_send_signal(parent, SIGUSR1, NULL, 0);
	if (parent >= 0)
		close(parent);
}

/* Fills the empty table from the store. */
static int load(struct writer *writer)
{
	int64_t began = jobq_clock_mono();

	jobq_table_set_store(writer->table, writer->conf->durability, writer->meta.store_id);
	jobq_table_start_at(writer->table, writer->meta.seq);
	jobq_table_set_ids(writer->table, writer->meta.next_id, UINT64_MAX);
	int rc = jobq_store_each(writer->store, 0, load_one, writer);
	if (rc == 0)
		rc = super_outbox_load(&writer->outbox, writer->store, false);
	if (rc < 0)
		return rc;
	writer->done = writer->meta.seq;
	let_ids(writer);
	jobq_log(JOBQ_LOG_INFO, "store_loaded", "store=\"%s\" jobs=%llu next_id=%llu duration_ms=%lld",
		 writer->conf->store, (unsigned long long)writer->stored,
		 (unsigned long long)writer->meta.next_id,
		 (long long)(jobq_clock_mono() - began) / 1000);
	writer->stored = 0;
	jobq_table_set_ready(writer->table);
	wake_supervisor(writer);
	return 0;
}

struct strangers {
	const struct writer *writer;
	uint64_t ids[BITE];
	size_t count;
};

static int note_stranger(void *arg, const struct jobq_entry *entry)
{
	struct strangers *strangers = arg;

	if (jobq_table_next(strangers->writer->table, entry->id - 1) != entry->id)
		strangers->ids[strangers->count++] = entry->id;
	return strangers->count == BITE; /* more than that: in the next round */
}

/* Forgets what an older copy of the store has and the table no longer does. */
static int forget_strangers(struct writer *writer)
{
	struct strangers strangers = {.writer = writer};
	uint64_t after = 0;
	int rc;

	do {
		strangers.count = 0;
		rc = jobq_store_each(writer->store, after, note_stranger, &strangers);
		if (rc >= 0)
			rc = jobq_store_begin(writer->store);
		for (size_t i = 0; i < strangers.count && rc == 0; i++)
			rc = jobq_store_remove(writer->store, strangers.ids[i]);
		if (rc == 0)
			rc = jobq_store_commit(writer->store, false);
		after = strangers.count > 0 ? strangers.ids[strangers.count - 1] : after;
	} while (rc == 0 && strangers.count == BITE);
	return rc;
}

/* Writes every job of the table: what the store has is older than that, or nothing. */
static int write_all(struct writer *writer)
{
	struct jobq_store_meta meta = writer->meta;
	struct jobq_table_stats stats;
	uint64_t id = 0, count = 0;
	int rc = forget_strangers(writer);

	if (rc < 0)
		return rc;
	jobq_table_stats(writer->table, &stats);
	do {
		rc = jobq_store_begin(writer->store);
		for (int i = 0; rc == 0 && i < BATCH; i++) {
			id = jobq_table_next(writer->table, id);
			if (id == 0)
				break;
			rc = put_job(writer, id, false);
			count++;
		}
		if (rc == 0 && id == 0) {
			meta.seq = stats.durable;
			meta.next_id = meta.next_id > stats.next_id ? meta.next_id : stats.next_id;
			rc = jobq_store_set_meta(writer->store, &meta);
		}
		if (rc == 0)
			rc = jobq_store_commit(writer->store, true);
	} while (rc == 0 && id != 0);
	if (rc < 0)
		return rc;
	writer->meta = meta;
	jobq_log(JOBQ_LOG_WARNING, "store_refilled",
		 "store=\"%s\" jobs=%llu msg=\"it lacked changes that the table had\"",
		 writer->conf->store, (unsigned long long)count);
	return 0;
}

/* Goes on with a table that holds jobs already. */
static int take_over(struct writer *writer)
{
	struct jobq_table_stats stats;
	uint64_t known = jobq_table_store_id(writer->table);
	bool empty = writer->meta.seq == 0 && writer->meta.next_id == 1;
	int rc = 0;

	jobq_table_stats(writer->table, &stats);
	if (known != writer->meta.store_id && !empty) {
		jobq_log(JOBQ_LOG_ERROR, "store_foreign",
			 "store=\"%s\" table=%s msg=\"the jobs in memory are not those of this store: "
			 "configure the store that they belong to, or give them up with jobqctl "
			 "remove-table\"", writer->conf->store, writer->conf->table_name);
		return -EPROTO;
	}
	/* Before anything is in it: a writer killed on the way leaves it to the next one. */
	jobq_table_set_store(writer->table, writer->conf->durability, writer->meta.store_id);
	if (known != writer->meta.store_id || writer->meta.seq < stats.durable)
		rc = write_all(writer);
	if (rc == 0)
		rc = super_outbox_load(&writer->outbox, writer->store,
				       known != writer->meta.store_id);
	if (rc < 0)
		return rc;
	writer->done = stats.durable;
	let_ids(writer);
	jobq_table_kick(writer->table); /* the last one may have been killed before it woke them */
	return 0;
}

static int open_store(struct writer *writer)
{
	struct jobq_buf why = {0};
	int rc = jobq_store_open(writer->conf->store, JOBQ_STORE_WRITE, writer->conf->durability,
				 &writer->store, &why);

	if (rc == 0) {
		rc = jobq_store_meta(writer->store, &writer->meta);
		if (rc < 0)
			jobq_buf_addf(&why, "%s: %s", writer->conf->store,
				      jobq_store_error(writer->store));
	}
	if (rc < 0)
		jobq_log(JOBQ_LOG_ERROR, "store_not_opened", "msg=\"%s\"",
			 why.data != NULL ? why.data : strerror(-rc));
	jobq_buf_free(&why);
	return rc;
}

/* Opens the store and brings it and the table together. */
static int join_store(struct writer *writer)
{
	int rc = open_store(writer);

	if (rc == 0)
		rc = jobq_table_is_ready(writer->table) ? take_over(writer) : load(writer);
	if (rc < 0) {
		jobq_store_close(writer->store);
		writer->store = NULL;
	}
	return rc;
}

/*
 * A store that turns out damaged while the table has all jobs is kept aside,
 * and a new one is written from the table.
 */
static int replace_store(struct writer *writer)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char from[4096], to[4096];
	long long now = (long long)(jobq_clock_wall() / 1000000);

	jobq_store_close(writer->store);
	writer->store = NULL;
	for (size_t i = 0; i < JOBQ_LENGTH(suffixes); i++) {
		snprintf(from, sizeof(from), "%s%s", writer->conf->store, suffixes[i]);
		snprintf(to, sizeof(to), "%s.damaged-%lld%s", writer->conf->store, now, suffixes[i]);
		if (rename(from, to) < 0 && errno != ENOENT)
			return -errno;
	}
	jobq_log(JOBQ_LOG_ERROR, "store_damaged",
		 "store=\"%s\" kept_as=\"%s.damaged-%lld\" msg=\"a new one is written from the jobs in "
		 "memory; none is lost, but look at the disk\"", writer->conf->store,
		 writer->conf->store, now);
	return join_store(writer);
}

/* ---- the process ---------------------------------------------------------- */

static void tried(struct writer *writer, int rc)
{
	if (rc == 0 && writer->error != 0)
		jobq_log(JOBQ_LOG_INFO, "store_works_again", "store=\"%s\"", writer->conf->store);
	if (rc < 0 && rc != -writer->error)
		jobq_log(JOBQ_LOG_ERROR, "store_failed",
			 "store=\"%s\" msg=\"%s\" detail=\"%s\" retry_ms=%d", writer->conf->store,
			 strerror(-rc), writer->store != NULL ? jobq_store_error(writer->store) : "",
			 RETRY_MS);
	writer->error = rc < 0 ? -rc : 0;
}

/* One try at everything that is due; waits a while after a failure. */
static void work(struct writer *writer)
{
	int rc = 0;

	if (writer->store != NULL && !jobq_store_current(writer->store)) {
		jobq_log(JOBQ_LOG_ERROR, "store_gone",
			 "store=\"%s\" msg=\"the file was removed or replaced; what stands in its "
			 "place now is brought up to date from the jobs in memory\"",
			 writer->conf->store);
		jobq_store_close(writer->store);
		writer->store = NULL;
	}
	if (writer->store == NULL)
		rc = join_store(writer);

	if (rc == 0 && writer->outbox.stale)
		rc = super_outbox_load(&writer->outbox, writer->store, false);
	if (rc == 0)
		rc = write_changes(writer);
	if (rc == 0)
		rc = expire(writer);
	tried(writer, rc);
	if (rc == 0)
		return;
	jobq_table_count_failed_commit(writer->table);
	if (writer->store != NULL)
		jobq_store_rollback(writer->store);
	super_outbox_failed(&writer->outbox);
	if (writer->store != NULL && rc != -ENOSPC && rc != -EBUSY && rc != -EUCLEAN) {
		jobq_store_close(writer->store); /* the next try begins with a fresh look */
		writer->store = NULL;
	}
	jobq_table_refuse(writer->table, writer->error);
	if (rc == -EUCLEAN)
		tried(writer, replace_store(writer));
	else if (!leaving)
		poll(NULL, 0, RETRY_MS);
}

static bool anything_left(const struct writer *writer)
{
	struct jobq_table_stats stats;

	jobq_table_stats(writer->table, &stats);
	return stats.changes != writer->done ||
	       jobq_table_posted(writer->table) != jobq_table_handled(writer->table);
}

/* Lets more changes come, where that is worth it. SIGTERM ends it. */
static void let_gather(const struct writer *writer)
{
	bool off = writer->conf->durability == JOBQ_DURABILITY_OFF;
	struct timespec delay = {.tv_nsec = off ? COMMIT_DELAY_OFF : COMMIT_DELAY};

	if (!leaving && (off || writer->last_count >= COMMIT_SIBLINGS))
		nanosleep(&delay, NULL);
}

static int run(struct writer *writer)
{
	bool last = false;

	while (!last) {
		jobq_table_await_changes(writer->table, writer->done,
					 writer->error == 0 ? writer->next_expire : 0, &leaving);
		let_gather(writer);
		last = leaving != 0; /* everything up to here is in the last transaction */
		do
			work(writer);
		while (last && writer->error == 0 && anything_left(writer));
	}
	jobq_log_leave();
	jobq_log(writer->error == 0 ? JOBQ_LOG_INFO : JOBQ_LOG_ERROR, "store_closed",
		 "store=\"%s\" commits=%llu changes=%llu complete=%s", writer->conf->store,
		 (unsigned long long)writer->commits, (unsigned long long)writer->stored,
		 writer->error == 0 ? "yes" : "no");
	return writer->error == 0 ? 0 : EX_TEMPFAIL;
}

/* The exit status tells jobqd whether another try makes sense. */
static int status_of(int rc)
{
	switch (rc) {
	case -EUCLEAN:
	case -EPROTO:
		return EX_DATAERR;
	case -ENOSPC: /* of the table: the store is only read so far */
		return EX_CONFIG;
	default:
		return EX_TEMPFAIL;
	}
}

static void explain(const struct writer *writer, int rc)
{
	if (rc == -EUCLEAN)
		jobq_log(JOBQ_LOG_ERROR, "store_damaged",
			 "store=\"%s\" msg=\"it is damaged and was left as it is: put a backup in its "
			 "place, or move it away to begin with no jobs\"", writer->conf->store);
	else if (rc == -ENOSPC)
		jobq_log(JOBQ_LOG_ERROR, "table_too_small",
			 "msg=\"the jobs that are kept do not fit into table_max: raise it\"");
}

int super_writer_main(const struct jobq_conf *conf)
{
	static struct writer writer;
	struct sigaction action = {.sa_handler = on_term};
	struct jobq_buf why = {0};
	sigset_t term;

	writer.conf = conf;
	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group: jobqd decides */
	signal(SIGHUP, SIG_IGN); /* so does a terminal that hangs up */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	int rc = jobq_table_attach(conf->table_name, &writer.table, &why);
	nudged = writer.table;
	writer.outbox.conf = conf;
	writer.outbox.table = writer.table;
	sigemptyset(&term); /* jobqd has held it until here */
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &term, NULL);
	if (rc < 0 || !jobq_table_started_by_owner(writer.table)) { /* it died before prctl(2) */
		jobq_log(JOBQ_LOG_WARNING, "writer_orphaned", "msg=\"%s\"",
			 why.data != NULL ? why.data : "jobqd died while it started this writer");
		jobq_buf_free(&why);
		return EX_UNAVAILABLE;
	}
	do /* until the last writer, which was told to end, has stored what it had */
		rc = jobq_table_writer_enter(writer.table);
	while (rc == -EINTR && jobq_table_started_by_owner(writer.table));
	if (rc == 0)
		rc = join_store(&writer);
	if (rc == -EUCLEAN && jobq_table_is_ready(writer.table))
		rc = replace_store(&writer);
	/* With the jobs in memory reads go on, and changes wait until the store can be had. */
	bool later = rc < 0 && rc != -EINTR && rc != -EUCLEAN && rc != -EPROTO && jobq_table_is_ready(writer.table);
	if (later) {
		tried(&writer, rc);
		jobq_table_refuse(writer.table, -rc);
	}
	if (rc == 0 || later) {
		rc = run(&writer);
	} else {
		explain(&writer, rc);
		rc = rc == -EINTR ? 0 : status_of(rc);
	}
	jobq_store_close(writer.store);
	nudged = NULL;
	jobq_table_detach(writer.table);
	jobq_buf_free(&writer.bytes);
	return rc;
}
