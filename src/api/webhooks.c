#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "api/api.h"

static void add_time(struct jobq_buf *out, const char *name, int64_t microseconds)
{
	if (microseconds > 0)
		jobq_buf_addf(out, ",\"%s\":%" PRId64, name, microseconds / 1000000);
	else
		jobq_buf_addf(out, ",\"%s\":null", name);
}

/* The webhook object. That there is a secret is told, never which. */
static void add_webhook(struct jobq_buf *out, const struct jobq_webhook *webhook)
{
	jobq_buf_addf(out, "{\"id\":\"%" PRIu64 "\",\"url\":", webhook->id);
	jobq_buf_addjson(out, webhook->url, strlen(webhook->url));
	jobq_buf_adds(out, ",\"events\":");
	jobq_buf_adds(out, webhook->events);
	if (webhook->has_secret)
		jobq_buf_adds(out, ",\"secret\":\"" JOBQ_WEBHOOK_SECRET_SHOWN "\"");
	add_time(out, "created_at", webhook->created);
	jobq_buf_addf(out,
		      ",\"enabled\":%s,\"delivery_count\":%" PRIu64 ",\"failure_count\":%" PRIu64,
		      webhook->enabled ? "true" : "false", webhook->delivery_count,
		      webhook->failure_count);
	add_time(out, "last_delivery", webhook->last_delivery);
	jobq_buf_adds(out, "}");
}

static void answer_webhook(struct api_request *request, const struct jobq_webhook *webhook)
{
	jobq_buf_adds(&request->body, "{\"success\":true,\"webhook\":");
	add_webhook(&request->body, webhook);
	jobq_buf_adds(&request->body, "}");
	api_reply(request, 200);
}

static void answer_created(struct api_request *request, const struct jobq_webhook *webhook)
{
	jobq_buf_addf(&request->headers, "Location: /webhooks/%" PRIu64 "\r\n", webhook->id);
	jobq_buf_addf(&request->body,
		      "{\"success\":true,\"webhook_id\":\"%" PRIu64 "\",\"webhook\":", webhook->id);
	add_webhook(&request->body, webhook);
	jobq_buf_adds(&request->body, "}");
	api_reply(request, 201);
}

/* Reads what the body says into the command. False: it has been answered. */
static bool read_webhook(struct api_request *request, struct jobq_command *command)
{
	struct jobq_buf body = {0};
	struct jobq_refusal why = {0};
	bool create = command->verb == JOBQ_COMMAND_CREATE;

	bool ok = api_body(request, &body);
	if (ok) {
		ok = jobq_webhook_rules(body.data != NULL ? body.data : "", body.len, create,
					&command->webhook, &command->given, &why);
		if (!ok)
			api_reply_refusal(request, 400, &why);
	}
	if (body.data != NULL)
		explicit_bzero(body.data, body.len);
	jobq_buf_free(&body);
	return ok;
}

void api_webhooks_create(struct api_request *request)
{
	struct jobq_command command = {.verb = JOBQ_COMMAND_CREATE, .webhook = {.enabled = true}};

	if (read_webhook(request, &command) && api_command(request, &command, NULL))
		answer_created(request, &command.webhook);
	explicit_bzero(&command, sizeof(command));
}

void api_webhooks_list(struct api_request *request)
{
	struct jobq_webhook webhook = {0};
	unsigned count = 0;

	jobq_buf_adds(&request->body, "{\"success\":true,\"webhooks\":[");
	while (jobq_table_next_webhook(request->table, webhook.id, &webhook)) {
		if (count++ > 0)
			jobq_buf_adds(&request->body, ",");
		add_webhook(&request->body, &webhook);
	}
	jobq_buf_addf(&request->body, "],\"count\":%u}", count);
	api_reply(request, 200);
}

void api_webhooks_show(struct api_request *request)
{
	struct jobq_webhook webhook;

	if (jobq_table_webhook(request->table, request->id, &webhook) == 0)
		answer_webhook(request, &webhook);
	else
		api_reply_no_webhook(request);
}

void api_webhooks_change(struct api_request *request)
{
	struct jobq_command command = {.verb = JOBQ_COMMAND_UPDATE, .webhook.id = request->id};
	struct jobq_webhook now;

	if (jobq_table_webhook(request->table, request->id, &now) < 0)
		api_reply_no_webhook(request);
	else if (read_webhook(request, &command) && api_command(request, &command, NULL))
		answer_webhook(request, &command.webhook);
	explicit_bzero(&command, sizeof(command));
}

void api_webhooks_remove(struct api_request *request)
{
	struct jobq_command command = {
		.verb = JOBQ_COMMAND_REMOVE,
		.webhook = {.id = request->id},
	};

	if (!api_command(request, &command, NULL))
		return;
	jobq_buf_adds(&request->body, "{\"success\":true,\"message\":\"Webhook deleted\"}");
	api_reply(request, 200);
}
