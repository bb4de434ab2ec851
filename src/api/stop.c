#include "config.h"

#include <errno.h>

#include "api/api.h"

void api_stop(struct api_request *request)
{
	switch (jobq_table_stop(request->table, request->id)) {
	case 0:
		jobq_buf_adds(&request->body,
			      "{\"success\":true,\"message\":\"Job is asked to stop\"}");
		api_reply(request, 202);
		break;
	case -EBUSY: /* one that waits is simply cancelled */
		api_cancel_or_refuse(request, "Can only cancel jobs that have not ended");
		break;
	default:
		api_reply_no_job(request);
	}
}
