#include "config.h"

#include <string.h>

#include "hook/hook.h"

void hook_post_add(struct hook_post *post, const struct jobq_outcome *outcome)
{
	if (post->count == JOBQ_LENGTH(post->outcomes))
		return; /* cannot be: no request starts beyond HOOK_OUTCOMES */
	if (post->count == 0)
		post->since = jobq_clock_mono();
	post->outcomes[post->count++] = *outcome;
}

size_t hook_post_flush(struct hook_post *post, struct jobq_table *table)
{
	size_t gone = jobq_table_post_outcomes(table, post->outcomes, post->count);

	if (gone > 0)
		jobq_table_nudge_writer(table);
	return gone;
}

void hook_post_drop(struct hook_post *post, size_t gone)
{
	post->count -= gone;
	post->since = jobq_clock_mono();
	memmove(post->outcomes, post->outcomes + gone, post->count * sizeof(*post->outcomes));
}
