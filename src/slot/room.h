/* slot, inside: what slot.c and job.c share. */
#ifndef JOBQ_SLOT_ROOM_H
#define JOBQ_SLOT_ROOM_H

#include "slot/slot.h"

/* Does one job, from its claim to its end in the table. */
void slot_job_run(struct slot_work *work, struct jobq_job_claim *claim);

#endif
