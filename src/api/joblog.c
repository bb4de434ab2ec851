#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "api/api.h"

void api_job_log(struct api_request *request)
{
	struct jobq_buf bytes = {0};
	struct jobq_entry entry = {0};
	struct jobq_job job;
	const char *comma = "";

	/* What is shown is stored; only then is the log what it will stay. */
	if (jobq_table_get(request->table, request->id, &job, NULL, NULL, NULL) < 0 ||
	    jobq_table_export(request->table, request->id, &entry, &bytes) < 0) {
		api_reply_no_job(request);
		jobq_buf_free(&bytes);
		return;
	}
	bool finished = jobq_job_finished(job.status);
	const char *at = entry.log.data, *end = at + (finished ? entry.log.len : 0);
	jobq_buf_addf(&request->body, "{\"success\":true,\"job_id\":\"%" PRIu64 "\",\"finished\":%s,\"lines\":[",
		      request->id, finished ? "true" : "false");
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t len = line_end != NULL ? (size_t)(line_end - at) : (size_t)(end - at);
		jobq_buf_adds(&request->body, comma);
		jobq_buf_addjson(&request->body, at, len);
		comma = ",";
		at += len + 1;
	}
	jobq_buf_adds(&request->body, "]}");
	api_reply(request, 200);
	jobq_buf_free(&bytes);
}
