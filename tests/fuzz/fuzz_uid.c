/*
 * libFuzzer target over the reader of .godot/uid_cache.bin and of the heads that
 * uids are looked for in: the input is each of these files of a project.
 */
#include "config.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scene/scene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {".godot/uid_cache.bin", "a.tscn", "b.gd.uid", "c.png.import"};
static char root[] = "/dev/shm/jobq-fuzz-uid-XXXXXX";

static void clean_up(void)
{
	if (chdir(root) != 0)
		return;
	for (size_t i = 0; i < JOBQ_LENGTH(names); i++)
		(void)unlink(names[i]);
	(void)rmdir(".godot");
	(void)rmdir(root);
}

static void set_up(void)
{
	if (mkdtemp(root) == NULL || chdir(root) != 0 || mkdir(".godot", 0700) != 0)
		abort();
	(void)atexit(clean_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct jobq_scene_project *project;

	if (!ready)
		set_up();
	ready = true;
	for (size_t i = 0; i < JOBQ_LENGTH(names); i++) {
		int fd = open(names[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, data, size) != (ssize_t)size)
			abort();
		close(fd);
	}
	if (jobq_scene_project_open(&project, root, NULL) != 0)
		abort();
	(void)scene_uid_path(project, "uid://bx2c", true, true);
	(void)scene_uid_path(project, "uid://a1", false, true);
	jobq_scene_project_close(project);
	return 0;
}
