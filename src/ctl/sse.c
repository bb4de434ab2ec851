/*
 * Server-sent events, as the HTML standard's section 9.2 has them. Pieces may
 * end anywhere.
 */
#include "config.h"

#include <string.h>

#include "ctl/view.h"

static void take_field(struct ctl_sse *sse, const char *name, size_t name_len, const char *value,
		       size_t len)
{
	uint64_t number;

	if (name_len == 4 && memcmp(name, "data", 4) == 0) {
		if (sse->has_data)
			jobq_buf_add(&sse->data, "\n", 1);
		sse->has_data = true;
		jobq_buf_add(&sse->data, value, len);
		sse->failed = sse->data.failed || sse->data.len > CTL_SSE_MOST;
	} else if (name_len == 5 && memcmp(name, "event", 5) == 0) {
		if (len >= sizeof(sse->name))
			len = sizeof(sse->name) - 1;
		memcpy(sse->name, value, len);
		sse->name[len] = '\0';
	} else if (name_len == 2 && memcmp(name, "id", 2) == 0) {
		if (len < sizeof(sse->id) && memchr(value, '\0', len) == NULL) {
			memcpy(sse->id, value, len);
			sse->id[len] = '\0';
		}
	} else if (name_len == 5 && memcmp(name, "retry", 5) == 0) {
		if (jobq_text_u64(value, len, INT32_MAX, &number))
			sse->retry = (long)number;
	}
}

/* An empty line: the event is complete. One without data is none. */
static void dispatch(struct ctl_sse *sse, ctl_sse_take take, void *arg)
{
	if (sse->has_data) {
		const struct ctl_sse_event event = {
			.name = sse->name[0] != '\0' ? sse->name : "message",
			.data = sse->data.data != NULL ? sse->data.data : "",
			.len = sse->data.len,
		};
		take(arg, &event);
	}
	sse->name[0] = '\0';
	sse->has_data = false;
	sse->data.len = 0;
	if (sse->data.data != NULL)
		sse->data.data[0] = '\0';
}

static void take_line(struct ctl_sse *sse, ctl_sse_take take, void *arg)
{
	const char *line = sse->line.len > 0 ? sse->line.data : "";
	const size_t len = sse->line.len;
	const char *colon = memchr(line, ':', len);

	if (len == 0) {
		dispatch(sse, take, arg);
	} else if (colon == NULL) {
		take_field(sse, line, len, "", 0);
	} else if (colon > line) { /* else it is a comment */
		const char *value = colon + 1;
		if (value < line + len && *value == ' ')
			value++;
		take_field(sse, line, (size_t)(colon - line), value, (size_t)(line + len - value));
	}
	sse->line.len = 0;
}

static void end_line(struct ctl_sse *sse, ctl_sse_take take, void *arg)
{
	static const char mark[] = "\xef\xbb\xbf";

	if (!sse->begun && sse->line.len >= 3 && memcmp(sse->line.data, mark, 3) == 0) {
		sse->line.len -= 3;
		memmove(sse->line.data, sse->line.data + 3, sse->line.len);
	}
	sse->begun = true;
	take_line(sse, take, arg);
}

void ctl_sse_feed(struct ctl_sse *sse, const char *bytes, size_t len, ctl_sse_take take, void *arg)
{
	while (len > 0 && !sse->failed) {
		if (sse->after_cr && *bytes == '\n') {
			bytes++;
			len--;
			sse->after_cr = false;
			continue;
		}
		sse->after_cr = false;
		size_t part = 0;
		while (part < len && bytes[part] != '\n' && bytes[part] != '\r')
			part++;
		jobq_buf_add(&sse->line, bytes, part);
		sse->failed = sse->line.failed || sse->line.len > CTL_SSE_MOST;
		if (part < len && !sse->failed) {
			sse->after_cr = bytes[part++] == '\r';
			end_line(sse, take, arg);
		}
		bytes += part;
		len -= part;
	}
}

void ctl_sse_restart(struct ctl_sse *sse)
{
	sse->line.len = sse->data.len = 0;
	sse->begun = sse->after_cr = sse->has_data = false;
	sse->name[0] = '\0';
}

void ctl_sse_free(struct ctl_sse *sse)
{
	jobq_buf_free(&sse->line);
	jobq_buf_free(&sse->data);
	*sse = (struct ctl_sse){0};
}
