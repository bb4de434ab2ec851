/* ctl: server-sent events, in pieces of every size. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/view.h"

static char got[1024];

static void take(void *arg, const struct ctl_sse_event *event)
{
	size_t len = strlen(got);

	(void)arg;
	assert_int_equal(strlen(event->data), event->len);
	snprintf(got + len, sizeof(got) - len, "%s=%s;", event->name, event->data);
}

/* Whole, and a byte at a time. */
static void reads(const char *stream, const char *events, const char *id)
{
	for (size_t piece = 1; piece <= strlen(stream); piece += strlen(stream) - 1) {
		struct ctl_sse sse = {0};
		got[0] = '\0';
		for (size_t at = 0; at < strlen(stream); at += piece)
			ctl_sse_feed(&sse, stream + at, piece, take, NULL);
		assert_string_equal(got, events);
		assert_string_equal(sse.id, id);
		assert_false(sse.failed);
		ctl_sse_free(&sse);
	}
}

static void what_the_service_sends_is_read(void **state)
{
	(void)state;
	reads(": open\nretry: 1000\n\nid: 0a-7\n\nevent: job.queued\nid: 0a-8\ndata: {\"id\":\"1\"}\n\n"
	      ": heartbeat\n\nevent: reset\ndata: {}\n\n",
	      "job.queued={\"id\":\"1\"};reset={};", "0a-8");
}

static void every_end_of_line_is_one(void **state)
{
	(void)state;
	reads("data: a\r\n\r\ndata: b\r\rdata: c\n\n", "message=a;message=b;message=c;", "");
	reads("data: a\r\ndata: b\rdata: c\n\r\n", "message=a\nb\nc;", "");
}

static void fields_are_as_the_standard_has_them(void **state)
{
	(void)state;
	reads("data\n\ndata\ndata\n\ndata:\n\n", "message=;message=\n;message=;", "");
	reads("data:x\ndata:  y\n\n", "message=x\n y;", "");
	reads("other: x\nDATA: y\n\n", "", "");
	reads("event: a\n\ndata: x\n\n", "message=x;", ""); /* one without data is none */
	reads("id: 1\n\nid\ndata: x\n\n", "message=x;", "");
	reads("\xef\xbb\xbf" "data: x\n\n", "message=x;", "");
	reads("data: x\n\n\xef\xbb\xbf" "data: y\n\n", "message=x;", "");
	reads("data: cut off\n", "", "");
}

static void retry_is_a_number(void **state)
{
	struct ctl_sse sse = {0};
	static const char stream[] = "retry: 250\n\nretry: 1s\n\nretry: -1\n\n";

	(void)state;
	ctl_sse_feed(&sse, stream, strlen(stream), take, NULL);
	assert_int_equal(sse.retry, 250);
	ctl_sse_free(&sse);
}

static void long_ids_and_those_with_nul_are_ignored(void **state)
{
	struct ctl_sse sse = {0};
	char id[CTL_SSE_ID + 16];

	(void)state;
	ctl_sse_feed(&sse, "id: 1\nid: 2\0\n", 13, take, NULL);
	assert_string_equal(sse.id, "1");
	memset(id, 'x', sizeof(id));
	memcpy(id, "id: ", 4);
	ctl_sse_feed(&sse, id, sizeof(id), take, NULL);
	ctl_sse_feed(&sse, "\n", 1, take, NULL);
	assert_string_equal(sse.id, "1");
	ctl_sse_free(&sse);
}

static void another_connection_begins_anew(void **state)
{
	struct ctl_sse sse = {0};
	static const char before[] = "id: 5\ndata: x\n\nevent: lost\ndata: half", after[] = "data: y\n\n";

	(void)state;
	got[0] = '\0';
	ctl_sse_feed(&sse, before, strlen(before), take, NULL);
	ctl_sse_restart(&sse);
	assert_string_equal(sse.id, "5");
	ctl_sse_feed(&sse, after, strlen(after), take, NULL);
	assert_string_equal(got, "message=x;message=y;");
	ctl_sse_free(&sse);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_service_sends_is_read),
		cmocka_unit_test(every_end_of_line_is_one),
		cmocka_unit_test(fields_are_as_the_standard_has_them),
		cmocka_unit_test(retry_is_a_number),
		cmocka_unit_test(long_ids_and_those_with_nul_are_ignored),
		cmocka_unit_test(another_connection_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
