/*
 * ctl: jobqctl, the operator's and the clients' tool. A command is a function in
 * a file of its own, or a few lines in main.c, and a row in main.c's table; it
 * returns the exit status.
 *
 * Commands that look after this machine's service read its configuration; those
 * of clients speak to one over HTTP (client.h).
 */
#ifndef JOBQ_CTL_CTL_H
#define JOBQ_CTL_CTL_H

#include <stdio.h>

#include "jobq/conf.h"
#include "jobq/table.h"

/* Exit statuses. What local commands say with 1 and 2 is in their sentences. */
enum ctl_status {
	CTL_OK,		 /* the job has completed; all is well */
	CTL_FAILED,	 /* the job has failed */
	CTL_USAGE,	 /* the command line, or what it names, makes no sense */
	CTL_CANCELLED,	 /* the job was cancelled */
	CTL_UNREACHABLE, /* no service answers there, or it can't just now */
	CTL_REFUSED,	 /* the service answered with a 4xx */
	CTL_INTERRUPTED = 130, /* Ctrl-C, as shells say it */
};

/* ---- command lines (argp) -------------------------------------------------- */

/* What an option that may be repeated was given. */
struct ctl_texts {
	const char *text[JOBQ_LABELS_MAX];
	size_t count;
};

/* One of `flag`, `text`, `number` and `texts` is set, and filled when the option is given. */
struct ctl_option {
	const char *name;    /* without the dashes; NULL ends a list */
	const char *operand; /* NULL: it has none */
	const char *sentence;
	bool *flag;
	const char **text;
	uint64_t *number; /* from 1 on */
	struct ctl_texts *texts;
};
#define CTL_FLAG(name, variable, sentence) {name, NULL, sentence, variable, NULL, NULL, NULL}
#define CTL_TEXT(name, operand, variable, sentence)                                                \
	{name, operand, sentence, NULL, variable, NULL, NULL}
#define CTL_NUMBER(name, operand, variable, sentence)                                              \
	{name, operand, sentence, NULL, NULL, variable, NULL}
#define CTL_TEXTS(name, operand, variable, sentence)                                               \
	{name, operand, sentence, NULL, NULL, NULL, variable}

enum ctl_groups {
	CTL_LOCAL = 1,	/* -c and -o, which name a configuration */
	CTL_CLIENT = 2, /* --url and what else says how to reach a service */
	CTL_COLOUR = 4, /* --color */
};

struct ctl_syntax {
	const char *command;  /* as it is called */
	const char *operands; /* as the usage shows them; a line for each form */
	const char *sentence; /* what it does, for people */
	unsigned groups;      /* a set of enum ctl_groups */
	size_t least, most;   /* operands, 0 or 1; `most` 0 when `least` is not: any number */
	const struct ctl_option *options; /* NULL: none of its own */
};

/*
 * Reads what follows a command's name (argv[1] on). Returns the operands, which
 * are followed by a NULL. Answers `--help` and `--version` itself, and exits
 * when the command line makes no sense.
 */
char **ctl_options(const struct ctl_syntax *syntax, int argc, char **argv);

/* The same in front of the command: returns where in argv that is; 0: there is none. */
int ctl_options_front(int argc, char **argv, void (*list_commands)(void));

/* What the options of the groups have said so far, before or behind the command. */
struct ctl_given {
	struct jobq_conf_args local;
	bool config;  /* -c was among them */
	const char *url, *token, *token_file, *ca;
	const char *color; /* auto, always or never */
};
const struct ctl_given *ctl_given(void);

/* Says that the command line makes no sense, and how (NULL: has been said); returns 2. */
int ctl_usage(const char *problem, const char *what);

/* ---- for all ---------------------------------------------------------------- */

/* Attaches to the configured table; says on standard error why it cannot. */
int ctl_attach(const struct jobq_conf *conf, struct jobq_table **table);

/* What comes from outside keeps to its line, and does nothing to a terminal. */
void ctl_put(FILE *out, const char *text, size_t len);
void ctl_add(struct jobq_buf *out, const char *text);

/* Says that standard output could not be written, if so; returns the status then. */
int ctl_flush(int status);

/* ---- commands ---------------------------------------------------------------- */

int ctl_cache(const struct jobq_conf *conf, char *const *words);
int ctl_fsck(const struct jobq_conf *conf, char *const *words);
int ctl_backup(const struct jobq_conf *conf, char *const *words);
int ctl_scene(int argc, char **argv);
int ctl_token(int argc, char **argv);
int ctl_submit(int argc, char **argv);
int ctl_watch(int argc, char **argv);
int ctl_status(int argc, char **argv);
int ctl_list(int argc, char **argv);
int ctl_cancel(int argc, char **argv);
int ctl_stop(int argc, char **argv);
int ctl_retry(int argc, char **argv);
int ctl_log(int argc, char **argv);
int ctl_queue(int argc, char **argv);
int ctl_result(int argc, char **argv);
int ctl_webhook(int argc, char **argv);
int ctl_top(int argc, char **argv);
int ctl_doctor(int argc, char **argv);

#endif
