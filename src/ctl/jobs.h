/*
 * ctl: what the commands about single jobs have in common.
 */
#ifndef JOBQ_CTL_JOBS_H
#define JOBQ_CTL_JOBS_H

#include "ctl/view.h"

/* Does something about one job; returns the exit status. */
typedef int (*ctl_jobs_one)(struct ctl_client *client, const char *id, bool json);

/* Does it for each of the ids; returns the worst status. */
int ctl_jobs_each(char *const *ids, ctl_jobs_one one, bool json);

/* Adds a time of the API as people here read it; - when there is none. */
void ctl_jobs_time(struct jobq_buf *out, const json_t *time);

unsigned ctl_jobs_percent(const json_t *job);

#endif
