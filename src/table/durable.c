#include "config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "table/hooks.h"

#define BITE 64 /* records changed in one hold of the lock */

void wake_writer(struct jobq_table *table)
{
	if (atomic_load(&table->header->writer_sleeps) != 0)
		jobq_futex_wake(&table->header->changes, INT_MAX);
}

void jobq_table_set_store(struct jobq_table *table, enum jobq_durability durability,
			  uint64_t store_id)
{
	table_lock(table);
	atomic_store(&table->header->durability, (uint32_t)durability);
	table->header->store_id = store_id;
	table_unlock(table);
}

uint64_t jobq_table_store_id(const struct jobq_table *table)
{
	return table->header->store_id;
}

/* ---- what has changed ----------------------------------------------------- */

/* The record that change `seq` is the last one of, or NULL. With the lock. */
static struct record *changed_by(const struct jobq_table *table, uint64_t seq)
{
	struct record *record = record_find(table, table->ring[seq % RING_SIZE]);

	return record != NULL && record->changed == seq ? record : NULL;
}

size_t jobq_table_changes(struct jobq_table *table, uint64_t *after,
			  struct jobq_table_change *out, size_t max)
{
	size_t count = 0;

	table_lock(table);
	uint64_t last = table->header->start.change_seq;
	for (; *after < last && count < max; (*after)++) {
		const struct record *record = changed_by(table, *after + 1);
		if (record != NULL)
			out[count++] = (struct jobq_table_change){*after + 1, record->id};
	}
	table_unlock(table);
	return count;
}

void jobq_table_nudge_writer(struct jobq_table *table)
{
	atomic_fetch_add(&table->header->changes, 1);
	jobq_futex_wake(&table->header->changes, INT_MAX);
}

void jobq_table_await_changes(struct jobq_table *table, uint64_t after, int64_t deadline,
			      const volatile sig_atomic_t *stop)
{
	struct header *header = table->header;
	uint32_t seen = atomic_load(&header->changes);

	/* Who makes a change first counts it and then looks whether the writer sleeps. */
	atomic_store(&header->writer_sleeps, 1);
	if (atomic_load(&header->start.change_seq) == after &&
	    jobq_table_posted(table) == jobq_table_handled(table) && !*stop)
		jobq_futex_wait(&header->changes, seen, deadline);
	atomic_store(&header->writer_sleeps, 0);
}

static void cut(struct jobq_text *text, const char **at, size_t len)
{
	*text = (struct jobq_text){*at, len};
	*at += len;
}

/* Reads both blobs of the copied record into `bytes`. False: they make no sense. */
static bool read_texts(const struct jobq_table *table, const struct record *record,
		       struct jobq_entry *entry, struct jobq_buf *bytes)
{
	bool finished = jobq_job_finished(state_status(record->state));
	size_t head = (size_t)record->owner_len + record->key_len + record->labels_len;
	size_t parameters_len = ref_len(record->parameters);
	size_t result_len = finished ? ref_len(record->result) : 0;
	size_t error_len = finished ? record->error_len : 0;
	size_t log_len = finished ? record->log_len : 0;

	bytes->len = 0;
	if (parameters_len <= head || error_len > result_len || log_len > result_len - error_len || parameters_len > BLOB_MAX ||
	    result_len > BLOB_MAX || !jobq_buf_reserve(bytes, parameters_len + result_len))
		return false;
	if (!blob_read(table, record->parameters, 0, bytes->data, parameters_len) ||
	    !blob_read(table, record->result, 0, bytes->data + parameters_len, result_len))
		return false;
	const char *at = bytes->data;
	cut(&entry->owner, &at, record->owner_len);
	cut(&entry->key, &at, record->key_len);
	cut(&entry->labels, &at, record->labels_len);
	cut(&entry->parameters, &at, parameters_len - head);
	cut(&entry->error, &at, error_len);
	cut(&entry->log, &at, log_len);
	cut(&entry->result, &at, result_len - error_len - log_len);
	if (finished && (record->state & STATE_NO_MEMORY) != 0)
		entry->error = (struct jobq_text){table_no_memory, strlen(table_no_memory)};
	return true;
}

int jobq_table_export(struct jobq_table *table, uint64_t id, struct jobq_entry *entry,
		      struct jobq_buf *bytes)
{
	struct record record = {0};
	uint32_t seq;
	bool read;

	do {
		if (!record_copy(table, id, &record, &seq))
			return -ENOENT;
		state_t state = record.state;
		*entry = (struct jobq_entry){
			.id = id,
			.type = state_type(state),
			.status = (state & STATE_WITHDRAWN) != 0 ? JOBQ_STATUS_NONE
								 : state_status(state),
			.progress = state_progress(state),
			.attempt = state_attempt(state),
			.requeues = state_requeues(state),
			.priority = record.priority,
			.created = record.created,
			.started = record.started,
			/* One whose end was cut short by a kill has a time already. */
			.completed = jobq_job_finished(state_status(state)) ? record.completed : 0,
		};
		read = read_texts(table, &record, entry, bytes);
	} while (!record_unchanged(table, id, seq));
	if (bytes->failed)
		return -ENOMEM;
	return read ? 0 : -EIO;
}

uint64_t jobq_table_next(struct jobq_table *table, uint64_t after)
{
	uint64_t id = after + 1, found = 0;

	table_lock(table);
	while (found == 0 && id < table->header->next_id) {
		if (record_entry(table, id)->first_id != id - id % SPAN_RECORDS + 1)
			id += SPAN_RECORDS - id % SPAN_RECORDS;
		else if (record_find(table, id) != NULL)
			found = id;
		else
			id++;
	}
	table_unlock(table);
	return found;
}

/* ---- what has become of it ------------------------------------------------ */

/* Shows one change, if it is still the job's last. With the lock. */
static struct record *publish_one(struct jobq_table *table, const struct jobq_table_change *change)
{
	struct record *record = record_find(table, change->id);

	if (record == NULL || record->changed != change->seq ||
	    (record->state & STATE_PENDING) == 0)
		return NULL;
	if ((record->state & STATE_WITHDRAWN) != 0) {
		remove_job(table, record);
		return NULL;
	}
	record_change_begin(record);
	record_move(table, record, record->state & ~STATE_PENDING, false);
	record_change_end(record);
	return record;
}

void jobq_table_publish(struct jobq_table *table, const struct jobq_table_change *changes,
			size_t count, uint64_t upto)
{
	struct header *header = table->header;

	for (size_t at = 0; at < count; at += BITE) {
		struct record *shown[BITE];
		size_t n = count - at < BITE ? count - at : BITE;
		table_lock(table);
		for (size_t i = 0; i < n; i++)
			shown[i] = publish_one(table, &changes[at + i]);
		atomic_fetch_add(&header->work, 1);
		table_unlock(table);
		for (size_t i = 0; i < n; i++)
			if (shown[i] != NULL)
				wake_waiters(shown[i]);
	}
	/* Last: a writer that dies before has it all to do again, which does no harm. */
	table_lock(table);
	atomic_store(&header->start.durable, upto);
	table_unlock(table);
	atomic_store(&header->store_error, 0);
	wake_feed(table);
	/* A queue's head and a slot may have become free together. */
	for (unsigned slot = 0; slot < JOBQ_SLOTS && count > 0; slot++)
		wake_slot(table);
}

/* With the lock. */
static void withdraw(struct jobq_table *table, struct record *record)
{
	state_t state = state_with_status(record->state, JOBQ_STATUS_CANCELLED);

	record_change_begin(record);
	record->completed = jobq_clock_wall();
	if (record->key_len > 0)
		idem_unlink(table, record);
	record_change(table, record, state | STATE_PENDING | STATE_WITHDRAWN, false);
	record_change_end(record);
}

/* A job that nobody has been told of. */
static bool unseen(const struct record *record)
{
	state_t state = record->state;

	return state_status(state) == JOBQ_STATUS_QUEUED && (state & STATE_PENDING) != 0;
}

int jobq_table_withdraw(struct jobq_table *table, uint64_t id)
{
	int rc = 0;

	table_lock(table);
	struct record *record = record_find(table, id);
	if (record != NULL && unseen(record))
		withdraw(table, record);
	else if (record != NULL && (record->state & STATE_WITHDRAWN) == 0)
		rc = -EALREADY;
	table_unlock(table);
	if (record != NULL)
		wake_waiters(record); /* a replay of the submission may wait for it, too */
	wake_writer(table);
	return rc;
}

void jobq_table_refuse(struct jobq_table *table, int error)
{
	struct header *header = table->header;
	uint64_t seq, last;

	atomic_store(&header->store_error, (uint32_t)error); /* no new ones come from here on */
	table_lock(table);
	seq = header->start.durable;
	last = header->start.change_seq;
	table_unlock(table);
	while (seq < last) {
		struct record *gone[BITE];
		size_t n = 0;
		table_lock(table);
		for (int looked = 0; seq < last && looked < BITE; looked++) {
			struct record *record = changed_by(table, ++seq);
			if (record != NULL && unseen(record)) {
				withdraw(table, record);
				gone[n++] = record;
			}
		}
		table_unlock(table);
		for (size_t i = 0; i < n; i++)
			wake_waiters(gone[i]);
	}
}

/* ---- filling a table ------------------------------------------------------ */

static int import_once(struct jobq_table *table, const struct jobq_entry *entry, bool changed)
{
	size_t blob_len = entry->owner.len + entry->key.len + entry->labels.len +
			  entry->parameters.len;
	size_t result_len = entry->error.len + entry->log.len + entry->result.len;
	struct record *record = record_find(table, entry->id);
	ref_t result = 0;

	if (record != NULL) /* of a writer that was killed while it filled the table */
		remove_job(table, record);
	record = record_next(table, entry->id);
	ref_t blob = record != NULL ? blob_take(table, blob_len, false) : 0;

	if (blob == 0)
		return -ENOSPC;
	if (result_len > 0 && (result = blob_take(table, result_len, false)) == 0) {
		blob_give(table, blob);
		return -ENOSPC;
	}
	blob_write(table, result, 0, entry->error.data, entry->error.len);
	blob_write(table, result, entry->error.len, entry->log.data, entry->log.len);
	blob_write(table, result, entry->error.len + entry->log.len, entry->result.data,
		   entry->result.len);
	record_change_begin(record);
	record_fill(table, record, entry->id, blob, entry);
	record->result = result;
	record->error_len = (uint32_t)entry->error.len;
	record->log_len = (uint32_t)entry->log.len;
	state_t state = (state_t)entry->status | (state_t)entry->type << 4 |
			(state_t)(entry->progress & 255) << 8 |
			(state_t)(entry->requeues & 15) << 20 | (state_t)entry->attempt << 32;
	if (changed)
		record_change(table, record, state, false);
	else
		record_move(table, record, state, false);
	if (entry->key.len > 0)
		idem_link(table, record);
	record_change_end(record);
	if (entry->id >= table->header->next_id)
		table->header->next_id = entry->id + 1;
	return 0;
}

int jobq_table_import(struct jobq_table *table, const struct jobq_entry *entry, bool changed)
{
	int rc;

	do {
		table_lock(table);
		rc = import_once(table, entry, changed);
		table_unlock(table);
	} while (rc == -ENOSPC && (rc = table_grow(table)) == 0);
	return rc;
}

void jobq_table_start_at(struct jobq_table *table, uint64_t seq)
{
	table_lock(table);
	table->header->start.change_seq = seq;
	table->header->start.durable = seq;
	table_unlock(table);
}

void jobq_table_set_ids(struct jobq_table *table, uint64_t next, uint64_t limit)
{
	table_lock(table);
	if (table->header->next_id < next)
		table->header->next_id = next;
	table->header->id_limit = limit;
	table_unlock(table);
}
