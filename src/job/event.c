#include "config.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "jobq/event.h"

static const char *const names[] = {
#define X(upper, name) name,
	JOBQ_EVENTS(X)
#undef X
};

const char *jobq_event_name(enum jobq_event_kind kind)
{
	return (unsigned)kind < JOBQ_EVENT_KINDS ? names[kind] : "unknown";
}

bool jobq_event_kind_of(const char *name, size_t len, enum jobq_event_kind *out)
{
	for (unsigned i = 0; i < JOBQ_EVENT_KINDS; i++) {
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
			*out = (enum jobq_event_kind)i;
			return true;
		}
	}
	return false;
}

uint32_t jobq_event_pattern(const char *pattern, size_t len)
{
	enum jobq_event_kind kind;
	uint32_t kinds = 0;

	if (jobq_event_kind_of(pattern, len, &kind))
		return JOBQ_EVENT_BIT(kind);
	if (len == 1 && pattern[0] == '*')
		return JOBQ_EVENT_BIT(JOBQ_EVENT_KINDS) - 1;
	if (len < 3 || memcmp(pattern + len - 2, ".*", 2) != 0)
		return 0;
	for (unsigned i = 0; i < JOBQ_EVENT_KINDS; i++)
		if (strlen(names[i]) >= len && memcmp(names[i], pattern, len - 1) == 0)
			kinds |= JOBQ_EVENT_BIT(i);
	return kinds;
}

enum jobq_event_kind jobq_event_of_status(enum jobq_job_status status)
{
	switch (status) {
	case JOBQ_STATUS_RUNNING:
		return JOBQ_EVENT_JOB_STARTED;
	case JOBQ_STATUS_COMPLETED:
		return JOBQ_EVENT_JOB_COMPLETED;
	case JOBQ_STATUS_FAILED:
		return JOBQ_EVENT_JOB_FAILED;
	case JOBQ_STATUS_CANCELLED:
		return JOBQ_EVENT_JOB_CANCELLED;
	default:
		return JOBQ_EVENT_JOB_QUEUED;
	}
}

void jobq_event_job_data(struct jobq_buf *out, const struct jobq_entry *entry)
{
	const struct jobq_job job = {
		.id = entry->id,
		.type = entry->type,
		.status = entry->status,
		.progress = entry->progress,
		.attempt = entry->attempt,
		.created = entry->created,
		.started = entry->started,
		.completed = entry->completed,
	};
	bool whole = entry->result.len <= JOBQ_EVENT_RESULT_MAX;

	jobq_buf_addf(out, "{\"job_id\":\"%" PRIu64 "\",", entry->id);
	if (!whole)
		jobq_buf_adds(out, "\"result_omitted\":true,");
	size_t at = out->len;
	jobq_job_json(out, &job, entry->result.data, whole ? entry->result.len : 0,
		      entry->error.data, entry->error.len);
	/* One object of both: the brace that opened the second goes. */
	if (!out->failed) {
		memmove(out->data + at, out->data + at + 1, out->len - at);
		out->len--;
	}
}

void jobq_event_delivery_id(char into[JOBQ_DELIVERY_ID], uint64_t webhook, uint64_t event)
{
	snprintf(into, JOBQ_DELIVERY_ID, "%" PRIu64 "-%" PRIu64, webhook, event);
}

bool jobq_event_delivery_of(const char *text, size_t len, uint64_t *webhook, uint64_t *event)
{
	const char *dash = memchr(text, '-', len);

	return dash != NULL && jobq_text_u64(text, (size_t)(dash - text), INT64_MAX, webhook) &&
	       jobq_text_u64(dash + 1, len - (size_t)(dash + 1 - text), INT64_MAX, event);
}

/* The end of the authority (RFC 3986 section 3.2) that begins at `at`. */
static const char *authority_end(const char *at, const char *end)
{
	while (at < end && *at != '/' && *at != '?')
		at++;
	return at;
}

static bool port_is_good(const char *at, const char *end)
{
	uint64_t port;

	return at == end || (jobq_text_u64(at, (size_t)(end - at), 65535, &port) && port > 0);
}

/* What is between brackets (RFC 3986 section 3.2.2). */
static bool is_ipv6(const char *at, const char *end)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	size_t len = (size_t)(end - at);

	if (len >= sizeof(text))
		return false;
	memcpy(text, at, len);
	text[len] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_host_name(const char *at, const char *end)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789.-_";

	while (at < end && memchr(good, *at, sizeof(good) - 1) != NULL)
		at++;
	return at == end;
}

static const char *host_malformed(const char *at, const char *end)
{
	bool literal = at < end && *at == '[';
	const char *host_end = memchr(at, literal ? ']' : ':', (size_t)(end - at));

	if (literal && host_end == NULL)
		return "its address in brackets has no end";
	const char *from = literal ? at + 1 : at, *to = host_end != NULL ? host_end : end;
	if (from == to)
		return "it has no host";
	if (literal && !is_ipv6(from, to))
		return "what it has in brackets is no IPv6 address";
	if (!literal && !is_host_name(from, to))
		return "its host holds a character that no host name has";
	const char *port = literal ? host_end + 1 : to;
	if (port < end && (*port != ':' || !port_is_good(port + 1, end)))
		return "its port is not a number from 1 to 65535";
	return NULL;
}

const char *jobq_event_url_malformed(const char *url, size_t len)
{
	const char *end = url + len, *host;

	if (len > JOBQ_WEBHOOK_URL_MAX)
		return "it is longer than 2048 bytes";
	for (size_t i = 0; i < len; i++)
		if (url[i] <= ' ' || url[i] >= 0x7f || strchr("\"<>\\^`{|}", url[i]) != NULL)
			return "it holds a character that has to be percent-encoded";
	if (len >= 7 && strncasecmp(url, "http://", 7) == 0)
		host = url + 7;
	else if (len >= 8 && strncasecmp(url, "https://", 8) == 0)
		host = url + 8;
	else
		return "it must begin with http:// or https://";
	if (memchr(url, '#', len) != NULL)
		return "it has a fragment, which is never sent";
	const char *authority = authority_end(host, end);
	if (memchr(host, '@', (size_t)(authority - host)) != NULL)
		return "it holds a user or a password: use a secret instead";
	return host_malformed(host, authority);
}
