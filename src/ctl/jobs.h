/*
 * ctl: what the commands about single jobs have in common.
 */
#ifndef JOBQ_CTL_JOBS_H
#define JOBQ_CTL_JOBS_H

#include "ctl/view.h"

/* Shows what the service answered, which was no error, about one job; returns the exit status. */
typedef int (*ctl_jobs_show)(const char *id, const struct ctl_answer *answer, bool json);

/* Sends METHOD /jobs/ID for each of the ids and shows the answers; returns the worst status. */
int ctl_jobs_each(const char *method, char *const *ids, ctl_jobs_show show, bool json);

/* Adds a time of the API as people here read it; - when there is none. */
void ctl_jobs_time(struct jobq_buf *out, const json_t *time);

unsigned ctl_jobs_percent(const json_t *job);

#endif
