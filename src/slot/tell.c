#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slot/scenes.h"

#define PATIENCE 5000000 /* microseconds for the store's writer to make room */

/* Adds what every scene event has, and posts it. Takes `data`. */
static void tell(struct slot_work *work, enum jobq_event_kind kind, const char *path, json_t *data)
{
	char id[24];
	int rc = -ENOMEM;

	snprintf(id, sizeof(id), "%" PRIu64, work->claim->id);
	json_t *whole = json_pack("{s:s, s:s}", "job_id", id, "scene_path", path);
	if (whole != NULL && data != NULL && json_object_update(whole, data) == 0) {
		char *text = json_dumps(whole, JSON_COMPACT);
		if (text != NULL)
			rc = jobq_table_post_event(work->table, kind, work->claim->id, text,
						   strlen(text), jobq_clock_mono() + PATIENCE);
		free(text);
	}
	json_decref(whole);
	json_decref(data);
	if (rc < 0)
		atomic_fetch_add(&work->events_lost, 1);
}

static bool wanted(const struct slot_work *work, enum jobq_event_kind kind)
{
	return (jobq_table_wanted(work->table) & JOBQ_EVENT_BIT(kind)) != 0;
}

void slot_tell_failed(struct slot_work *work, const char *path, const char *error)
{
	if (wanted(work, JOBQ_EVENT_SCENE_FAILED))
		tell(work, JOBQ_EVENT_SCENE_FAILED, path, json_pack("{s:s}", "error", error));
}

void slot_tell_loaded(struct slot_work *work, const char *path, const struct jobq_scene_load *load)
{
	static const enum jobq_event_kind kinds[] = {JOBQ_EVENT_SCENE_LOADED,
						     JOBQ_EVENT_SCENE_RELOADED};
	const struct jobq_scene_facts *facts = load->facts;

	if (load->error != NULL) {
		slot_tell_failed(work, path, slot_scenes_error(load));
		return;
	}
	for (size_t i = 0; i < (load->reloaded ? 2 : 1); i++)
		if (wanted(work, kinds[i]))
			tell(work, kinds[i], path,
			     json_pack("{s:I, s:s?, s:s?, s:I, s:I, s:b}", "node_count",
				       (json_int_t)facts->node_count, "root_type", facts->root_type,
				       "root_name", facts->root_name, "dependencies",
				       (json_int_t)load->file_count - 1, "bytes",
				       (json_int_t)load->bytes, "cached", (int)load->cached));
}

/* At most so many sentences of each kind: an event is a notice, the result has them all. */
#define SENTENCES 20

static json_t *first(const json_t *sentences)
{
	json_t *some = json_array();

	for (size_t i = 0; i < json_array_size(sentences) && i < SENTENCES; i++)
		json_array_append(some, json_array_get(sentences, i));
	return some;
}

void slot_tell_validated(struct slot_work *work, const char *path, const json_t *result)
{
	const json_t *errors = json_object_get(result, "errors");
	const json_t *warnings = json_object_get(result, "warnings");

	if (!wanted(work, JOBQ_EVENT_SCENE_VALIDATED))
		return;
	tell(work, JOBQ_EVENT_SCENE_VALIDATED, path,
	     json_pack("{s:O, s:I, s:I, s:o, s:o, s:O}", "valid", json_object_get(result, "valid"),
		       "error_count", (json_int_t)json_array_size(errors), "warning_count",
		       (json_int_t)json_array_size(warnings), "errors", first(errors), "warnings",
		       first(warnings), "scene_info", json_object_get(result, "scene_info")));
}

void slot_tell_end(struct slot_work *work)
{
	unsigned lost = atomic_exchange(&work->events_lost, 0);

	if (lost > 0)
		jobq_log(JOBQ_LOG_ERROR, "events_lost",
			 "job=%" PRIu64 " count=%u msg=\"the store's writer had no room for what "
			 "webhooks were to be told of scenes\"", work->claim->id, lost);
}
