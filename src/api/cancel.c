#include "config.h"

#include <errno.h>

#include "api/api.h"

void api_cancel(struct api_request *request)
{
	switch (jobq_table_cancel(request->table, request->id)) {
	case 0:
		jobq_buf_adds(&request->body, "{\"success\":true,\"message\":\"Job cancelled\"}");
		api_reply(request, 200);
		break;
	case -EBUSY:
		api_reply_error(request, 400, "not_cancellable", "Can only cancel queued jobs");
		break;
	default:
		api_reply_error(request, 404, "job_not_found", "Job not found");
	}
}
