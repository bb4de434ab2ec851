/*
 * super: jobqd, the supervisor. Owns the table, keeps a worker process in
 * every slot, settles the jobs of workers that died, and removes old jobs.
 * One thread; it sleeps in poll(2) and wakes for a reason only.
 */
#ifndef JOBQ_SUPER_SUPER_H
#define JOBQ_SUPER_SUPER_H

#include <sys/types.h>

#include "jobq/conf.h"
#include "jobq/job.h"
#include "jobq/table.h"

/* One slot's worker, as the supervisor sees it. */
struct super_child {
	pid_t pid;  /* 0: none */
	int pidfd;  /* readable when it has ended; -1: none */
	bool adopted; /* started by a former supervisor: its exit status is not ours to see */
	int64_t started;  /* jobq_clock_mono() */
	int64_t start_at; /* when to start the next one; 0: nothing to do */
	int64_t backoff;  /* microseconds before the next start, when this one dies young */
};

struct super {
	const struct jobq_conf *conf;
	const struct jobq_conf_args *args;
	struct jobq_table *table;
	struct super_child children[JOBQ_SLOTS];
	int signals;          /* signalfd(2) */
	int64_t next_cleanup; /* jobq_clock_mono() */
	bool stopping;
	int64_t kill_at; /* when stopping: the end of patience */
};

/* ---- child.c ---- */
/* Starts the worker of a slot (this program again, with `-x slot N`). */
void super_child_start(struct super *super, unsigned slot);
/* The worker of a slot has ended: settles its job and says when to start the next. */
void super_child_ended(struct super *super, unsigned slot);

/* ---- recover.c ---- */
/*
 * After a start: workers that outlived the last supervisor are adopted for the
 * job they have at hand, and asked to leave behind it; the jobs of those that
 * are gone are settled.
 */
void super_recover(struct super *super);

/* ---- loop.c ---- */
/* Runs until SIGTERM or SIGINT has been carried out. Returns the exit status. */
int super_loop(struct super *super);

/* The whole of jobqd after its configuration has been read; the exit status. */
int super_main(const struct jobq_conf *conf, const struct jobq_conf_args *args);

#endif
