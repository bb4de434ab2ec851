/* slot, inside: what the three job types have in common about scenes. */
#ifndef JOBQ_SLOT_SCENES_H
#define JOBQ_SLOT_SCENES_H

#include "slot/slot.h"

/*
 * Whether a path may not be opened: checked again just before each use,
 * whatever was checked when the job was submitted. NULL or a static sentence.
 */
const char *slot_scenes_refused(const struct slot_work *work, const char *path);

/* What a client reads about a scene that did not load; borrowed from `load`. */
const char *slot_scenes_error(const struct jobq_scene_load *load);

#endif
