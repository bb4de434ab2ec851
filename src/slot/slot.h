/*
 * slot: one worker process. Takes one job after another from the table and
 * does its work. Everything here runs in the one thread of that process; only
 * cache_warming starts some for as long as it runs.
 */
#ifndef JOBQ_SLOT_SLOT_H
#define JOBQ_SLOT_SLOT_H

#include <jansson.h>
#include <pthread.h>
#include <stddef.h>

#include "jobq/conf.h"
#include "jobq/job.h"
#include "jobq/scene.h"
#include "jobq/table.h"
#include "jobq/table_hooks.h"

/* What a job type's code works with. Borrowed for the length of one call. */
struct slot_work {
	const struct jobq_conf *conf;
	struct jobq_scene_project *project; /* the root that every path is under */
	struct jobq_scene_cache *cache;     /* shared by the three slots; NULL when there is none */
	void *cache_region;                 /* where it is, for further handles */
	size_t cache_size;
	const json_t *parameters;           /* as accepted by jobq_job_rules, borrowed */

	/* What the type's function leaves behind. */
	json_t *result; /* a new reference or NULL; the caller takes it */
	char *error;    /* NULL when the job completed; else malloc'd, the caller frees it */
	bool whole;	/* all was done, though somebody may have asked for an early end */

	/* How progress gets out: slot_progress() below, nothing else uses these. */
	struct jobq_table *table;
	struct jobq_job_claim *claim;
	int progress_sent; /* hundredths */

	_Atomic unsigned events_lost; /* tell.c */

	/* log.c; with log_lock, as cache_warming has threads. */
	pthread_mutex_t log_lock;
	struct jobq_buf log;
	size_t log_left_out; /* lines that found no room */
};

/*
 * Says how much of the work is done: `done` of `total` steps. Cheap to call
 * for every step: it reaches the table only when a hundredth has been gained,
 * and never says more than 0.99, because 1.0 means completed.
 */
void slot_progress(struct slot_work *work, size_t done, size_t total);

/*
 * Whether somebody has asked for the job's end. To be looked at before each scene; what was
 * done so far makes the result, and the caller says why the job has failed. Any thread.
 */
bool slot_stopped(const struct slot_work *work);

/* Adds a line to the job's log, which has at most JOBQ_LOG_MAX bytes. Any thread. */
void slot_log(struct slot_work *work, const char *fmt, ...) JOBQ_PRINTF(2, 3);

/*
 * One function a job type, slot_<wire name>(), in a file of its own. Fills work->result and,
 * when the job has failed, work->error. Returns 0, or -ENOMEM when it could
 * not even build a result (the job is then failed by the caller).
 */
#define X(upper, lower, ...) int slot_##lower(struct slot_work *work);
JOBQ_JOB_TYPES(X)
#undef X

#endif
