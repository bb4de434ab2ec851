/*
 * ctl: jobqctl, the operator's tool. A command is a function in a file of its
 * own, or a few lines in main.c, and a row in main.c's table; it returns the
 * exit status.
 */
#ifndef JOBQ_CTL_CTL_H
#define JOBQ_CTL_CTL_H

#include "jobq/conf.h"
#include "jobq/table.h"

/* Attaches to the configured table; says on standard error why it cannot. */
int ctl_attach(const struct jobq_conf *conf, struct jobq_table **table);

/* Says that the command line makes no sense, and how (NULL: has been said); returns 2. */
int ctl_usage(const char *problem, const char *what);

int ctl_cache(const struct jobq_conf *conf, char *const *words);
int ctl_fsck(const struct jobq_conf *conf, char *const *words);
int ctl_backup(const struct jobq_conf *conf, char *const *words);
/* With options of their own; `args`: those in front of the command. */
int ctl_scene(int argc, char **argv, const struct jobq_conf_args *args);
int ctl_token(int argc, char **argv, const struct jobq_conf_args *args);

#endif
