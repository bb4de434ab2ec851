#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "api/stream.h"

/* The FastCGI specification, section 8. */
#define FCGI_HEADER 8
#define FCGI_END_REQUEST 3
#define FCGI_STDOUT 6
#define RECORD_MAX 32768 /* content of a record of ours */
#define TAIL (FCGI_HEADER + FCGI_HEADER + 8)

static size_t message_bytes;

size_t api_message_bytes(void)
{
	return message_bytes;
}

struct api_message *api_message_make(struct jobq_buf *text)
{
	struct api_message *message = NULL;

	if (text->len > 0 && !text->failed)
		message = calloc(1, sizeof(*message));
	if (message == NULL) {
		jobq_buf_free(text);
		return NULL;
	}
	/* A buffer that grew has up to twice the room that it needs. */
	char *fitting = realloc(text->data, text->len);
	if (fitting != NULL) {
		text->data = fitting;
		text->room = text->len;
	}
	*message = (struct api_message){*text, 1};
	*text = (struct jobq_buf){0};
	message_bytes += message->text.room;
	return message;
}

void api_message_drop(struct api_message *message)
{
	if (message == NULL || --message->refs > 0)
		return;
	message_bytes -= message->text.room;
	jobq_buf_free(&message->text);
	free(message);
}

void api_listener_give(struct api_listener *listener, struct api_message *message)
{
	listener->message = message;
	listener->at = listener->frame_end = 0;
	listener->header_left = 0;
}

static void make_header(uint8_t *into, const struct api_listener *listener, uint8_t type,
			size_t len)
{
	const uint8_t header[FCGI_HEADER] = {
		1, type, (uint8_t)(listener->request_id >> 8), (uint8_t)listener->request_id,
		(uint8_t)(len >> 8), (uint8_t)len, 0, 0,
	};
	memcpy(into, header, sizeof(header));
}

/* One write of the two parts; false: `*why` says why nothing was taken. */
static bool put(struct api_listener *listener, struct iovec parts[2], int64_t now, size_t *taken,
		enum api_sent *why)
{
	const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t n;

	do
		n = sendmsg(listener->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		*why = n < 0 && errno == EAGAIN ? API_SENT_PART : API_SENT_GONE;
		return false;
	}
	listener->sent_at = now;
	*taken = (size_t)n;
	return true;
}

/* Goes on with the message, a record after the other. */
static enum api_sent send_message(struct api_listener *listener, int64_t now)
{
	const struct jobq_buf *text = &listener->message->text;
	enum api_sent why = API_SENT_ALL;
	size_t taken;

	while (listener->at < text->len) {
		uint8_t header[FCGI_HEADER];
		if (listener->at == listener->frame_end) {
			size_t left = text->len - listener->at;
			listener->frame_end += left < RECORD_MAX ? left : RECORD_MAX;
			listener->header_left = FCGI_HEADER;
			listener->frame_begin = listener->at;
		}
		make_header(header, listener, FCGI_STDOUT,
			    listener->frame_end - listener->frame_begin);
		struct iovec parts[2] = {
			{header + FCGI_HEADER - listener->header_left, listener->header_left},
			{text->data + listener->at, listener->frame_end - listener->at},
		};
		if (!put(listener, parts, now, &taken, &why))
			return why;
		size_t of_header = taken < listener->header_left ? taken : listener->header_left;
		listener->header_left -= (uint8_t)of_header;
		listener->at += taken - of_header;
	}
	return API_SENT_ALL;
}

/* No more standard output, and the end of the request: all went well. */
static enum api_sent send_tail(struct api_listener *listener, int64_t now)
{
	uint8_t tail[TAIL] = {0};
	enum api_sent why;
	size_t taken;

	make_header(tail, listener, FCGI_STDOUT, 0);
	make_header(tail + FCGI_HEADER, listener, FCGI_END_REQUEST, 8);
	while (listener->tail_sent < TAIL) {
		struct iovec parts[2] = {
			{tail + listener->tail_sent, (size_t)TAIL - listener->tail_sent}, {0}};
		if (!put(listener, parts, now, &taken, &why))
			return why;
		listener->tail_sent += (uint8_t)taken;
	}
	return API_SENT_END;
}

enum api_sent api_listener_send(struct api_listener *listener, int64_t now)
{
	if (listener->message != NULL) {
		enum api_sent sent = send_message(listener, now);
		if (sent != API_SENT_ALL)
			return sent;
		api_message_drop(listener->message);
		listener->message = NULL;
	}
	return listener->ends && listener->opened ? send_tail(listener, now) : API_SENT_ALL;
}
