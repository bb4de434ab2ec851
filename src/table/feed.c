#include "config.h"

#include <errno.h>
#include <limits.h>

#include "jobq/table_feed.h"
#include "table/counters.h"

/* One is always about to be overwritten: it does not count as there. */
#define FEED_KEPT (JOBQ_FEED_LENGTH - 1)

static struct feed_entry *entry_of(const struct jobq_table *table, uint64_t seq)
{
	return &table->feed[seq % JOBQ_FEED_LENGTH];
}

/* ---- writing --------------------------------------------------------------- */

/* Released and acquired each: who sees a field of the new change sees that `seq` is not the old. */
#define SET(field, value) atomic_store_explicit(&entry->field, value, memory_order_release)
#define GET(field) atomic_load_explicit(&entry->field, memory_order_acquire)

/* With the lock. Whoever dies in here has changed nothing: `feed_seq` comes last. */
static void append(struct jobq_table *table, const struct record *record)
{
	struct header *header = table->header;
	uint64_t seq = header->feed_seq + 1;
	struct feed_entry *entry = entry_of(table, seq);

	SET(seq, 0); /* no reader takes it for the one that it was */
	SET(id, record->id);
	SET(state, record->state);
	SET(created, record->created);
	SET(started, record->started);
	SET(completed, record->completed);
	SET(version, (record->seq + 1) & ~1u); /* what it is when the change has ended */
	SET(seq, seq);
	atomic_store(&header->feed_seq, seq);
	atomic_fetch_add(&header->feed_changes, 1);
}

void feed_note(struct jobq_table *table, struct record *record)
{
	state_t state = record->state;
	uint64_t visible = state & STATE_VISIBLE;

	if ((state & (STATE_PENDING | STATE_WITHDRAWN)) != 0 || visible == record->fed)
		return; /* shown as it was before */
	if (state_status(state) != JOBQ_STATUS_NONE && table->header->ready != 0) {
		append(table, record);
		counters_note(table, record, record->fed);
	}
	/* Last: the next rebuild does again what was not done to its end. */
	atomic_store(&record->fed, visible);
}

void wake_feed(struct jobq_table *table)
{
	struct header *header = table->header;

	if (atomic_load(&header->feed_sleeps) != 0 && atomic_exchange(&header->feed_sleeps, 0) != 0)
		jobq_futex_wake(&header->feed_changes, INT_MAX);
}

/* ---- reading --------------------------------------------------------------- */

uint64_t jobq_table_feed_last(const struct jobq_table *table)
{
	return atomic_load(&table->header->feed_seq);
}

/* False: it has been, or is being, overwritten. */
static bool copy_entry(const struct jobq_table *table, uint64_t seq, struct jobq_feed_entry *out)
{
	const struct feed_entry *entry = entry_of(table, seq);
	struct record record = {0};

	if (GET(seq) != seq)
		return false;
	record.id = GET(id);
	record.state = GET(state);
	record.created = GET(created);
	record.started = GET(started);
	record.completed = GET(completed);
	record.seq = GET(version);
	if (GET(seq) != seq)
		return false;
	out->seq = seq;
	record_show(&record, &out->job);
	/* Who looks up names by these must not be led astray. */
	return out->job.status > JOBQ_STATUS_NONE && out->job.status < JOBQ_STATUSES &&
	       out->job.type < JOBQ_TYPES;
}

int jobq_table_feed_read(const struct jobq_table *table, uint64_t *after,
			 struct jobq_feed_entry *out, size_t max)
{
	uint64_t last = jobq_table_feed_last(table);
	int count = 0;

	if (*after > last || last - *after > FEED_KEPT)
		return -ESTALE;
	for (; *after < last && (size_t)count < max; (*after)++, count++)
		if (!copy_entry(table, *after + 1, &out[count]))
			return count > 0 ? count : -ESTALE;
	return count;
}

void jobq_table_feed_await(struct jobq_table *table, uint64_t after, int64_t deadline,
			   _Atomic uint32_t *stop, uint32_t stop_seen)
{
	struct header *header = table->header;
	uint32_t seen = atomic_load(&header->feed_changes);

	/* Who makes a change first counts it and then looks whether anybody sleeps. */
	atomic_store(&header->feed_sleeps, 1);
	if (atomic_load(&header->feed_seq) == after && atomic_load(&header->start.retired) == 0)
		jobq_futex_wait2(&header->feed_changes, seen, stop, stop_seen, deadline);
}
