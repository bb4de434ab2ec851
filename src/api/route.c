#include "config.h"

#include <string.h>

#include "api/api.h"

/* A colon and a word stand for one path segment: first an id, then what is of it. */
#define ID ":id"
#define DELIVERY ":delivery"
#define SEGMENTS 2

static const struct route {
	const char *method; /* GET serves HEAD too */
	const char *pattern;
	void (*handler)(struct api_request *request);
	bool open; /* needs no token */
} routes[] = {
	{"POST", "/jobs", api_submit, false},
	{"GET", "/jobs", api_list, false},
	{"GET", "/jobs/" ID, api_show, false},
	{"DELETE", "/jobs/" ID, api_cancel, false},
	{"POST", "/jobs/" ID "/cancel", api_stop, false},
	{"POST", "/jobs/" ID "/retry", api_retry, false},
	{"GET", "/jobs/" ID "/log", api_job_log, false},
	{"GET", "/queue", api_queue_show, false},
	{"POST", "/queue/pause", api_queue_pause, false},
	{"POST", "/queue/resume", api_queue_resume, false},
	{"POST", "/queue/drain", api_queue_drain, false},
	{"GET", "/jobs/" ID "/events", api_job_events, false},
	{"GET", "/events", api_events, false},
	{"POST", "/webhooks", api_webhooks_create, false},
	{"GET", "/webhooks", api_webhooks_list, false},
	{"GET", "/webhooks/" ID, api_webhooks_show, false},
	{"PUT", "/webhooks/" ID, api_webhooks_change, false},
	{"DELETE", "/webhooks/" ID, api_webhooks_remove, false},
	{"POST", "/webhooks/" ID "/test", api_deliveries_ping, false},
	{"GET", "/webhooks/" ID "/deliveries", api_deliveries_list, false},
	{"POST", "/webhooks/" ID "/deliveries/" DELIVERY "/redeliver", api_deliveries_redeliver,
	 false},
	{"GET", "/healthz", api_health, true},
};

/* Whether the path has the pattern's form; `segments` are those that words stand for. */
static bool matches(const char *pattern, const char *path, struct jobq_text segments[SEGMENTS])
{
	while (*pattern != '\0') {
		if (*pattern == ':') {
			size_t len = strcspn(path, "/");
			if (len == 0)
				return false;
			*segments++ = (struct jobq_text){path, len};
			path += len;
			pattern += strcspn(pattern, "/");
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return *path == '\0';
}

static void refuse_method(struct api_request *request)
{
	struct jobq_text segments[SEGMENTS];
	const char *comma = "";

	jobq_buf_adds(&request->headers, "Allow: ");
	for (size_t i = 0; i < JOBQ_LENGTH(routes); i++) {
		if (!matches(routes[i].pattern, request->path, segments))
			continue;
		bool get = strcmp(routes[i].method, "GET") == 0;
		jobq_buf_addf(&request->headers, "%s%s%s", comma, routes[i].method,
			      get ? ", HEAD" : "");
		comma = ", ";
	}
	jobq_buf_adds(&request->headers, "\r\n");
	api_reply_error(request, 405, "method_not_allowed",
			"This method is not allowed here; see the Allow header");
}

static bool is_of_webhooks(const struct route *route)
{
	return strncmp(route->pattern, "/webhooks", strlen("/webhooks")) == 0;
}

/* Reads what the path's variable segments say. False: it has been answered. */
static bool read_segments(struct api_request *request, const struct route *route,
			  const struct jobq_text segments[SEGMENTS])
{
	request->item = segments[1];
	if (segments[0].data == NULL ||
	    jobq_text_u64(segments[0].data, segments[0].len, UINT64_MAX, &request->id))
		return true;
	if (is_of_webhooks(route))
		api_reply_no_webhook(request);
	else
		api_reply_no_job(request);
	return false;
}

static void run(struct api_request *request, const struct route *route,
		const struct jobq_text segments[SEGMENTS])
{
	/* nginx checks the tokens; without a name it has been set up wrongly. */
	if (!route->open && request->token_name[0] == '\0') {
		api_reply_error(request, 401, "unauthorized", "Authentication required");
		return;
	}
	if (!read_segments(request, route, segments))
		return;
	if (request->table == NULL && !route->open) {
		api_reply_unavailable(request, 2, "supervisor_unavailable",
				      "The supervisor has not been started yet; try again soon");
		return;
	}
	if (!route->open && !jobq_table_is_ready(request->table)) {
		api_reply_unavailable(request, 1, "starting",
				      "The jobs are being read from the store; try again soon");
		return;
	}
	if (is_of_webhooks(route) && !jobq_table_webhooks_shown(request->table)) {
		api_reply_unavailable(request, 1, "starting",
				      "The webhooks are being read from the store; try again soon");
		return;
	}
	route->handler(request);
}

void api_route(struct api_request *request)
{
	bool known = false;

	request->head = strcmp(request->method, "HEAD") == 0;
	const char *method = request->head ? "GET" : request->method;
	for (size_t i = 0; i < JOBQ_LENGTH(routes); i++) {
		struct jobq_text segments[SEGMENTS] = {0};
		if (!matches(routes[i].pattern, request->path, segments))
			continue;
		known = true;
		if (strcmp(routes[i].method, method) == 0) {
			run(request, &routes[i], segments);
			return;
		}
	}
	if (known)
		refuse_method(request);
	else
		api_reply_error(request, 404, "not_found", "There is nothing at this address");
}
