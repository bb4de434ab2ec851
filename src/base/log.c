#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/journal.h"
#include "jobq/base.h"

#define LINE_MAX_BYTES 2048

static const char *program = "jobq";
static enum jobq_log_level least = JOBQ_LOG_INFO;
static bool to_journal;
static int journal = -1; /* where entries with fields go, when to_journal */
static atomic_bool leaves;

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const int priorities[] = {3, 4, 6, 7}; /* syslog(3) */

/* The variable is inherited also by those whose standard error goes elsewhere. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char here[64];
	struct stat st;

	if (stream == NULL || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(here, sizeof(here), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	return strcmp(stream, here) == 0;
}

void jobq_log_open(const char *name, enum jobq_log_level level)
{
	program = name;
	least = level;
	to_journal = is_journal();
	if (to_journal && journal < 0)
		journal = base_journal_open(JOURNAL_SOCKET);
}

void jobq_log_leave(void)
{
	atomic_store(&leaves, true);
}

/* Whether the journal took it. `line` begins with its priority, `<N>`. */
static bool write_entry(enum jobq_log_level level, const char *event, const char *line, size_t len)
{
	if (!to_journal || journal < 0 || level == JOBQ_LOG_ERROR || atomic_load(&leaves))
		return false;
	return base_journal_write(journal, priorities[level], program, event, line + 3, len - 3) == 0;
}

static int start_line(char *line, size_t room, enum jobq_log_level level, const char *event)
{
	if (to_journal)
		return snprintf(line, room, "<%d>%s level=%s event=%s", priorities[level],
				program, level_names[level], event);

	struct timespec now;
	struct tm tm;
	char stamp[32];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	return snprintf(line, room, "%s.%03ldZ %s[%d] level=%s event=%s", stamp,
			now.tv_nsec / 1000000, program, (int)getpid(), level_names[level], event);
}

void jobq_log(enum jobq_log_level level, const char *event, const char *fmt, ...)
{
	if (level > least)
		return;

	int saved = errno;
	char line[LINE_MAX_BYTES];
	size_t len = (size_t)start_line(line, sizeof(line), level, event);
	size_t fields = len;
	va_list args;
	va_start(args, fmt);
	line[len++] = ' ';
	int added = vsnprintf(line + len, sizeof(line) - len - 1, fmt, args);
	va_end(args);
	if (added > 0)
		len += (size_t)added;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;

	for (size_t i = fields; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	if (!write_entry(level, event, line, len)) {
		line[len++] = '\n';
		/* A log that cannot be written has nobody to be told of. */
		ssize_t ignored = write(STDERR_FILENO, line, len);
		(void)ignored;
	}
	errno = saved;
}

const char *jobq_log_quote(char *into, size_t room, const char *text)
{
	size_t at = 0;

	for (; *text != '\0'; text++) {
		bool special = *text == '"' || *text == '\\';
		if (at + special + 1 >= room)
			break;
		if (special)
			into[at++] = '\\';
		into[at++] = *text;
	}
	into[at] = '\0';
	return into;
}
