/* conf: the file, its errors, bounds and units. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "jobq/conf.h"

static char file[] = "/tmp/jobq-test-conf-XXXXXX";
static struct jobq_conf conf;
static struct jobq_buf errors;

static int make_file(void **state)
{
	(void)state;
	int fd = mkstemp(file);
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(file);
}

static bool load(const char *text, char *setting)
{
	FILE *out = fopen(file, "w");
	fputs(text, out);
	fclose(out);
	errors.len = 0;
	return jobq_conf_load(&conf, file, &setting, setting != NULL, &errors);
}

static int clear(void **state)
{
	(void)state;
	jobq_conf_free(&conf);
	jobq_buf_free(&errors);
	return 0;
}

static void defaults_hold(void **state)
{
	(void)state;
	assert_true(load("", NULL));
	assert_int_equal(conf.retention, 86400000);
	assert_int_equal(conf.cleanup_interval, 3600000);
	assert_int_equal(conf.table_max, UINT64_C(1) << 30);
	assert_int_equal(conf.whitelist.count, 0);
	assert_string_equal(conf.table_name, "/jobq");
	assert_int_equal(conf.log_level, JOBQ_LOG_INFO);
}

static void values_are_read(void **state)
{
	(void)state;
	assert_true(load("# comment\n\n  project =  /a b/c  \nretention=90s\n"
			 "whitelist = res://a/\nwhitelist = res://b.tscn\n"
			 "job_timeout = 250ms\ntable_max = 8388608\nlog_level = debug\n",
			 "retention = 2"));
	assert_string_equal(conf.project, "/a b/c");
	assert_int_equal(conf.retention, 2000); /* -o is stronger than the file */
	assert_int_equal(conf.whitelist.count, 2);
	assert_string_equal(conf.whitelist.items[1], "res://b.tscn");
	assert_int_equal(conf.job_timeout, 250);
	assert_int_equal(conf.log_level, JOBQ_LOG_DEBUG);
}

static void assert_error(const char *text, const char *expected)
{
	char whole[512];
	assert_false(load(text, NULL));
	snprintf(whole, sizeof(whole), "%s:%s", file, expected);
	if (strstr(errors.data, whole) == NULL)
		fail_msg("expected \"%s\" in \"%s\"", whole, errors.data);
	jobq_conf_free(&conf);
}

static void errors_name_file_and_line(void **state)
{
	(void)state;
	assert_error("\nretenshun = 5\n", "2: there is no option `retenshun`");
	assert_error("retention 5\n", "1: expected `name = value`, found `retention 5`");
	assert_error("retention = soon\n", "1: retention = soon: must be a time");
	assert_error("retention = 5 s\n", "1: retention = 5 s: must be a time");
	assert_error("retention = -5\n", "1: retention = -5: must be a time");
	assert_error("retention = 999999999999999999999d\n", "1: retention");
	assert_error("retention = 18446744073709551615d\n", "1: retention");
	assert_error("table_max = 8388607\n", "1: table_max = 8388607: must be from 8388608 to");
	assert_error("table_max = 65G\n", "1: table_max = 65G: must be from");
	assert_error("api_threads = 0\n", "1: api_threads = 0: must be from 1 to 900");
	assert_error("api_threads = 901\n", "1: api_threads = 901: must be from 1 to 900");
	assert_error("log_level = loud\n", "1: log_level = loud: must be error, warning");
	assert_error("whitelist = levels/\n", "1: whitelist = levels/: must begin with res://");
	assert_error("table_name = jobq\n", " table_name = jobq: must be a slash");
	assert_error("table_name = /a/b\n", " table_name = /a/b: must be a slash");
}

static void every_error_is_reported(void **state)
{
	(void)state;
	assert_false(load("a = 1\nb = 2\n", "c = 3"));
	assert_non_null(strstr(errors.data, ":1: "));
	assert_non_null(strstr(errors.data, ":2: "));
	assert_non_null(strstr(errors.data, "-o: there is no option `c`"));
}

static void the_log_gets_them_in_one_line(void **state)
{
	(void)state;
	char expected[256];

	assert_false(load("retention = soon\nnope = 1\n", NULL));
	snprintf(expected, sizeof(expected), "; %s:2: there is no option `nope`", file);
	const char *line = jobq_conf_one_line(&errors);
	assert_non_null(strstr(line, expected));
	assert_null(strchr(line, '\n'));
	assert_ptr_equal(line, errors.data);
	jobq_buf_free(&errors);
	assert_non_null(jobq_conf_one_line(&errors));
}

static void file_must_be_there(void **state)
{
	(void)state;
	assert_false(jobq_conf_load(&conf, "/nonexistent/jobq.conf", NULL, 0, &errors));
	assert_non_null(strstr(errors.data, "/nonexistent/jobq.conf: cannot be opened: No such"));
}

static void project_must_be_a_directory(void **state)
{
	char setting[64];
	(void)state;
	assert_true(load("", NULL));
	assert_false(jobq_conf_check_project(&conf, &errors));
	assert_non_null(strstr(errors.data, "project is not set"));
	jobq_conf_free(&conf);
	snprintf(setting, sizeof(setting), "project = %s", file);
	assert_true(load("", setting));
	assert_false(jobq_conf_check_project(&conf, &errors));
	assert_non_null(strstr(errors.data, "Not a directory"));
	jobq_conf_free(&conf);
	assert_true(load("project = /\n", NULL));
	assert_true(jobq_conf_check_project(&conf, &errors));
}

static void cache_is_named_after_the_table(void **state)
{
	char setting[256], name[JOBQ_CONF_CACHE_NAME];
	(void)state;
	assert_true(load("table_name = /mine\n", NULL));
	jobq_conf_cache_name(&conf, name);
	assert_string_equal(name, "/mine-scenes");
	jobq_conf_free(&conf);
	snprintf(setting, sizeof(setting), "table_name = /%0199d", 0); /* the longest */
	assert_true(load("", setting));
	jobq_conf_cache_name(&conf, name);
	assert_int_equal(strlen(name), 200 + strlen("-scenes"));
}

static void help_names_every_option(void **state)
{
	(void)state;
	jobq_conf_help(&errors);
#define X(kind, name, def, least, most, sentence) assert_non_null(strstr(errors.data, "  " #name " "));
	JOBQ_CONF_OPTIONS(X)
#undef X
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(defaults_hold, clear),
		cmocka_unit_test_teardown(values_are_read, clear),
		cmocka_unit_test_teardown(errors_name_file_and_line, clear),
		cmocka_unit_test_teardown(every_error_is_reported, clear),
		cmocka_unit_test_teardown(the_log_gets_them_in_one_line, clear),
		cmocka_unit_test_teardown(file_must_be_there, clear),
		cmocka_unit_test_teardown(project_must_be_a_directory, clear),
		cmocka_unit_test_teardown(cache_is_named_after_the_table, clear),
		cmocka_unit_test_teardown(help_names_every_option, clear),
	};
	return cmocka_run_group_tests(tests, make_file, remove_file);
}
