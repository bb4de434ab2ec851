#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/api.h"

/*
 * A whole list keeps three processes busy, this one, nginx and the client, and
 * would hold up everybody else's requests on a small machine: it takes breaths.
 */
#define PACE_JOBS 512  /* jobs in a row, about 64 KiB */
#define PACE_NS 400000 /* then so long for the others */

#define LIMIT_MAX 10000

struct listing {
	struct jobq_table_filter filter;
	uint64_t after;
	uint64_t limit; /* 0: none */
	char label[2 * JOBQ_LABEL_MAX + 8]; /* as filter.label has it */
};

/* False: it has been answered. */
static bool read_word(struct api_request *request, const char *name, struct listing *listing)
{
	char text[JOBQ_TYPE_NAME];
	int len = api_query(request->query, name, text, sizeof(text));
	enum jobq_job_type type;

	if (len == -1)
		return true;
	if (strcmp(name, "status") == 0) {
		if (len >= 0 && jobq_job_status_of(text, (size_t)len, &listing->filter.status))
			return true;
		api_reply_error(request, 400, "invalid_status",
				"\"status\" must be queued, running, completed, failed or "
				"cancelled, once");
		return false;
	}
	if (len >= 0 && jobq_job_type_of(text, (size_t)len, &type)) {
		listing->filter.type = (int)type;
		return true;
	}
	char choice[JOBQ_TYPE_CHOICE];
	api_reply_error(request, 400, "invalid_type", "\"type\" must be %s, once",
			jobq_job_type_choice(choice));
	return false;
}

/* `?label=NAME:VALUE`. False: it has been answered. */
static bool read_label(struct api_request *request, struct listing *listing)
{
	char text[2 * JOBQ_LABEL_MAX + 4];
	int len = api_query(request->query, "label", text, sizeof(text));
	const char *colon = len > 0 ? strchr(text, ':') : NULL;

	if (len == -1)
		return true;
	if (colon == NULL || !jobq_job_is_label(text, (size_t)(colon - text)) ||
	    !jobq_job_is_label(colon + 1, (size_t)len - (size_t)(colon + 1 - text))) {
		api_reply_error(request, 400, "invalid_label",
				"\"label\" must be NAME:VALUE, once");
		return false;
	}
	snprintf(listing->label, sizeof(listing->label), "\"%.*s\":\"%s\"", (int)(colon - text), text,
		 colon + 1);
	listing->filter.label = listing->label;
	return true;
}

static void add_link(struct api_request *request, const struct listing *listing, uint64_t last)
{
	struct jobq_buf *headers = &request->headers;

	jobq_buf_adds(headers, "Link: </jobs?");
	if (listing->filter.status != JOBQ_STATUS_NONE)
		jobq_buf_addf(headers, "status=%s&", jobq_job_status_name(listing->filter.status));
	if (listing->filter.type >= 0)
		jobq_buf_addf(headers, "type=%s&",
			      jobq_job_type_name((enum jobq_job_type)listing->filter.type));
	if (listing->filter.label != NULL) {
		const char *colon = strstr(listing->label, "\":\"");
		jobq_buf_addf(headers, "label=%.*s:%.*s&", (int)(colon - listing->label - 1),
			      listing->label + 1, (int)strlen(colon + 3) - 1, colon + 3);
	}
	jobq_buf_addf(headers, "limit=%" PRIu64 "&after=%" PRIu64 ">; rel=\"next\"\r\n",
		      listing->limit, last);
}

static void add_jobs(struct api_request *request, const struct jobq_job *jobs, size_t n,
		     uint64_t *count)
{
	for (size_t i = 0; i < n; i++) {
		if ((*count)++ > 0)
			jobq_buf_add(&request->body, ",", 1);
		jobq_job_json_short(&request->body, &jobs[i]);
	}
}

static void begin_body(struct api_request *request)
{
	jobq_buf_adds(&request->body, "{\"success\":true,\"jobs\":[");
}

static void end_body(struct api_request *request, uint64_t count)
{
	jobq_buf_addf(&request->body, "],\"count\":%" PRIu64 "}", count);
}

/* One page: its end has to be known before its headers go out. */
static void send_page(struct api_request *request, const struct listing *listing)
{
	struct jobq_job jobs[JOBQ_LIST_BITE];
	uint64_t after = listing->after, count = 0, last = 0;

	begin_body(request);
	while (count < listing->limit) {
		uint64_t left = listing->limit - count;
		size_t max = left < JOBQ_LIST_BITE ? (size_t)left : JOBQ_LIST_BITE;
		size_t n = jobq_table_list(request->table, &listing->filter, &after, jobs, max);
		if (n == 0)
			break;
		add_jobs(request, jobs, n, &count);
		last = jobs[n - 1].id;
	}
	end_body(request, count);
	if (count == listing->limit &&
	    jobq_table_list(request->table, &listing->filter, &after, jobs, 1) > 0)
		add_link(request, listing, last);
	api_reply(request, 200);
}

/* Everything, in memory for one bite of it, however slowly the client reads. */
static void send_all(struct api_request *request, const struct listing *listing)
{
	const struct timespec pace = {.tv_nsec = PACE_NS};
	struct jobq_job jobs[JOBQ_LIST_BITE];
	uint64_t after = listing->after, count = 0;
	size_t n;
	bool there = true;

	api_reply_begin(request, 200);
	if (request->head)
		return;
	begin_body(request);
	while (there &&
	       (n = jobq_table_list(request->table, &listing->filter, &after, jobs,
				    JOBQ_LIST_BITE)) > 0) {
		add_jobs(request, jobs, n, &count);
		there = api_reply_part(request);
		if (count % PACE_JOBS < n)
			nanosleep(&pace, NULL);
	}
	end_body(request, count);
	api_reply_part(request);
}

void api_list(struct api_request *request)
{
	struct listing listing = {.filter = {.type = -1}};

	if (!read_word(request, "status", &listing) || !read_word(request, "type", &listing) ||
	    !read_label(request, &listing) ||
	    !api_query_number(request, "limit", 1, LIMIT_MAX, &listing.limit) ||
	    !api_query_number(request, "after", 0, UINT64_MAX, &listing.after))
		return;
	if (listing.limit > 0) {
		send_page(request, &listing);
	} else if (api_pool_enter()) {
		send_all(request, &listing);
		api_pool_leave();
	} else {
		api_reply_unavailable(request, 1, "too_many_waiting",
				      "Too many clients are waiting; ask again with ?limit=");
	}
}
