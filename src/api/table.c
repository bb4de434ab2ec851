#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "jobq/table_counters.h"

#define LOOK 50 /* milliseconds between looks for a table that is ready */

/*
 * The attachment that new requests get, and how many requests use it. One that
 * has been replaced is detached by the last request that still uses it.
 */
struct hold {
	struct jobq_table *table;
	unsigned users;
	struct hold *next; /* replaced ones that are still in use */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct hold *holds; /* the first is the current one */
static struct jobq_buf refused; /* why the last table that stood there was not attached */
static bool is_being_made;	/* at the last look */

static void drop_unused(void)
{
	for (struct hold **at = holds != NULL ? &holds->next : &holds; *at != NULL;) {
		struct hold *old = *at;
		if (old->users > 0) {
			at = &old->next;
			continue;
		}
		*at = old->next;
		jobq_table_detach(old->table);
		free(old);
	}
}

/* Remembers why, and says what has not been said before. With the lock. */
static void refuse(struct jobq_buf *why)
{
	if (why->len == 0) /* there is none: the next one, maybe, is about to be made */
		return;
	if (refused.len == 0 || strcmp(why->data, refused.data) != 0)
		jobq_log(JOBQ_LOG_ERROR, "table_refused", "msg=\"%s\"", why->data);
	jobq_buf_free(&refused);
	refused = *why;
}

/* Puts the table that the name stands for now in front. With the lock. */
static void attach(const struct jobq_conf *conf)
{
	struct jobq_buf why = {0};
	struct jobq_table *table;

	int rc = jobq_table_attach(conf->table_name, &table, &why);
	is_being_made = rc == -EAGAIN;
	if (rc < 0) {
		refuse(&why);
		return;
	}
	jobq_buf_free(&refused);
	struct hold *hold = calloc(1, sizeof(*hold));
	if (hold == NULL) {
		jobq_table_detach(table);
		return;
	}
	jobq_log(JOBQ_LOG_INFO, "table_attached", "table=%s generation=%08x", conf->table_name,
		 jobq_table_generation(table));
	*hold = (struct hold){.table = table, .next = holds};
	holds = hold;
	jobq_table_count_routes(table, api_route_digest());
	drop_unused();
}

/* `*expected`: there is one, or there will be: one of another layout has stood in its place. */
static struct jobq_table *take(const struct jobq_conf *conf, bool *expected)
{
	struct jobq_table *table = NULL;

	pthread_mutex_lock(&lock);
	if (holds == NULL || jobq_table_retired(holds->table))
		attach(conf);
	if (holds != NULL) {
		holds->users++;
		table = holds->table;
	}
	*expected = table != NULL || is_being_made || refused.len > 0;
	pthread_mutex_unlock(&lock);
	return table;
}

struct jobq_table *api_table_take(const struct jobq_conf *conf)
{
	bool expected;

	return take(conf, &expected);
}

void api_table_give(struct jobq_table *table)
{
	if (table == NULL)
		return;
	pthread_mutex_lock(&lock);
	for (struct hold *hold = holds; hold != NULL; hold = hold->next) {
		if (hold->table == table) {
			hold->users--;
			break;
		}
	}
	drop_unused();
	pthread_mutex_unlock(&lock);
}

static bool is_ready(const struct jobq_table *table)
{
	return table != NULL && jobq_table_is_ready(table);
}

void api_table_await(struct api_request *request)
{
	const int64_t deadline = jobq_clock_mono() + request->conf->submit_timeout * 1000;
	bool expected = true;

	if (is_ready(request->table) || !api_pool_enter())
		return;
	while (expected && !is_ready(request->table) && jobq_clock_mono() < deadline) {
		/* Maybe another one: of the next jobqd, if one has died while it filled this. */
		api_table_give(request->table);
		request->table = take(request->conf, &expected);
		if (expected && !is_ready(request->table))
			poll(NULL, 0, LOOK);
	}
	api_pool_leave();
}

bool api_table_owned(struct api_request *request)
{
	if (request->table == NULL)
		return false;
	if (jobq_table_owned(request->table))
		return true;

	/* No owner: it may have been removed by hand and made anew. */
	pthread_mutex_lock(&lock);
	if (holds->table == request->table && jobq_table_replaced(request->table))
		attach(request->conf);
	pthread_mutex_unlock(&lock);
	api_table_give(request->table);
	request->table = api_table_take(request->conf);
	return request->table != NULL && jobq_table_owned(request->table);
}
