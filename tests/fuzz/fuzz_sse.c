/*
 * libFuzzer target over streams of server-sent events. Where a piece ends makes no
 * difference: the input is read whole, and in pieces of the first byte's size.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *arg, const struct ctl_sse_event *event)
{
	struct jobq_buf *told = arg;

	if (event->data[event->len] != '\0' || event->name[0] == '\0')
		abort();
	jobq_buf_addf(told, "%s %zu ", event->name, event->len);
	jobq_buf_add(told, event->data, event->len);
}

static void read_all(struct ctl_sse *sse, const char *bytes, size_t len, size_t piece,
		     struct jobq_buf *told)
{
	for (size_t at = 0; at < len; at += piece)
		ctl_sse_feed(sse, bytes + at, len - at < piece ? len - at : piece, take, told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl_sse whole = {0}, pieces = {0};
	struct jobq_buf first = {0}, second = {0};

	if (size < 2)
		return 0;
	const char *stream = (const char *)data + 1;
	read_all(&whole, stream, size - 1, size, &first);
	read_all(&pieces, stream, size - 1, data[0] % 16 + 1u, &second);
	if (first.len != second.len ||
	    (first.len > 0 && memcmp(first.data, second.data, first.len) != 0) ||
	    strcmp(whole.id, pieces.id) != 0 || whole.retry != pieces.retry)
		abort();
	ctl_sse_restart(&whole);
	ctl_sse_feed(&whole, "\n", 1, take, &first);
	ctl_sse_free(&whole);
	ctl_sse_free(&pieces);
	jobq_buf_free(&first);
	jobq_buf_free(&second);
	return 0;
}
