#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "jobq/table_feed.h"
#include "table/hooks.h"

struct check {
	struct jobq_table *table;
	struct jobq_buf *out;
	size_t violations;
	uint64_t queued, finished; /* jobs that have to be on the queue, on the wheel */
	uint64_t jobs_of[JOBQ_TYPES][JOBQ_STATUSES];
};

#define SAY(check, ...) ((check)->violations++, jobq_buf_addf((check)->out, __VA_ARGS__))
#define SHOWN(n) ((unsigned long long)(n))

static void check_record(struct check *check, uint64_t id, const struct record *record)
{
	state_t state = record->state;
	enum jobq_job_status status = state_status(state);

	if (record->id != id)
		SAY(check, "job %llu: its record says %llu\n", SHOWN(id), SHOWN(record->id));
	if (record->seq % 2 != 0)
		SAY(check, "job %llu: change counter is odd with the lock held\n", SHOWN(id));
	if (status >= JOBQ_STATUSES || state_type(state) >= JOBQ_TYPES)
		SAY(check, "job %llu: state %llx makes no sense\n", SHOWN(id), SHOWN(state));
	if (record->parameters == 0)
		SAY(check, "job %llu: has no parameters\n", SHOWN(id));
	if (status == JOBQ_STATUS_RUNNING &&
	    (state_slot(state) >= JOBQ_SLOTS ||
	     check->table->header->start.slots[state_slot(state) % JOBQ_SLOTS].job != id))
		SAY(check, "job %llu: runs in slot %u, which does not know it\n", SHOWN(id),
		    state_slot(state));
	if ((status == JOBQ_STATUS_COMPLETED) != (state_progress(state) == 100))
		SAY(check, "job %llu: %s at progress %u\n", SHOWN(id),
		    jobq_job_status_name(status), state_progress(state));
	if (jobq_job_finished(status) && record->completed < record->created)
		SAY(check, "job %llu: finished before it was made\n", SHOWN(id));
	if (record->changed > check->table->header->start.durable &&
	    check->table->ring[record->changed % RING_SIZE] != id)
		SAY(check, "job %llu: its change %llu is not in the ring\n", SHOWN(id),
		    SHOWN(record->changed));
	if ((state & STATE_PENDING) == 0 && record->fed != (state & STATE_VISIBLE))
		SAY(check, "job %llu: the feed was told %llx last, not %llx\n", SHOWN(id),
		    SHOWN(record->fed), SHOWN(state & STATE_VISIBLE));
	if (id >= check->table->header->next_id)
		SAY(check, "job %llu: the next id is %llu\n", SHOWN(id),
		    SHOWN(check->table->header->next_id));
}

/* Records against the masks; returns the jobs by status. */
static void check_records(struct check *check, uint64_t *jobs)
{
	struct jobq_table *table = check->table;

	for (uint32_t i = 0; i < table->directory_count; i++) {
		struct directory_entry *entry = &table->directory[i];
		uint64_t live = 0;
		if (entry->first_id == 0)
			continue;
		for (uint64_t id = entry->first_id - 1; id < entry->first_id - 1 + SPAN_RECORDS; id++) {
			const struct record *record = record_find(table, id);
			size_t bit = id % SPAN_RECORDS;
			unsigned rows = 0;
			for (size_t row = 0; row < MASK_ROWS; row++)
				rows |= (unsigned)(entry->mask[row][bit / 64] >> bit % 64 & 1) << row;
			if (record == NULL) {
				if (rows != 0)
					SAY(check, "job %llu: masks %x of a job that is not there\n",
					    SHOWN(id), rows);
				continue;
			}
			state_t state = record->state;
			enum jobq_job_status shown = state_shown(state);
			unsigned expected = 1u << (JOBQ_STATUSES - 1 + state_type(state));
			if (shown != JOBQ_STATUS_NONE)
				expected |= 1u << (shown - 1);
			if (rows != expected)
				SAY(check, "job %llu: masks %x, not %x\n", SHOWN(id), rows, expected);
			check_record(check, id, record);
			if ((state & STATE_PENDING) == 0) {
				check->queued += state_status(state) == JOBQ_STATUS_QUEUED;
				check->finished += jobq_job_finished(state_status(state));
			}
			live++;
			jobs[shown % JOBQ_STATUSES]++;
			check->jobs_of[state_type(state) % JOBQ_TYPES][shown % JOBQ_STATUSES]++;
		}
		if (live != entry->live)
			SAY(check, "jobs from %llu: %llu live, counted %u\n",
			    SHOWN(entry->first_id - 1), SHOWN(live), entry->live);
	}
}

static void check_list(struct check *check, uint64_t head, enum jobq_job_status expected,
		       uint64_t *count, uint64_t most)
{
	uint64_t prev = 0, n = 0;

	for (uint64_t id = head; id != 0 && n <= most; n++) {
		const struct record *record = record_find(check->table, id);
		if (record == NULL) {
			SAY(check, "a list holds job %llu, which is not there\n", SHOWN(id));
			break;
		}
		enum jobq_job_status status = state_status(record->state);
		if (expected != JOBQ_STATUS_NONE ? status != expected : !jobq_job_finished(status))
			SAY(check, "job %llu is %s but on the list of another status\n", SHOWN(id),
			    jobq_job_status_name(status));
		if (record->prev != prev)
			SAY(check, "job %llu: the one before it is %llu, not %llu\n", SHOWN(id),
			    SHOWN(record->prev), SHOWN(prev));
		if (expected == JOBQ_STATUS_QUEUED && id <= prev)
			SAY(check, "job %llu is queued behind %llu\n", SHOWN(id), SHOWN(prev));
		prev = id;
		id = record->next;
	}
	*count += n;
}

static void check_lists(struct check *check, const uint64_t *jobs)
{
	const struct header *header = check->table->header;
	uint64_t queued = 0, wheeled = 0;

	for (size_t i = 0; i < JOBQ_PRIORITIES; i++) {
		uint64_t before = queued;
		check_list(check, header->queue[i].head, JOBQ_STATUS_QUEUED, &queued,
			   check->queued);
		if (queued - before != header->queued[i])
			SAY(check, "%llu jobs of priority %d, not %llu\n", SHOWN(queued - before),
			    (int)i - JOBQ_PRIORITY_MAX, SHOWN(header->queued[i]));
	}
	for (size_t i = 0; i < WHEEL_BUCKETS; i++)
		check_list(check, header->wheel[i], JOBQ_STATUS_NONE, &wheeled,
			   check->finished);
	if (queued != check->queued)
		SAY(check, "%llu jobs are queued, %llu on the queue\n", SHOWN(check->queued),
		    SHOWN(queued));
	if (wheeled != check->finished)
		SAY(check, "%llu jobs have finished, %llu are on the wheel\n",
		    SHOWN(check->finished), SHOWN(wheeled));
	for (size_t i = JOBQ_STATUS_NONE; i < JOBQ_STATUSES; i++)
		if (jobs[i] != header->jobs[i])
			SAY(check, "%llu jobs are %s, counted %llu\n", SHOWN(jobs[i]),
			    jobq_job_status_name((enum jobq_job_status)i), SHOWN(header->jobs[i]));
	if (memcmp(check->jobs_of, header->jobs_of, sizeof(header->jobs_of)) != 0)
		SAY(check, "the jobs of each type are counted wrongly\n");
	if (jobs[JOBQ_STATUS_RUNNING] > JOBQ_SLOTS)
		SAY(check, "%llu jobs run in %d slots\n", SHOWN(jobs[JOBQ_STATUS_RUNNING]),
		    JOBQ_SLOTS);
}

/* What spans say before and after a rebuild has to be the same: no leak, no overlap. */
static void check_memory(struct check *check)
{
	struct jobq_table *table = check->table;
	struct header *header = table->header;
	uint32_t count = header->watermark, free_count = header->free_count;
	uint32_t committed = header->committed_count;
	uint64_t damaged = header->damaged;
	struct span *found = malloc((size_t)count * sizeof(*found));

	if (found == NULL) {
		SAY(check, "no memory to check the memory\n");
		return;
	}
	memcpy(found, table->spans, (size_t)count * sizeof(*found));
	table_rebuild(table);
	for (uint32_t n = 1; n < count; n++) {
		const struct span *is = &table->spans[n];
		bool slab = is->kind == SPAN_SLAB && found[n].kind == SPAN_SLAB;
		if (is->kind != found[n].kind)
			SAY(check, "span %u: kind %u, not %u\n", n, found[n].kind, is->kind);
		else if (slab && (is->used != found[n].used || is->class != found[n].class ||
				  memcmp(is->bitmap, found[n].bitmap, sizeof(is->bitmap)) != 0))
			SAY(check, "span %u: %u objects in use, not %u\n", n, found[n].used, is->used);
	}
	if (free_count != header->free_count || committed != header->committed_count)
		SAY(check, "%u of %u spans free, not %u of %u\n", free_count, committed,
		    header->free_count, header->committed_count);
	if (damaged != header->damaged)
		SAY(check, "%llu records or blobs made no sense and were dropped\n",
		    SHOWN(header->damaged - damaged));
	free(found);
}

static void check_keys(struct check *check)
{
	struct jobq_table *table = check->table;
	uint64_t most = (uint64_t)table->directory_count * SPAN_RECORDS;

	for (uint32_t i = 0; i < table->bucket_count; i++) {
		uint64_t id = table->buckets[i], steps = 0;
		while (id != 0 && steps++ <= most) {
			const struct record *record = record_find(table, id);
			if (record == NULL || (record->key_hash & (table->bucket_count - 1)) != i) {
				SAY(check, "key bucket %u holds job %llu wrongly\n", i, SHOWN(id));
				break;
			}
			id = record->key_next;
		}
		if (steps > most)
			SAY(check, "key bucket %u: its chain has no end\n", i);
	}
}

static void check_feed(struct check *check)
{
	const struct jobq_table *table = check->table;
	uint64_t last = table->header->feed_seq;

	for (uint64_t n = 0; n < last && n < JOBQ_FEED_LENGTH - 1; n++)
		if (table->feed[(last - n) % JOBQ_FEED_LENGTH].seq != last - n)
			SAY(check, "feed: change %llu is not in its place\n", SHOWN(last - n));
}

size_t jobq_table_check(struct jobq_table *table, struct jobq_buf *out)
{
	struct check check = {.table = table, .out = out};
	uint64_t jobs[JOBQ_STATUSES] = {0};

	table_lock(table);
	check_records(&check, jobs);
	check_lists(&check, jobs);
	check_keys(&check);
	check_feed(&check);
	const char *wrong = messages_wrong(table);
	if (wrong != NULL)
		SAY(&check, "%s\n", wrong);
	check_memory(&check);
	table_unlock(table);
	return check.violations;
}
