#include "config.h"

#include <errno.h>
#include <string.h>

#include "table/hooks.h"

const char table_no_memory[] = "the job table had no memory left for the result";

/* Appends error and result, unless the record has changed meanwhile (-EAGAIN). */
static int copy_result(const struct jobq_table *table, const struct record *record, uint32_t seq,
		       struct jobq_buf *bytes, size_t *error_len, size_t *result_len)
{
	state_t state = record->state;
	size_t len = ref_len(record->result);

	if (!jobq_job_finished(state_shown(state)))
		return 0;
	if ((state & STATE_NO_MEMORY) != 0) {
		jobq_buf_adds(bytes, table_no_memory);
		*error_len = sizeof(table_no_memory) - 1;
		return 0;
	}
	if (len == 0)
		return 0;
	if (len > BLOB_MAX || record->error_len > len || record->log_len > len - record->error_len)
		return record_unchanged(table, record->id, seq) ? -EIO : -EAGAIN;
	if (!jobq_buf_reserve(bytes, len))
		return -ENOMEM;
	bool read = blob_read(table, record->result, 0, bytes->data + bytes->len, len);
	if (!record_unchanged(table, record->id, seq))
		return -EAGAIN;
	if (!read)
		return -EIO;
	bytes->len += len;
	*error_len = record->error_len;
	*result_len = len - record->error_len - record->log_len;
	/* The log stands between the two: GET /jobs/:id/log asks for the whole job. */
	memmove(bytes->data + bytes->len - *result_len - record->log_len,
		bytes->data + bytes->len - *result_len, *result_len);
	bytes->len -= record->log_len;
	return 0;
}

int jobq_table_get(struct jobq_table *table, uint64_t id, struct jobq_job *job,
		   struct jobq_buf *bytes, size_t *error_len, size_t *result_len)
{
	struct record record = {0};
	uint32_t seq;
	int rc;

	do {
		if (!record_copy(table, id, &record, &seq))
			return -ENOENT;
		record.seq = seq;
		record_show(&record, job);
		if (job->status == JOBQ_STATUS_NONE)
			return -ENOENT;
		if (bytes == NULL)
			return 0;
		*error_len = *result_len = 0;
		rc = copy_result(table, &record, seq, bytes, error_len, result_len);
	} while (rc == -EAGAIN);
	return rc;
}

int jobq_table_parameters(struct jobq_table *table, const struct jobq_job_claim *claim,
			  struct jobq_buf *out)
{
	struct record record = {0};
	uint32_t seq;

	if (!record_copy(table, claim->id, &record, &seq) ||
	    state_attempt(record.state) != claim->attempt)
		return -ESTALE;
	size_t head = (size_t)record.owner_len + record.key_len + record.labels_len;
	size_t len = ref_len(record.parameters);
	if (len < head)
		return -EIO;
	if (!jobq_buf_reserve(out, len - head))
		return -ENOMEM;
	if (!blob_read(table, record.parameters, head, out->data + out->len, len - head))
		return -EIO;
	out->len += len - head;
	out->data[out->len] = '\0';
	return 0;
}

/* The jobs of one word of the masks that the filter lets through. */
static uint64_t matching(const struct directory_entry *entry, size_t word,
			 const struct jobq_table_filter *filter)
{
	uint64_t bits = UINT64_MAX;

	if (filter->type >= 0)
		bits &= entry->mask[JOBQ_STATUSES - 1 + filter->type][word];
	if (filter->status != JOBQ_STATUS_NONE)
		return bits & entry->mask[filter->status - 1][word];

	uint64_t any = 0;
	for (size_t row = 0; row < JOBQ_STATUSES - 1; row++)
		any |= entry->mask[row][word];
	return bits & any;
}

/*
 * Copies matching jobs of one directory entry, from `id` on. Returns how many;
 * *id is then the one to go on with.
 */
/* Whether the labels of a job hold the text. With the lock. */
static bool has_label(const struct jobq_table *table, const struct record *record,
		      const char *label)
{
	char labels[JOBQ_LABELS_BYTES + 1];
	size_t len = record->labels_len, at = (size_t)record->owner_len + record->key_len;

	if (len == 0 || len > JOBQ_LABELS_BYTES || at + len > ref_len(record->parameters) ||
	    !blob_read(table, record->parameters, at, labels, len))
		return false;
	labels[len] = '\0';
	return strstr(labels, label) != NULL;
}

static size_t list_entry(const struct jobq_table *table, const struct directory_entry *entry,
			 const struct jobq_table_filter *filter, uint64_t *id,
			 struct jobq_job *jobs, size_t max)
{
	uint64_t first = *id - *id % SPAN_RECORDS;
	size_t count = 0;

	while (*id < first + SPAN_RECORDS) {
		size_t bit = *id % SPAN_RECORDS;
		uint64_t bits = matching(entry, bit / 64, filter) & UINT64_MAX << bit % 64;
		if (bits == 0) {
			*id = first + (bit / 64 + 1) * 64;
			continue;
		}
		if (count == max)
			return count;
		*id = first + bit / 64 * 64 + (unsigned)__builtin_ctzll(bits);
		const struct record *record = record_find(table, *id);
		if (record != NULL &&
		    (filter->label == NULL || has_label(table, record, filter->label)))
			record_show(record, &jobs[count++]);
		(*id)++;
	}
	return count;
}

/* Entries looked at in one go: with none that match, a hold of some microseconds. */
#define LIST_ENTRIES 1024
#define LIST_LABELLED 4 /* when every job's labels are looked at */

size_t jobq_table_list(struct jobq_table *table, const struct jobq_table_filter *filter,
		       uint64_t *after, struct jobq_job *jobs, size_t max)
{
	size_t count = 0;
	bool more = true;

	if (max > JOBQ_LIST_BITE)
		max = JOBQ_LIST_BITE;
	uint64_t id = *after < UINT64_MAX ? *after + 1 : UINT64_MAX;
	while (more && count < max) {
		table_lock(table);
		uint64_t next_id = table->header->next_id;
		uint64_t span = (uint64_t)table->directory_count * SPAN_RECORDS;
		if (next_id > span && id < next_id - span)
			id = next_id - span; /* older ones have no place in the directory */
		int entries = filter->label != NULL ? LIST_LABELLED : LIST_ENTRIES;
		for (int i = 0; i < entries && id < next_id && count < max; i++) {
			const struct directory_entry *entry = record_entry(table, id);
			uint64_t first = id - id % SPAN_RECORDS;
			if (entry->first_id == first + 1)
				count += list_entry(table, entry, filter, &id, jobs + count,
						    max - count);
			else
				id = first + SPAN_RECORDS;
		}
		more = id < next_id;
		table_unlock(table);
	}
	*after = count > 0 && count == max ? jobs[count - 1].id : id - 1;
	return count;
}

static struct jobq_table_confinement confinement_of(uint32_t bits)
{
	return (struct jobq_table_confinement){
		.told = (bits & CONFINEMENT_TOLD) != 0,
		.landlock = bits & CONFINEMENT_LANDLOCK,
		.seccomp = (bits & CONFINEMENT_SECCOMP) != 0,
	};
}

void jobq_table_slot(struct jobq_table *table, unsigned slot, struct jobq_table_slot *out)
{
	const struct slot_entry *entry = &table->header->start.slots[slot];
	struct jobq_job job = {0};
	uint64_t id = entry->job;

	*out = (struct jobq_table_slot){
		.pid = (pid_t)entry->pid,
		.start_time = entry->start_time,
		.confinement = confinement_of(table->header->confinement[slot]),
	};
	if (id != 0 && jobq_table_get(table, id, &job, NULL, NULL, NULL) == 0 &&
	    job.status == JOBQ_STATUS_RUNNING) {
		out->job = id;
		out->job_started = job.started;
	}
}

void jobq_table_stats(struct jobq_table *table, struct jobq_table_stats *out)
{
	const struct header *header = table->header;

	*out = (struct jobq_table_stats){0};
	table_lock(table);
	for (size_t i = 0; i < JOBQ_STATUSES; i++)
		out->jobs[i] = header->jobs[i];
	out->next_id = header->next_id;
	out->bytes_max = (uint64_t)(table->span_count - 1) * SPAN_BYTES;
	out->bytes_committed = (uint64_t)header->committed_count * SPAN_BYTES;
	out->bytes_free = (uint64_t)header->free_count * SPAN_BYTES;
	out->repairs = header->repairs;
	out->slots_busy = (unsigned)header->jobs[JOBQ_STATUS_RUNNING];
	out->draining = header->draining != 0;
	out->ready = header->ready != 0;
	out->changes = header->start.change_seq;
	out->durable = header->start.durable;
	out->store_error = (int)header->store_error;
	out->outbox = atomic_load(&table->hooks->waiting);
	table_unlock(table);
}
