#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "hook/hook.h"

#define SECOND INT64_C(1000000)

/* ---- one ------------------------------------------------------------------ */

/* Where the message begins in `<190>Nov 24 05:13:04 jobq: {...}`; NULL: it is no such line. */
static const char *message_of(const char *line, size_t len)
{
	static const char tag[] = " jobq: ";
	const char *end = line + len, *at = line;

	if (len == 0 || *at++ != '<')
		return NULL;
	while (at < end && *at >= '0' && *at <= '9' && at - line < 5)
		at++;
	if (at == end || *at++ != '>')
		return NULL;
	/* The time has a fixed length: `Mmm dd hh:mm:ss`. */
	if ((size_t)(end - at) < 15 + sizeof(tag) - 1 ||
	    memcmp(at + 15, tag, sizeof(tag) - 1) != 0)
		return NULL;
	return at + 15 + sizeof(tag) - 1;
}

/* Copies a member that is a string; one that is too long is cut, at a character's begin. */
static bool take(const json_t *object, const char *name, char *into, size_t room)
{
	const json_t *member = json_object_get(object, name);

	if (!json_is_string(member))
		return false;
	size_t len = json_string_length(member);
	const char *text = json_string_value(member);
	if (len >= room) {
		len = room - 1;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(into, text, len);
	into[len] = '\0';
	return true;
}

bool hook_notice_read(const char *line, size_t len, struct hook_notice *out)
{
	const char *message = message_of(line, len);
	char status[8];

	if (message == NULL)
		return false;
	json_t *object = json_loadb(message, len - (size_t)(message - line),
				    JSON_REJECT_DUPLICATES, NULL);
	bool good = json_is_object(object) && take(object, "status", status, sizeof(status)) &&
		    take(object, "client", out->client, sizeof(out->client)) &&
		    take(object, "request", out->request, sizeof(out->request)) &&
		    take(object, "token", out->token, sizeof(out->token)) &&
		    (strcmp(status, "401") == 0 || strcmp(status, "429") == 0);
	if (good)
		out->kind = status[1] == '0' ? JOBQ_EVENT_AUTH_FAILED
					     : JOBQ_EVENT_RATE_LIMIT_EXCEEDED;
	json_decref(object);
	return good;
}

static void add_member(struct jobq_buf *out, const char *name, const char *text)
{
	jobq_buf_addf(out, "\"%s\":", name);
	if (text[0] != '\0')
		jobq_buf_addjson(out, text, strlen(text));
	else
		jobq_buf_adds(out, "null");
	jobq_buf_adds(out, ",");
}

void hook_notice_data(struct jobq_buf *out, const struct hook_notice *notice, uint64_t suppressed)
{
	jobq_buf_adds(out, "{");
	add_member(out, "client", notice->client);
	if (notice->kind == JOBQ_EVENT_RATE_LIMIT_EXCEEDED)
		add_member(out, "token", notice->token);
	add_member(out, "request", notice->request);
	jobq_buf_adds(out, "\"suppressed\":");
	jobq_buf_addu(out, suppressed);
	jobq_buf_adds(out, "}");
}

/* ---- many ----------------------------------------------------------------- */

/* Whether one more event would be too many for any second; if not it counts. */
static bool may_tell(struct hook_tally *tally, int64_t now)
{
	if (tally->known == HOOK_NOTICES_A_SECOND && now - tally->told[tally->at] < SECOND)
		return false;
	tally->told[tally->at] = now;
	tally->at = (tally->at + 1) % HOOK_NOTICES_A_SECOND;
	tally->known += tally->known < HOOK_NOTICES_A_SECOND;
	return true;
}

bool hook_tally_take(struct hook_tally *tally, const struct hook_notice *notice, int64_t now,
		     uint64_t *suppressed)
{
	tally->last = *notice;
	tally->last_at = now;
	if (!may_tell(tally, now)) {
		tally->held++;
		return false;
	}
	*suppressed = tally->held;
	tally->held = 0;
	return true;
}

bool hook_tally_rest(struct hook_tally *tally, int64_t now, uint64_t *suppressed)
{
	if (tally->held == 0 || now - tally->last_at < SECOND || !may_tell(tally, now))
		return false;
	*suppressed = tally->held - 1;
	tally->held = 0;
	return true;
}

void hook_tally_hold(struct hook_tally *tally, uint64_t suppressed, int64_t now)
{
	tally->held += suppressed + 1;
	tally->last_at = now;
}
