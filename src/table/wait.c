#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table/table.h"

#define KICK_BITE 1024 /* jobs looked at under one lock */

void wake_waiters(struct record *record)
{
	if (atomic_load(&record->waiters) > 0)
		jobq_futex_wake(&record->seq, INT_MAX);
}

/*
 * Counts the caller in or out as one who sleeps on the job's `seq`. With the
 * lock, because the memory may by now hold something else than this job.
 */
static struct record *count_waiter(struct jobq_table *table, uint64_t id, uint32_t change)
{
	table_lock(table);
	struct record *record = record_find(table, id);
	if (record != NULL)
		atomic_fetch_add(&record->waiters, change);
	table_unlock(table);
	return record;
}

int jobq_table_wait(struct jobq_table *table, uint64_t id, int64_t deadline,
		    _Atomic uint32_t *stop, uint32_t stop_seen)
{
	struct record *record = count_waiter(table, id, 1);
	struct record copy = {0};
	uint32_t seq;
	int rc = 0;

	if (record == NULL)
		return -ENOENT;
	while (rc != -ENOENT && rc != -ETIMEDOUT && atomic_load(stop) == stop_seen &&
	       record_copy(table, id, &copy, &seq) &&
	       !jobq_job_finished(state_shown(copy.state)))
		rc = state_shown(copy.state) == JOBQ_STATUS_NONE
			     ? -ENOENT
			     : jobq_futex_wait2(&record->seq, seq, stop, stop_seen, deadline);
	count_waiter(table, id, UINT32_MAX);
	return rc == -ENOENT ? rc : 0;
}

/* 0: the job's last change is stored; -ECANCELED: it is no more; -EINPROGRESS. */
static int how_stored(const struct jobq_table *table, uint64_t id, uint32_t *seq)
{
	struct record copy = {0};

	if (!record_copy(table, id, &copy, seq) || (copy.state & STATE_WITHDRAWN) != 0)
		return -ECANCELED;
	return (copy.state & STATE_PENDING) == 0 ? 0 : -EINPROGRESS;
}

int jobq_table_await_stored(struct jobq_table *table, uint64_t id, int64_t deadline)
{
	struct record *record;
	uint32_t seq;
	int rc = how_stored(table, id, &seq);

	if (rc != -EINPROGRESS)
		return rc;
	record = count_waiter(table, id, 1);
	if (record == NULL)
		return -ECANCELED;
	int slept = 0;
	while ((rc = how_stored(table, id, &seq)) == -EINPROGRESS && slept != -ETIMEDOUT)
		slept = jobq_futex_wait(&record->seq, seq, deadline);
	count_waiter(table, id, UINT32_MAX);
	return rc == -EINPROGRESS ? -ETIMEDOUT : rc;
}

void jobq_table_kick(struct jobq_table *table)
{
	struct header *header = table->header;

	atomic_fetch_add(&header->work, 1);
	jobq_futex_wake(&header->work, INT_MAX);
	jobq_table_nudge_writer(table);
	atomic_fetch_add(&header->feed_changes, 1);
	jobq_futex_wake(&header->feed_changes, INT_MAX);
	for (size_t at = 0; at < RING_SIZE; at += KICK_BITE) {
		table_lock(table);
		for (size_t i = at; i < at + KICK_BITE; i++) {
			struct record *record = record_find(table, table->ring[i]);
			if (record != NULL)
				wake_waiters(record);
		}
		table_unlock(table);
	}
}

void jobq_table_interrupt(_Atomic uint32_t *stop)
{
	atomic_fetch_add(stop, 1);
	jobq_futex_wake(stop, INT_MAX);
}

uint64_t jobq_table_start_time(pid_t pid)
{
	char path[64], text[1024];
	uint64_t start_time = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *in = fopen(path, "re");
	if (in == NULL)
		return 0;
	size_t len = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[len] = '\0';
	/* Field 2, the name, may hold anything: count from its closing bracket. */
	char *at = strrchr(text, ')');
	char state = 0;
	for (int field = 2; at != NULL && field < 22; field++) {
		at = strchr(at + 1, ' ');
		if (field == 2 && at != NULL)
			state = at[1];
	}
	if (at != NULL && state != 'Z' && state != 'X')
		start_time = strtoull(at + 1, NULL, 10);
	return start_time;
}

int jobq_table_enter(struct jobq_table *table, unsigned slot, pid_t *holder)
{
	struct slot_entry *entry = &table->header->start.slots[slot];
	pid_t self = getpid();
	uint64_t started = jobq_table_start_time(self);
	bool entered = false;

	while (!entered) {
		pid_t other = (pid_t)atomic_load(&entry->pid);
		uint64_t start_time = other != 0 && other != self ? jobq_table_start_time(other) : 0;
		*holder = other;
		if (start_time != 0 && start_time == atomic_load(&entry->start_time))
			return -EBUSY;
		table_lock(table);
		entered = (pid_t)atomic_load(&entry->pid) == other; /* or two would take it */
		if (entered) {
			atomic_store(&table->header->confinement[slot], 0);
			atomic_store(&entry->start_time, started);
			atomic_store(&entry->pid, (uint32_t)self);
		}
		table_unlock(table);
	}
	*holder = 0;
	return 0;
}

bool jobq_table_started_by_owner(const struct jobq_table *table)
{
	return (uint32_t)getppid() == atomic_load(&table->header->owner_pid);
}

bool jobq_table_stay(struct jobq_table *table, unsigned slot)
{
	struct slot_entry *entry = &table->header->start.slots[slot];
	uint32_t self = (uint32_t)getpid();

	if (jobq_table_started_by_owner(table))
		return true;
	/* Unless the next owner has given the slot to somebody else meanwhile. */
	atomic_compare_exchange_strong(&entry->pid, &self, 0);
	return false;
}

void jobq_table_tell_confinement(struct jobq_table *table, unsigned slot,
				 const struct jobq_table_confinement *is)
{
	uint32_t bits = is->landlock & CONFINEMENT_LANDLOCK;

	if (is->told)
		bits |= CONFINEMENT_TOLD;
	if (is->seccomp)
		bits |= CONFINEMENT_SECCOMP;
	atomic_store(&table->header->confinement[slot], bits);
}
