#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"

#define RETRY_HINT 1 /* seconds; for who polls a job that has not finished */
#define TAG 80	     /* bytes of an ETag */

/* Whether If-None-Match holds the tag, compared weakly (RFC 9110 section 13.1.2). */
static bool none_match_has(const char *header, const char *tag)
{
	size_t len = strlen(tag);

	while (header != NULL && *header != '\0') {
		header += strspn(header, " \t,");
		if (*header == '*')
			return true;
		if (strncmp(header, "W/", 2) == 0)
			header += 2;
		if (*header != '"')
			return false;
		const char *end = strchr(header + 1, '"');
		if (end == NULL)
			return false;
		if ((size_t)(end + 1 - header) == len && strncmp(header, tag, len) == 0)
			return true;
		header = end + 1;
	}
	return false;
}

/* Sleeps as ?wait= asks. False: it has been answered. */
static bool wait_first(struct api_request *request)
{
	char text[16];
	uint64_t seconds = 0;
	int len = api_query(request->query, "wait", text, sizeof(text));

	if (len == -1)
		return true;
	if (len < 0 || !jobq_text_u64(text, (size_t)len, API_WAIT_MAX, &seconds)) {
		api_reply_error(request, 400, "invalid_wait",
				"\"wait\" must be a whole number of seconds from 0 to %d",
				API_WAIT_MAX);
		return false;
	}
	if (seconds == 0 || !request->may_wait)
		return true;
	if (!api_pool_enter()) {
		api_reply_unavailable(request, 1, "too_many_waiting",
				      "Too many clients are waiting; ask again without ?wait=");
		return false;
	}

	int64_t deadline = jobq_clock_mono() + (int64_t)seconds * 1000000;
	uint32_t seen = atomic_load(&request->stop);
	api_gone_watch(request->fcgi.ipcFd, &request->stop);
	jobq_table_wait(request->table, request->id, deadline, &request->stop, seen);
	api_gone_forget(request->fcgi.ipcFd);
	api_pool_leave();
	return true;
}

/* What the job object of the reference has no place for stands beside it. */
static void add_remarks(struct api_request *request, const struct jobq_job *job, uint64_t position)
{
	struct jobq_table_remarks remarks;

	if (position > 0)
		jobq_buf_addf(&request->body, ",\"queue_position\":%llu",
			      (unsigned long long)position);
	if (jobq_table_remarks(request->table, job->id, &remarks) < 0)
		return;
	if (remarks.priority != 0)
		jobq_buf_addf(&request->body, ",\"priority\":%d", remarks.priority);
	if (remarks.labels[0] != '\0')
		jobq_buf_addf(&request->body, ",\"labels\":%s", remarks.labels);
}

/* Of the job's version; and of its place in the queue, which moves without the job. */
static void write_tag(const struct api_request *request, const struct jobq_job *job,
		      uint64_t position, char into[TAG])
{
	int len = snprintf(into, TAG, "\"%08x-%llu-%u", jobq_table_generation(request->table),
			   (unsigned long long)job->id, job->version);

	if (position > 0)
		len += snprintf(into + len, TAG - (size_t)len, "-%llu",
				(unsigned long long)position);
	snprintf(into + len, TAG - (size_t)len, "\"");
}

void api_show(struct api_request *request)
{
	struct jobq_job job;
	struct jobq_buf bytes = {0};
	size_t error_len = 0, result_len = 0;
	char tag[TAG];

	if (!wait_first(request))
		return;
	int rc = jobq_table_get(request->table, request->id, &job, &bytes, &error_len, &result_len);
	if (rc == -ENOENT) {
		api_reply_no_job(request);
	} else if (rc == -ENOMEM) {
		api_reply_unavailable(request, 1, "out_of_memory", "Out of memory; try again later");
	} else if (rc < 0) {
		jobq_log(JOBQ_LOG_ERROR, "job_unreadable", "job=%llu error=%d",
			 (unsigned long long)request->id, -rc);
		api_reply_error(request, 500, "internal_error", "The job could not be read");
	} else {
		uint64_t position = job.status == JOBQ_STATUS_QUEUED
					    ? jobq_table_position(request->table, job.id)
					    : 0;
		write_tag(request, &job, position, tag);
		jobq_buf_addf(&request->headers, "ETag: %s\r\n", tag);
		if (!jobq_job_finished(job.status))
			jobq_buf_addf(&request->headers, "Retry-After: %d\r\n", RETRY_HINT);
		bool known = none_match_has(
			FCGX_GetParam("HTTP_IF_NONE_MATCH", request->fcgi.envp), tag);
		if (!known) {
			jobq_buf_adds(&request->body, "{\"success\":true,\"job\":");
			jobq_job_json(&request->body, &job,
				      bytes.data != NULL ? bytes.data + error_len : "", result_len,
				      bytes.data, error_len);
			add_remarks(request, &job, position);
			jobq_buf_adds(&request->body, "}");
		}
		api_reply(request, known ? 304 : 200);
	}
	jobq_buf_free(&bytes);
}
