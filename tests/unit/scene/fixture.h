/* A project in a directory of its own, made and removed by the test. */
#ifndef JOBQ_TEST_SCENE_FIXTURE_H
#define JOBQ_TEST_SCENE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "scene/scene.h"

static char fixture_root[64];

static inline const char *fixture_path(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", fixture_root, name);
	return path;
}

static inline int fixture_make(void **state)
{
	(void)state;
	strcpy(fixture_root, "/tmp/jobq-scene-XXXXXX");
	return mkdtemp(fixture_root) == NULL ? -1 : 0;
}

static inline int fixture_remove_one(const char *path, const struct stat *st, int flag,
				     struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline int fixture_remove(void **state)
{
	(void)state;
	return nftw(fixture_root, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file, with the directories that it is in. */
static inline void fixture_write_bytes(const char *name, const void *bytes, size_t len)
{
	char dir[64];

	for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - name), name);
		mkdir(fixture_path(dir), 0755);
	}
	FILE *file = fopen(fixture_path(name), "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	/* One written just now is not kept; each time of writing is another. */
	static time_t when = 1000000000;
	when++;
	struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};
	fflush(file);
	assert_int_equal(futimens(fileno(file), times), 0);
	fclose(file);
}

static inline void fixture_write(const char *name, const char *text)
{
	fixture_write_bytes(name, text, strlen(text));
}

#endif
