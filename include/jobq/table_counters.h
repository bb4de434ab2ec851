/*
 * table, for monitoring: what has happened since the table was made. All of it
 * lies in the job table's segment, so that it outlives every process but not a
 * reboot, after which it begins at 0 again.
 *
 * Each counter is raised where the thing happens, in one atomic operation or
 * under the lock that is held there anyway. A process that is killed in between
 * may leave one of them short or, for jobs, counted twice.
 */
#ifndef JOBQ_TABLE_COUNTERS_H
#define JOBQ_TABLE_COUNTERS_H

#include "jobq/table.h"

/* ---- histograms ----------------------------------------------------------- */

#define JOBQ_BOUNDS 13 /* of every scale */

enum jobq_scale {
	JOBQ_SCALE_JOB,	   /* microseconds, from 5 ms to an hour */
	JOBQ_SCALE_COMMIT, /* microseconds, from half a millisecond to 5 s */
	JOBQ_SCALE_GROUP,  /* changes, in powers of two */
};

/* The highest value that each of the first JOBQ_BOUNDS buckets takes, rising. */
const uint64_t *jobq_table_bounds(enum jobq_scale scale);

struct jobq_histogram {
	uint64_t counts[JOBQ_BOUNDS + 1]; /* each bucket's own; the last takes all the rest */
	uint64_t sum;
};

/* ---- reading -------------------------------------------------------------- */

#define JOBQ_REQUEST_ROWS 48   /* part of the table's layout */
#define JOBQ_STATUS_CLASSES 8 /* HTTP's are 1 to 5 */

/* A job is counted when clients can see it; what is read from the store is not. */
struct jobq_job_counters {
	uint64_t kept[JOBQ_STATUSES]; /* in the table just now, by the status that is shown */
	uint64_t submitted, requeued;
	uint64_t ended[JOBQ_STATUSES]; /* by the status that it ended in */
	struct jobq_histogram waited;  /* from submission to start */
	struct jobq_histogram ran;     /* from start to end */
};

struct jobq_cache_counters {
	uint64_t entries, bytes, room;
	uint64_t hits, misses, evictions, resets;
};

struct jobq_table_counters {
	struct jobq_job_counters jobs[JOBQ_TYPES];
	int64_t oldest_queued; /* when the oldest queued job was made; 0: there is none */
	struct jobq_histogram commit_time, commit_changes; /* an entry a commit */
	uint64_t commits_failed;
	uint64_t delivered, undelivered, retried; /* deliveries to webhooks */
	uint64_t unauthorized, limited; /* requests that nginx refused, as far as hook heard */
	struct jobq_cache_counters cache;
	uint64_t requests[JOBQ_REQUEST_ROWS][JOBQ_STATUS_CLASSES];
};
void jobq_table_counters(struct jobq_table *table, struct jobq_table_counters *out);

/* ---- raising -------------------------------------------------------------- */

/*
 * jobq-api: its row of a request is that of its route, so rows mean something only
 * with its table of routes. Counters of another one, which `routes` tells, are
 * zeroed. To be called when attaching.
 */
void jobq_table_count_routes(struct jobq_table *table, uint32_t routes);
/* A request was answered with this HTTP status. No lock, one atomic addition. */
void jobq_table_count_request(struct jobq_table *table, size_t row, int status);

/* hook: nginx told of a request with 401, or else 429. */
void jobq_table_count_refused(struct jobq_table *table, bool unauthorized);

/* The writer: a transaction with so many changes took so many microseconds; or it failed. */
void jobq_table_count_commit(struct jobq_table *table, int64_t duration, size_t changes);
void jobq_table_count_failed_commit(struct jobq_table *table);
void jobq_table_count_deliveries(struct jobq_table *table, uint64_t delivered,
				 uint64_t undelivered, uint64_t retried);

/*
 * A slot's worker: the scene cache's numbers, which only workers can read. Those
 * of the one that has come furthest stay, unless it is `fresh`: just attached to.
 */
void jobq_table_tell_cache(struct jobq_table *table, const struct jobq_cache_counters *cache,
			   bool fresh);

#endif
