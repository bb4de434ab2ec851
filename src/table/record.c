#include "config.h"

#include <string.h>

#include "table/table.h"

#define READ_TRIES 64 /* then the reader takes the lock, which repairs what is odd */

state_t state_with_status(state_t s, enum jobq_job_status status)
{
	return (s & ~UINT64_C(15)) | (state_t)status;
}

state_t state_with_progress(state_t s, unsigned hundredths)
{
	return (s & ~(UINT64_C(255) << 8)) | (state_t)(hundredths & 255) << 8;
}

enum jobq_job_status state_shown(state_t s)
{
	enum jobq_job_status status = state_status(s);

	if ((s & STATE_WITHDRAWN) != 0)
		return JOBQ_STATUS_NONE;
	if ((s & STATE_PENDING) == 0)
		return status;
	switch (status) {
	case JOBQ_STATUS_COMPLETED:
	case JOBQ_STATUS_FAILED:
		return JOBQ_STATUS_RUNNING;
	case JOBQ_STATUS_CANCELLED:
		return JOBQ_STATUS_QUEUED;
	default:
		return JOBQ_STATUS_NONE;
	}
}

struct directory_entry *record_entry(const struct jobq_table *table, uint64_t id)
{
	return &table->directory[id / SPAN_RECORDS & (table->directory_count - 1)];
}

struct record *record_at(const struct jobq_table *table, uint32_t span, uint64_t id)
{
	return (struct record *)(void *)span_data(table, span) + id % SPAN_RECORDS;
}

struct record *record_find(const struct jobq_table *table, uint64_t id)
{
	struct directory_entry *entry = record_entry(table, id);
	uint64_t first = atomic_load_explicit(&entry->first_id, memory_order_acquire);
	uint32_t span = atomic_load_explicit(&entry->span, memory_order_relaxed);

	if (id < 1 || first != id - id % SPAN_RECORDS + 1 || span == 0 || span >= table->span_count)
		return NULL;
	struct record *record = record_at(table, span, id);
	if (atomic_load_explicit(&record->id, memory_order_relaxed) != id ||
	    state_status(atomic_load_explicit(&record->state, memory_order_acquire)) ==
		    JOBQ_STATUS_NONE)
		return NULL;
	return record;
}

struct record *record_next(struct jobq_table *table, uint64_t id)
{
	struct directory_entry *entry = record_entry(table, id);
	uint64_t first = id - id % SPAN_RECORDS + 1;

	if (entry->first_id == first)
		return entry->span != 0 && entry->span < table->span_count
			       ? record_at(table, entry->span, id)
			       : NULL;
	if (entry->first_id != 0)
		return NULL; /* a job as old as the directory is long is still kept */

	uint32_t span = span_take(table, SPAN_RECORD, false);
	if (span == 0)
		return NULL;
	shm_zero(span_data(table, span), SPAN_BYTES);
	memset(entry->mask, 0, sizeof(entry->mask));
	entry->live = 0;
	atomic_store_explicit(&entry->span, span, memory_order_relaxed);
	atomic_store_explicit(&entry->first_id, first, memory_order_release);
	return record_at(table, span, id);
}

void record_release(struct jobq_table *table, uint64_t id)
{
	struct directory_entry *entry = record_entry(table, id);
	uint64_t first = id - id % SPAN_RECORDS;

	if (entry->live > 0 || first + SPAN_RECORDS > table->header->next_id)
		return; /* there are jobs in it, or jobs to come */
	uint32_t span = entry->span;
	atomic_store_explicit(&entry->first_id, 0, memory_order_release);
	span_give(table, span);
}

void record_fill(struct jobq_table *table, struct record *record, uint64_t id, ref_t blob,
		 const struct jobq_entry *entry)
{
	size_t owner_len = entry->owner.len, key_len = entry->key.len;
	const struct jobq_text *texts[] = {&entry->owner, &entry->key, &entry->labels,
					   &entry->parameters};
	size_t at = 0;

	for (size_t i = 0; i < JOBQ_LENGTH(texts); i++) {
		blob_write(table, blob, at, texts[i]->data, texts[i]->len);
		at += texts[i]->len;
	}
	record->id = id;
	record->waiters = 0;
	record->created = entry->created;
	record->started = entry->started;
	record->completed = entry->completed;
	record->result = 0;
	record->error_len = record->log_len = 0;
	record->labels_len = (uint16_t)entry->labels.len;
	record->priority = (int16_t)entry->priority;
	record->owner_len = (uint16_t)owner_len;
	record->key_len = (uint16_t)key_len;
	record->key_hash = idem_hash(entry->owner.data, owner_len, entry->key.data, key_len);
	record->changed = 0;
	record->fed = 0;
	record->parameters = blob;
}

void record_change_begin(struct record *record)
{
	uint32_t seq = atomic_load_explicit(&record->seq, memory_order_relaxed);
	atomic_store_explicit(&record->seq, seq | 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

void record_change_end(struct record *record)
{
	uint32_t seq = atomic_load_explicit(&record->seq, memory_order_relaxed);
	atomic_store_explicit(&record->seq, (seq | 1) + 1, memory_order_seq_cst);
}

/* ---- what is derived from a record's state -------------------------------- */

size_t record_queue(const struct record *record)
{
	int priority = atomic_load_explicit(&record->priority, memory_order_relaxed);

	if (priority < -JOBQ_PRIORITY_MAX || priority > JOBQ_PRIORITY_MAX)
		priority = 0; /* a broken record must not lead out of the array */
	return (size_t)(priority + JOBQ_PRIORITY_MAX);
}

static struct list *list_for(struct jobq_table *table, const struct record *record, state_t state,
			     struct list *bucket)
{
	struct header *header = table->header;

	if ((state & STATE_PENDING) != 0)
		return NULL; /* the writer knows it */
	if (state_status(state) == JOBQ_STATUS_QUEUED)
		return &header->queue[record_queue(record)];
	if (!jobq_job_finished(state_status(state)))
		return NULL; /* the slots know it */
	int64_t at = record->completed / header->wheel_grain;
	if (at < header->wheel_at)
		header->wheel_at = at;
	bucket->head = header->wheel[(uint64_t)at % WHEEL_BUCKETS];
	bucket->tail = 0; /* buckets are only pushed at their heads */
	return bucket;
}

static void put_bucket(struct jobq_table *table, const struct record *record,
		       const struct list *list)
{
	int64_t at = record->completed / table->header->wheel_grain;
	table->header->wheel[(uint64_t)at % WHEEL_BUCKETS] = list->head;
}

/* Puts the record behind the one of id `behind`; 0: at the head. */
static void list_add(struct jobq_table *table, struct list *list, struct record *record,
		     uint64_t behind)
{
	struct record *prev = record_find(table, behind);
	struct record *next = record_find(table, prev != NULL ? prev->next : list->head);

	record->prev = prev != NULL ? behind : 0;
	record->next = next != NULL ? next->id : 0;
	if (prev != NULL)
		prev->next = record->id;
	else
		list->head = record->id;
	if (next != NULL)
		next->prev = record->id;
	else
		list->tail = record->id;
}

/*
 * Behind which one a job has its place in its list of the queue, which is in the
 * order of the ids: looked for from the end where it nearly always is.
 */
static uint64_t place_in_queue(const struct jobq_table *table, const struct record *record,
			       bool to_head)
{
	const struct list *queue = &table->header->queue[record_queue(record)];
	const struct record *other;
	uint64_t behind = to_head ? 0 : queue->tail;

	while (!to_head && (other = record_find(table, behind)) != NULL && other->id > record->id)
		behind = other->prev;
	for (uint64_t id = queue->head;
	     to_head && (other = record_find(table, id)) != NULL && other->id < record->id;
	     id = other->next)
		behind = id;
	return behind;
}

static void list_remove(struct jobq_table *table, struct list *list, struct record *record)
{
	struct record *next = record_find(table, record->next);
	struct record *prev = record_find(table, record->prev);

	if (prev != NULL)
		prev->next = record->next;
	else
		list->head = record->next;
	if (next != NULL)
		next->prev = record->prev;
	else
		list->tail = record->prev;
	record->next = record->prev = 0;
}

static void mask_set(struct jobq_table *table, const struct record *record, state_t state, bool on)
{
	struct directory_entry *entry = record_entry(table, record->id);
	size_t bit = record->id % SPAN_RECORDS;
	size_t rows[2] = {(size_t)state_shown(state) - 1, /* none for one that is not shown */
			  (size_t)JOBQ_STATUSES - 1 + (size_t)state_type(state)};

	for (size_t i = 0; i < 2; i++) {
		if (rows[i] >= MASK_ROWS)
			continue;
		uint64_t *word = &entry->mask[rows[i]][bit / 64];
		*word = on ? *word | UINT64_C(1) << bit % 64 : *word & ~(UINT64_C(1) << bit % 64);
	}
	entry->live += on ? 1 : -1U;
}

static void count_job(struct jobq_table *table, state_t state, uint64_t by)
{
	size_t status = state_shown(state) % JOBQ_STATUSES;

	table->header->jobs[status] += by;
	table->header->jobs_of[state_type(state) % JOBQ_TYPES][status] += by;
}

void record_unlist(struct jobq_table *table, struct record *record, state_t state)
{
	struct list bucket, *list = list_for(table, record, state, &bucket);

	if (list != NULL)
		list_remove(table, list, record);
	if (list == &bucket)
		put_bucket(table, record, list);
	else if (list != NULL)
		table->header->queued[record_queue(record)]--;
	mask_set(table, record, state, false);
	count_job(table, state, -UINT64_C(1));
}

void record_enlist(struct jobq_table *table, struct record *record, state_t state, bool to_head)
{
	struct list bucket, *list = list_for(table, record, state, &bucket);

	if (list == &bucket) {
		list_add(table, list, record, 0);
		put_bucket(table, record, list);
	} else if (list != NULL) {
		list_add(table, list, record, place_in_queue(table, record, to_head));
		table->header->queued[record_queue(record)]++;
	}
	mask_set(table, record, state, true);
	count_job(table, state, 1);
}

void record_move(struct jobq_table *table, struct record *record, state_t state, bool to_head)
{
	state_t old = atomic_load_explicit(&record->state, memory_order_relaxed);

	atomic_store_explicit(&record->state, state, memory_order_release);
	if (((old ^ state) & STATE_PLACE) != 0) {
		if (state_status(old) != JOBQ_STATUS_NONE)
			record_unlist(table, record, old);
		if (state_status(state) != JOBQ_STATUS_NONE)
			record_enlist(table, record, state, to_head);
	}
	feed_note(table, record);
}

/* ---- what the store has to know ------------------------------------------- */

state_t record_pending(const struct jobq_table *table)
{
	return table->header->durability >= JOBQ_DURABILITY_FAST ? STATE_PENDING : 0;
}

bool record_may_change(const struct jobq_table *table)
{
	const struct header_start *start = &table->header->start;

	return table->header->durability == JOBQ_DURABILITY_NONE ||
	       start->change_seq - start->durable < RING_SIZE - RING_RESERVE;
}

bool record_may_claim(const struct jobq_table *table)
{
	const struct header_start *start = &table->header->start;

	/* What slots and the owner do to jobs that run already takes a few changes. */
	return table->header->durability == JOBQ_DURABILITY_NONE ||
	       start->change_seq - start->durable < RING_SIZE - RING_RESERVE / 2 - 64;
}

void record_change(struct jobq_table *table, struct record *record, state_t state, bool to_head)
{
	struct header *header = table->header;

	if (header->durability == JOBQ_DURABILITY_NONE) {
		record_move(table, record, state, to_head);
		return;
	}
	uint64_t seq = header->start.change_seq + 1;
	atomic_store(&header->start.change_seq, seq);
	atomic_store(&record->changed, seq);
	record_move(table, record, state, to_head);
	atomic_store(&table->ring[seq % RING_SIZE], record->id);
	atomic_fetch_add(&header->changes, 1);
}

/* ---- reading without the lock --------------------------------------------- */

#define COPY(field)                                                                                \
	atomic_store_explicit(&out->field,                                                         \
			      atomic_load_explicit(&record->field, memory_order_relaxed),          \
			      memory_order_relaxed)

static bool copy_once(const struct jobq_table *table, uint64_t id, struct record *out,
		      uint32_t *seq, bool *exists)
{
	struct record *record = record_find(table, id);

	*exists = record != NULL;
	if (record == NULL)
		return true;
	*seq = atomic_load_explicit(&record->seq, memory_order_acquire);
	COPY(state);
	COPY(id);
	COPY(created);
	COPY(started);
	COPY(completed);
	COPY(parameters);
	COPY(result);
	COPY(error_len);
	COPY(owner_len);
	COPY(key_len);
	COPY(labels_len);
	COPY(log_len);
	COPY(priority);
	COPY(changed);
	return *seq % 2 == 0 && record_unchanged(table, id, *seq);
}

bool record_copy(const struct jobq_table *table, uint64_t id, struct record *out, uint32_t *seq)
{
	bool exists;

	for (int i = 0; i < READ_TRIES; i++)
		if (copy_once(table, id, out, seq, &exists))
			return exists;

	/* Odd for long: its writer waits for a processor, or was killed. */
	struct jobq_table *locked = (struct jobq_table *)(uintptr_t)table;
	table_lock(locked);
	bool whole = copy_once(table, id, out, seq, &exists);
	table_unlock(locked);
	return whole && exists;
}

bool record_unchanged(const struct jobq_table *table, uint64_t id, uint32_t seq)
{
	atomic_thread_fence(memory_order_acquire);
	struct record *record = record_find(table, id);
	return record != NULL && atomic_load_explicit(&record->seq, memory_order_relaxed) == seq;
}

void record_show(const struct record *record, struct jobq_job *job)
{
	state_t state = record->state;
	enum jobq_job_status status = state_shown(state);
	bool ran = status != JOBQ_STATUS_QUEUED && status != JOBQ_STATUS_CANCELLED;
	unsigned progress = state_progress(state);

	*job = (struct jobq_job){
		.id = record->id,
		.type = state_type(state),
		.status = status,
		.progress = status == JOBQ_STATUS_RUNNING && progress > 99 ? 99 : progress,
		.attempt = state_attempt(state),
		.version = record->seq,
		.created = record->created,
		.started = ran ? record->started : 0,
		.completed = jobq_job_finished(status) ? record->completed : 0,
	};
}
