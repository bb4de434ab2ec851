#include "config.h"

#include <errno.h>
#include <string.h>

#include "table/table.h"

#define BITE 256 /* directory entries counted in one hold of the lock */

enum jobq_queue_state jobq_table_queue_state(const struct jobq_table *table)
{
	uint32_t state = atomic_load(&table->header->queue_state);

	return state < JOBQ_QUEUE_ALL_STATES ? (enum jobq_queue_state)state : JOBQ_QUEUE_OPEN;
}

void jobq_table_set_queue_state(struct jobq_table *table, enum jobq_queue_state state)
{
	if (atomic_exchange(&table->header->queue_state, (uint32_t)state) != (uint32_t)state)
		jobq_table_kick(table);
}

int jobq_table_remarks(struct jobq_table *table, uint64_t id, struct jobq_table_remarks *out)
{
	struct record record = {0};
	uint32_t seq;
	bool read;

	do {
		if (!record_copy(table, id, &record, &seq))
			return -ENOENT;
		size_t len = record.labels_len;
		size_t at = (size_t)record.owner_len + record.key_len;
		out->priority = (int)record_queue(&record) - JOBQ_PRIORITY_MAX;
		read = len <= JOBQ_LABELS_BYTES && at + len <= ref_len(record.parameters) &&
		       blob_read(table, record.parameters, at, out->labels, len);
		out->labels[read ? len : 0] = '\0';
	} while (!record_unchanged(table, id, seq));
	return read ? 0 : -EIO;
}

bool jobq_table_stop_asked(const struct jobq_table *table, const struct jobq_job_claim *claim)
{
	const struct record *record = record_find(table, claim->id);
	state_t state = record != NULL
				? atomic_load_explicit(&record->state, memory_order_relaxed)
				: 0;

	return (state & STATE_STOP) != 0 && state_attempt(state) == claim->attempt;
}

/* ---- a job's place -------------------------------------------------------- */

/* Queued jobs of the entry with an id below `end`, and of one priority unless it is -1. */
static uint64_t count_entry(const struct jobq_table *table, const struct directory_entry *entry,
			    uint64_t end, long queue)
{
	uint64_t first = entry->first_id - 1, count = 0;

	for (size_t word = 0; word < MASK_WORDS && first + word * 64 < end; word++) {
		uint64_t bits = entry->mask[JOBQ_STATUS_QUEUED - 1][word];
		uint64_t from = first + word * 64;
		if (end - from < 64)
			bits &= (UINT64_C(1) << (end - from)) - 1;
		if (queue < 0)
			count += (uint64_t)__builtin_popcountll(bits);
		for (; queue >= 0 && bits != 0; bits &= bits - 1) {
			const struct record *record =
				record_find(table, from + (unsigned)__builtin_ctzll(bits));
			count += record != NULL && record_queue(record) == (size_t)queue;
		}
	}
	return count;
}

/* Those before `id` on its own list. */
static uint64_t count_before(struct jobq_table *table, uint64_t id, size_t queue)
{
	uint64_t count = 0, at = 0;

	do {
		table_lock(table);
		const struct header *header = table->header;
		uint64_t head = header->queue[queue].head;
		bool mixed = header->queued[queue] != header->jobs[JOBQ_STATUS_QUEUED];
		if (at < head)
			at = head;
		for (int i = 0; i < (mixed ? BITE / 32 : BITE) && at < id && head != 0; i++) {
			const struct directory_entry *entry = record_entry(table, at);
			if (entry->first_id == at - at % SPAN_RECORDS + 1)
				count += count_entry(table, entry, id, mixed ? (long)queue : -1);
			at += SPAN_RECORDS - at % SPAN_RECORDS;
		}
		table_unlock(table);
		if (head == 0)
			return count;
	} while (at < id);
	return count;
}

uint64_t jobq_table_position(struct jobq_table *table, uint64_t id)
{
	uint64_t before = 0;

	table_lock(table);
	const struct record *record = record_find(table, id);
	bool queued = record != NULL && state_shown(record->state) == JOBQ_STATUS_QUEUED;
	size_t queue = queued ? record_queue(record) : 0;
	for (size_t i = queue + 1; queued && i < JOBQ_PRIORITIES; i++)
		before += table->header->queued[i];
	table_unlock(table);
	return queued ? before + count_before(table, id, queue) + 1 : 0;
}
