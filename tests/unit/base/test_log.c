/* base: log lines, as another process reads them. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/journal.h"
#include "jobq/base.h"

/* Standard error becomes a pipe, or is what it was. */
static int read_end, saved;

static void redirect(void)
{
	int ends[2];

	saved = dup(STDERR_FILENO);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	read_end = ends[0];
}

static void restore(void)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(read_end);
}

/* What one call of jobq_log() writes to the pipe. */
static void written(char *into, size_t room, enum jobq_log_level level, const char *text)
{
	jobq_log(level, "tested", "text=\"%s\" n=%d", text, 5);
	fcntl(read_end, F_SETFL, O_NONBLOCK);
	ssize_t len = read(read_end, into, room - 1);
	into[len > 0 ? len : 0] = '\0';
}

static void captured(char *into, size_t room, enum jobq_log_level level, const char *text)
{
	redirect();
	written(into, room, level, text);
	restore();
}

/* What systemd puts into $JOURNAL_STREAM for a file. */
static void name_stream(int fd, unsigned more)
{
	struct stat st;
	char text[64];

	assert_int_equal(fstat(fd, &st), 0);
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + more);
	setenv("JOURNAL_STREAM", text, 1);
}

/* Where there is a real journal it gets the entries, and standard error nothing. */
static void skip_with_journal(void)
{
	int journal = base_journal_open(JOURNAL_SOCKET);

	if (journal >= 0) {
		close(journal);
		skip();
	}
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
	skip_with_journal();
	redirect();
	name_stream(STDERR_FILENO, 0);
	jobq_log_open("prog", JOBQ_LOG_DEBUG);
	written(line, sizeof(line), JOBQ_LOG_DEBUG, "x");
	assert_string_equal(line, "<7>prog level=debug event=tested text=\"x\" n=5\n");
	written(line, sizeof(line), JOBQ_LOG_INFO, "x");
	assert_memory_equal(line, "<6>", 3);
	written(line, sizeof(line), JOBQ_LOG_WARNING, "x");
	assert_memory_equal(line, "<4>", 3);
	written(line, sizeof(line), JOBQ_LOG_ERROR, "x");
	assert_memory_equal(line, "<3>", 3);
	restore();
	unsetenv("JOURNAL_STREAM");
}

/* The variable stays when standard error is sent elsewhere, or was somebody else's. */
static void other_streams_are_no_journal(void **state)
{
	const char *const senseless[] = {"", "8", "8:1", ":", "x:y"};
	char line[4096];
	(void)state;
	skip_with_journal();
	redirect();
	name_stream(STDERR_FILENO, 1);
	jobq_log_open("prog", JOBQ_LOG_INFO);
	written(line, sizeof(line), JOBQ_LOG_INFO, "x");
	assert_non_null(strstr(line, "Z prog["));
	name_stream(read_end, 0); /* a pipe's two ends are one inode: this is the journal */
	jobq_log_open("prog", JOBQ_LOG_INFO);
	written(line, sizeof(line), JOBQ_LOG_INFO, "x");
	assert_memory_equal(line, "<6>", 3);
	for (size_t i = 0; i < JOBQ_LENGTH(senseless); i++) {
		setenv("JOURNAL_STREAM", senseless[i], 1);
		jobq_log_open("prog", JOBQ_LOG_INFO);
		written(line, sizeof(line), JOBQ_LOG_INFO, "x");
		assert_non_null(strstr(line, "Z prog["));
	}
	restore();
	unsetenv("JOURNAL_STREAM");
}

/* ---- fields ---------------------------------------------------------------- */

/* What a journal would get of one line. */
static void entry_of(char *into, size_t room, const char *line)
{
	char directory[] = "/tmp/jobq-journal-XXXXXX";
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	assert_non_null(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
	assert_int_equal(base_journal_open(address.sun_path), -1);
	int listener = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	int journal = base_journal_open(address.sun_path);
	assert_true(journal >= 0);
	assert_int_equal(base_journal_write(journal, 4, "prog", "tested", line, strlen(line)), 0);
	ssize_t len = recv(listener, into, room - 1, MSG_DONTWAIT);
	assert_true(len > 0);
	into[len] = '\0';
	close(listener);
	assert_true(base_journal_write(journal, 4, "prog", "tested", line, strlen(line)) < 0);
	close(journal);
	unlink(address.sun_path);
	rmdir(directory);
}

static void entries_have_fields(void **state)
{
	static const struct {
		const char *line, *job;
	} of[] = {
		{"x job=12 slot=1", "12"},
		{"x text=\"a job=5\" job=7", "7"},
		{"x text=\"a\\\" job=5\" job=8", "8"},
		{"x job=18446744073709551615", "18446744073709551615"},
		{"x text=\"a job=5\"", NULL},
		{"x job= slot=1", NULL},
		{"x job=", NULL},
		{"x myjob=4", NULL},
		{"", NULL},
	};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(of); i++) {
		char entry[4096], expected[4096];
		entry_of(entry, sizeof(entry), of[i].line);
		snprintf(expected, sizeof(expected),
			 "PRIORITY=4\nSYSLOG_IDENTIFIER=prog\nJOBQ_EVENT=tested\n%s%s%sMESSAGE=%s\n",
			 of[i].job != NULL ? "JOBQ_JOB=" : "", of[i].job != NULL ? of[i].job : "",
			 of[i].job != NULL ? "\n" : "", of[i].line);
		assert_string_equal(entry, expected);
	}
}

static void a_journal_that_is_behind_is_not_waited_for(void **state)
{
	int rc = 0;
	(void)state;
	char directory[] = "/tmp/jobq-journal-XXXXXX";
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	assert_non_null(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
	int listener = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	int journal = base_journal_open(address.sun_path);
	alarm(60); /* it would wait for ever */
	while (rc == 0)
		rc = base_journal_write(journal, 4, "prog", "tested", "x", 1);
	alarm(0);
	assert_int_equal(rc, -EAGAIN);
	close(listener);
	close(journal);
	unlink(address.sun_path);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line_an_event),
		cmocka_unit_test(long_lines_are_cut_and_whole),
		cmocka_unit_test(journal_lines_carry_the_priority),
		cmocka_unit_test(other_streams_are_no_journal),
		cmocka_unit_test(entries_have_fields),
		cmocka_unit_test(a_journal_that_is_behind_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
