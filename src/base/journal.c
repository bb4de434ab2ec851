#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/journal.h"

int base_journal_open(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	/* Who logs does not wait for a journal that takes nothing. */
	int journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (journal < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(journal, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(journal);
		return -1;
	}
	return journal;
}

/* The digits behind ` job=`; *len is 0 when there are none. */
static const char *find_job(const char *line, size_t line_len, size_t *len)
{
	static const char name[] = " job=";
	const size_t name_len = sizeof(name) - 1;
	bool quoted = false;

	for (size_t i = 0; i + name_len < line_len; i++) {
		if (quoted && line[i] == '\\')
			i++;
		else if (line[i] == '"')
			quoted = !quoted;
		else if (!quoted && memcmp(line + i, name, name_len) == 0) {
			const char *digits = line + i + name_len;
			size_t room = line_len - i - name_len;
			*len = 0;
			while (*len < room && digits[*len] >= '0' && digits[*len] <= '9')
				++*len;
			return digits;
		}
	}
	*len = 0;
	return line;
}

int base_journal_write(int journal, int priority, const char *program, const char *event,
		       const char *line, size_t len)
{
	char entry[4096];
	size_t job_len;
	const char *job = find_job(line, len, &job_len);
	int written = snprintf(entry, sizeof(entry),
			       "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nJOBQ_EVENT=%s\n%s%.*s%sMESSAGE=%.*s\n",
			       priority, program, event, job_len > 0 ? "JOBQ_JOB=" : "", (int)job_len,
			       job, job_len > 0 ? "\n" : "", (int)len, line);

	if (written < 0 || (size_t)written >= sizeof(entry))
		return -EMSGSIZE;
	return write(journal, entry, (size_t)written) < 0 ? -errno : 0;
}
