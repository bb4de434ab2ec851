#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "hook/hook.h"

#define ROOM (2 * HOOK_WINDOW) /* while reading anew; else HOOK_WINDOW */
#define READ_LEAST 100	       /* room for so many is worth a reading */
#define JOBS 4096	       /* a power of two, well above ROOM */
#define FAR (INT64_C(7200) * 1000000) /* nothing is due later: the clock was set back */

bool hook_window_open(struct hook_window *window)
{
	*window = (struct hook_window){.anew = true};
	window->entries = calloc(ROOM, sizeof(*window->entries));
	return window->entries != NULL;
}

void hook_window_free(struct hook_window *window)
{
	free(window->entries);
	*window = (struct hook_window){0};
}

/* Among the first `count`, which are in their order. */
static struct hook_entry *search(const struct hook_window *window, size_t count, uint64_t event)
{
	size_t from = 0, to = count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (window->entries[middle].event < event)
			from = middle + 1;
		else
			to = middle;
	}
	return from < count && window->entries[from].event == event ? &window->entries[from] : NULL;
}

struct hook_entry *hook_window_find(struct hook_window *window, uint64_t event)
{
	return search(window, window->count, event);
}

void hook_window_clear(struct hook_window *window)
{
	size_t kept = 0;

	for (size_t i = 0; i < window->count; i++)
		if (window->entries[i].state != HOOK_WAITING)
			window->entries[kept++] = window->entries[i];
	window->count = kept;
	window->last = 0;
	window->more = window->again = false;
	window->anew = true;
}

/* ---- reading -------------------------------------------------------------- */

size_t hook_window_wants(struct hook_window *window, uint64_t *after)
{
	window->known = window->count;
	if (window->anew) {
		for (size_t i = 0; i < window->count; i++)
			window->entries[i].seen = false;
		*after = window->last = 0;
		return HOOK_WINDOW;
	}
	*after = window->last;
	return window->more && window->count + READ_LEAST <= HOOK_WINDOW
		       ? HOOK_WINDOW - window->count
		       : 0;
}

void hook_window_offer(struct hook_window *window, const struct jobq_pending *pending)
{
	struct hook_entry *entry = search(window, window->known, pending->event);

	if (pending->event > window->last)
		window->last = pending->event;
	if (entry != NULL) {
		entry->seen = true;
		window->again = window->again || entry->state == HOOK_SETTLED;
		return;
	}
	if (window->count == ROOM)
		return;
	window->entries[window->count++] = (struct hook_entry){
		.event = pending->event,
		.job = pending->job,
		.due = pending->due,
		.kind = pending->kind,
		.attempts = pending->attempts,
		.seen = true,
	};
}

static int compare(const void *a, const void *b)
{
	const struct hook_entry *one = a, *other = b;

	return (one->event > other->event) - (one->event < other->event);
}

/* Those that the store does not have any more, as far as it was read. */
static void drop_unseen(struct hook_window *window, uint64_t upto)
{
	size_t kept = 0;

	for (size_t i = 0; i < window->count; i++) {
		const struct hook_entry *entry = &window->entries[i];
		if (entry->state != HOOK_WAITING || entry->seen || entry->event > upto)
			window->entries[kept++] = *entry;
	}
	window->count = kept;
}

/* The last ones are read again when there is room. */
static void trim(struct hook_window *window)
{
	for (size_t i = window->count; i-- > 0 && window->count > HOOK_WINDOW;) {
		struct hook_entry *entry = &window->entries[i];
		if (entry->state != HOOK_WAITING)
			continue;
		if (entry->event <= window->last)
			window->last = entry->event - 1;
		window->more = true;
		window->count--;
		memmove(entry, entry + 1, (window->count - i) * sizeof(*entry));
	}
}

void hook_window_taken(struct hook_window *window, bool whole)
{
	if (window->anew)
		drop_unseen(window, whole ? UINT64_MAX : window->last);
	window->anew = false;
	window->more = !whole;
	qsort(window->entries, window->count, sizeof(*window->entries), compare);
	trim(window);
}

/* ---- sending -------------------------------------------------------------- */

/* Adds a job to a set; false: it was in it. */
static bool add_job(uint64_t jobs[JOBS], uint64_t job)
{
	size_t at = (size_t)(job * UINT64_C(0x9e3779b97f4a7c15) >> 52) & (JOBS - 1);

	while (jobs[at] != 0 && jobs[at] != job)
		at = (at + 1) & (JOBS - 1);
	bool fresh = jobs[at] == 0;
	jobs[at] = job;
	return fresh;
}

static bool is_due(const struct hook_entry *entry, int64_t now)
{
	return entry->due <= now || entry->due > now + FAR;
}

size_t hook_window_pick(struct hook_window *window, int64_t now, struct hook_entry **out,
			size_t max, int64_t *next)
{
	uint64_t jobs[JOBS] = {0};
	size_t count = 0;

	*next = INT64_MAX;
	for (size_t i = 0; i < window->count && count < max; i++) {
		struct hook_entry *entry = &window->entries[i];
		if (entry->state == HOOK_SETTLED ||
		    (entry->job != 0 && !add_job(jobs, entry->job)) ||
		    entry->state == HOOK_RUNNING)
			continue;
		if (is_due(entry, now))
			out[count++] = entry;
		else if (entry->due < *next)
			*next = entry->due;
	}
	return count;
}

void hook_window_ended(struct hook_window *window, struct hook_entry *entry,
		       const struct jobq_outcome *outcome)
{
	window->running -= entry->state == HOOK_RUNNING;
	entry->attempts = outcome->attempts;
	entry->due = outcome->due;
	entry->posted = 0;
	entry->state = outcome->verdict == JOBQ_OUTCOME_RETRY ? HOOK_WAITING : HOOK_SETTLED;
}

/* ---- forgetting ----------------------------------------------------------- */

static size_t drop_settled(struct hook_window *window, uint64_t upto)
{
	size_t kept = 0, before = window->count;

	for (size_t i = 0; i < before; i++) {
		const struct hook_entry *entry = &window->entries[i];
		if (entry->state != HOOK_SETTLED || entry->posted == 0 || entry->posted > upto)
			window->entries[kept++] = *entry;
	}
	window->count = kept;
	return before - kept;
}

void hook_window_prune(struct hook_window *window, uint64_t handled)
{
	if (drop_settled(window, handled) > 0 && window->again) {
		window->again = false;
		window->anew = true;
	}
}

void hook_window_restart(struct hook_window *window)
{
	drop_settled(window, UINT64_MAX);
	window->again = false;
	window->anew = true;
}
