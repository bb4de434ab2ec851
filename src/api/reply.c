#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"

static const char *reason_of(int status)
{
	switch (status) {
	case 200: return "OK";
	case 201: return "Created";
	case 202: return "Accepted";
	case 204: return "No Content";
	case 304: return "Not Modified";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 409: return "Conflict";
	case 413: return "Content Too Large";
	case 422: return "Unprocessable Content";
	case 503: return "Service Unavailable";
	default: return "Internal Server Error";
	}
}

static bool has_body(int status)
{
	return status != 204 && status != 304;
}

static bool put(struct api_request *request, const char *bytes, size_t len)
{
	while (len > 0) {
		int part = len > 1 << 20 ? 1 << 20 : (int)len;
		if (FCGX_PutStr(bytes, part, request->fcgi.out) != part)
			return false;
		bytes += part;
		len -= (size_t)part;
	}
	return true;
}

static void put_head(struct api_request *request, int status, bool with_length)
{
	char head[160];
	int len = snprintf(head, sizeof(head), "Status: %d %s\r\n", status, reason_of(status));

	request->status = status;
	if (has_body(status))
		len += snprintf(head + len, sizeof(head) - (size_t)len, "Content-Type: %s\r\n",
				request->content_type);
	if (with_length && has_body(status))
		len += snprintf(head + len, sizeof(head) - (size_t)len, "Content-Length: %zu\r\n",
				request->body.len);
	put(request, head, (size_t)len);
	put(request, request->headers.data, request->headers.len);
	put(request, "\r\n", 2);
}

static void start_error(struct api_request *request, const char *code, const char *sentence)
{
	request->body.len = 0;
	jobq_buf_adds(&request->body, "{\"success\":false,\"error\":");
	jobq_buf_addjson(&request->body, sentence, strlen(sentence));
	jobq_buf_addf(&request->body, ",\"code\":\"%s\"", code);
}

void api_reply(struct api_request *request, int status)
{
	static const char failed[] = "{\"success\":false,\"error\":\"Out of memory; try again "
				     "later\",\"code\":\"out_of_memory\"}";

	if (request->body.failed || request->headers.failed) {
		char path[512];
		jobq_log(JOBQ_LOG_ERROR, "out_of_memory", "method=%s path=\"%s\"", request->method,
			 jobq_log_quote(path, sizeof(path), request->path));
		jobq_buf_free(&request->headers);
		jobq_buf_free(&request->body);
		jobq_buf_adds(&request->body, failed);
		request->content_type = API_JSON;
		status = 503;
	}
	put_head(request, status, true);
	if (!request->head && has_body(status))
		put(request, request->body.data, request->body.len);
}

void api_reply_error(struct api_request *request, int status, const char *code, const char *fmt,
		     ...)
{
	char sentence[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	start_error(request, code, sentence);
	jobq_buf_adds(&request->body, "}");
	api_reply(request, status);
}

void api_reply_refusal(struct api_request *request, int status, const struct jobq_refusal *why)
{
	struct jobq_buf *body = &request->body;

	start_error(request, why->code, why->error);
	if (why->pointer[0] != '\0' || why->limit > 0) {
		const char *comma = "";
		jobq_buf_adds(body, ",\"details\":{");
		if (why->pointer[0] != '\0') {
			jobq_buf_adds(body, "\"pointer\":");
			jobq_buf_addjson(body, why->pointer, strlen(why->pointer));
			comma = ",";
		}
		if (why->limit > 0)
			jobq_buf_addf(body, "%s\"limit\":%ld", comma, why->limit);
		jobq_buf_adds(body, "}");
	}
	jobq_buf_adds(body, "}");
	api_reply(request, status);
}

void api_reply_unavailable(struct api_request *request, unsigned retry_after, const char *code,
			   const char *sentence)
{
	jobq_buf_addf(&request->headers, "Retry-After: %u\r\n", retry_after);
	api_reply_error(request, 503, code, "%s", sentence);
}

void api_reply_no_job(struct api_request *request)
{
	api_reply_error(request, 404, "job_not_found", "Job not found");
}

void api_reply_no_webhook(struct api_request *request)
{
	api_reply_error(request, 404, "webhook_not_found", "Webhook not found");
}

void api_reply_begin(struct api_request *request, int status)
{
	put_head(request, status, false);
}

bool api_reply_part(struct api_request *request)
{
	bool sent = !request->body.failed &&
		    put(request, request->body.data, request->body.len);
	request->body.len = 0;
	return sent;
}
