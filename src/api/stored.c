#include "config.h"

#include <errno.h>

#include "api/api.h"

#define RETRY_SUPERVISOR 2 /* seconds: a restart takes less */
#define RETRY_STORE 5      /* seconds; somebody has to make room first */
#define BRIEF 100000       /* microseconds that any request may wait for a commit */

static void refuse_unowned(struct api_request *request)
{
	api_reply_unavailable(request, RETRY_SUPERVISOR, "supervisor_unavailable",
			      "The supervisor is not running; try again soon");
}

bool api_stored_begin(struct api_request *request, int64_t *deadline)
{
	*deadline = jobq_clock_mono() + request->conf->submit_timeout * 1000;
	if (api_table_owned(request))
		return true;
	/* It may be about to come back; but only some may wait for that. */
	bool owned = request->table != NULL && api_pool_enter();
	if (owned) {
		owned = jobq_table_await_owner(request->table, *deadline);
		api_pool_leave();
	}
	if (!owned)
		refuse_unowned(request);
	return owned;
}

void api_stored_refuse(struct api_request *request, int rc)
{
	struct jobq_table_stats stats;

	if (rc == -EAGAIN) {
		api_reply_unavailable(request, 1, "store_behind",
				      "More changes wait for the store than it can take just now");
		return;
	}
	jobq_table_stats(request->table, &stats);
	switch (stats.store_error) {
	case ENOSPC:
		api_reply_unavailable(request, RETRY_STORE, "storage_full",
				      "The disk that keeps the jobs is full; try again later");
		break;
	case EROFS:
		api_reply_unavailable(request, RETRY_STORE, "storage_read_only",
				      "The disk that keeps the jobs cannot be written to");
		break;
	default:
		api_reply_unavailable(request, RETRY_STORE, "storage_error",
				      "It could not be stored; try again later");
	}
}

/* Waits on, as one of those who may hold their threads for long. */
static int await_long(struct api_request *request, uint64_t id, int64_t deadline)
{
	if (!api_pool_enter())
		return -ETIMEDOUT;
	int rc = jobq_table_await_stored(request->table, id, deadline);
	api_pool_leave();
	return rc;
}

static bool store_fails(const struct api_request *request)
{
	struct jobq_table_stats stats;

	jobq_table_stats(request->table, &stats);
	return stats.store_error != 0;
}

bool api_stored_await(struct api_request *request, uint64_t id, bool submitted, int64_t deadline)
{
	int rc = jobq_table_await_stored(request->table, id, jobq_clock_mono() + BRIEF);

	if (rc == -ETIMEDOUT && !store_fails(request))
		rc = await_long(request, id, deadline);
	if (rc == -ETIMEDOUT && submitted)
		rc = jobq_table_withdraw(request->table, id) == -EALREADY ? 0 : -ETIMEDOUT;
	if (rc == -ETIMEDOUT && !store_fails(request))
		api_reply_unavailable(request, RETRY_SUPERVISOR, "supervisor_unavailable",
				      "It could not be stored in time; try again soon");
	else if (rc < 0)
		api_stored_refuse(request, rc);
	return rc == 0;
}
