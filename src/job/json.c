#include "config.h"

#include "jobq/job.h"

void jobq_job_json_progress(struct jobq_buf *out, unsigned hundredths)
{
	char text[4] = {hundredths >= 100 ? '1' : '0', '.', (char)('0' + hundredths / 10 % 10),
			(char)('0' + hundredths % 10)};

	jobq_buf_add(out, text, text[3] == '0' ? 3 : 4);
}

static void add_time(struct jobq_buf *out, const char *name, int64_t microseconds)
{
	jobq_buf_adds(out, name);
	if (microseconds > 0)
		jobq_buf_addu(out, (uint64_t)microseconds / 1000000);
	else
		jobq_buf_add(out, "null", 4);
}

static void add_head(struct jobq_buf *out, const struct jobq_job *job)
{
	jobq_buf_adds(out, "{\"id\":\"");
	jobq_buf_addu(out, job->id);
	jobq_buf_adds(out, "\",\"type\":\"");
	jobq_buf_adds(out, jobq_job_type_name(job->type));
	jobq_buf_adds(out, "\",\"status\":\"");
	jobq_buf_adds(out, jobq_job_status_name(job->status));
	jobq_buf_adds(out, "\",\"progress\":");
	jobq_job_json_progress(out, job->progress);
	add_time(out, ",\"created_at\":", job->created);
}

void jobq_job_json_short(struct jobq_buf *out, const struct jobq_job *job)
{
	add_head(out, job);
	jobq_buf_add(out, "}", 1);
}

void jobq_job_json(struct jobq_buf *out, const struct jobq_job *job, const char *result,
		   size_t result_len, const char *error, size_t error_len)
{
	add_head(out, job);
	add_time(out, ",\"started_at\":", job->started);
	add_time(out, ",\"completed_at\":", job->completed);
	jobq_buf_adds(out, ",\"result\":");
	if (result_len > 0)
		jobq_buf_add(out, result, result_len);
	else
		jobq_buf_adds(out, "null");
	jobq_buf_adds(out, ",\"error\":");
	if (error_len > 0)
		jobq_buf_addjson(out, error, error_len);
	else
		jobq_buf_adds(out, "null");
	jobq_buf_add(out, "}", 1);
}
