#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobq/base.h"

void jobq_buf_free(struct jobq_buf *buf)
{
	free(buf->data);
	*buf = (struct jobq_buf){0};
}

bool jobq_buf_reserve(struct jobq_buf *buf, size_t more)
{
	if (buf->failed)
		return false;
	if (more < buf->room - buf->len) /* one byte is kept for the NUL */
		return true;

	size_t room = buf->room < 256 ? 256 : buf->room;
	while (room - buf->len <= more) {
		if (room > SIZE_MAX / 2) {
			buf->failed = true;
			return false;
		}
		room *= 2;
	}
	char *data = realloc(buf->data, room);
	if (data == NULL) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->room = room;
	return true;
}

void jobq_buf_add(struct jobq_buf *buf, const void *bytes, size_t len)
{
	if (!jobq_buf_reserve(buf, len))
		return;
	if (len > 0)
		memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void jobq_buf_adds(struct jobq_buf *buf, const char *text)
{
	jobq_buf_add(buf, text, strlen(text));
}

void jobq_buf_addf(struct jobq_buf *buf, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0 || !jobq_buf_reserve(buf, (size_t)len))
		return;
	va_start(args, fmt);
	vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, args);
	va_end(args);
	buf->len += (size_t)len;
}

void jobq_buf_addu(struct jobq_buf *buf, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	jobq_buf_add(buf, digits + at, sizeof(digits) - at);
}

void jobq_buf_addjson(struct jobq_buf *buf, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t from = 0;

	jobq_buf_add(buf, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		jobq_buf_add(buf, text + from, i - from);
		from = i + 1;
		if (c == '\n')
			jobq_buf_add(buf, "\\n", 2);
		else if (c == '"' || c == '\\')
			jobq_buf_add(buf, (char[]){'\\', (char)c}, 2);
		else
			jobq_buf_add(buf, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
	}
	jobq_buf_add(buf, text + from, len - from);
	jobq_buf_add(buf, "\"", 1);
}
