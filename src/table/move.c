#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "table/hooks.h"

void wake_slot(struct jobq_table *table)
{
	for (unsigned i = 0; i < JOBQ_SLOTS; i++) {
		if (atomic_load(&table->header->start.slots[i].sleeping) != 0) {
			jobq_futex_wake(&table->header->work, 1);
			return;
		}
	}
}

/* ---- submit --------------------------------------------------------------- */

/* One try, with the lock. -ENOSPC: memory has to be found first. */
static int submit_once(struct jobq_table *table, const struct jobq_table_submit *submit,
		       size_t blob_len, uint64_t *id, bool *replayed)
{
	struct header *header = table->header;

	if (submit->key[0] != '\0') {
		struct record *first = idem_find(table, submit->owner, submit->key);
		*replayed = first != NULL;
		if (first != NULL) {
			*id = first->id;
			return idem_same(table, first, submit) ? 0 : -EEXIST;
		}
	}

	if (header->queue_state == JOBQ_QUEUE_DRAINING)
		return -ESHUTDOWN;
	if (header->durability != JOBQ_DURABILITY_NONE) {
		if (header->store_error != 0 && record_pending(table) != 0)
			return -EIO;
		/* Each job that is not shown yet may have to be withdrawn: one more change. */
		if (!record_may_change(table) || header->next_id >= header->id_limit ||
		    header->jobs[JOBQ_STATUS_NONE] >= RING_RESERVE / 2)
			return -EAGAIN;
	}
	struct record *record = record_next(table, header->next_id);
	ref_t blob = record != NULL ? blob_take(table, blob_len, false) : 0;
	if (blob == 0)
		return -ENOSPC;
	*id = header->next_id++;
	struct jobq_entry entry = {
		.created = jobq_clock_wall(),
		.owner = {submit->owner, strlen(submit->owner)},
		.key = {submit->key, strlen(submit->key)},
		.priority = submit->priority,
		.labels = {submit->labels, submit->labels != NULL ? strlen(submit->labels) : 0},
		.parameters = {submit->parameters, submit->parameters_len},
	};
	record_change_begin(record);
	record_fill(table, record, *id, blob, &entry);
	record_change(table, record,
		      (state_t)submit->type << 4 | JOBQ_STATUS_QUEUED | record_pending(table), false);
	if (submit->key[0] != '\0')
		idem_link(table, record);
	record_change_end(record);
	if (record_pending(table) == 0)
		atomic_fetch_add(&header->work, 1);
	return 0;
}

int jobq_table_submit(struct jobq_table *table, const struct jobq_table_submit *submit,
		      uint64_t *id, bool *replayed)
{
	size_t blob_len =
		strlen(submit->owner) + strlen(submit->key) +
		(submit->labels != NULL ? strlen(submit->labels) : 0) + submit->parameters_len;
	int rc;

	*replayed = false;
	for (;;) {
		table_lock(table);
		rc = submit_once(table, submit, blob_len, id, replayed);
		table_unlock(table);
		if (rc != -ENOSPC)
			break;
		rc = table_grow(table);
		if (rc < 0)
			return rc;
	}
	if (rc == 0 && !*replayed) {
		wake_writer(table);
		wake_feed(table);
		if (record_pending(table) == 0)
			wake_slot(table);
	}
	return rc;
}

int jobq_table_cancel(struct jobq_table *table, uint64_t id)
{
	int rc = 0;

	table_lock(table);
	struct record *record = record_find(table, id);
	if (record == NULL) {
		rc = -ENOENT;
	} else if (state_shown(record->state) == JOBQ_STATUS_NONE) {
		rc = -ENOENT;
	} else if (!jobq_job_may_move(state_status(record->state), JOBQ_STATUS_CANCELLED)) {
		rc = -EBUSY;
	} else if (!record_may_change(table)) {
		rc = -EAGAIN;
	} else {
		/* The old state does not look at `completed`; the list it leaves does. */
		record_change_begin(record);
		record->completed = jobq_clock_wall();
		record_change(table, record,
			      state_with_status(record->state, JOBQ_STATUS_CANCELLED) |
				      record_pending(table),
			      false);
		record_change_end(record);
	}
	table_unlock(table);
	if (rc == 0) {
		wake_waiters(record);
		wake_writer(table);
		wake_feed(table);
	}
	return rc;
}

int jobq_table_stop(struct jobq_table *table, uint64_t id)
{
	int rc = 0;

	table_lock(table);
	struct record *record = record_find(table, id);
	if (record == NULL || state_shown(record->state) == JOBQ_STATUS_NONE) {
		rc = -ENOENT;
	} else if (state_status(record->state) != JOBQ_STATUS_RUNNING) {
		rc = -EBUSY;
	} else {
		record_change_begin(record);
		record_move(table, record, record->state | STATE_STOP, false);
		record_change_end(record);
	}
	table_unlock(table);
	return rc;
}

/* ---- a slot's side -------------------------------------------------------- */

/* The one that is to start next, or NULL. */
static struct record *first_queued(const struct jobq_table *table)
{
	for (size_t i = JOBQ_PRIORITIES; i-- > 0;) {
		struct record *record = record_find(table, table->header->queue[i].head);
		if (record != NULL)
			return record;
	}
	return NULL;
}

static bool claim_once(struct jobq_table *table, unsigned slot, struct jobq_job_claim *claim)
{
	struct header *header = table->header;
	struct record *record = first_queued(table);

	/* Those whose end is not stored yet still show as running. */
	if (record == NULL || header->ready == 0 || header->queue_state == JOBQ_QUEUE_PAUSED ||
	    header->jobs[JOBQ_STATUS_RUNNING] >= JOBQ_SLOTS || !record_may_claim(table))
		return false;
	state_t state = record->state;
	uint32_t attempt = state_attempt(state) + 1;
	uint64_t keep = UINT64_C(0xf000ff); /* status, type, times put back */
	state_t running = (state & keep) | (state_t)slot << 16 | (state_t)attempt << 32;

	/* First, so that a worker killed here leaves no job that nobody settles. */
	atomic_store(&header->start.slots[slot].job, record->id);
	record_change_begin(record);
	record->started = jobq_clock_wall();
	record_change(table, record, state_with_status(running, JOBQ_STATUS_RUNNING), false);
	record_change_end(record);
	*claim = (struct jobq_job_claim){record->id, attempt, slot, state_type(state)};
	return true;
}

static _Atomic bool claim_end;

/* The word changes too: a signal may come just before the sleep. */
void jobq_table_claim_end(struct jobq_table *table)
{
	atomic_store(&claim_end, true);
	atomic_fetch_add(&table->header->work, 1);
}

int jobq_table_claim(struct jobq_table *table, unsigned slot, struct jobq_job_claim *claim)
{
	struct header *header = table->header;
	struct slot_entry *entry = &header->start.slots[slot];

	for (int tries = 0; tries < 2; tries++) {
		uint32_t seen = atomic_load(&header->work);
		if (atomic_load(&header->draining) != 0)
			return -ESHUTDOWN;
		if (atomic_exchange(&claim_end, false))
			return -EINTR;
		table_lock(table);
		bool claimed = claim_once(table, slot, claim);
		table_unlock(table);
		if (claimed) {
			wake_writer(table);
			wake_feed(table);
			return 0;
		}
		if (tries > 0)
			break;

		/* A submitter first changes `work` and then looks for sleepers. */
		atomic_store(&entry->sleeping, 1);
		int rc = atomic_load(&header->work) == seen
				 ? jobq_futex_wait(&header->work, seen, -1)
				 : 0;
		atomic_store(&entry->sleeping, 0);
		if (rc == -EINTR)
			return rc;
	}
	return -EAGAIN;
}

/* The record, if the claim is its current attempt. With the lock. */
static struct record *claimed(struct jobq_table *table, const struct jobq_job_claim *claim)
{
	struct record *record = record_find(table, claim->id);

	if (record == NULL || state_status(record->state) != JOBQ_STATUS_RUNNING ||
	    state_attempt(record->state) != claim->attempt)
		return NULL;
	return record;
}

/* Changes nothing but parts of the state that no list depends on. */
static int update(struct jobq_table *table, const struct jobq_job_claim *claim, state_t flags,
		  unsigned progress)
{
	/* Progress is stored only with what comes after it, unless somebody is to be told. */
	bool told = progress > 0 &&
		    (jobq_table_wanted(table) & JOBQ_EVENT_BIT(JOBQ_EVENT_JOB_PROGRESS)) != 0;

	table_lock(table);
	struct record *record = claimed(table, claim);
	told = told && record_may_change(table);
	if (record != NULL) {
		state_t state = record->state | flags;
		if (progress > state_progress(state))
			state = state_with_progress(state, progress);
		record_change_begin(record);
		if (told)
			record_change(table, record, state, false);
		else
			record_move(table, record, state, false);
		record_change_end(record);
	}
	table_unlock(table);
	if (told)
		wake_writer(table);
	wake_feed(table);
	return record != NULL ? 0 : -ESTALE;
}

int jobq_table_begin(struct jobq_table *table, const struct jobq_job_claim *claim)
{
	return update(table, claim, STATE_BEGUN, 0);
}

int jobq_table_progress(struct jobq_table *table, const struct jobq_job_claim *claim,
			unsigned hundredths)
{
	return update(table, claim, 0, hundredths < 99 ? hundredths : 99);
}

/*
 * Makes a blob of `len` bytes the job's result, still invisible: a record that
 * is running owns it, but only a finished one shows it. -ENOSPC: no room.
 */
static int attach_result(struct jobq_table *table, const struct jobq_job_claim *claim, size_t len,
			 ref_t *ref)
{
	int rc;

	for (;;) {
		table_lock(table);
		struct record *record = claimed(table, claim);
		rc = record == NULL ? -ESTALE : 0;
		if (rc == 0 && record->result == 0) {
			ref_t blob = blob_take(table, len, true);
			atomic_store(&record->result, blob);
			rc = blob == 0 ? -ENOSPC : 0;
		}
		*ref = rc == 0 ? record->result : 0;
		table_unlock(table);
		if (rc != -ENOSPC)
			return rc;
		rc = table_grow(table);
		if (rc < 0)
			return rc;
	}
}

/* The running job becomes a finished one. With the lock. */
static void end_running(struct jobq_table *table, struct record *record, bool failed,
			size_t error_len, size_t log_len, state_t flags)
{
	state_t state = record->state | flags;

	record_change_begin(record);
	record->completed = jobq_clock_wall();
	record->error_len = (uint32_t)error_len;
	record->log_len = (uint32_t)log_len;
	if (!failed)
		state = state_with_progress(state, 100);
	record_change(table, record,
		      state_with_status(state, failed ? JOBQ_STATUS_FAILED : JOBQ_STATUS_COMPLETED) |
			      record_pending(table),
		      false);
	record_change_end(record);
}

int jobq_table_finish(struct jobq_table *table, const struct jobq_job_claim *claim,
		      const char *result, size_t result_len, const char *error,
		      const struct jobq_text *log)
{
	size_t error_len = error != NULL ? strlen(error) : 0, log_len = log != NULL ? log->len : 0;
	bool failed = error != NULL;
	state_t flags = 0;
	ref_t ref = 0;
	int rc = 0;

	if (error_len + log_len + result_len > 0)
		rc = attach_result(table, claim, error_len + log_len + result_len, &ref);
	if (rc == -ENOSPC) {
		failed = true;
		error_len = log_len = 0;
		flags = STATE_NO_MEMORY;
	} else if (rc < 0) {
		return rc;
	} else {
		/* Long results are copied without the lock: nobody reads them yet. */
		blob_write(table, ref, 0, error, error_len);
		if (log_len > 0)
			blob_write(table, ref, error_len, log->data, log_len);
		blob_write(table, ref, error_len + log_len, result, result_len);
	}

	table_lock(table);
	struct record *record = claimed(table, claim);
	if (record != NULL)
		end_running(table, record, failed, error_len, log_len, flags);
	table_unlock(table);
	if (record == NULL)
		return -ESTALE;
	wake_waiters(record);
	wake_writer(table);
	wake_feed(table);
	atomic_store(&table->header->start.slots[claim->slot].job, 0);
	return 0;
}

/* ---- the owner's side ----------------------------------------------------- */

/* Ends a job whose worker is gone. -ENOSPC: the error found no room yet. */
static int settle_once(struct jobq_table *table, struct record *record, const char *error,
		       bool last_try, bool *requeued)
{
	state_t state = record->state;
	ref_t partial = record->result;
	ref_t text = 0;

	*requeued = (state & STATE_BEGUN) == 0 && state_requeues(state) == 0;
	if (!*requeued) {
		text = blob_take(table, strlen(error), true);
		if (text == 0 && !last_try)
			return -ENOSPC;
		blob_write(table, text, 0, error, strlen(error));
	}
	if (partial != 0 || text != 0) {
		record_change_begin(record);
		atomic_store(&record->result, text);
		record_change_end(record);
		blob_give(table, partial);
	}
	if (!*requeued) {
		end_running(table, record, true, text != 0 ? strlen(error) : 0, 0,
			    text == 0 ? STATE_NO_MEMORY : 0);
		return 0;
	}
	record_change_begin(record);
	record_change(table, record,
		      state_with_status(state + (UINT64_C(1) << 20), JOBQ_STATUS_QUEUED), true);
	record_change_end(record);
	atomic_fetch_add(&table->header->work, 1);
	return 0;
}

int jobq_table_settle(struct jobq_table *table, unsigned slot, const char *error, uint64_t *job,
		      bool *requeued)
{
	struct slot_entry *entry = &table->header->start.slots[slot];
	struct record *record;
	bool last_try = false;
	int rc;

	*requeued = false;
	*job = 0;
	do {
		table_lock(table);
		record = record_find(table, entry->job);
		rc = 0;
		if (record != NULL && state_status(record->state) == JOBQ_STATUS_RUNNING &&
		    state_slot(record->state) == slot) {
			*job = record->id;
			rc = settle_once(table, record, error, last_try, requeued);
		}
		table_unlock(table);
		if (rc == -ENOSPC)
			last_try = table_grow(table) < 0;
	} while (rc == -ENOSPC);

	if (record != NULL)
		wake_waiters(record);
	wake_writer(table);
	wake_feed(table);
	if (*requeued)
		wake_slot(table);
	atomic_store(&entry->job, 0);
	atomic_store(&entry->sleeping, 0);
	atomic_store(&entry->pid, 0);
	return rc;
}

void jobq_table_drain(struct jobq_table *table, bool on)
{
	atomic_store(&table->header->draining, on);
	jobq_table_kick(table);
}
