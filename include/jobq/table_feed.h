/*
 * table, for event streams: the feed, a ring of what has happened to jobs.
 *
 * It holds the last JOBQ_FEED_LENGTH changes that clients can see, in the order
 * in which they could: queued, started, progressed, ended, cancelled, put back.
 * What nobody may see yet (see durability) is not in it, nor is the reading of
 * jobs from the store, nor their expiry. Every change of a job's shown status
 * or progress is in it, whoever was killed when; after a kill one may be in it
 * twice.
 */
#ifndef JOBQ_TABLE_FEED_H
#define JOBQ_TABLE_FEED_H

#include "jobq/table.h"

#define JOBQ_FEED_LENGTH 16384 /* a power of two; part of the table's layout */

/* The job as it was shown right after the change. `job.version` tells changes apart. */
struct jobq_feed_entry {
	uint64_t seq; /* the first change has 1 */
	struct jobq_job job;
};

/* The number of the last change; 0: none yet. No lock. */
uint64_t jobq_table_feed_last(const struct jobq_table *table);

/*
 * Copies out up to `max` changes behind number *after, oldest first, and moves
 * *after on. Takes no lock. Returns how many, or -ESTALE when the one behind
 * *after is no longer there, or *after is none that this table has given.
 */
int jobq_table_feed_read(const struct jobq_table *table, uint64_t *after,
			 struct jobq_feed_entry *out, size_t max);

/*
 * Sleeps until there are changes behind `after`, `deadline` (jobq_clock_mono())
 * has come, or *stop is no longer `stop_seen`; may wake for nothing.
 */
void jobq_table_feed_await(struct jobq_table *table, uint64_t after, int64_t deadline,
			   _Atomic uint32_t *stop, uint32_t stop_seen);

#endif
