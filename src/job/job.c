#include "config.h"

#include <string.h>

#include "jobq/job.h"

static const char *const type_names[] = {
#define X(upper, lower, ...) #lower,
	JOBQ_JOB_TYPES(X)
#undef X
};
#define X(upper, lower, ...)                                                                       \
	_Static_assert(sizeof(#lower) <= JOBQ_TYPE_NAME, "there is room for " #lower);
JOBQ_JOB_TYPES(X)
#undef X

static const char *const status_names[] = {
	"none",
#define X(upper, lower) #lower,
	JOBQ_JOB_STATUSES(X)
#undef X
};

/* From each status, the set of statuses that may follow. */
#define TO(name) (1u << JOBQ_STATUS_##name)
static const unsigned moves[JOBQ_STATUSES] = {
	[JOBQ_STATUS_NONE] = TO(QUEUED),
	[JOBQ_STATUS_QUEUED] = TO(RUNNING) | TO(CANCELLED),
	/* Back to the queue only when its worker died before it began. */
	[JOBQ_STATUS_RUNNING] = TO(COMPLETED) | TO(FAILED) | TO(QUEUED),
	/* Finished jobs only go away. */
	[JOBQ_STATUS_COMPLETED] = TO(NONE),
	[JOBQ_STATUS_FAILED] = TO(NONE),
	[JOBQ_STATUS_CANCELLED] = TO(NONE),
};

const char *jobq_job_type_name(enum jobq_job_type type)
{
	return (unsigned)type < JOBQ_TYPES ? type_names[type] : "unknown";
}

const char *jobq_job_type_choice(char into[JOBQ_TYPE_CHOICE])
{
	jobq_text_choice(into, JOBQ_TYPE_CHOICE, type_names, JOBQ_TYPES);
	return into;
}

const char *jobq_job_status_name(enum jobq_job_status status)
{
	return (unsigned)status < JOBQ_STATUSES ? status_names[status] : "unknown";
}

static int find_name(const char *const *names, int from, int count, const char *name, size_t len)
{
	for (int i = from; i < count; i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return i;
	return -1;
}

bool jobq_job_type_of(const char *name, size_t len, enum jobq_job_type *out)
{
	int at = find_name(type_names, 0, JOBQ_TYPES, name, len);
	if (at >= 0)
		*out = (enum jobq_job_type)at;
	return at >= 0;
}

bool jobq_job_status_of(const char *name, size_t len, enum jobq_job_status *out)
{
	int at = find_name(status_names, JOBQ_STATUS_NONE + 1, JOBQ_STATUSES, name, len);
	if (at >= 0)
		*out = (enum jobq_job_status)at;
	return at >= 0;
}

const char *jobq_job_queue_name(enum jobq_queue_state state)
{
	static const char *const names[] = {
#define X(upper, lower) #lower,
		JOBQ_QUEUE_STATES(X)
#undef X
	};

	return (unsigned)state < JOBQ_QUEUE_ALL_STATES ? names[state] : "unknown";
}

bool jobq_job_finished(enum jobq_job_status status)
{
	return status == JOBQ_STATUS_COMPLETED || status == JOBQ_STATUS_FAILED ||
	       status == JOBQ_STATUS_CANCELLED;
}

bool jobq_job_may_move(enum jobq_job_status from, enum jobq_job_status to)
{
	return (unsigned)from < JOBQ_STATUSES && (unsigned)to < JOBQ_STATUSES &&
	       (moves[from] & (1u << to)) != 0;
}
