#include "config.h"

#include <string.h>
#include <strings.h>

#include "api/api.h"

#define RETRY_MEMORY 30 /* seconds */

/* application/json, with any parameters (RFC 9110 section 8.3.1). */
static bool is_json(const char *content_type)
{
	static const char json[] = "application/json";
	const size_t len = sizeof(json) - 1;

	if (content_type == NULL || strncasecmp(content_type, json, len) != 0)
		return false;
	const char *rest = content_type + len + strspn(content_type + len, " \t");
	return *rest == '\0' || *rest == ';';
}

/* False: it has been answered. */
static bool read_all(struct api_request *request, struct jobq_buf *body)
{
	const char *length = FCGX_GetParam("CONTENT_LENGTH", request->fcgi.envp);
	uint64_t announced = 0;
	int got;

	if (length != NULL)
		jobq_text_u64(length, strlen(length), UINT64_MAX, &announced);
	if (announced > JOBQ_BODY_MAX) {
		api_reply_error(request, 413, "payload_too_large", "Payload too large");
		return false;
	}
	do {
		size_t room = body->len < announced ? (size_t)announced - body->len : 4096;
		if (!jobq_buf_reserve(body, room)) {
			api_reply_unavailable(request, RETRY_MEMORY, "out_of_memory",
					      "Out of memory; try again later");
			return false;
		}
		got = FCGX_GetStr(body->data + body->len, (int)room, request->fcgi.in);
		body->len += got > 0 ? (size_t)got : 0;
		if (body->len > JOBQ_BODY_MAX) {
			api_reply_error(request, 413, "payload_too_large", "Payload too large");
			return false;
		}
	} while (got > 0);
	if (body->len < announced) {
		api_reply_error(request, 400, "invalid_json", "The body ended early");
		return false;
	}
	return true;
}

bool api_body(struct api_request *request, struct jobq_buf *body)
{
	if (is_json(FCGX_GetParam("CONTENT_TYPE", request->fcgi.envp)))
		return read_all(request, body);
	api_reply_error(request, 400, "invalid_content_type",
			"The Content-Type must be application/json");
	return false;
}
