/*
 * latency: how long an idle service takes from a job's submission to its start.
 * One job at a time, with a pause in which the workers fall asleep; the times
 * are the job's own, `created` and `started`.
 *
 * usage: latency TABLE COUNT       prints `name microseconds` lines
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jobq/table.h"

#define PAUSE 3000000     /* nanoseconds between a job's end and the next job */
#define PATIENCE 30000000 /* microseconds that one job may take */

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
	return left < right ? -1 : left > right;
}

/* Microseconds from submission to start; negative: it did not finish. */
static int64_t run_one(struct jobq_table *table)
{
	static const char parameters[] = "{\"scene_paths\":[\"res://a.tscn\"]}";
	const struct jobq_table_submit submit = {
		.type = JOBQ_TYPE_SCENE_PRELOAD,
		.parameters = parameters,
		.parameters_len = sizeof(parameters) - 1,
		.owner = "ci",
		.key = "",
	};
	_Atomic uint32_t stop = 0;
	struct jobq_job job = {0};
	uint64_t id;
	bool replayed;

	if (jobq_table_submit(table, &submit, &id, &replayed) < 0 ||
	    jobq_table_wait(table, id, jobq_clock_mono() + PATIENCE, &stop, 0) < 0 ||
	    jobq_table_get(table, id, &job, NULL, NULL, NULL) < 0 ||
	    job.status != JOBQ_STATUS_COMPLETED)
		return -1;
	return job.started - job.created;
}

int main(int argc, char **argv)
{
	const struct timespec pause = {.tv_nsec = PAUSE};
	struct jobq_table *table;
	struct jobq_buf why = {0};

	size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	int64_t *times = count > 0 ? calloc(count, sizeof(*times)) : NULL;
	if (times == NULL || jobq_table_attach(argv[1], &table, &why) < 0) {
		fprintf(stderr, "usage: latency TABLE COUNT\n%s\n", why.len > 0 ? why.data : "");
		return 2;
	}
	for (size_t i = 0; i < count; i++) {
		nanosleep(&pause, NULL);
		times[i] = run_one(table);
		if (times[i] < 0) {
			fprintf(stderr, "latency: job %zu of %zu did not complete\n", i + 1, count);
			return 1;
		}
	}
	qsort(times, count, sizeof(*times), compare);
	printf("p50 %" PRId64 "\np99 %" PRId64 "\nmax %" PRId64 "\n", times[count / 2],
	       times[count * 99 / 100], times[count - 1]);
	free(times);
	jobq_table_detach(table);
	jobq_buf_free(&why);
	return 0;
}
