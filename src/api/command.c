#include "config.h"

#include <errno.h>

#include "api/api.h"

#define RETRY_SUPERVISOR 2 /* seconds: a restart takes less */

static void refuse_one_more(struct api_request *request)
{
	const struct jobq_refusal why = {
		.code = "too_many_webhooks",
		.error = "At most 100 webhooks",
		.limit = JOBQ_WEBHOOKS_MAX,
	};
	_Static_assert(JOBQ_WEBHOOKS_MAX == 100, "the sentence says so");

	api_reply_refusal(request, 422, &why);
}

/* -ENOENT: the webhook, or the delivery that it was about. */
static void refuse_missing(struct api_request *request, enum jobq_command_verb verb)
{
	struct jobq_webhook webhook;

	if (verb == JOBQ_COMMAND_REDELIVER &&
	    jobq_table_webhook(request->table, request->id, &webhook) == 0)
		api_reply_error(request, 404, "delivery_not_found", "Delivery not found");
	else
		api_reply_no_webhook(request);
}

static void refuse(struct api_request *request, enum jobq_command_verb verb, int rc)
{
	switch (rc) {
	case -ENOENT:
		refuse_missing(request, verb);
		return;
	case -EPERM:
		api_reply_error(request, 409, "webhook_disabled",
				"The webhook is disabled; enable it with PUT first");
		return;
	case -EDQUOT:
		refuse_one_more(request);
		return;
	case -EAGAIN:
	case -ECANCELED:
		api_stored_refuse(request, rc);
		return;
	case -ETIMEDOUT:
		api_reply_unavailable(request, RETRY_SUPERVISOR, "supervisor_unavailable",
				      "It could not be stored in time; try again soon");
		return;
	case -EINPROGRESS:
		api_reply_unavailable(request, RETRY_SUPERVISOR, "not_confirmed",
				      "It could not be confirmed in time and may have been done; "
				      "look at GET /webhooks");
		return;
	default:
		jobq_log(JOBQ_LOG_ERROR, "command_failed", "verb=%d error=%d", (int)verb, -rc);
		api_reply_error(request, 500, "internal_error", "The webhook could not be changed");
	}
}

/* Who has changed what, but neither address nor secret. */
static void log_change(const struct api_request *request, const struct jobq_command *command)
{
	static const char *const done[] = {
		[JOBQ_COMMAND_CREATE] = "webhook_created",
		[JOBQ_COMMAND_UPDATE] = "webhook_changed",
		[JOBQ_COMMAND_REMOVE] = "webhook_removed",
	};

	if (command->verb < JOBQ_LENGTH(done))
		jobq_log(JOBQ_LOG_INFO, done[command->verb], "webhook=%llu token=\"%s\"",
			 (unsigned long long)command->webhook.id, request->token_name);
}

bool api_command(struct api_request *request, struct jobq_command *command, uint64_t *event)
{
	int64_t deadline;
	uint64_t ignored;

	if (!api_stored_begin(request, &deadline))
		return false;
	if (!api_pool_enter()) {
		api_reply_unavailable(request, 1, "too_many_waiting",
				      "Too many clients are waiting; try again soon");
		return false;
	}
	int rc = jobq_table_command(request->table, command, event != NULL ? event : &ignored,
				    deadline);
	api_pool_leave();
	if (rc == 0)
		log_change(request, command);
	else
		refuse(request, command->verb, rc);
	return rc == 0;
}
