/*
 * A stream of server-sent events. Comes back where it left off when it is asked
 * to connect again; when to, and what to do meanwhile, is its user's business.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/view.h"

#define SILENT_SECONDS 45 /* there is a heartbeat every 15 s */

static size_t take_bytes(char *bytes, size_t size, size_t count, void *arg)
{
	struct ctl_stream *stream = arg;
	long status = 0;

	curl_easy_getinfo(stream->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200) /* an error's body */
		return size * count;
	stream->opened = true;
	ctl_sse_feed(&stream->sse, bytes, size * count, stream->take, stream->arg);
	return stream->sse.failed ? 0 : size * count;
}

bool ctl_stream_init(struct ctl_stream *stream, struct ctl_client *client, const char *path,
		     ctl_sse_take take, void *arg)
{
	*stream = (struct ctl_stream){.client = client, .path = path, .take = take, .arg = arg};
	stream->multi = curl_multi_init();
	return stream->multi != NULL;
}

static void disconnect(struct ctl_stream *stream)
{
	if (stream->easy == NULL)
		return;
	curl_multi_remove_handle(stream->multi, stream->easy);
	curl_easy_cleanup(stream->easy);
	curl_slist_free_all(stream->headers);
	stream->easy = NULL;
	stream->headers = NULL;
	stream->opened = false;
}

void ctl_stream_free(struct ctl_stream *stream)
{
	disconnect(stream);
	curl_multi_cleanup(stream->multi);
	ctl_sse_free(&stream->sse);
}

static bool add_header(struct ctl_stream *stream, const char *line)
{
	struct curl_slist *longer = curl_slist_append(stream->headers, line);

	stream->headers = longer != NULL ? longer : stream->headers;
	return longer != NULL;
}

static bool set_up(struct ctl_stream *stream)
{
	char line[CTL_SSE_ID + 32];
	CURL *easy = stream->easy;

	snprintf(line, sizeof(line), "Last-Event-ID: %s", stream->sse.id);
	return add_header(stream, "Accept: text/event-stream") &&
	       (stream->sse.id[0] == '\0' || add_header(stream, line)) &&
	       ctl_client_set_up(stream->client, easy, stream->path, &stream->headers) &&
	       curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)SILENT_SECONDS) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, stream->detail) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_bytes) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEDATA, stream) == CURLE_OK &&
	       curl_multi_add_handle(stream->multi, easy) == CURLM_OK;
}

bool ctl_stream_connect(struct ctl_stream *stream)
{
	disconnect(stream);
	ctl_sse_restart(&stream->sse);
	stream->detail[0] = '\0';
	stream->status = 0;
	stream->easy = curl_easy_init();
	if (stream->easy != NULL && set_up(stream))
		return true;
	disconnect(stream);
	return false;
}

static void end(struct ctl_stream *stream, CURLcode code)
{
	stream->status = 0;
	curl_easy_getinfo(stream->easy, CURLINFO_RESPONSE_CODE, &stream->status);
	if (code == CURLE_OK)
		snprintf(stream->error, sizeof(stream->error),
			 stream->status == 200 ? "the stream has ended" : "HTTP %ld", stream->status);
	else
		ctl_client_say(stream->error, sizeof(stream->error), code, stream->detail);
	disconnect(stream);
}

enum ctl_stream_news ctl_stream_step(struct ctl_stream *stream, int fd, int timeout_ms)
{
	struct curl_waitfd extra = {.fd = fd, .events = CURL_WAIT_POLLIN};
	const bool was_open = stream->opened;
	CURLMsg *message;
	int running, left;

	curl_multi_perform(stream->multi, &running);
	if (stream->opened == was_open && (stream->easy == NULL || running > 0)) {
		curl_multi_poll(stream->multi, &extra, fd >= 0 ? 1 : 0, timeout_ms, NULL);
		curl_multi_perform(stream->multi, &running);
	}
	/* What has been told is looked at before that it has ended. */
	if (stream->opened && !was_open)
		return CTL_STREAM_OPENED;
	while ((message = curl_multi_info_read(stream->multi, &left)) != NULL) {
		if (message->msg == CURLMSG_DONE && message->easy_handle == stream->easy) {
			end(stream, message->data.result);
			return CTL_STREAM_ENDED;
		}
	}
	return CTL_STREAM_QUIET;
}
