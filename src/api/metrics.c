/*
 * GET /metrics: everything that is counted, as Prometheus' text format 0.0.4
 * wants it. It is answered without a table, too, if with little.
 *
 * nginx sends it to the pool that waits: only its one process knows how many
 * listen to events.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/stream.h"
#include "jobq/table_counters.h"

/* ---- the format ----------------------------------------------------------- */

static void family(struct jobq_buf *out, const char *name, const char *type, const char *help)
{
	jobq_buf_addf(out, "# HELP jobq_%s %s\n# TYPE jobq_%s %s\n", name, help, name, type);
}

/* A family of one sample. */
static void single(struct jobq_buf *out, const char *name, const char *type, uint64_t value,
		   const char *help)
{
	family(out, name, type, help);
	jobq_buf_addf(out, "jobq_%s %" PRIu64 "\n", name, value);
}

static void gauge(struct jobq_buf *out, const char *name, uint64_t value, const char *help)
{
	single(out, name, "gauge", value, help);
}

static void counter(struct jobq_buf *out, const char *name, uint64_t value, const char *help)
{
	single(out, name, "counter", value, help);
}

static const char *type_name(unsigned type)
{
	return jobq_job_type_name((enum jobq_job_type)type);
}

static const char *status_name(unsigned status)
{
	return jobq_job_status_name((enum jobq_job_status)status);
}

/* Microseconds are told as seconds, changes as they are. */
static void add_value(struct jobq_buf *out, enum jobq_scale scale, uint64_t value)
{
	if (scale == JOBQ_SCALE_GROUP)
		jobq_buf_addf(out, "%" PRIu64, value);
	else
		jobq_buf_addf(out, "%" PRIu64 ".%06" PRIu64, value / 1000000, value % 1000000);
}

/* A bound as one would write it: 0.005, 1, 3600. */
static void add_bound(struct jobq_buf *out, enum jobq_scale scale, uint64_t bound)
{
	size_t from = out->len;

	add_value(out, scale, bound);
	if (scale == JOBQ_SCALE_GROUP || out->failed)
		return;
	while (out->len > from && out->data[out->len - 1] == '0')
		out->len--;
	out->len -= out->data[out->len - 1] == '.';
}

/* `label` is one that goes before `le`, with its comma, or "". */
static void histogram(struct jobq_buf *out, const char *name, const char *label,
		      enum jobq_scale scale, const struct jobq_histogram *of)
{
	const uint64_t *bounds = jobq_table_bounds(scale);
	int bare = label[0] != '\0' ? (int)strlen(label) - 1 : 0;
	const char *open = bare > 0 ? "{" : "", *close = bare > 0 ? "}" : "";
	uint64_t count = 0;

	for (size_t i = 0; i < JOBQ_BOUNDS; i++) {
		count += of->counts[i];
		jobq_buf_addf(out, "jobq_%s_bucket{%sle=\"", name, label);
		add_bound(out, scale, bounds[i]);
		jobq_buf_addf(out, "\"} %" PRIu64 "\n", count);
	}
	count += of->counts[JOBQ_BOUNDS];
	jobq_buf_addf(out, "jobq_%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\njobq_%s_sum%s%.*s%s ", name,
		      label, count, name, open, bare, label, close);
	add_value(out, scale, of->sum);
	jobq_buf_addf(out, "\njobq_%s_count%s%.*s%s %" PRIu64 "\n", name, open, bare, label, close,
		      count);
}

/* ---- what there is -------------------------------------------------------- */

static void add_jobs(struct jobq_buf *out, const struct jobq_table_counters *counters)
{
	family(out, "jobs", "gauge", "Jobs that are kept, by type and status.");
	for (unsigned type = 0; type < JOBQ_TYPES; type++)
		for (unsigned status = JOBQ_STATUS_QUEUED; status < JOBQ_STATUSES; status++)
			jobq_buf_addf(out, "jobq_jobs{type=\"%s\",status=\"%s\"} %" PRIu64 "\n",
				      type_name(type), status_name(status),
				      counters->jobs[type].kept[status]);
	family(out, "jobs_submitted_total", "counter", "Jobs that were accepted.");
	for (unsigned type = 0; type < JOBQ_TYPES; type++)
		jobq_buf_addf(out, "jobq_jobs_submitted_total{type=\"%s\"} %" PRIu64 "\n",
			      type_name(type), counters->jobs[type].submitted);
	family(out, "jobs_finished_total", "counter", "Jobs that came to an end, by how.");
	for (unsigned type = 0; type < JOBQ_TYPES; type++)
		for (unsigned status = JOBQ_STATUS_COMPLETED; status < JOBQ_STATUSES; status++)
			jobq_buf_addf(out,
				      "jobq_jobs_finished_total{type=\"%s\",outcome=\"%s\"} %" PRIu64
				      "\n", type_name(type), status_name(status),
				      counters->jobs[type].ended[status]);
	family(out, "jobs_requeued_total", "counter",
	       "Jobs put back into the queue because their worker died before it began.");
	for (unsigned type = 0; type < JOBQ_TYPES; type++)
		jobq_buf_addf(out, "jobq_jobs_requeued_total{type=\"%s\"} %" PRIu64 "\n",
			      type_name(type), counters->jobs[type].requeued);
}

static void add_times(struct jobq_buf *out, const struct jobq_table_counters *counters)
{
	char label[64];

	family(out, "job_wait_seconds", "histogram", "Time from a job's submission to its start.");
	for (unsigned type = 0; type < JOBQ_TYPES; type++) {
		snprintf(label, sizeof(label), "type=\"%s\",", type_name(type));
		histogram(out, "job_wait_seconds", label, JOBQ_SCALE_JOB,
			  &counters->jobs[type].waited);
	}
	family(out, "job_run_seconds", "histogram",
	       "Time from the start to the end of jobs that completed or failed.");
	for (unsigned type = 0; type < JOBQ_TYPES; type++) {
		snprintf(label, sizeof(label), "type=\"%s\",", type_name(type));
		histogram(out, "job_run_seconds", label, JOBQ_SCALE_JOB,
			  &counters->jobs[type].ran);
	}
}

static void add_queue_state(struct jobq_buf *out, enum jobq_queue_state now)
{
	family(out, "queue_state", "gauge", "1 for what an administrator has made of the queue.");
	for (int state = 0; state < JOBQ_QUEUE_ALL_STATES; state++)
		jobq_buf_addf(out, "jobq_queue_state{state=\"%s\"} %d\n",
			      jobq_job_queue_name((enum jobq_queue_state)state),
			      state == (int)now);
}

static void add_queue(struct jobq_buf *out, struct jobq_table *table,
		      const struct jobq_table_stats *stats,
		      const struct jobq_table_counters *counters)
{
	int64_t age = counters->oldest_queued > 0 ? jobq_clock_wall() - counters->oldest_queued : 0;
	unsigned workers = 0;

	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++) {
		struct jobq_table_slot at;
		jobq_table_slot(table, slot, &at);
		workers += at.pid != 0;
	}
	gauge(out, "queue_depth", stats->jobs[JOBQ_STATUS_QUEUED], "Jobs that wait for a slot.");
	family(out, "queue_oldest_age_seconds", "gauge",
	       "How long the oldest of those jobs has waited, whatever its priority; 0: none.");
	jobq_buf_adds(out, "jobq_queue_oldest_age_seconds ");
	add_value(out, JOBQ_SCALE_JOB, age > 0 ? (uint64_t)age : 0);
	jobq_buf_adds(out, "\n");
	gauge(out, "slots", JOBQ_SLOTS, "Jobs that may run at once.");
	gauge(out, "slots_busy", stats->slots_busy, "Jobs that run.");
	gauge(out, "slot_workers", workers, "Slots that have a worker process.");
	gauge(out, "draining", stats->draining,
	      "Whether jobqd is being stopped, and starts no more jobs.");
	add_queue_state(out, jobq_table_queue_state(table));
}

static void add_memory(struct jobq_buf *out, const struct jobq_table_stats *stats)
{
	gauge(out, "table_max_bytes", stats->bytes_max, "Most memory for jobs (table_max).");
	gauge(out, "table_committed_bytes", stats->bytes_committed,
	      "Memory for jobs that is taken from the system.");
	gauge(out, "table_free_bytes", stats->bytes_free,
	      "Of the committed bytes, those in which no job is.");
	counter(out, "table_lock_repairs_total", stats->repairs,
		"Processes that died while they held the table's lock.");
}

static void add_store(struct jobq_buf *out, const struct jobq_table_stats *stats,
		      const struct jobq_table_counters *counters)
{
	family(out, "store_commit_seconds", "histogram",
	       "Time that each transaction of the store took.");
	histogram(out, "store_commit_seconds", "", JOBQ_SCALE_COMMIT, &counters->commit_time);
	family(out, "store_commit_changes", "histogram",
	       "Changes of jobs that were stored together, a transaction each.");
	histogram(out, "store_commit_changes", "", JOBQ_SCALE_GROUP, &counters->commit_changes);
	counter(out, "store_commit_failures_total", counters->commits_failed,
		"Tries to store changes that failed.");
	gauge(out, "store_pending_changes", stats->changes - stats->durable,
	      "Changes that are not stored yet.");
	gauge(out, "store_error", (uint64_t)stats->store_error,
	      "The errno that keeps changes from being stored; 0: none.");
}

static void add_webhooks(struct jobq_buf *out, const struct jobq_table_stats *stats,
			 const struct jobq_table_counters *counters)
{
	family(out, "webhook_deliveries_total", "counter",
	       "Deliveries that came to an end, by how.");
	jobq_buf_addf(out,
		      "jobq_webhook_deliveries_total{outcome=\"success\"} %" PRIu64 "\n"
		      "jobq_webhook_deliveries_total{outcome=\"failure\"} %" PRIu64 "\n",
		      counters->delivered, counters->undelivered);
	counter(out, "webhook_retries_total", counters->retried,
		"Attempts that failed and are made again.");
	gauge(out, "webhook_deliveries_waiting", stats->outbox, "Deliveries that have not ended.");
}

static void add_cache(struct jobq_buf *out, const struct jobq_cache_counters *cache)
{
	counter(out, "scene_cache_hits_total", cache->hits, "Files found in the scene cache.");
	counter(out, "scene_cache_misses_total", cache->misses,
		"Files that were not, or had changed.");
	counter(out, "scene_cache_evictions_total", cache->evictions,
		"Entries that had to make room.");
	counter(out, "scene_cache_resets_total", cache->resets,
		"Times the scene cache was emptied after a death or damage.");
	gauge(out, "scene_cache_entries", cache->entries, "Entries of the scene cache.");
	gauge(out, "scene_cache_bytes", cache->bytes, "Bytes that they take.");
	gauge(out, "scene_cache_max_bytes", cache->room, "Bytes that there are for them.");
}

static void add_requests(struct jobq_buf *out, const struct jobq_table_counters *counters)
{
	family(out, "http_requests_total", "counter",
	       "Requests answered by jobq-api, by route; GET counts HEAD, too.");
	for (size_t row = 0; row <= api_route_count(); row++) {
		const char *method = "other", *pattern = "other";
		api_route_name(row, &method, &pattern);
		for (unsigned class = 2; class <= 5; class++)
			jobq_buf_addf(out,
				      "jobq_http_requests_total{route=\"%s\",method=\"%s\","
				      "status=\"%uxx\"} %" PRIu64 "\n",
				      pattern, method, class, counters->requests[row][class]);
	}
	family(out, "http_refused_total", "counter",
	       "Requests that nginx refused, as far as jobq-hook was told of them.");
	jobq_buf_addf(out,
		      "jobq_http_refused_total{reason=\"unauthorized\"} %" PRIu64 "\n"
		      "jobq_http_refused_total{reason=\"rate_limit\"} %" PRIu64 "\n",
		      counters->unauthorized, counters->limited);
}

/* What only the process that serves those who wait can tell. */
static void add_waiting(struct jobq_buf *out)
{
	gauge(out, "event_listeners", api_stream_count(), "Clients that listen to events.");
	gauge(out, "event_listeners_max", api_stream_most(), "Clients that may.");
	gauge(out, "waiting_requests", api_pool_count(),
	      "Requests that sleep for a client, or send a whole list.");
}

void api_metrics(struct api_request *request)
{
	struct jobq_buf *out = &request->body;
	bool owned = api_table_owned(request);

	family(out, "build_info", "gauge", "Always 1; the label tells the release.");
	jobq_buf_addf(out, "jobq_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	gauge(out, "supervisor_up", owned, "Whether jobqd runs.");
	if (request->may_wait)
		add_waiting(out);
	if (request->table != NULL) {
		struct jobq_table_stats stats;
		struct jobq_table_counters counters;
		jobq_table_stats(request->table, &stats);
		jobq_table_counters(request->table, &counters);
		gauge(out, "ready", stats.ready, "Whether all jobs of the store have been read.");
		add_jobs(out, &counters);
		add_queue(out, request->table, &stats, &counters);
		add_times(out, &counters);
		add_memory(out, &stats);
		add_store(out, &stats, &counters);
		add_webhooks(out, &stats, &counters);
		add_cache(out, &counters.cache);
		add_requests(out, &counters);
	}
	request->content_type = "text/plain; version=0.0.4; charset=utf-8";
	api_reply(request, 200);
}
