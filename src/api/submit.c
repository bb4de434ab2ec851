#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"

#define RETRY_FULL 30

/* "" when there is none. False: it has been answered. */
static bool read_key(struct api_request *request, const char **key)
{
	*key = FCGX_GetParam("HTTP_IDEMPOTENCY_KEY", request->fcgi.envp);
	if (*key == NULL) {
		*key = "";
		return true;
	}
	if (jobq_job_is_key(*key))
		return true;
	api_reply_error(request, 400, "invalid_idempotency_key",
			"An Idempotency-Key must be 1 to %d printable ASCII characters",
			JOBQ_KEY_MAX);
	return false;
}

static void answer(struct api_request *request, int rc, uint64_t id, bool replayed)
{
	switch (rc) {
	case 0:
		jobq_buf_addf(&request->headers, "Location: /jobs/%llu\r\n%s",
			      (unsigned long long)id,
			      replayed ? "Idempotent-Replayed: true\r\n" : "");
		jobq_buf_addf(&request->body,
			      "{\"success\":true,\"job_id\":\"%llu\",\"status\":\"queued\"}",
			      (unsigned long long)id);
		api_reply(request, 202);
		return;
	case -EEXIST:
		api_reply_error(request, 422, "idempotency_key_reused",
				"This Idempotency-Key was used for another request (job %llu)",
				(unsigned long long)id);
		return;
	case -ESHUTDOWN:
		api_reply_unavailable(request, RETRY_FULL, "queue_draining",
				      "An administrator lets the queue run empty; try again later");
		return;
	case -ENOSPC:
		jobq_log(JOBQ_LOG_WARNING, "queue_full", "token=\"%s\"", request->token_name);
		api_reply_unavailable(request, RETRY_FULL, "queue_full",
				      "The job table is full; try again later");
		return;
	case -EAGAIN:
	case -EIO:
		api_stored_refuse(request, rc);
		return;
	default:
		jobq_log(JOBQ_LOG_ERROR, "submit_failed", "error=%d", -rc);
		api_reply_error(request, 500, "internal_error", "The job could not be queued");
	}
}

static void submit(struct api_request *request, const char *body, size_t len, const char *key)
{
	struct jobq_submission submission;
	struct jobq_refusal why = {0};
	uint64_t id = 0;
	int64_t deadline;
	bool replayed = false;

	if (!jobq_job_rules(body, len, &request->conf->whitelist, &request->conf->blacklist,
			    &submission, &why)) {
		api_reply_refusal(request, strcmp(why.code, "out_of_memory") == 0 ? 503 : 400,
				  &why);
		return;
	}
	if (api_stored_begin(request, &deadline)) {
		struct jobq_table_submit entry = {
			.type = submission.type,
			.parameters = submission.parameters,
			.parameters_len = submission.parameters_len,
			.owner = request->token_name,
			.key = key,
			.labels = submission.labels,
			.priority = submission.priority,
		};
		int rc = jobq_table_submit(request->table, &entry, &id, &replayed);
		if (rc != 0 || api_stored_await(request, id, !replayed, deadline))
			answer(request, rc, id, replayed);
	}
	jobq_submission_free(&submission);
}

void api_submit_body(struct api_request *request, const char *body, size_t len)
{
	const char *key;

	if (read_key(request, &key))
		submit(request, body, len, key);
}

void api_submit(struct api_request *request)
{
	struct jobq_buf body = {0};
	const char *key;

	if (read_key(request, &key) && api_body(request, &body))
		submit(request, body.data != NULL ? body.data : "", body.len, key);
	jobq_buf_free(&body);
}
