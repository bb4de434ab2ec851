/*
 * fill: puts many jobs into the table of a running service, past HTTP, or
 * takes them all out.
 *
 * usage: fill TABLE submit COUNT   jobs with 200 bytes of parameters
 *        fill TABLE empty          cancels what is queued, removes what has ended
 *
 * Both wait for the store where they are faster than it. `submit` prints
 * `name value` lines: the ids and the memory that a job takes.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jobq/table.h"

#define PARAMETERS_BYTES 200
#define FAR (INT64_C(2) * 24 * 3600 * 1000000) /* later than any retention used here */

static uint64_t bytes_used(struct jobq_table *table)
{
	struct jobq_table_stats stats;

	jobq_table_stats(table, &stats);
	return stats.bytes_committed - stats.bytes_free;
}

/* Some of the changes that wait for the store get there meanwhile. */
static void rest(void)
{
	const struct timespec while_ = {.tv_nsec = 1000000};

	nanosleep(&while_, NULL);
}

/*
 * A job that can also be run: the least real work there is, one small scene
 * that is in the cache. Spaces make up the length.
 */
static int fill(struct jobq_table *table, uint64_t count)
{
	char parameters[PARAMETERS_BYTES + 1];
	struct jobq_table_submit job = {
		.type = JOBQ_TYPE_SCENE_PRELOAD,
		.parameters = parameters,
		.parameters_len = PARAMETERS_BYTES,
		.owner = "ci",
		.key = "",
	};
	uint64_t before = bytes_used(table), first = 0, last = 0;
	bool replayed;

	snprintf(parameters, sizeof(parameters), "%-*s", PARAMETERS_BYTES,
		 "{\"scene_paths\":[\"res://a.tscn\"]}");
	int64_t began = jobq_clock_mono();
	for (uint64_t i = 0; i < count; i++) {
		int rc;
		while ((rc = jobq_table_submit(table, &job, &last, &replayed)) == -EAGAIN)
			rest();
		if (rc < 0) {
			fprintf(stderr, "fill: job %" PRIu64 " of %" PRIu64 ": %s\n", i + 1, count,
				strerror(-rc));
			return 1;
		}
		if (i == 0)
			first = last;
	}
	double seconds = (double)(jobq_clock_mono() - began) / 1e6;
	printf("first %" PRIu64 "\nlast %" PRIu64 "\nseconds %.3f\nbytes_a_job %.1f\n", first, last,
	       seconds, (double)(bytes_used(table) - before) / (double)count);
	return 0;
}

static void await_store(struct jobq_table *table)
{
	struct jobq_table_stats stats;

	for (;;) {
		jobq_table_stats(table, &stats);
		if (stats.durable >= stats.changes)
			return;
		rest();
	}
}

/*
 * Expiry belongs to the owner, but takes the lock as everything does; jobqd
 * itself does it only once an hour. It removes only what the store has.
 */
static int empty(struct jobq_table *table)
{
	const struct jobq_table_filter queued = {.status = JOBQ_STATUS_QUEUED, .type = -1};
	struct jobq_job jobs[JOBQ_LIST_BITE];
	uint64_t after = 0;
	size_t n, cancelled = 0;

	while ((n = jobq_table_list(table, &queued, &after, jobs, JOBQ_LIST_BITE)) > 0)
		for (size_t i = 0; i < n; i++) {
			int rc;
			while ((rc = jobq_table_cancel(table, jobs[i].id)) == -EAGAIN)
				rest();
			cancelled += rc == 0;
		}
	await_store(table);
	printf("cancelled %zu\nremoved %zu\n", cancelled,
	       jobq_table_expire(table, jobq_clock_wall() + FAR));
	return 0;
}

int main(int argc, char **argv)
{
	struct jobq_table *table;
	struct jobq_buf why = {0};
	int status = 2;

	if (argc < 3 || jobq_table_attach(argv[1], &table, &why) < 0) {
		fprintf(stderr, "usage: fill TABLE submit COUNT | fill TABLE empty\n%s\n",
			why.len > 0 ? why.data : "");
		return 2;
	}
	if (strcmp(argv[2], "submit") == 0 && argc == 4)
		status = fill(table, strtoull(argv[3], NULL, 10));
	else if (strcmp(argv[2], "empty") == 0 && argc == 3)
		status = empty(table);
	jobq_table_detach(table);
	jobq_buf_free(&why);
	return status;
}
