/*
 * slot: the worker processes' side of jobqd.
 */
#ifndef JOBQ_SLOT_H
#define JOBQ_SLOT_H

#include "jobq/conf.h"

/*
 * The worker process of a slot: does jobs until it is told to leave (SIGTERM,
 * a draining table). Returns the exit status of the process.
 */
int jobq_slot_main(const struct jobq_conf *conf, unsigned slot);

/*
 * Makes the shared memory of the scene cache, or keeps what is there if it is
 * sound and of the configured size. For jobqd, before it starts workers.
 * Returns 0 or a negative errno with a sentence in `why`.
 */
int jobq_slot_cache_create(const struct jobq_conf *conf, struct jobq_buf *why);

#endif
