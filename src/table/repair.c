#include "config.h"

#include <string.h>

#include "table/hooks.h"

/* Forgets everything derived; what has memory counts as free until it is marked. */
static void clear(struct jobq_table *table)
{
	struct header *header = table->header;

	memset(header->jobs, 0, sizeof(header->jobs));
	memset(header->jobs_of, 0, sizeof(header->jobs_of));
	memset(header->wheel, 0, sizeof(header->wheel));
	memset(header->class_head, 0, sizeof(header->class_head));
	memset(table->buckets, 0, table->bucket_count * sizeof(uint64_t));
	shm_zero((void *)table->ring, RING_SIZE * sizeof(uint64_t));
	memset(header->queue, 0, sizeof(header->queue));
	memset(header->queued, 0, sizeof(header->queued));
	header->wheel_at = INT64_MAX;
	header->free_head = header->absent_head = header->retiring_head = 0;
	header->free_count = header->committed_count = 0;
	if (header->watermark > table->span_count || header->watermark < 1)
		header->watermark = table->span_count;
	if (header->wheel_grain < 1)
		header->wheel_grain = 1;

	for (uint32_t n = header->watermark; n-- > 1;) {
		struct span *span = &table->spans[n];
		uint32_t *list = span->kind == SPAN_ABSENT ? &header->absent_head
							   : &header->retiring_head;
		if (span->kind == SPAN_ABSENT || span->kind == SPAN_RETIRING) {
			span->next = *list;
			*list = n;
		} else {
			span->kind = SPAN_FREE;
		}
		if (span->kind != SPAN_ABSENT)
			header->committed_count++;
	}
}

/* Takes a record back in; drops what makes no sense of it, and counts that. */
static void restore(struct jobq_table *table, struct record *record, uint64_t id)
{
	struct header *header = table->header;
	state_t state = record->state;

	if (record->seq % 2 != 0)
		record->seq++;
	if (state_status(state) == JOBQ_STATUS_NONE)
		return;
	if (record->id != id || state_status(state) >= JOBQ_STATUSES ||
	    state_type(state) >= JOBQ_TYPES || record->completed < 0) {
		record->state = 0;
		header->damaged++;
		return;
	}
	if (record->parameters != 0 && !blob_mark(table, record->parameters)) {
		record->parameters = 0;
		header->damaged++;
	}
	if (record->result != 0 && !blob_mark(table, record->result)) {
		record->result = 0;
		header->damaged++;
	}
	if (record->changed > header->start.change_seq)
		header->start.change_seq = record->changed;
	if (record->changed > header->start.durable)
		table->ring[record->changed % RING_SIZE] = id;
	record_enlist(table, record, state, false);
	feed_note(table, record);
	if (record->key_len > 0 && (state & STATE_WITHDRAWN) == 0)
		idem_link(table, record);
	if (id >= header->next_id)
		header->next_id = id + 1;
}

static bool restore_span(struct jobq_table *table, struct directory_entry *entry)
{
	uint32_t n = entry->span;
	uint64_t first = entry->first_id - 1;

	if (first % SPAN_RECORDS != 0 || record_entry(table, first) != entry || n == 0 ||
	    n >= table->header->watermark || table->spans[n].kind != SPAN_FREE) {
		table->header->damaged++;
		return false;
	}
	table->spans[n].kind = SPAN_RECORD;
	memset(entry->mask, 0, sizeof(entry->mask));
	entry->live = 0;
	for (uint64_t id = first; id < first + SPAN_RECORDS; id++)
		restore(table, record_at(table, n, id), id);
	if (entry->live > 0 || first + SPAN_RECORDS > table->header->next_id)
		return true;
	table->spans[n].kind = SPAN_FREE;
	return false;
}

/*
 * The queue and the key chains are to be in the order of the ids, and the
 * directory is a ring: begin with the entry of the oldest ids.
 */
void table_rebuild(struct jobq_table *table)
{
	uint64_t oldest = UINT64_MAX;

	clear(table);
	for (uint32_t i = 0; i < table->directory_count; i++) {
		uint64_t first = table->directory[i].first_id;
		if (first != 0 && first < oldest)
			oldest = first;
	}
	if (oldest != UINT64_MAX) {
		for (uint32_t i = 0; i < table->directory_count; i++) {
			struct directory_entry *entry =
				record_entry(table, oldest - 1 + (uint64_t)i * SPAN_RECORDS);
			if (entry->first_id != 0 && !restore_span(table, entry))
				entry->first_id = 0;
		}
	}
	blob_relist(table);
	hooks_rebuild(table);
}
