/*
 * table, inside: the counters, between the hooks and the directory. They are
 * neither truths nor derived: nothing depends on them, and a rebuild leaves
 * them as they are.
 *
 * Each part has lines of the processor's cache to itself, as those who raise the
 * one are other processes than those who raise the next.
 */
#ifndef JOBQ_TABLE_ROOM_COUNTERS_H
#define JOBQ_TABLE_ROOM_COUNTERS_H

#include "jobq/table_counters.h"
#include "table/table.h"

#define LINE 64 /* bytes of the processor's cache */

struct histogram {
	_Atomic uint64_t counts[JOBQ_BOUNDS + 1];
	_Atomic uint64_t sum;
};

/* Written under the lock. */
struct type_counters {
	_Atomic uint64_t submitted, requeued;
	_Atomic uint64_t ended[JOBQ_STATUSES];
	struct histogram waited, ran;
};

/* Written by the store's writer only. */
struct writer_counters {
	struct histogram commit_time, commit_changes;
	_Atomic uint64_t commits_failed;
	_Atomic uint64_t delivered, undelivered, retried;
};

/* Written by jobq-api's threads without the lock: a line a route. */
struct request_counters {
	_Alignas(LINE) _Atomic uint64_t by_class[JOBQ_STATUS_CLASSES];
};

struct counters {
	_Alignas(LINE) struct type_counters jobs[JOBQ_TYPES];
	_Alignas(LINE) struct writer_counters writer;
	_Alignas(LINE) _Atomic uint64_t unauthorized; /* this line: hook only */
	_Atomic uint64_t limited;
	_Alignas(LINE) struct jobq_cache_counters cache; /* under the lock, also when read */
	_Alignas(LINE) _Atomic uint32_t routes; /* what the rows below stand for; under the lock */
	struct request_counters requests[JOBQ_REQUEST_ROWS];
};

/* With the lock: the feed tells of the record, of which `was` is what it told last. */
void counters_note(struct jobq_table *table, const struct record *record, state_t was);

#endif
