#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

int ctl_attach(const struct jobq_conf *conf, struct jobq_table **table)
{
	struct jobq_buf why = {0};
	int rc = jobq_table_attach(conf->table_name, table, &why);

	if (rc < 0)
		fprintf(stderr, "jobqctl: %s\n",
			why.len > 0 ? why.data : "there is no job table: is jobqd running?");
	jobq_buf_free(&why);
	return rc;
}

static char tame(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f ? '?' : c;
}

void ctl_put(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		putc(tame(text[i]), out);
}

void ctl_add(struct jobq_buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		char c = tame(*text);
		jobq_buf_add(out, &c, 1);
	}
}

int ctl_flush(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "jobqctl: standard output cannot be written to\n");
	return CTL_USAGE;
}
