/*
 * super: jobqd, the supervisor. Owns the table, keeps a worker process in
 * every slot, settles the jobs of workers that died, and removes old jobs.
 * One thread; it sleeps in poll(2) and wakes for a reason only: a child that has
 * ended, a signal (SIGUSR1: the writer has filled the table), the time of
 * something, or a sign of life for the service manager's watchdog.
 */
#ifndef JOBQ_SUPER_SUPER_H
#define JOBQ_SUPER_SUPER_H

#include <sys/types.h>

#include "jobq/conf.h"
#include "jobq/job.h"
#include "jobq/table.h"

/* The children: the workers of the slots, then the store's writer. */
#define SUPER_WRITER JOBQ_SLOTS
#define SUPER_CHILDREN (JOBQ_SLOTS + 1)

/* A child, as the supervisor sees it. */
struct super_child {
	pid_t pid;  /* 0: none */
	int pidfd;  /* readable when it has ended; -1: none */
	bool adopted; /* started by a former supervisor: its exit status is not ours to see */
	int64_t started;  /* jobq_clock_mono() */
	int64_t start_at; /* when to start the next one; 0: nothing to do */
	int64_t backoff;  /* microseconds before the next start, when this one dies young */
};

struct super {
	struct jobq_conf *conf; /* replaced by SIGHUP */
	const struct jobq_conf_args *args;
	struct jobq_table *table;
	struct super_child children[SUPER_CHILDREN];
	int signals;          /* signalfd(2) */
	int64_t next_cleanup; /* jobq_clock_mono() */
	bool ready;    /* the table is filled, and the service manager has been told */
	bool stopping;
	int64_t kill_at; /* when stopping: the end of patience */
	bool writer_told; /* when stopping: the writer is to end, too */
	int status;       /* what to exit with */
};

/* ---- child.c ---- */
/* Starts a child: this program again, with `-x slot N` or `-x store`. */
void super_child_start(struct super *super, unsigned index);
/*
 * A child has ended. Settles a worker's job; says when to start the next one,
 * or stops everything when the writer says that it cannot be.
 */
void super_child_ended(struct super *super, unsigned index);
/* Watches a live worker of a former supervisor; false when there is none. */
bool super_child_adopt(struct super *super, unsigned slot, const struct jobq_table_slot *at);

/* ---- recover.c ---- */
/*
 * After a start: workers that outlived the last supervisor are adopted for the
 * job they have at hand, and asked to leave behind it; the jobs of those that
 * are gone are settled.
 */
void super_recover(struct super *super);

/* ---- writer.c ---- */
/* The whole life of the store's writer process; its exit status. */
int super_writer_main(const struct jobq_conf *conf);

/* ---- reload.c ---- */
/*
 * SIGHUP: reads the configuration again. If it is good, it holds from now on,
 * for the workers from their next job; if not, or if it changes what needs a
 * restart, all stays as it is and the log says why.
 */
void super_reload(struct super *super);

/* ---- loop.c ---- */
/* Begins to stop, for a reason that is logged: a signal, or a child that gave up. */
void super_stop(struct super *super, const char *reason, int status);

/* Runs until SIGTERM or SIGINT has been carried out. Returns the exit status. */
int super_loop(struct super *super);

/* The whole of jobqd after its configuration has been read; the exit status. */
int super_main(struct jobq_conf *conf, const struct jobq_conf_args *args);

#endif
