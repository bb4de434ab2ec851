#include "config.h"

#include <string.h>

#include "api/stream.h"

#define RETRY_MS 1000 /* after which clients come back */

const char api_sse_head[] = "Status: 200 OK\r\n"
			    "Content-Type: text/event-stream\r\n"
			    "Cache-Control: no-cache\r\n"
			    "X-Accel-Buffering: no\r\n\r\n";

static void add_id(struct jobq_buf *out, uint32_t generation, uint64_t seq)
{
	jobq_buf_addf(out, "id: %08x-%llu\n", generation, (unsigned long long)seq);
}

void api_sse_open(struct jobq_buf *out)
{
	jobq_buf_addf(out, ": open\nretry: %d\n\n", RETRY_MS);
}

void api_sse_place(struct jobq_buf *out, uint32_t generation, uint64_t seq)
{
	add_id(out, generation, seq);
	jobq_buf_adds(out, "\n");
}

void api_sse_reset(struct jobq_buf *out)
{
	jobq_buf_adds(out, "event: reset\ndata: {}\n\n");
}

static const char *event_of(const struct jobq_job *job)
{
	switch (job->status) {
	case JOBQ_STATUS_QUEUED: return "queued";
	case JOBQ_STATUS_RUNNING: return job->progress > 0 ? "progress" : "started";
	case JOBQ_STATUS_COMPLETED: return "completed";
	case JOBQ_STATUS_FAILED: return "failed";
	default: return "cancelled";
	}
}

void api_sse_job(struct jobq_buf *out, uint32_t generation, uint64_t seq,
		 const struct jobq_job *job, const char *result, size_t result_len,
		 const char *error, size_t error_len)
{
	jobq_buf_addf(out, "event: job.%s\n", event_of(job));
	add_id(out, generation, seq);
	jobq_buf_adds(out, "data: ");
	size_t from = out->len;
	jobq_job_json(out, job, result, result_len, error, error_len);
	/* A line's end would end the data; in JSON it is no more than a blank. */
	for (size_t i = from; i < out->len; i++)
		if (out->data[i] == '\n' || out->data[i] == '\r')
			out->data[i] = ' ';
	jobq_buf_adds(out, "\n\n");
}

bool api_sse_id(const char *text, uint32_t generation, uint64_t *seq)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t read = 0;

	for (int i = 0; i < 8; i++, text++) {
		const char *digit = *text != '\0' ? strchr(digits, *text) : NULL;
		if (digit == NULL)
			return false;
		read = read << 4 | (uint32_t)(digit - digits);
	}
	return read == generation && *text == '-' &&
	       jobq_text_u64(text + 1, strlen(text + 1), UINT64_MAX, seq);
}
