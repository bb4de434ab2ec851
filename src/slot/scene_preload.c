#include "config.h"

#include <errno.h>
#include <string.h>

#include "slot/scenes.h"

const char *slot_scenes_refused(const struct slot_work *work, const char *path)
{
	if (jobq_paths_malformed(path, strlen(path)) != NULL)
		return "Scene path is malformed";
	if (!jobq_paths_match_any(&work->conf->whitelist, path))
		return "Scene path is not whitelisted";
	if (jobq_paths_match_any(&work->conf->blacklist, path))
		return "Scene path is blacklisted";
	return NULL;
}

const char *slot_scenes_error(const struct jobq_scene_load *load)
{
	if (load->reason == -ENOENT || load->reason == -ENOTDIR)
		return "Scene not found";
	return load->error;
}

static json_t *row(const char *path, const char *error)
{
	if (error == NULL)
		return json_pack("{s:s, s:b}", "scene_path", path, "success", 1);
	return json_pack("{s:s, s:b, s:s}", "scene_path", path, "success", 0, "error", error);
}

/* Loads one scene and says how it went. NULL: out of memory. */
static json_t *preload(struct slot_work *work, const char *path, size_t *loaded)
{
	const char *refused = slot_scenes_refused(work, path);
	struct jobq_scene_load load;
	json_t *answer = NULL;

	if (refused != NULL) {
		slot_tell_failed(work, path, refused);
		slot_log(work, "preload %s: refused: %s", path, refused);
		return row(path, refused);
	}
	if (jobq_scene_load(work->project, work->cache, path, JOBQ_SCENE_PRELOAD, &load) == 0) {
		answer = row(path, slot_scenes_error(&load));
		*loaded += load.error == NULL;
		slot_log_load(work, "preload", path, &load);
		slot_tell_loaded(work, path, &load);
	}
	jobq_scene_load_free(&load);
	return answer;
}

int slot_scene_preload(struct slot_work *work)
{
	const json_t *paths = json_object_get(work->parameters, "scene_paths");
	size_t total = json_array_size(paths), loaded = 0;
	json_t *scenes = json_array();

	for (size_t i = 0; i < total && !slot_stopped(work); i++) {
		const char *path = json_string_value(json_array_get(paths, i));
		if (json_array_append_new(scenes, preload(work, path, &loaded)) != 0) {
			json_decref(scenes);
			return -ENOMEM;
		}
		slot_progress(work, i + 1, total);
	}
	work->whole = json_array_size(scenes) == total;
	work->result = json_pack("{s:I, s:I, s:o}", "scenes_loaded", (json_int_t)loaded,
				 "total_scenes", (json_int_t)total, "scenes", scenes);
	return work->result == NULL ? -ENOMEM : 0;
}
