/*
 * conf: the configuration file and `-o NAME=VALUE`.
 *
 * The file has one `name = value` a line; blank lines and lines that begin
 * with `#` are skipped; blanks round name and value do not count; list
 * options are given once for each item. Read once at start, before threads.
 */
#ifndef JOBQ_CONF_H
#define JOBQ_CONF_H

#include "jobq/base.h"
#include "jobq/conf_options.h"
#include "jobq/job.h"
#include "jobq/paths.h"

#define JOBQ_CONF_FILE "/etc/jobq/jobq.conf"

#define JOBQ_CONF_TYPE_TEXT char *
#define JOBQ_CONF_TYPE_LIST struct jobq_list
#define JOBQ_CONF_TYPE_NETS struct jobq_list
#define JOBQ_CONF_TYPE_PORTS struct jobq_list
#define JOBQ_CONF_TYPE_COUNT uint64_t
#define JOBQ_CONF_TYPE_SIZE uint64_t
#define JOBQ_CONF_TYPE_TIME int64_t
#define JOBQ_CONF_TYPE_LEVEL enum jobq_log_level
#define JOBQ_CONF_TYPE_DURABILITY enum jobq_durability

struct jobq_conf {
#define X(kind, name, def, least, most, sentence) JOBQ_CONF_TYPE_##kind name;
	JOBQ_CONF_OPTIONS(X)
#undef X
};

/*
 * Fills `conf` with the defaults, then from `file`, then from the `count`
 * settings `NAME=VALUE`. Returns true, or false with one or more lines in
 * `errors` of the form `FILE:LINE: what is wrong and what is allowed`; every
 * error is reported, not just the first. The caller frees `conf` either way.
 */
bool jobq_conf_load(struct jobq_conf *conf, const char *file, char *const *settings, size_t count,
		    struct jobq_buf *errors);

/*
 * Makes the lines of `errors` one, with "; " between them, as the log has it. Returns
 * that, borrowed from `errors`, or a static text when there is nothing in it.
 */
const char *jobq_conf_one_line(struct jobq_buf *errors);

/*
 * Whether the options make sense together and the project directory can be
 * opened. Adds to `errors` what is wrong. Not part of load, because
 * jobq-api may not be allowed to see the project.
 */
bool jobq_conf_check_project(const struct jobq_conf *conf, struct jobq_buf *errors);

/*
 * The name of the shared memory with the scene cache, which goes with the table.
 * For jobqd, which makes it, its slots and jobqctl.
 */
#define JOBQ_CONF_CACHE_NAME 256 /* bytes it takes, whatever the table's name */
void jobq_conf_cache_name(const struct jobq_conf *conf, char into[JOBQ_CONF_CACHE_NAME]);

/* Reads a time as options of the kind TIME have it, in milliseconds. */
bool jobq_conf_time(const char *text, uint64_t *out);

void jobq_conf_free(struct jobq_conf *conf);

/* Adds a line an option: name, default, sentence; for `--help`. */
void jobq_conf_help(struct jobq_buf *out);

/* What the command lines of the daemons have in common. */
struct jobq_conf_args {
	const char *file;     /* -c, --config */
	char *settings[64];   /* -o, --option NAME=VALUE, borrowed from argv */
	size_t setting_count;
	bool test;            /* -t, --test */
	const char *role;     /* -x ROLE, for jobqd's own use; else NULL */
	const char *role_arg; /* the word behind it */
};

/*
 * Reads a daemon's command line; answers `--help` and `--version` itself and
 * exits 0, or exits 2 when it cannot be read.
 */
void jobq_conf_args(struct jobq_conf_args *args, int argc, char **argv, const char *program,
		    const char *purpose);

/*
 * Loads what `args` name. Prints the errors and returns an exit status
 * (sysexits.h: EX_CONFIG 78) when that fails; 0 when it worked.
 */
int jobq_conf_start(struct jobq_conf *conf, const struct jobq_conf_args *args);

#endif
