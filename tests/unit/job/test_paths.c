/* job: which scene paths are well-formed, and which a pattern matches. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "jobq/base.h"
#include "jobq/paths.h"

#define SCENE(text) jobq_paths_malformed(text, sizeof(text) - 1)

static void good_paths_pass(void **state)
{
	(void)state;
	assert_null(SCENE("res://a.tscn"));
	assert_null(SCENE("res://levels/deep/er/a b.tscn"));
	assert_null(SCENE("res://\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80.tscn"));
	assert_null(SCENE("res://.hidden/...tscn"));
	assert_null(SCENE("res://.tscn"));
}

static void bad_paths_are_named(void **state)
{
	(void)state;
	assert_string_equal(SCENE(""), "must begin with res://");
	assert_string_equal(SCENE("a.tscn"), "must begin with res://");
	assert_string_equal(SCENE("user://a.tscn"), "must begin with res://");
	assert_string_equal(SCENE("RES://a.tscn"), "must begin with res://");
	assert_string_equal(SCENE("res:/a.tscn"), "must begin with res://");
	assert_string_equal(SCENE("res://"), "must name a file");
	assert_string_equal(SCENE("res:///a.tscn"), "must not hold an empty segment");
	assert_string_equal(SCENE("res://a//b.tscn"), "must not hold an empty segment");
	assert_string_equal(SCENE("res://a.tscn/"), "must not hold an empty segment");
	assert_string_equal(SCENE("res://../a.tscn"), "must not hold a . or .. segment");
	assert_string_equal(SCENE("res://a/../b.tscn"), "must not hold a . or .. segment");
	assert_string_equal(SCENE("res://a/./b.tscn"), "must not hold a . or .. segment");
	assert_string_equal(SCENE("res://a/.."), "must not hold a . or .. segment");
	assert_string_equal(SCENE("res://a\\b.tscn"), "must not hold a backslash");
	assert_string_equal(SCENE("res://a\0.tscn"), "must not hold control bytes");
	assert_string_equal(SCENE("res://a\n.tscn"), "must not hold control bytes");
	assert_string_equal(SCENE("res://a\x7f.tscn"), "must not hold control bytes");
	assert_string_equal(SCENE("res://c:/a.tscn"), "must not hold a second colon");
	assert_string_equal(SCENE("res://a.tres"), "must end in .tscn");
	assert_string_equal(SCENE("res://a.TSCN"), "must end in .tscn");
	assert_string_equal(SCENE("res://\xff.tscn"), "must be valid UTF-8");
	assert_string_equal(SCENE("res://\xc0\xaf.tscn"), "must be valid UTF-8");     /* overlong / */
	assert_string_equal(SCENE("res://\xe0\x80\xaf.tscn"), "must be valid UTF-8"); /* overlong / */
	assert_string_equal(SCENE("res://\xed\xa0\x80.tscn"), "must be valid UTF-8"); /* surrogate */
	assert_string_equal(SCENE("res://\xf4\x90\x80\x80.tscn"), "must be valid UTF-8");
	assert_string_equal(SCENE("res://a.tscn\xe2\x82"), "must be valid UTF-8");
}

static void length_is_bounded(void **state)
{
	char path[JOBQ_PATH_MAX + 2];
	(void)state;
	memset(path, 'a', sizeof(path));
	memcpy(path, "res://", 6);
	memcpy(path + JOBQ_PATH_MAX - 5, ".tscn", 5);
	assert_null(jobq_paths_malformed(path, JOBQ_PATH_MAX));
	memcpy(path + JOBQ_PATH_MAX - 4, ".tscn", 5);
	assert_string_equal(jobq_paths_malformed(path, JOBQ_PATH_MAX + 1),
			    "must be at most 256 bytes long");
}

static void patterns_match(void **state)
{
	static const struct { const char *pattern, *path; bool matches; } cases[] = {
		{"res://a.tscn", "res://a.tscn", true},
		{"res://a.tscn", "res://a.tscn2", false},
		{"res://a.tscn", "res://b/a.tscn", false},
		{"res://", "res://a/b.tscn", true},
		{"res://levels/", "res://levels/a.tscn", true},
		{"res://levels/", "res://levels/x/a.tscn", true},
		{"res://levels/", "res://levels2/a.tscn", false},
		{"res://levels", "res://levels/a.tscn", false},
		{"res://levels/*.tscn", "res://levels/a.tscn", true},
		{"res://levels/*.tscn", "res://levels/x/a.tscn", false},
		{"res://*/a.tscn", "res://x/a.tscn", true},
		{"res://*/a.tscn", "res://x/y/a.tscn", false},
		{"res://**/a.tscn", "res://x/y/a.tscn", true},
		{"res://**.tscn", "res://x/y/a.tscn", true},
		{"res://**/test_*.tscn", "res://x/test_1/test_a.tscn", true},
		{"res://**/test_*.tscn", "res://x/test_1/a.tscn", false},
		{"res://a*b*c.tscn", "res://aXbYbZc.tscn", true},
		{"res://a*b*c.tscn", "res://aXbY/bZc.tscn", false},
		{"res://l*/", "res://levels/a/b.tscn", true},
		{"res://l*/", "res://menu/a.tscn", false},
		{"res://a**", "res://ab/c.tscn", true},
		{"res://*", "res://a.tscn", true},
		{"res://*", "res://a/b.tscn", false},
		{"res://[a].tscn", "res://a.tscn", false},
		{"res://?.tscn", "res://a.tscn", false},
		{"", "res://a.tscn", false},
	};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(cases); i++)
		if (jobq_paths_match(cases[i].pattern, cases[i].path) != cases[i].matches)
			fail_msg("%s against %s", cases[i].pattern, cases[i].path);
}

/* What makes backtracking matchers take for ever. */
static void stars_do_not_explode(void **state)
{
	char path[JOBQ_PATH_MAX + 1] = "res://";
	(void)state;
	memset(path + 6, 'a', sizeof(path) - 7);
	assert_false(jobq_paths_match("res://*a*a*a*a*a*a*a*a*a*a*a*a*b", path));
	assert_false(jobq_paths_match("res://**a**a**a**a**a**a**a**a**b", path));
	assert_true(jobq_paths_match("res://**a*a**a*a**a*a", path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_paths_pass),	cmocka_unit_test(bad_paths_are_named),
		cmocka_unit_test(length_is_bounded),	cmocka_unit_test(patterns_match),
		cmocka_unit_test(stars_do_not_explode),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
