#include "config.h"

#include <string.h>

#include "api/api.h"

#define ID ":id" /* stands for one path segment */

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
	{"GET", "/healthz", api_health, true},
};

/* Whether the path has the pattern's form; `*segment` is what ID stands for. */
static bool matches(const char *pattern, const char *path, const char **segment)
{
	const char *id = strstr(pattern, ID);

	if (id == NULL)
		return strcmp(pattern, path) == 0;
	size_t head = (size_t)(id - pattern);
	if (strncmp(pattern, path, head) != 0)
		return false;
	*segment = path + head;
	size_t len = strcspn(*segment, "/");
	return len > 0 && strcmp(id + sizeof(ID) - 1, *segment + len) == 0;
}

static void refuse_method(struct api_request *request)
{
	const char *segment, *comma = "";

	jobq_buf_adds(&request->headers, "Allow: ");
	for (size_t i = 0; i < JOBQ_LENGTH(routes); i++) {
		if (!matches(routes[i].pattern, request->path, &segment))
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

static void run(struct api_request *request, const struct route *route, const char *segment)
{
	/* nginx checks the tokens; without a name it has been set up wrongly. */
	if (!route->open && request->token_name[0] == '\0') {
		api_reply_error(request, 401, "unauthorized", "Authentication required");
		return;
	}
	if (segment != NULL &&
	    !jobq_text_u64(segment, strcspn(segment, "/"), UINT64_MAX, &request->id)) {
		api_reply_error(request, 404, "job_not_found", "Job not found");
		return;
	}
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
	route->handler(request);
}

void api_route(struct api_request *request)
{
	bool known = false;

	request->head = strcmp(request->method, "HEAD") == 0;
	const char *method = request->head ? "GET" : request->method;
	for (size_t i = 0; i < JOBQ_LENGTH(routes); i++) {
		const char *segment = NULL;
		if (!matches(routes[i].pattern, request->path, &segment))
			continue;
		known = true;
		if (strcmp(routes[i].method, method) == 0) {
			run(request, &routes[i], segment);
			return;
		}
	}
	if (known)
		refuse_method(request);
	else
		api_reply_error(request, 404, "not_found", "There is nothing at this address");
}
