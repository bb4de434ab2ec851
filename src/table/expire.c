#include "config.h"

#include <errno.h>
#include <fcntl.h>

#include "table/table.h"

#define EXPIRE_BITE 128  /* records removed in one hold of the lock */
#define EMPTY_BITE 256   /* empty buckets passed in one hold */
#define TRIM_BITE 64     /* spans moved in one hold */

void remove_job(struct jobq_table *table, struct record *record)
{
	uint64_t id = record->id;
	ref_t parameters = record->parameters, result = record->result;

	record_change_begin(record);
	record_move(table, record, 0, false);
	if (record->key_len > 0)
		idem_unlink(table, record);
	record->parameters = record->result = 0;
	record_change_end(record);
	blob_give(table, parameters);
	blob_give(table, result);
	record_release(table, id);
}

/* Whether the store knows the job as it is: else its old state would come back one day. */
static bool stored(const struct jobq_table *table, const struct record *record)
{
	return table->header->durability == JOBQ_DURABILITY_NONE ||
	       record->changed <= table->header->start.durable;
}

/* One hold of the lock. Returns how many were removed; *more: call again. */
static size_t expire_bite(struct jobq_table *table, int64_t limit, bool *more)
{
	struct header *header = table->header;
	int64_t end = limit / header->wheel_grain; /* buckets below it are all old */
	size_t removed = 0;

	if (header->wheel_at < end - WHEEL_BUCKETS)
		header->wheel_at = end - WHEEL_BUCKETS; /* once round is enough */
	for (int passed = 0; header->wheel_at < end && passed < EMPTY_BITE; passed++) {
		uint64_t id = header->wheel[(uint64_t)header->wheel_at % WHEEL_BUCKETS];
		struct record *record;
		/* Younger ones are met here only when the clock was set back; they stay. */
		for (int seen = 0; (record = record_find(table, id)) != NULL; seen++) {
			if (seen == EXPIRE_BITE && removed > 0)
				return removed;
			if (seen == EXPIRE_BITE)
				break;
			id = record->next;
			if (record->completed < limit && !stored(table, record)) {
				*more = false; /* the next clean-up goes on here */
				return removed;
			}
			if (record->completed < limit) {
				remove_job(table, record);
				removed++;
			}
		}
		header->wheel_at++;
	}
	*more = header->wheel_at < end;
	return removed;
}

size_t jobq_table_expire(struct jobq_table *table, int64_t now)
{
	size_t total = 0;
	bool more;

	do {
		more = true;
		table_lock(table);
		total += expire_bite(table, now - table->header->retention, &more);
		table_unlock(table);
	} while (more);
	return total;
}

/*
 * Two steps, a call apart: a free span is retired, so that nobody takes it; at
 * the next call its pages are given back. In between, readers without the lock
 * that still looked at it have long gone: they would otherwise fault pages
 * back in.
 */
static size_t give_back(struct jobq_table *table)
{
	struct header *header = table->header;
	off_t data_at = (off_t)(table->data - (char *)header);
	size_t bytes = 0;

	for (;;) {
		table_lock(table);
		uint32_t n = header->retiring_head;
		table_unlock(table);
		if (n == 0 || n >= table->span_count)
			return bytes;
		if (fallocate(table->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      data_at + (off_t)n * (off_t)SPAN_BYTES, (off_t)SPAN_BYTES) < 0)
			return bytes;
		table_lock(table);
		if (header->retiring_head == n) { /* only the owner takes from this list */
			struct span *span = &table->spans[n];
			header->retiring_head = span->next;
			span->kind = SPAN_ABSENT;
			span->next = header->absent_head;
			header->absent_head = n;
			header->committed_count--;
			bytes += SPAN_BYTES;
		}
		table_unlock(table);
	}
}

size_t jobq_table_trim(struct jobq_table *table)
{
	struct header *header = table->header;
	size_t bytes = give_back(table);
	bool more = true;

	while (more) {
		table_lock(table);
		for (int i = 0; i < TRIM_BITE && more; i++) {
			uint32_t n = header->free_head;
			more = header->free_count > header->reserve + GROW_SPANS && n != 0 &&
			       n < table->span_count;
			if (!more)
				break;
			struct span *span = &table->spans[n];
			header->free_head = span->next;
			header->free_count--;
			span->kind = SPAN_RETIRING;
			span->next = header->retiring_head;
			header->retiring_head = n;
		}
		table_unlock(table);
	}
	return bytes;
}
