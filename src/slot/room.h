/* slot, inside: what slot.c, job.c and confine.c share. */
#ifndef JOBQ_SLOT_ROOM_H
#define JOBQ_SLOT_ROOM_H

#include "slot/slot.h"

/* Does one job, from its claim to its end in the table. */
void slot_job_run(struct slot_work *work, struct jobq_job_claim *claim);

/* Tells the table the scene cache's numbers; `fresh`: this worker is new to it. */
void slot_tell_cache(struct slot_work *work, bool fresh);

/*
 * Takes from this process, for good, what a worker does not need: all but
 * reading beneath the directory `root` and using what is open already. Called
 * once, when everything is open, in the process's only thread. What the kernel
 * does not have is logged and done without; `is` says what is in force.
 */
void slot_confine(int root, struct jobq_table_confinement *is);

#endif
