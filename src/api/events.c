#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/stream.h"

#define LOOK 128  /* entries of the feed looked at in one go */
#define RETRY 5 /* seconds; a place is free when a listener leaves */

/*
 * Whether the feed says anything of the job behind `after`. -ESTALE: who knows,
 * the feed no longer goes back that far.
 */
static int news_of(const struct jobq_table *table, uint64_t job, uint64_t after)
{
	struct jobq_feed_entry entries[LOOK];
	int n;

	while ((n = jobq_table_feed_read(table, &after, entries, LOOK)) > 0)
		for (int i = 0; i < n; i++)
			if (entries[i].job.id == job)
				return 1;
	return n;
}

/* Where the client left off, if it has listened before. */
static void find_place(struct api_request *request, struct api_listener *listener)
{
	const char *last = FCGX_GetParam("HTTP_LAST_EVENT_ID", request->fcgi.envp);
	struct jobq_feed_entry entry;
	uint64_t after = 0, at;

	listener->generation = jobq_table_generation(request->table);
	listener->now = true;
	listener->state = listener->job != 0;
	if (last == NULL || *last == '\0')
		return;
	bool known = api_sse_id(last, listener->generation, &after);
	at = after;
	listener->reset = !known || jobq_table_feed_read(request->table, &at, &entry, 1) < 0;
	if (listener->reset)
		return;
	listener->after = after;
	listener->now = listener->state = false;
}

/* False: it has been answered. */
static bool look_at_job(struct api_request *request, const struct api_listener *listener)
{
	struct jobq_job job;

	if (jobq_table_get(request->table, listener->job, &job, NULL, NULL, NULL) < 0) {
		api_reply_error(request, 404, "job_not_found", "Job not found");
		return false;
	}
	/* All has been told: a client that would come back for ever is to stay away. */
	if (!listener->now && jobq_job_finished(job.status) &&
	    news_of(request->table, listener->job, listener->after) == 0) {
		api_reply(request, 204);
		return false;
	}
	return true;
}

/* Nobody listens for long to a table that another one has replaced. False: answered. */
static bool find_table(struct api_request *request)
{
	api_table_owned(request); /* changes to the one that stands there now */
	if (request->table != NULL && jobq_table_is_ready(request->table))
		return true;
	api_reply_unavailable(request, 1, "starting",
			      "The jobs are being read from the store; try again soon");
	return false;
}

static void listen_to(struct api_request *request, uint64_t job)
{
	struct api_listener wanted = {.job = job, .fd = -1};
	struct api_listener *listener;

	if (!find_table(request))
		return;
	find_place(request, &wanted);
	if (job != 0 && !look_at_job(request, &wanted))
		return;
	if (request->head) {
		FCGX_PutS(api_sse_head, request->fcgi.out);
		return;
	}
	if (!request->may_wait) {
		jobq_log(JOBQ_LOG_ERROR, "events_in_plain_pool",
			 "msg=\"nginx sends event streams to the socket of plain requests\"");
		api_reply_error(request, 500, "internal_error",
				"Event streams are not served here");
		return;
	}
	if (!api_stream_enter()) {
		api_reply_unavailable(request, RETRY, "too_many_listeners",
				      "Too many clients listen to events; try again later");
		return;
	}
	listener = malloc(sizeof(*listener));
	if (listener == NULL) {
		api_stream_leave();
		api_reply_unavailable(request, RETRY, "out_of_memory",
				      "Out of memory; try again later");
		return;
	}
	*listener = wanted;
	listener->request_id = (uint16_t)request->fcgi.requestId;
	request->listener = listener;
}

void api_events(struct api_request *request)
{
	listen_to(request, 0);
}

void api_job_events(struct api_request *request)
{
	if (request->id == 0)
		api_reply_error(request, 404, "job_not_found", "Job not found");
	else
		listen_to(request, request->id);
}
