#include "config.h"

#include <string.h>

#include "api/api.h"

/*
 * For load balancers and start scripts; needs no token, so it says which parts
 * work and nothing about the jobs.
 */
void api_health(struct api_request *request)
{
	bool owned = api_table_owned(request);
	struct jobq_table_stats stats = {0};
	unsigned workers = 0;

	for (unsigned slot = 0; owned && slot < JOBQ_SLOTS; slot++) {
		struct jobq_table_slot at;
		jobq_table_slot(request->table, slot, &at);
		workers += at.pid != 0;
	}
	if (owned)
		jobq_table_stats(request->table, &stats);
	bool ok = owned && stats.ready && !stats.draining && stats.store_error == 0 && workers > 0;
	const char *store = !owned || !stats.ready	? "unavailable"
			    : stats.store_error != 0 ? strerrorname_np(stats.store_error)
						     : "ok";
	const char *supervisor = !owned ? "unavailable" : stats.draining ? "stopping" : "ok";
	jobq_buf_addf(&request->body,
		      "{\"status\":\"%s\",\"version\":\"%s\",\"supervisor\":\"%s\","
		      "\"table\":\"%s\",\"store\":\"%s\",\"workers\":{\"running\":%u,\"slots\":%d}}",
		      ok ? "ok" : "unavailable", PACKAGE_VERSION, supervisor,
		      !owned ? "unavailable" : stats.ready ? "ok" : "starting", store, workers, JOBQ_SLOTS);
	if (!ok)
		jobq_buf_adds(&request->headers, "Retry-After: 2\r\n");
	api_reply(request, ok ? 200 : 503);
}
