/*
 * scene-check: `scene-check PROJECT` reads scene paths from standard input, one
 * a line, and writes one JSON object for each, in that order.
 */
#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobq/scene.h"

static json_t *describe(const char *path, const struct jobq_scene_load *load)
{
	json_t *missing = json_array();

	for (size_t i = 0; i < load->missing_count; i++)
		json_array_append_new(missing, json_string(load->missing[i].path));
	json_t *object = json_pack("{s:s, s:b, s:s?, s:o}", "scene_path", path, "loads",
				   load->error == NULL, "error", load->error, "missing", missing);
	if (load->facts != NULL)
		json_object_update_new(
			object, json_pack("{s:I, s:s?, s:s?, s:i}", "node_count",
					  (json_int_t)load->facts->node_count, "root_type",
					  load->facts->root_type, "root_name",
					  load->facts->root_name, "warnings",
					  (int)load->warnings.count));
	return object;
}

int main(int argc, char **argv)
{
	struct jobq_scene_project *project;
	char path[4096];

	if (argc != 2 || jobq_scene_project_open(&project, argv[1], NULL) < 0) {
		fprintf(stderr, "usage: scene-check PROJECT <PATHS\n");
		return 2;
	}
	while (fgets(path, sizeof(path), stdin) != NULL) {
		struct jobq_scene_load load;
		path[strcspn(path, "\n")] = '\0';
		if (jobq_scene_load(project, NULL, path, JOBQ_SCENE_VALIDATE, &load) < 0)
			return 1;
		json_t *object = describe(path, &load);
		json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(object);
		jobq_scene_load_free(&load);
	}
	jobq_scene_project_close(project);
	return 0;
}
