#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "api/api.h"

#define LIMIT_DEFAULT 50

static void add_delivery(struct jobq_buf *out, uint64_t webhook,
			 const struct jobq_delivery *delivery)
{
	char id[JOBQ_DELIVERY_ID];

	jobq_event_delivery_id(id, webhook, delivery->event);
	jobq_buf_addf(out,
		      "{\"id\":\"%s\",\"event\":\"%s\",\"timestamp\":%" PRId64 ",\"success\":%s,"
		      "\"attempts\":%u,\"message\":",
		      id, jobq_event_name(delivery->kind), delivery->at / 1000000,
		      delivery->success ? "true" : "false", delivery->attempts);
	jobq_buf_addjson(out, delivery->message,
			 strnlen(delivery->message, sizeof(delivery->message)));
	jobq_buf_addf(out, ",\"payload_size\":%" PRIu32 "}", delivery->payload_size);
}

void api_deliveries_list(struct api_request *request)
{
	struct jobq_delivery deliveries[JOBQ_WEBHOOK_HISTORY];
	uint64_t limit = LIMIT_DEFAULT;
	size_t total = 0;

	if (!api_query_number(request, "limit", 1, JOBQ_WEBHOOK_HISTORY, &limit))
		return;
	int count = jobq_table_deliveries(request->table, request->id, deliveries, (size_t)limit,
					  &total);
	if (count < 0) {
		api_reply_no_webhook(request);
		return;
	}
	jobq_buf_adds(&request->body, "{\"success\":true,\"deliveries\":[");
	for (int i = 0; i < count; i++) {
		if (i > 0)
			jobq_buf_adds(&request->body, ",");
		add_delivery(&request->body, request->id, &deliveries[i]);
	}
	jobq_buf_addf(&request->body, "],\"count\":%d,\"total\":%zu}", count, total);
	api_reply(request, 200);
}

/* Has the command carried out and answers with the id of the delivery it leads to. */
static void queue(struct api_request *request, struct jobq_command *command, const char *message)
{
	uint64_t event = command->event;
	char id[JOBQ_DELIVERY_ID];

	if (!api_command(request, command, command->verb == JOBQ_COMMAND_PING ? &event : NULL))
		return;
	jobq_event_delivery_id(id, request->id, event);
	jobq_buf_addf(&request->body,
		      "{\"success\":true,\"message\":\"%s\",\"delivery_id\":\"%s\"}", message, id);
	api_reply(request, 202);
}

void api_deliveries_ping(struct api_request *request)
{
	struct jobq_command command = {
		.verb = JOBQ_COMMAND_PING,
		.webhook = {.id = request->id},
	};

	queue(request, &command, "Ping queued");
}

void api_deliveries_redeliver(struct api_request *request)
{
	const struct jobq_text *id = &request->item;
	struct jobq_webhook webhook;
	uint64_t of = 0, event = 0;

	if (jobq_table_webhook(request->table, request->id, &webhook) < 0) {
		api_reply_no_webhook(request);
		return;
	}
	if (!jobq_event_delivery_of(id->data, id->len, &of, &event) || of != request->id) {
		api_reply_error(request, 404, "delivery_not_found", "Delivery not found");
		return;
	}
	struct jobq_command command = {
		.verb = JOBQ_COMMAND_REDELIVER,
		.event = event,
		.webhook = {.id = request->id},
	};
	queue(request, &command, "Redelivery queued");
}
