/*
 * ctl: what the commands about single jobs have in common.
 */
#ifndef JOBQ_CTL_JOBS_H
#define JOBQ_CTL_JOBS_H

#include "ctl/view.h"

/* Shows what the service answered, which was no error, about one job; returns the exit status. */
typedef int (*ctl_jobs_show)(const char *id, const struct ctl_answer *answer, bool json);

/*
 * Sends METHOD /jobs/ID and `rest` ("", or /cancel and so on) for each of the ids and shows the
 * answers; returns the worst status.
 */
int ctl_jobs_each(const char *method, char *const *ids, const char *rest, ctl_jobs_show show,
		  bool json);

/* What makes a new job, and what is to be done with it then. All borrowed. */
struct ctl_new_job {
	const char *path; /* it is posted there */
	json_t *body;
	const char *key; /* idempotency key, or NULL */
	uint64_t total;	 /* scenes or operations; 0: not known */
	bool wait, json;
};

/* Posts it, prints the new job's id, and follows it if it is to wait; returns the exit status. */
int ctl_jobs_start(const struct ctl_new_job *job);

/* Whether a word is a label, NAME=VALUE; else says so. `*name_len`: how long the name is. */
bool ctl_jobs_is_label(const char *word, size_t *name_len);

/* Adds a time of the API as people here read it; - when there is none. */
void ctl_jobs_time(struct jobq_buf *out, const json_t *time);

unsigned ctl_jobs_percent(const json_t *job);

#endif
