/* base: log lines, as another process reads them. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "jobq/base.h"

/* What one call of jobq_log() writes to standard error. */
static void captured(char *into, size_t room, enum jobq_log_level level, const char *text)
{
	int ends[2], saved = dup(STDERR_FILENO);

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	jobq_log(level, "tested", "text=\"%s\" n=%d", text, 5);
	dup2(saved, STDERR_FILENO);
	close(saved);
	ssize_t len = read(ends[0], into, room - 1);
	into[len > 0 ? len : 0] = '\0';
	close(ends[0]);
}

static void one_line_an_event(void **state)
{
	char line[4096];
	(void)state;
	unsetenv("JOURNAL_STREAM");
	jobq_log_open("prog", JOBQ_LOG_INFO);
	captured(line, sizeof(line), JOBQ_LOG_WARNING, "a\nlevel=error b\x1b[0m");
	assert_non_null(strstr(line, "Z prog["));
	assert_non_null(strstr(line, "] level=warning event=tested text=\"a?level=error b?[0m\" n=5\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	captured(line, sizeof(line), JOBQ_LOG_DEBUG, "unseen");
	assert_string_equal(line, "");
}

static void long_lines_are_cut_and_whole(void **state)
{
	char line[8192], text[6000];
	(void)state;
	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	captured(line, sizeof(line), JOBQ_LOG_ERROR, text);
	assert_int_equal(strlen(line), 2048 - 1);
	assert_int_equal(line[strlen(line) - 1], '\n');
}

static void journal_lines_carry_the_priority(void **state)
{
	char line[4096];
	(void)state;
	setenv("JOURNAL_STREAM", "8:1", 1);
	jobq_log_open("prog", JOBQ_LOG_DEBUG);
	captured(line, sizeof(line), JOBQ_LOG_DEBUG, "x");
	assert_string_equal(line, "<7>prog level=debug event=tested text=\"x\" n=5\n");
	unsetenv("JOURNAL_STREAM");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line_an_event),
		cmocka_unit_test(long_lines_are_cut_and_whole),
		cmocka_unit_test(journal_lines_carry_the_priority),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
