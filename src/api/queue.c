#include "config.h"

#include <inttypes.h>

#include "api/api.h"

static void answer(struct api_request *request)
{
	struct jobq_table_stats stats;

	jobq_table_stats(request->table, &stats);
	jobq_buf_addf(&request->body,
		      "{\"success\":true,\"queue\":{\"state\":\"%s\",\"queued\":%" PRIu64
		      ",\"running\":%" PRIu64 ",\"slots\":%d}}",
		      jobq_job_queue_name(jobq_table_queue_state(request->table)),
		      stats.jobs[JOBQ_STATUS_QUEUED], stats.jobs[JOBQ_STATUS_RUNNING], JOBQ_SLOTS);
	api_reply(request, 200);
}

void api_queue_show(struct api_request *request)
{
	answer(request);
}

static void change(struct api_request *request, enum jobq_queue_state state)
{
	struct jobq_command command = {.verb = JOBQ_COMMAND_QUEUE, .queue = state};

	if (!api_command(request, &command, NULL))
		return;
	jobq_log(JOBQ_LOG_WARNING, "queue_changed", "state=%s token=\"%s\"",
		 jobq_job_queue_name(state), request->token_name);
	answer(request);
}

void api_queue_pause(struct api_request *request)
{
	change(request, JOBQ_QUEUE_PAUSED);
}

void api_queue_resume(struct api_request *request)
{
	change(request, JOBQ_QUEUE_OPEN);
}

void api_queue_drain(struct api_request *request)
{
	change(request, JOBQ_QUEUE_DRAINING);
}
