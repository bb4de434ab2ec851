/*
 * Compares what the table says of each job with what the store says. Both may
 * be in use: a job that differs is looked at again until it has held still.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "jobq/store.h"

#define TRIES 40 /* looks at one job ... */
#define PAUSE 50 /* ... and milliseconds between them */

struct ids {
	uint64_t *items; /* owned */
	size_t count, room;
};

struct fsck {
	const struct jobq_conf *conf;
	struct jobq_table *table;
	struct jobq_store *store;
	struct jobq_buf bytes;
	struct ids stored, doubtful; /* by rising id; those that differed at the first look */
	uint64_t looked_for; /* the job that compare_id() is about */
	bool found;          /* whether the store has it */
	const char *how;     /* how the last two that were compared differ, or NULL */
};

static int note(struct ids *ids, uint64_t id)
{
	if (ids->count == ids->room) {
		size_t room = ids->room == 0 ? 1024 : ids->room * 2;
		uint64_t *grown = reallocarray(ids->items, room, sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		ids->items = grown;
		ids->room = room;
	}
	ids->items[ids->count++] = id;
	return 0;
}

static bool same_text(const struct jobq_text *a, const struct jobq_text *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* What differs, or NULL. Progress is stored only with other changes. */
static const char *difference(const struct jobq_entry *a, const struct jobq_entry *b)
{
	if (a->status != b->status)
		return "status";
	if (a->type != b->type)
		return "type";
	if (a->attempt != b->attempt || a->requeues != b->requeues)
		return "attempt";
	if (a->created != b->created || a->started != b->started || a->completed != b->completed)
		return "times";
	if (!same_text(&a->owner, &b->owner) || !same_text(&a->key, &b->key))
		return "owner or key";
	if (!same_text(&a->parameters, &b->parameters) || !same_text(&a->labels, &b->labels) ||
	    a->priority != b->priority)
		return "parameters";
	if (!same_text(&a->error, &b->error) || !same_text(&a->log, &b->log) ||
	    !same_text(&a->result, &b->result))
		return "result";
	return NULL;
}

/* Whether the job is to go anyway; the two sides clean up at different times. */
static bool due(const struct fsck *fsck, int64_t completed)
{
	return completed > 0 && completed < jobq_clock_wall() - fsck->conf->retention * 1000;
}

/* Compares a stored job with the table's; sets `how`. */
static int compare(struct fsck *fsck, const struct jobq_entry *stored)
{
	struct jobq_entry job;
	int rc = jobq_table_export(fsck->table, stored->id, &job, &fsck->bytes);

	if (rc == -ENOENT)
		fsck->how = due(fsck, stored->completed) ? NULL : "it is in the store only";
	else if (rc < 0)
		fsck->how = "its record in the table makes no sense";
	else
		fsck->how = difference(&job, stored);
	return rc == -ENOMEM ? rc : 0;
}

static int visit_any(void *arg, const struct jobq_entry *stored)
{
	struct fsck *fsck = arg;
	int rc = note(&fsck->stored, stored->id);

	if (rc == 0)
		rc = compare(fsck, stored);
	return rc == 0 && fsck->how != NULL ? note(&fsck->doubtful, stored->id) : rc;
}

/* Stops at the first: it is the one that is looked for, or that one is missing. */
static int visit_one(void *arg, const struct jobq_entry *stored)
{
	struct fsck *fsck = arg;

	fsck->found = stored->id == fsck->looked_for;
	int rc = fsck->found ? compare(fsck, stored) : 0;
	return rc < 0 ? rc : 1;
}

/* Looks at one job on both sides; sets `how`. */
static int compare_id(struct fsck *fsck, uint64_t id)
{
	struct jobq_entry job;

	fsck->looked_for = id;
	fsck->found = false;
	fsck->how = NULL;
	int rc = jobq_store_each(fsck->store, id - 1, visit_one, fsck);
	if (rc < 0 || fsck->found)
		return rc < 0 ? rc : 0;
	rc = jobq_table_export(fsck->table, id, &job, &fsck->bytes);
	if (rc == 0 && job.status != JOBQ_STATUS_NONE && !due(fsck, job.completed))
		fsck->how = "it is in the table only";
	return rc == -ENOMEM ? rc : 0;
}

/* Jobs of the table that were not among the stored ones. */
static int find_missing(struct fsck *fsck)
{
	size_t at = 0;
	int rc = 0;

	for (uint64_t id = 0; rc == 0 && (id = jobq_table_next(fsck->table, id)) != 0;) {
		while (at < fsck->stored.count && fsck->stored.items[at] < id)
			at++;
		if (at == fsck->stored.count || fsck->stored.items[at] != id)
			rc = note(&fsck->doubtful, id);
	}
	return rc;
}

/* Prints those that still differ when they have been given time; returns how many. */
static int settle(struct fsck *fsck, uint64_t *wrong)
{
	int rc = 0;

	for (size_t i = 0; i < fsck->doubtful.count && rc == 0; i++) {
		uint64_t id = fsck->doubtful.items[i];
		rc = compare_id(fsck, id);
		for (int tries = 1; rc == 0 && fsck->how != NULL && tries < TRIES; tries++) {
			poll(NULL, 0, PAUSE);
			rc = compare_id(fsck, id);
		}
		if (rc == 0 && fsck->how != NULL) {
			printf("job %llu: table and store disagree: %s\n", (unsigned long long)id,
			       fsck->how);
			++*wrong;
		}
	}
	return rc;
}

static int compare_sides(struct fsck *fsck)
{
	struct jobq_buf out = {0};
	struct jobq_table_stats stats;
	uint64_t wrong = jobq_table_check(fsck->table, &out);

	fputs(out.data != NULL ? out.data : "", stdout);
	jobq_buf_free(&out);
	int rc = jobq_store_each(fsck->store, 0, visit_any, fsck);
	if (rc == 0)
		rc = find_missing(fsck);
	if (rc == 0)
		rc = settle(fsck, &wrong);
	if (rc < 0) {
		fprintf(stderr, "jobqctl: %s: %s\n", fsck->conf->store,
			rc == -EUCLEAN ? "damaged: a job is not as it was written"
				       : jobq_store_error(fsck->store));
		return 2;
	}
	jobq_table_stats(fsck->table, &stats);
	printf("%zu jobs in the store, %llu disagreements", fsck->stored.count,
	       (unsigned long long)wrong);
	if (stats.changes != stats.durable)
		printf(", %llu changes wait for the store",
		       (unsigned long long)(stats.changes - stats.durable));
	putchar('\n');
	return wrong == 0 ? 0 : 1;
}

int ctl_fsck(const struct jobq_conf *conf, char *const *words)
{
	struct fsck fsck = {.conf = conf};
	struct jobq_buf why = {0};
	int status = 2;

	(void)words;
	if (ctl_attach(conf, &fsck.table) < 0)
		return status;
	if (jobq_store_open(conf->store, JOBQ_STORE_READ, conf->durability, &fsck.store, &why) < 0)
		fprintf(stderr, "jobqctl: %s\n", why.data != NULL ? why.data : "out of memory");
	else
		status = compare_sides(&fsck);
	free(fsck.stored.items);
	free(fsck.doubtful.items);
	jobq_buf_free(&fsck.bytes);
	jobq_buf_free(&why);
	jobq_store_close(fsck.store);
	jobq_table_detach(fsck.table);
	return status;
}
