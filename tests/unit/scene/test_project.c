#include "config.h"

#include "fixture.h"

static struct jobq_scene_project *project;
static struct jobq_scene_stamp stamp;

/* Opens by both ways, which have to agree; returns 0 or the error. */
static int try_open(const char *path)
{
	int answers[2];

	for (int i = 0; i < 2; i++) {
		project->walk = i == 1;
		int fd = scene_project_file(project, path, &stamp);
		answers[i] = fd < 0 ? fd : 0;
		if (fd >= 0)
			close(fd);
	}
	project->walk = false;
	assert_int_equal(answers[0], answers[1]);
	return answers[0];
}

static int make(void **state)
{
	static char *items[] = {(char *)"res://secret/"};
	static const struct jobq_list blacklist = {items, 1};

	if (fixture_make(state) != 0)
		return -1;
	fixture_write("project.godot", "config_version=4\n");
	fixture_write("a.tscn", "text");
	fixture_write("dir/b.tscn", "more");
	fixture_write("secret/c.tscn", "");
	return jobq_scene_project_open(&project, fixture_root, &blacklist);
}

static int end(void **state)
{
	jobq_scene_project_close(project);
	return fixture_remove(state);
}

static void opens_what_is_there(void **state)
{
	(void)state;
	assert_int_equal(project->engine, SCENE_ENGINE_3);
	assert_int_equal(try_open("res://a.tscn"), 0);
	assert_int_equal(stamp.bytes, 4);
	assert_int_equal(try_open("res://dir/b.tscn"), 0);
	assert_int_equal(try_open("res://A.tscn"), -ENOENT);
	assert_int_equal(try_open("res://none/a.tscn"), -ENOENT);
	assert_int_equal(try_open("res://a.tscn/b"), -ENOTDIR);
	assert_int_equal(try_open("res://secret/c.tscn"), -EPERM);
}

static void refuses_other_ways(void **state)
{
	(void)state;
	assert_int_equal(symlink("a.tscn", fixture_path("link.tscn")), 0);
	assert_int_equal(symlink("dir", fixture_path("linked")), 0);
	assert_int_equal(try_open("res://link.tscn"), -ELOOP);
	assert_true(try_open("res://linked/b.tscn") < 0);
	assert_int_equal(try_open("res://dir/../a.tscn"), -EINVAL);
	assert_int_equal(try_open("res://../a.tscn"), -EINVAL);
	assert_int_equal(try_open("res:///etc/passwd"), -EINVAL);
	assert_int_equal(try_open("/etc/passwd"), -EINVAL);
	assert_int_equal(try_open(""), -EINVAL);
}

static void refuses_what_is_no_file(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(fixture_path("pipe.tscn"), 0600), 0);
	assert_int_equal(try_open("res://pipe.tscn"), -ENODEV);
	assert_int_equal(try_open("res://dir"), -EISDIR);
}

static void reads_whole_or_not_at_all(void **state)
{
	char *data = NULL;
	int fd = scene_project_file(project, "res://a.tscn", &stamp);

	(void)state;
	assert_int_equal(scene_project_read(fd, &stamp, &data), 0);
	assert_memory_equal(data, "text", 4);
	free(data);
	/* Grown, shrunk, or touched since it was opened. */
	fixture_write("a.tscn", "longer text");
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(scene_project_read(fd, &stamp, &data), -ESTALE);
	assert_int_equal(truncate(fixture_path("a.tscn"), 1), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(scene_project_read(fd, &stamp, &data), -ESTALE);
	close(fd);
	fixture_write("a.tscn", "text");
}

static void size_has_a_limit(void **state)
{
	char *data;

	(void)state;
	fixture_write("big.tscn", "");
	assert_int_equal(truncate(fixture_path("big.tscn"), (off_t)JOBQ_SCENE_FILE_MAX + 1), 0);
	int fd = scene_project_file(project, "res://big.tscn", &stamp);
	assert_int_equal(scene_project_read(fd, &stamp, &data), -EFBIG);
	scene_project_preload(fd, 1 << 20);
	close(fd);
}

static void expect_path(const char *dir, const char *text, const char *wanted)
{
	struct scene_arena arena = {0};
	const char *why;
	char *path = scene_project_path(&arena, dir, text, &why);

	if (wanted == NULL)
		assert_null(path);
	else
		assert_string_equal(path, wanted);
	scene_arena_free(&arena);
}

static void paths_are_resolved(void **state)
{
	(void)state;
	expect_path("res://d/", "a.gd", "res://d/a.gd");
	expect_path("res://d/", "../a.gd", "res://a.gd");
	expect_path("res://d/", "../../a.gd", "res://a.gd"); /* above the root is the root */
	expect_path("res://", "res://../a.gd", "res://a.gd");
	expect_path("res://", "res://x/../../../etc/passwd", "res://etc/passwd");
	expect_path("res://", "res://x//./y/../z", "res://x/z");
	expect_path("res://", "res://x\\y", "res://x/y");
	expect_path("res://", "uid://abc", NULL);
	expect_path("res://", "user://abc", NULL);
	expect_path("res://", "/etc/passwd", NULL);
	expect_path("res://", "", "res://");
}

static void root_must_be_a_directory(void **state)
{
	struct jobq_scene_project *other;

	(void)state;
	assert_int_equal(jobq_scene_project_open(&other, fixture_path("none"), NULL), -ENOENT);
	assert_null(other);
	assert_int_equal(jobq_scene_project_open(&other, fixture_path("a.tscn"), NULL), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_what_is_there),
		cmocka_unit_test(refuses_other_ways),
		cmocka_unit_test(refuses_what_is_no_file),
		cmocka_unit_test(reads_whole_or_not_at_all),
		cmocka_unit_test(size_has_a_limit),
		cmocka_unit_test(paths_are_resolved),
		cmocka_unit_test(root_must_be_a_directory),
	};

	return cmocka_run_group_tests(tests, make, end);
}
