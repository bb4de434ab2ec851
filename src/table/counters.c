#include "config.h"

#include <string.h>

#include "table/counters.h"

#define MS UINT64_C(1000)
#define SECOND UINT64_C(1000000)

const uint64_t *jobq_table_bounds(enum jobq_scale scale)
{
	static const uint64_t bounds[][JOBQ_BOUNDS] = {
		[JOBQ_SCALE_JOB] = {5 * MS, 25 * MS, 100 * MS, 500 * MS, SECOND, 2500 * MS,
				    5 * SECOND, 10 * SECOND, 30 * SECOND, 60 * SECOND, 300 * SECOND,
				    900 * SECOND, 3600 * SECOND},
		[JOBQ_SCALE_COMMIT] = {500, MS, 2500, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS,
				       250 * MS, 500 * MS, SECOND, 2500 * MS, 5 * SECOND},
		[JOBQ_SCALE_GROUP] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096},
	};
	return bounds[scale];
}

/* ---- raising -------------------------------------------------------------- */

/* For those that one process at a time raises, which costs less than an atomic addition. */
static void raise_alone(_Atomic uint64_t *counter, uint64_t by)
{
	uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + by, memory_order_relaxed);
}

static void observe(struct histogram *histogram, enum jobq_scale scale, int64_t value)
{
	const uint64_t *bounds = jobq_table_bounds(scale);
	uint64_t n = value > 0 ? (uint64_t)value : 0; /* the clock may have been set back */
	size_t bucket = 0;

	while (bucket < JOBQ_BOUNDS && n > bounds[bucket])
		bucket++;
	raise_alone(&histogram->counts[bucket], 1);
	raise_alone(&histogram->sum, n);
}

void counters_note(struct jobq_table *table, const struct record *record, state_t was)
{
	state_t state = record->state;
	enum jobq_job_status status = state_status(state);
	struct type_counters *counters = &table->counters->jobs[state_type(state) % JOBQ_TYPES];

	if (status == state_status(was))
		return; /* only its progress has changed */
	if (status == JOBQ_STATUS_QUEUED)
		raise_alone(state_status(was) == JOBQ_STATUS_NONE ? &counters->submitted
								  : &counters->requeued, 1);
	else if (status == JOBQ_STATUS_RUNNING)
		observe(&counters->waited, JOBQ_SCALE_JOB, record->started - record->created);
	else
		raise_alone(&counters->ended[status % JOBQ_STATUSES], 1);
	if (status == JOBQ_STATUS_COMPLETED || status == JOBQ_STATUS_FAILED)
		observe(&counters->ran, JOBQ_SCALE_JOB, record->completed - record->started);
}

void jobq_table_count_routes(struct jobq_table *table, uint32_t routes)
{
	struct counters *counters = table->counters;

	/* Mostly so; and reading must go on, also in a process that begins while one holds the lock. */
	if (atomic_load(&counters->routes) == routes)
		return;
	table_lock(table);
	if (counters->routes != routes)
		shm_zero(counters->requests, sizeof(counters->requests));
	atomic_store(&counters->routes, routes);
	table_unlock(table);
}

void jobq_table_count_request(struct jobq_table *table, size_t row, int status)
{
	size_t class = (size_t)status / 100;

	if (row < JOBQ_REQUEST_ROWS && class < JOBQ_STATUS_CLASSES)
		atomic_fetch_add_explicit(&table->counters->requests[row].by_class[class], 1,
					  memory_order_relaxed);
}

void jobq_table_count_refused(struct jobq_table *table, bool unauthorized)
{
	struct counters *counters = table->counters;

	raise_alone(unauthorized ? &counters->unauthorized : &counters->limited, 1);
}

void jobq_table_count_commit(struct jobq_table *table, int64_t duration, size_t changes)
{
	struct writer_counters *writer = &table->counters->writer;

	observe(&writer->commit_time, JOBQ_SCALE_COMMIT, duration);
	observe(&writer->commit_changes, JOBQ_SCALE_GROUP, (int64_t)changes);
}

void jobq_table_count_failed_commit(struct jobq_table *table)
{
	raise_alone(&table->counters->writer.commits_failed, 1);
}

void jobq_table_count_deliveries(struct jobq_table *table, uint64_t delivered,
				 uint64_t undelivered, uint64_t retried)
{
	struct writer_counters *writer = &table->counters->writer;

	raise_alone(&writer->delivered, delivered);
	raise_alone(&writer->undelivered, undelivered);
	raise_alone(&writer->retried, retried);
}

void jobq_table_tell_cache(struct jobq_table *table, const struct jobq_cache_counters *cache,
			   bool fresh)
{
	struct jobq_cache_counters *kept = &table->counters->cache;

	table_lock(table);
	/* What another worker has told may be newer: a counter must not go back. */
	if (fresh || cache->hits + cache->misses >= kept->hits + kept->misses)
		*kept = *cache;
	table_unlock(table);
}

/* ---- reading -------------------------------------------------------------- */

static void copy_histogram(struct jobq_histogram *out, const struct histogram *histogram)
{
	for (size_t i = 0; i <= JOBQ_BOUNDS; i++)
		out->counts[i] = atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
	out->sum = atomic_load_explicit(&histogram->sum, memory_order_relaxed);
}

static void copy_jobs(const struct jobq_table *table, enum jobq_job_type type,
		      struct jobq_job_counters *out)
{
	const struct type_counters *counters = &table->counters->jobs[type];

	for (size_t status = 0; status < JOBQ_STATUSES; status++) {
		out->kept[status] = table->header->jobs_of[type][status];
		out->ended[status] = counters->ended[status];
	}
	out->submitted = counters->submitted;
	out->requeued = counters->requeued;
	copy_histogram(&out->waited, &counters->waited);
	copy_histogram(&out->ran, &counters->ran);
}

static void copy_requests(const struct counters *counters, struct jobq_table_counters *out)
{
	for (size_t row = 0; row < JOBQ_REQUEST_ROWS; row++)
		for (size_t class = 0; class < JOBQ_STATUS_CLASSES; class++)
			out->requests[row][class] =
				atomic_load_explicit(&counters->requests[row].by_class[class],
						     memory_order_relaxed);
}

/* With the lock: when the job was made that has waited longest, of whatever priority; 0: none. */
static int64_t oldest_queued(const struct jobq_table *table)
{
	int64_t oldest = 0;

	for (size_t i = 0; i < JOBQ_PRIORITIES; i++) {
		const struct record *head = record_find(table, table->header->queue[i].head);
		if (head != NULL && (oldest == 0 || head->created < oldest))
			oldest = head->created;
	}
	return oldest;
}

void jobq_table_counters(struct jobq_table *table, struct jobq_table_counters *out)
{
	const struct counters *counters = table->counters;
	const struct writer_counters *writer = &counters->writer;

	*out = (struct jobq_table_counters){0};
	table_lock(table);
	for (unsigned type = 0; type < JOBQ_TYPES; type++)
		copy_jobs(table, (enum jobq_job_type)type, &out->jobs[type]);
	out->oldest_queued = oldest_queued(table);
	out->cache = counters->cache;
	table_unlock(table);
	copy_histogram(&out->commit_time, &writer->commit_time);
	copy_histogram(&out->commit_changes, &writer->commit_changes);
	out->commits_failed = writer->commits_failed;
	out->delivered = writer->delivered;
	out->undelivered = writer->undelivered;
	out->retried = writer->retried;
	out->unauthorized = counters->unauthorized;
	out->limited = counters->limited;
	copy_requests(counters, out);
}
