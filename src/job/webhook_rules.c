#include "config.h"

#include <stdio.h>
#include <string.h>

#include "job/body.h"
#include "jobq/event.h"

static bool check_url(const json_t *value, struct jobq_webhook *webhook, struct jobq_refusal *why)
{
	if (!json_is_string(value))
		return job_refuse(why, "invalid_url", "/url",
				  value == NULL ? "\"url\" is missing: it must be a string"
						: "\"url\" must be a string");
	const char *url = json_string_value(value);
	size_t len = json_string_length(value);
	const char *what = jobq_event_url_malformed(url, len);
	if (what != NULL) {
		job_refuse(why, "invalid_url", "/url", "The url is no good: %s", what);
		why->limit = len > JOBQ_WEBHOOK_URL_MAX ? JOBQ_WEBHOOK_URL_MAX : 0;
		return false;
	}
	memcpy(webhook->url, url, len + 1);
	return true;
}

/* Whether one of the first `count` patterns is the same. */
static bool is_repeated(const json_t *array, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (json_equal(json_array_get(array, i), json_array_get(array, count)))
			return true;
	return false;
}

/* Known patterns have no character that JSON would escape. */
static bool add_pattern(struct jobq_webhook *webhook, size_t *at, const char *pattern)
{
	const size_t room = sizeof(webhook->events) - 1; /* one is for the bracket */
	int len = snprintf(webhook->events + *at, room - *at, "%s\"%s\"", *at > 1 ? "," : "",
			   pattern);

	*at += (size_t)len;
	return *at < room;
}

/* Takes over an array whose length is right. */
static bool take_patterns(const json_t *array, struct jobq_webhook *webhook,
			  struct jobq_refusal *why)
{
#define X(upper, name) name ", "
	static const char known[] = JOBQ_EVENTS(X);
#undef X
	size_t at = 1, i;
	json_t *pattern;

	webhook->events[0] = '[';
	webhook->kinds = 0;
	json_array_foreach(array, i, pattern) {
		const char *text = json_string_value(pattern);
		uint32_t kinds = text != NULL
				     ? jobq_event_pattern(text, json_string_length(pattern))
				     : 0;
		if (kinds == 0) {
			char where[32];
			snprintf(where, sizeof(where), "/events/%zu", i);
			return job_refuse(why, "invalid_events", where,
					  "There is no such event: known are %sor a pattern "
					  "such as job.* or *", known);
		}
		webhook->kinds |= kinds;
		if (!is_repeated(array, i) && !add_pattern(webhook, &at, text))
			return job_refuse(why, "invalid_events", "/events", "Too many events");
	}
	memcpy(webhook->events + at, "]", 2);
	return true;
}

static bool check_events(const json_t *value, struct jobq_webhook *webhook,
			 struct jobq_refusal *why)
{
	if (value == NULL)
		return job_refuse(why, "invalid_events", "/events",
				  "\"events\" is missing: it must be an array of names");
	if (!json_is_array(value) || json_array_size(value) == 0)
		return job_refuse(why, "invalid_events", "/events",
				  "\"events\" must be an array of names that is not empty");
	if (json_array_size(value) > JOBQ_WEBHOOK_PATTERNS_MAX) {
		job_refuse(why, "invalid_events", "/events",
			   "\"events\" must have at most %d entries", JOBQ_WEBHOOK_PATTERNS_MAX);
		why->limit = JOBQ_WEBHOOK_PATTERNS_MAX;
		return false;
	}
	return take_patterns(value, webhook, why);
}

/* Whether it is base64 (RFC 4648 section 4), padded, of a key of a good length. */
static bool is_key(const char *text, size_t len)
{
	size_t padding = 0;

	if (len == 0 || len % 4 != 0)
		return false;
	while (padding < 2 && text[len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < len - padding; i++) {
		char c = text[i];
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		if (!letter && !(c >= '0' && c <= '9') && c != '+' && c != '/')
			return false;
	}
	size_t bytes = len / 4 * 3 - padding;
	return bytes >= JOBQ_WEBHOOK_KEY_MIN && bytes <= JOBQ_WEBHOOK_KEY_MAX;
}

static bool check_secret(const json_t *value, bool create, struct jobq_webhook *webhook,
			 struct jobq_refusal *why)
{
	static const char prefix[] = "whsec_";
	const size_t prefix_len = sizeof(prefix) - 1;

	if (!json_is_string(value) && !json_is_null(value))
		return job_refuse(why, "invalid_secret", "/secret", "\"secret\" must be a string");
	const char *secret = json_is_null(value) ? "" : json_string_value(value);
	size_t len = json_is_null(value) ? 0 : json_string_length(value);
	bool printable = len <= JOBQ_WEBHOOK_SECRET_MAX;
	for (size_t i = 0; printable && i < len; i++)
		printable = secret[i] >= 0x20 && secret[i] < 0x7f;
	/* Whoever creates one with an empty secret meant to have it signed. */
	if (!printable || (create && len == 0 && !json_is_null(value))) {
		job_refuse(why, "invalid_secret", "/secret",
			   "\"secret\" must be 1 to %d printable ASCII characters",
			   JOBQ_WEBHOOK_SECRET_MAX);
		why->limit = len > JOBQ_WEBHOOK_SECRET_MAX ? JOBQ_WEBHOOK_SECRET_MAX : 0;
		return false;
	}
	if (strcmp(secret, JOBQ_WEBHOOK_SECRET_SHOWN) == 0)
		return job_refuse(why, "invalid_secret", "/secret",
				  "\"" JOBQ_WEBHOOK_SECRET_SHOWN "\" is how answers show a secret, "
				  "not one; to keep the secret leave \"secret\" out");
	if (strncmp(secret, prefix, prefix_len) == 0 &&
	    !is_key(secret + prefix_len, len - prefix_len))
		return job_refuse(why, "invalid_secret", "/secret",
				  "A secret that begins with whsec_ must go on with the base64 of "
				  "%d to %d bytes", JOBQ_WEBHOOK_KEY_MIN, JOBQ_WEBHOOK_KEY_MAX);
	memcpy(webhook->secret, secret, len + 1);
	webhook->has_secret = len > 0;
	return true;
}

static bool check(json_t *root, bool create, struct jobq_webhook *webhook, unsigned *given,
		  struct jobq_refusal *why)
{
	static const char *const members[] = {"url", "events", "secret", "enabled", NULL};
	const json_t *url = json_object_get(root, "url");
	const json_t *events = json_object_get(root, "events");
	const json_t *secret = json_object_get(root, "secret");
	const json_t *enabled = json_object_get(root, "enabled");

	*given = (url != NULL ? JOBQ_GIVEN_URL : 0) | (events != NULL ? JOBQ_GIVEN_EVENTS : 0) |
		 (secret != NULL ? JOBQ_GIVEN_SECRET : 0) |
		 (enabled != NULL ? JOBQ_GIVEN_ENABLED : 0);
	if (!job_only_members(root, "", members, why))
		return false;
	if ((create || url != NULL) && !check_url(url, webhook, why))
		return false;
	if ((create || events != NULL) && !check_events(events, webhook, why))
		return false;
	if (secret != NULL && !check_secret(secret, create, webhook, why))
		return false;
	if (enabled != NULL && !json_is_boolean(enabled))
		return job_refuse(why, "invalid_enabled", "/enabled",
				  "\"enabled\" must be true or false");
	if (enabled != NULL)
		webhook->enabled = json_is_true(enabled);
	return true;
}

/* The parser's own copy, which free(3) would leave in memory. */
static void wipe_secret(json_t *root)
{
	json_t *secret = json_object_get(root, "secret");

	if (json_is_string(secret))
		explicit_bzero((char *)json_string_value(secret), json_string_length(secret));
}

bool jobq_webhook_rules(const char *body, size_t len, bool create, struct jobq_webhook *webhook,
			unsigned *given, struct jobq_refusal *why)
{
	json_t *root = job_parse(body, len, why);

	if (root == NULL)
		return false;
	bool ok = check(root, create, webhook, given, why);
	wipe_secret(root);
	json_decref(root);
	if (!ok)
		explicit_bzero(webhook->secret, sizeof(webhook->secret));
	return ok;
}
