#include "config.h"

#include <errno.h>

#include "api/api.h"

void api_cancel_or_refuse(struct api_request *request, const char *refusal)
{
	int64_t deadline;

	if (!api_stored_begin(request, &deadline))
		return;
	int rc = jobq_table_cancel(request->table, request->id);
	/* Also for one that somebody else has just cancelled: it still shows as queued. */
	if ((rc == 0 || rc == -EBUSY) &&
	    !api_stored_await(request, request->id, false, deadline))
		return;
	switch (rc) {
	case 0:
		jobq_buf_adds(&request->body, "{\"success\":true,\"message\":\"Job cancelled\"}");
		api_reply(request, 200);
		break;
	case -EBUSY:
		api_reply_error(request, 400, "not_cancellable", "%s", refusal);
		break;
	case -EAGAIN:
		api_stored_refuse(request, rc);
		break;
	default:
		api_reply_no_job(request);
	}
}

void api_cancel(struct api_request *request)
{
	api_cancel_or_refuse(request, "Can only cancel queued jobs");
}
