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

/*
 * The byte at `at` as it may be shown. U+0080 to U+009F, which are 0xc2 and another byte, are
 * control characters, too: terminals take U+009B for ESC [.
 */
static char tame(const char *text, size_t len, size_t at)
{
	const unsigned char c = (unsigned char)text[at];
	const unsigned char next = at + 1 < len ? (unsigned char)text[at + 1] : 0;
	const bool first = c == 0xc2 && next >= 0x80 && next < 0xa0;
	const bool second = c >= 0x80 && c < 0xa0 && at > 0 && (unsigned char)text[at - 1] == 0xc2;

	return c < 0x20 || c == 0x7f || first || second ? '?' : text[at];
}

void ctl_put(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		putc(tame(text, len, i), out);
}

void ctl_add(struct jobq_buf *out, const char *text)
{
	const size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		char c = tame(text, len, i);
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
