#include "config.h"

#include <string.h>

#include "api/api.h"
#include "jobq/table_counters.h"

/* A colon and a word stand for one path segment: first an id, then what is of it. */
#define ID ":id"
#define DELIVERY ":delivery"
#define SEGMENTS 2

/* What a request needs before its handler is called. */
#define NOTHING 0u
#define TOKEN 1u
#define TABLE 2u /* one that is ready */

static const struct route {
	const char *method; /* GET serves HEAD too */
	const char *pattern;
	void (*handler)(struct api_request *request);
	unsigned needs;
} routes[] = {
	{"POST", "/jobs", api_submit, TOKEN | TABLE},
	{"GET", "/jobs", api_list, TOKEN | TABLE},
	{"GET", "/jobs/" ID, api_show, TOKEN | TABLE},
	{"DELETE", "/jobs/" ID, api_cancel, TOKEN | TABLE},
	{"POST", "/jobs/" ID "/cancel", api_stop, TOKEN | TABLE},
	{"POST", "/jobs/" ID "/retry", api_retry, TOKEN | TABLE},
	{"GET", "/jobs/" ID "/log", api_job_log, TOKEN | TABLE},
	{"GET", "/queue", api_queue_show, TOKEN | TABLE},
	{"POST", "/queue/pause", api_queue_pause, TOKEN | TABLE},
	{"POST", "/queue/resume", api_queue_resume, TOKEN | TABLE},
	{"POST", "/queue/drain", api_queue_drain, TOKEN | TABLE},
	{"GET", "/jobs/" ID "/events", api_job_events, TOKEN | TABLE},
	{"GET", "/events", api_events, TOKEN | TABLE},
	{"POST", "/webhooks", api_webhooks_create, TOKEN | TABLE},
	{"GET", "/webhooks", api_webhooks_list, TOKEN | TABLE},
	{"GET", "/webhooks/" ID, api_webhooks_show, TOKEN | TABLE},
	{"PUT", "/webhooks/" ID, api_webhooks_change, TOKEN | TABLE},
	{"DELETE", "/webhooks/" ID, api_webhooks_remove, TOKEN | TABLE},
	{"POST", "/webhooks/" ID "/test", api_deliveries_ping, TOKEN | TABLE},
	{"GET", "/webhooks/" ID "/deliveries", api_deliveries_list, TOKEN | TABLE},
	{"POST", "/webhooks/" ID "/deliveries/" DELIVERY "/redeliver", api_deliveries_redeliver,
	 TOKEN | TABLE},
	{"GET", "/healthz", api_health, NOTHING},
	{"GET", "/metrics", api_metrics, TOKEN}, /* or nginx has let it pass as "loopback" */
};

_Static_assert(JOBQ_LENGTH(routes) < JOBQ_REQUEST_ROWS, "each is counted, and what is none");

size_t api_route_count(void)
{
	return JOBQ_LENGTH(routes);
}

void api_route_name(size_t row, const char **method, const char **pattern)
{
	if (row < JOBQ_LENGTH(routes)) {
		*method = routes[row].method;
		*pattern = routes[row].pattern;
	}
}

/* FNV-1a, of what the rows are called. */
static uint32_t digest(uint32_t hash, const char *text)
{
	do
		hash = (hash ^ (unsigned char)*text) * 16777619u;
	while (*text++ != '\0');
	return hash;
}

uint32_t api_route_digest(void)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < JOBQ_LENGTH(routes); i++)
		hash = digest(digest(hash, routes[i].method), routes[i].pattern);
	return hash;
}

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
	if ((route->needs & TOKEN) != 0 && request->token_name[0] == '\0') {
		api_reply_error(request, 401, "unauthorized", "Authentication required");
		return;
	}
	if (!read_segments(request, route, segments))
		return;
	if ((route->needs & TABLE) != 0)
		api_table_await(request);
	if (request->table == NULL && (route->needs & TABLE) != 0) {
		api_reply_unavailable(request, 2, "supervisor_unavailable",
				      "The supervisor has not been started yet; try again soon");
		return;
	}
	if ((route->needs & TABLE) != 0 && !jobq_table_is_ready(request->table)) {
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
	request->route = JOBQ_LENGTH(routes);
	for (size_t i = 0; i < JOBQ_LENGTH(routes); i++) {
		struct jobq_text segments[SEGMENTS] = {0};
		if (!matches(routes[i].pattern, request->path, segments))
			continue;
		known = true;
		if (strcmp(routes[i].method, method) == 0) {
			request->route = i;
			run(request, &routes[i], segments);
			return;
		}
	}
	if (known)
		refuse_method(request);
	else
		api_reply_error(request, 404, "not_found", "There is nothing at this address");
}
