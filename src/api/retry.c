#include "config.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"

/* What a body says; an empty one says nothing. False: it has been answered. */
static bool read_only(struct api_request *request, bool *failed_only)
{
	struct jobq_buf body = {0};
	struct jobq_refusal why = {0};
	bool ok = true;

	*failed_only = false;
	const char *length = FCGX_GetParam("CONTENT_LENGTH", request->fcgi.envp);
	if (length == NULL || *length == '\0' || strcmp(length, "0") == 0)
		return true;
	ok = api_body(request, &body);
	if (ok && !jobq_job_retry_rules(body.data != NULL ? body.data : "", body.len, failed_only,
					&why)) {
		api_reply_refusal(request, 400, &why);
		ok = false;
	}
	jobq_buf_free(&body);
	return ok;
}

/*
 * Cuts the parameters down to the steps that the result says have failed. False: there are none, or
 * the type has no steps.
 */
static bool keep_failed(json_t *parameters, const struct jobq_entry *job)
{
	const struct jobq_job_steps named = jobq_job_steps(job->type);
	json_t *result = json_loadb(job->result.data, job->result.len, JSON_ALLOW_NUL, NULL);
	json_t *failed = json_array(), *row;
	size_t i;

	if (named.parameter != NULL) {
		const json_t *steps = json_object_get(parameters, named.parameter);
		json_array_foreach(json_object_get(result, named.result), i, row)
			if (!json_is_true(json_object_get(row, "success")))
				json_array_append(failed, json_array_get(steps, i));
		json_object_set(parameters, named.parameter, failed);
	}
	bool any = json_array_size(failed) > 0;
	json_decref(failed);
	json_decref(result);
	return any;
}

/* The body of the submission that repeats the job; NULL: answered. The caller frees it. */
static char *write_body(struct api_request *request, const struct jobq_entry *job,
			bool failed_only)
{
	json_t *parameters = json_loadb(job->parameters.data, job->parameters.len, JSON_ALLOW_NUL,
					NULL);
	json_t *labels = job->labels.len > 0
				 ? json_loadb(job->labels.data, job->labels.len, 0, NULL)
				 : json_object();
	char *text = NULL;

	if (failed_only && !keep_failed(parameters, job)) {
		api_reply_error(request, 400, "nothing_failed",
				"The result of this job names nothing that failed");
	} else {
		json_t *body = json_pack("{s:s, s:O, s:i, s:O}", "type",
					 jobq_job_type_name(job->type), "parameters", parameters,
					 "priority", job->priority, "labels", labels);
		text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
		json_decref(body);
		if (text == NULL)
			api_reply_unavailable(request, 1, "out_of_memory",
					      "Out of memory; try again later");
	}
	json_decref(labels);
	json_decref(parameters);
	return text;
}

void api_retry(struct api_request *request)
{
	struct jobq_buf bytes = {0};
	struct jobq_entry entry;
	struct jobq_job job;
	bool failed_only;
	char *body = NULL;

	/* Shown as it is stored, and then whole. */
	if (jobq_table_get(request->table, request->id, &job, NULL, NULL, NULL) < 0) {
		api_reply_no_job(request);
	} else if (!jobq_job_finished(job.status)) {
		api_reply_error(request, 400, "not_finished", "Can only retry finished jobs");
	} else if (read_only(request, &failed_only)) {
		if (jobq_table_export(request->table, request->id, &entry, &bytes) < 0)
			api_reply_no_job(request);
		else
			body = write_body(request, &entry, failed_only);
	}
	if (body != NULL)
		api_submit_body(request, body, strlen(body));
	free(body);
	jobq_buf_free(&bytes);
}
