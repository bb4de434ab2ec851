#include "config.h"

#include <string.h>

#include "api/api.h"

/* What is known of the slots' workers. */
struct workers {
	unsigned running;
	struct jobq_table_confinement weakest; /* of those that have told theirs */
};

static void look_at_workers(struct jobq_table *table, struct workers *workers)
{
	struct jobq_table_confinement *weakest = &workers->weakest;

	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++) {
		struct jobq_table_slot at;
		jobq_table_slot(table, slot, &at);
		workers->running += at.pid != 0;
		if (at.pid == 0 || !at.confinement.told)
			continue;
		if (!weakest->told || at.confinement.landlock < weakest->landlock)
			weakest->landlock = at.confinement.landlock;
		weakest->seccomp = at.confinement.seccomp && (!weakest->told || weakest->seccomp);
		weakest->told = true;
	}
}

/* `null` while no worker has told; `landlock` is its version, or 0 without it. */
static void add_confinement(struct jobq_buf *body, const struct jobq_table_confinement *weakest)
{
	if (weakest->told)
		jobq_buf_addf(body, "{\"landlock\":%u,\"seccomp\":%s}", weakest->landlock,
			      weakest->seccomp ? "true" : "false");
	else
		jobq_buf_adds(body, "null");
}

/*
 * For load balancers and start scripts; needs no token, so it says which parts
 * work and nothing about the jobs.
 */
void api_health(struct api_request *request)
{
	bool owned = api_table_owned(request);
	struct jobq_table_stats stats = {0};
	struct workers workers = {0};

	if (owned) {
		look_at_workers(request->table, &workers);
		jobq_table_stats(request->table, &stats);
	}
	bool ok = owned && stats.ready && !stats.draining && stats.store_error == 0 &&
		  workers.running > 0;
	const char *store = !owned || !stats.ready	? "unavailable"
			    : stats.store_error != 0 ? strerrorname_np(stats.store_error)
						     : "ok";
	const char *supervisor = !owned ? "unavailable" : stats.draining ? "stopping" : "ok";
	jobq_buf_addf(&request->body,
		      "{\"status\":\"%s\",\"version\":\"%s\",\"supervisor\":\"%s\","
		      "\"table\":\"%s\",\"store\":\"%s\",\"workers\":{\"running\":%u,\"slots\":%d},"
		      "\"confinement\":",
		      ok ? "ok" : "unavailable", PACKAGE_VERSION, supervisor,
		      !owned ? "unavailable" : stats.ready ? "ok" : "starting", store,
		      workers.running, JOBQ_SLOTS);
	add_confinement(&request->body, &workers.weakest);
	jobq_buf_adds(&request->body, "}");
	if (!ok)
		jobq_buf_adds(&request->headers, "Retry-After: 2\r\n");
	api_reply(request, ok ? 200 : 503);
}
