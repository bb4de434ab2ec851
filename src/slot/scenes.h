/* slot, inside: what job types have in common about scenes. */
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

/*
 * tell.c: what webhooks are to be told of a scene. Any thread of the job's; costs
 * nothing while no webhook wants it. What finds no room in time is counted.
 */
void slot_tell_failed(struct slot_work *work, const char *path, const char *error);
void slot_tell_loaded(struct slot_work *work, const char *path,
		      const struct jobq_scene_load *load);
/* `result` as in the result of the action validate. */
void slot_tell_validated(struct slot_work *work, const char *path, const json_t *result);
/* log.c: a line about a scene that `action` was done to. */
void slot_log_load(struct slot_work *work, const char *action, const char *path,
		   const struct jobq_scene_load *load);
/* At the end of a job: its log, which lies in `work`. */
#define SLOT_LOG_END 64 /* bytes kept for the last line */
struct jobq_text slot_log_end(struct slot_work *work);

/* At the end of a job: logs how many found no room. */
void slot_tell_end(struct slot_work *work);

#endif
