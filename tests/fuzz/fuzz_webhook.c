/*
 * Bodies of POST and PUT /webhooks: whatever comes is accepted, and can then be
 * shown, or refused with a code and valid UTF-8. And ids of deliveries.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "jobq/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const struct jobq_webhook *webhook, bool create)
{
	json_t *events = json_loads(webhook->events, 0, NULL);
	size_t i;
	json_t *pattern;
	uint32_t kinds = 0;

	if (!json_is_array(events) || (create && webhook->url[0] == '\0') ||
	    webhook->has_secret != (webhook->secret[0] != '\0') ||
	    (webhook->url[0] != '\0' &&
	     jobq_event_url_malformed(webhook->url, strlen(webhook->url)) != NULL))
		abort();
	json_array_foreach(events, i, pattern)
		kinds |= jobq_event_pattern(json_string_value(pattern),
					    json_string_length(pattern));
	if (kinds != webhook->kinds)
		abort();
	json_decref(events);
}

static void check_delivery(const char *text, size_t len)
{
	char again[JOBQ_DELIVERY_ID];
	uint64_t webhook, event;

	if (!jobq_event_delivery_of(text, len, &webhook, &event))
		return;
	jobq_event_delivery_id(again, webhook, event);
	if (strlen(again) != len || memcmp(again, text, len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jobq_webhook webhook = {.events = "[]"};
	struct jobq_refusal why = {0};
	unsigned given;
	bool create = size > 0 && data[0] == '{';
	const char *body = (const char *)data;

	if (jobq_webhook_rules(body, size, create, &webhook, &given, &why)) {
		check_accepted(&webhook, create);
	} else {
		json_t *answer = json_pack("{s:s, s:s}", "error", why.error, "pointer",
					   why.pointer);
		if (why.code == NULL || why.error[0] == '\0' || answer == NULL)
			abort();
		json_decref(answer);
	}
	check_delivery(body, size);
	return 0;
}
