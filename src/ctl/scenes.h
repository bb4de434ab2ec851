/*
 * ctl: the scenes that a submission names.
 */
#ifndef JOBQ_CTL_SCENES_H
#define JOBQ_CTL_SCENES_H

#include <jansson.h>

#include "ctl/ctl.h"

struct ctl_scenes {
	const char *project; /* where globs are looked for; NULL: the working directory, if it is one */
	const char *action;  /* of operations; NULL: the job takes paths, not operations */
	json_t *items;	     /* owned: an array of paths or of operations */
	char **files;	     /* owned: the project's scenes, sorted; NULL: not looked for yet */
	size_t file_count, file_room;
};

/*
 * Adds what `words` name: paths, globs, and with - what standard input says.
 * Returns 0, or CTL_USAGE when it has said what is wrong. The caller frees.
 */
int ctl_scenes_add(struct ctl_scenes *scenes, char *const *words);
void ctl_scenes_free(struct ctl_scenes *scenes);

#endif
