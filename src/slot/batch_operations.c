#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slot/scenes.h"

/* One batch. What is in it belongs to the one call of slot_batch_operations(). */
struct batch {
	struct slot_work *work;
	json_t *operations; /* the rows of the result */
	json_t *kept;       /* paths that this job put into the cache */
	size_t successful, failed;
	char why[512]; /* the last failure */
};

/* How one operation ended. `result` or `error`, not both. */
struct outcome {
	bool success;
	json_t *result;
	const char *error;
};

static void remember(struct batch *batch, const char *why)
{
	snprintf(batch->why, sizeof(batch->why), "%s", why);
	/* A cut may have left half a character, which no JSON text may hold. */
	size_t len = strlen(batch->why);
	if (len + 1 < sizeof(batch->why))
		return;
	while (len > 0 && ((unsigned char)batch->why[len - 1] & 0xc0) == 0x80)
		len--;
	batch->why[len > 0 ? len - 1 : 0] = '\0';
}

static json_t *load_result(const struct jobq_scene_load *load)
{
	return json_pack("{s:I, s:s?, s:s?, s:I, s:I, s:b}", "node_count",
			 (json_int_t)load->facts->node_count, "root_type", load->facts->root_type,
			 "root_name", load->facts->root_name, "dependencies",
			 (json_int_t)load->file_count - 1, "bytes", (json_int_t)load->bytes,
			 "cached", (int)load->cached);
}

/* Each returns false when out of memory. The error is borrowed from the load. */
static bool run_load(struct batch *batch, const char *path, struct jobq_scene_load *load,
		     struct outcome *out)
{
	if (jobq_scene_load(batch->work->project, batch->work->cache, path, 0, load) < 0)
		return false;
	for (size_t i = 0; i < load->kept.count; i++) {
		if (json_array_append_new(batch->kept, json_string(load->kept.items[i])) != 0)
			return false;
	}
	slot_tell_loaded(batch->work, path, load);
	out->error = slot_scenes_error(load);
	out->success = out->error == NULL;
	out->result = out->success ? load_result(load) : NULL;
	return !out->success || out->result != NULL;
}

static bool add_all(json_t *array, const struct jobq_scene_texts *texts)
{
	for (size_t i = 0; i < texts->count; i++) {
		if (json_array_append_new(array, json_string(texts->items[i])) != 0)
			return false;
	}
	return true;
}

static bool run_validate(struct batch *batch, const char *path, struct jobq_scene_load *load,
			 struct outcome *out)
{
	if (jobq_scene_load(batch->work->project, NULL, path, JOBQ_SCENE_VALIDATE, load) < 0)
		return false;
	if (load->facts == NULL) {
		out->error = slot_scenes_error(load);
		slot_tell_failed(batch->work, path, out->error);
		return true;
	}
	json_t *errors = json_array(), *warnings = json_array();
	bool good = add_all(errors, &load->errors) && add_all(warnings, &load->warnings);
	out->success = good && json_array_size(errors) == 0;
	if (good && !out->success)
		remember(batch, json_string_value(json_array_get(errors, 0)));
	out->result = json_pack("{s:b, s:o, s:o, s:{s:I, s:s?, s:s?}}", "valid", (int)out->success,
				"errors", errors, "warnings", warnings, "scene_info", "node_count",
				(json_int_t)load->facts->node_count, "root_type",
				load->facts->root_type, "root_name", load->facts->root_name);
	if (good && out->result != NULL)
		slot_tell_validated(batch->work, path, out->result);
	return good && out->result != NULL;
}

static bool run_info(struct batch *batch, const char *path, struct jobq_scene_load *load,
		     struct outcome *out)
{
	if (jobq_scene_look(batch->work->project, batch->work->cache, path, load) < 0)
		return false;
	const struct jobq_scene_facts *facts = load->facts;
	out->error = facts == NULL ? slot_scenes_error(load) : NULL;
	out->success = facts != NULL;
	if (facts == NULL)
		return true;
	json_t *format = facts->format < 0 ? json_null() : json_integer(facts->format);
	json_t *dependencies = json_array();
	bool good = true;
	for (size_t i = 0; i < facts->dependency_count && good; i++) {
		const struct jobq_scene_dependency *dependency = &facts->dependencies[i];
		good = dependency->type == NULL ||
		       json_array_append_new(dependencies, json_string(dependency->path)) == 0;
	}
	out->result = json_pack("{s:I, s:I, s:o, s:s?, s:b, s:I, s:s?, s:s?, s:o}", "size",
				(json_int_t)load->stamp.bytes, "modified",
				(json_int_t)(load->stamp.modified / 1000000000), "format", format,
				"uid", facts->uid, "cached", (int)load->cached, "node_count",
				(json_int_t)facts->node_count, "root_type", facts->root_type,
				"root_name", facts->root_name, "dependencies", dependencies);
	return good && out->result != NULL;
}

static bool run(struct batch *batch, const char *action, const char *path,
		struct jobq_scene_load *load, struct outcome *out)
{
	out->error = slot_scenes_refused(batch->work, path);
	if (out->error != NULL) {
		slot_tell_failed(batch->work, path, out->error);
		return true;
	}
	if (strcmp(action, "load") == 0)
		return run_load(batch, path, load, out);
	if (strcmp(action, "validate") == 0)
		return run_validate(batch, path, load, out);
	return run_info(batch, path, load, out);
}

/* Does one operation and adds its row. False: out of memory. */
static bool operate(struct batch *batch, size_t index, const json_t *operation, bool *success)
{
	const char *action = json_string_value(json_object_get(operation, "action"));
	const char *path = json_string_value(json_object_get(operation, "scene_path"));
	struct jobq_scene_load load = {0};
	struct outcome out = {0};
	bool good = run(batch, action, path, &load, &out);
	json_t *row = json_pack("{s:I, s:s, s:s, s:b}", "index", (json_int_t)index, "action",
				action, "scene_path", path, "success", (int)out.success);

	if (out.result != NULL)
		good = json_object_set_new(row, "result", out.result) == 0 && good;
	else if (out.error != NULL)
		good = json_object_set_new(row, "error", json_string(out.error)) == 0 && good;
	if (out.error != NULL)
		remember(batch, out.error);
	slot_log(batch->work, "%s %s: %s%s", action, path, out.success ? "done" : "failed: ",
		 out.success ? "" : batch->why);
	jobq_scene_load_free(&load);
	batch->successful += out.success;
	batch->failed += !out.success;
	*success = out.success;
	return json_array_append_new(batch->operations, row) == 0 && good;
}

/* Takes back what this job put into the cache. */
static void roll_back(struct batch *batch)
{
	size_t i;
	json_t *path;

	json_array_foreach(batch->kept, i, path)
		jobq_scene_cache_remove(batch->work->cache, json_string_value(path));
}

static int finish(struct batch *batch, size_t total, const char *mode, const json_t *stopped_at)
{
	struct slot_work *work = batch->work;
	bool stopped = stopped_at != NULL;

	work->result = json_pack("{s:I, s:s, s:s, s:I, s:I, s:O}", "total", (json_int_t)total,
				 "message", stopped ? "Batch operations rolled back"
						    : "Batch operations completed",
				 "mode", mode, "successful", (json_int_t)batch->successful,
				 "failed", (json_int_t)batch->failed, "operations",
				 batch->operations);
	if (work->result == NULL)
		return -ENOMEM;
	if (!stopped)
		return 0;
	roll_back(batch);
	if (json_object_set_new(work->result, "rollback", json_true()) != 0 ||
	    asprintf(&work->error, "operation %zu (%s %s) failed: %s",
		     json_array_size(batch->operations) - 1,
		     json_string_value(json_object_get(stopped_at, "action")),
		     json_string_value(json_object_get(stopped_at, "scene_path")), batch->why) < 0) {
		work->error = NULL;
		return -ENOMEM;
	}
	return 0;
}

int slot_batch_operations(struct slot_work *work)
{
	const json_t *all = json_object_get(work->parameters, "operations");
	const char *mode = json_string_value(json_object_get(work->parameters, "mode"));
	struct batch batch = {.work = work, .operations = json_array(), .kept = json_array()};
	const json_t *stopped_at = NULL;
	size_t total = json_array_size(all);
	bool good = true;

	if (mode == NULL)
		mode = "continue";
	for (size_t i = 0; i < total && good && stopped_at == NULL; i++) {
		if (slot_stopped(work))
			break;
		const json_t *operation = json_array_get(all, i);
		bool success = false;
		good = operate(&batch, i, operation, &success);
		if (good && !success && strcmp(mode, "transactional") == 0)
			stopped_at = operation;
		slot_progress(work, i + 1, total);
	}
	work->whole = json_array_size(batch.operations) == total || stopped_at != NULL;
	if (good && !work->whole && strcmp(mode, "transactional") == 0)
		roll_back(&batch);
	int error = good ? finish(&batch, total, mode, stopped_at) : -ENOMEM;
	json_decref(batch.operations);
	json_decref(batch.kept);
	return error;
}
