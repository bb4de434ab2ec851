/*
 * job, inside: how a JSON body is read, and refused with a pointer to the
 * member at fault.
 */
#ifndef JOBQ_JOB_BODY_H
#define JOBQ_JOB_BODY_H

#include "jobq/job.h"

/* Fills `why` and returns false. `pointer` is a JSON Pointer, or empty. */
bool job_refuse(struct jobq_refusal *why, const char *code, const char *pointer, const char *fmt,
		...) JOBQ_PRINTF(4, 5);

/* `pointer` + "/" + name, escaped as RFC 6901 section 3 has it. */
void job_point(char *into, size_t room, const char *pointer, const char *name);

/*
 * The object that the body is, strictly: UTF-8, no name twice, nothing behind
 * it, JOBQ_NESTING_MAX deep at the most. NULL: refused as invalid_json.
 */
json_t *job_parse(const char *body, size_t len, struct jobq_refusal *why);

/* Refuses the first member of `object` that is not one of `names` (the last is NULL). */
bool job_only_members(json_t *object, const char *pointer, const char *const *names,
		      struct jobq_refusal *why);

#endif
