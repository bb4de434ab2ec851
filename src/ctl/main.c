/*
 * jobqctl: the operator's tool.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

static int check(const struct jobq_conf *conf, char *const *words)
{
	struct jobq_table *table;
	struct jobq_buf out = {0};

	(void)words;
	if (ctl_attach(conf, &table) < 0)
		return 2;
	size_t violations = jobq_table_check(table, &out);
	fputs(out.data != NULL ? out.data : "", stdout);
	printf("%zu violations\n", violations);
	jobq_buf_free(&out);
	jobq_table_detach(table);
	return violations == 0 ? 0 : 1;
}

static int show(const struct jobq_conf *conf, char *const *words)
{
	struct jobq_table *table;
	struct jobq_table_stats stats;

	(void)words;
	if (ctl_attach(conf, &table) < 0)
		return 2;
	jobq_table_stats(table, &stats);
	for (int status = JOBQ_STATUS_QUEUED; status < JOBQ_STATUSES; status++)
		printf("%s %llu\n", jobq_job_status_name((enum jobq_job_status)status),
		       (unsigned long long)stats.jobs[status]);
	printf("next_id %llu\nbytes_max %llu\nbytes_committed %llu\nbytes_free %llu\n"
	       "repairs %llu\nchanges %llu\nstored %llu\nstore_error %d\noutbox %llu\n",
	       (unsigned long long)stats.next_id, (unsigned long long)stats.bytes_max,
	       (unsigned long long)stats.bytes_committed, (unsigned long long)stats.bytes_free,
	       (unsigned long long)stats.repairs, (unsigned long long)stats.changes,
	       (unsigned long long)stats.durable, stats.store_error,
	       (unsigned long long)stats.outbox);
	jobq_table_detach(table);
	return 0;
}

/*
 * The table goes first: while a jobqd owns it both stay. Either may be missing,
 * after a removal that was cut short.
 */
static int remove_table(const struct jobq_conf *conf, char *const *words)
{
	char cache[JOBQ_CONF_CACHE_NAME];
	struct jobq_buf why = {0};

	(void)words;
	int rc = jobq_table_remove(conf->table_name, &why);

	if (rc == 0 || rc == -ENOENT) {
		jobq_conf_cache_name(conf, cache);
		if (shm_unlink(cache) == 0) {
			rc = 0;
		} else if (errno != ENOENT) {
			rc = -errno;
			jobq_buf_addf(&why, "shared memory %s: %s", cache, strerror(errno));
		}
	}
	if (rc < 0)
		fprintf(stderr, "jobqctl: %s\n", why.len > 0 ? why.data : strerror(-rc));
	jobq_buf_free(&why);
	return rc < 0 ? 1 : 0;
}

static const struct command {
	const char *name;
	const char *operand; /* its one operand, or "" */
	int (*run)(const struct jobq_conf *conf, char *const *words);
	/* Instead: with options of its own, reading a configuration if it likes. argv[1] follows
	 * the name. */
	int (*run_alone)(int argc, char **argv, const struct jobq_conf_args *args);
	const char *sentence;
} commands[] = {
	{"show", "", show, NULL, "print the job table's numbers"},
	{"cache", "", ctl_cache, NULL, "print the scene cache's numbers"},
	{"check", "", check, NULL,
	 "check the job table's invariants; exit 1 when one is broken"},
	{"fsck", "", ctl_fsck, NULL,
	 "check table and store against each other; exit 1 when they disagree"},
	{"backup", "FILE", ctl_backup, NULL, "write a consistent copy of the store to FILE"},
	{"remove-table", "", remove_table, NULL,
	 "remove job table and scene cache while jobqd is down; jobs that are stored come back"},
	{"scene", "check", NULL, ctl_scene,
	 "judge scenes of a project without a service; see 'jobqctl scene --help'"},
	{"token", "...", NULL, ctl_token,
	 "add, list, revoke or rotate clients' tokens; see 'jobqctl token --help'"},
};

static void print_help(void)
{
	printf("Usage: jobqctl [-c FILE] [-o NAME=VALUE]... COMMAND\n"
	       "Looks after a jobq service.\n\n"
	       "  -c, --config FILE        read this configuration [" JOBQ_CONF_FILE "]\n"
	       "  -o, --option NAME=VALUE  set an option, over what the file says\n"
	       "  -h, --help               show this and exit\n"
	       "  -V, --version            show the version and exit\n\nCommands:\n");
	for (size_t i = 0; i < JOBQ_LENGTH(commands); i++)
		printf("  %-12s %-5s %s\n", commands[i].name, commands[i].operand,
		       commands[i].sentence);
}

int ctl_usage(const char *problem, const char *what)
{
	if (problem != NULL)
		fprintf(stderr, "jobqctl: %s%s\n", problem, what);
	fprintf(stderr, "Try 'jobqctl --help'.\n");
	return 2;
}

/* `words`: its operands. */
static int run(const struct command *command, char *const *words, int count,
	       const struct jobq_conf_args *args)
{
	struct jobq_conf conf;

	if (count != (command->operand[0] != '\0'))
		return ctl_usage(command->name, command->operand[0] != '\0' ? " takes one operand"
									    : " takes no operand");
	int status = jobq_conf_start(&conf, args);
	if (status == 0)
		status = command->run(&conf, words);
	jobq_conf_free(&conf);
	return status;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < JOBQ_LENGTH(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

/* Answers `--help` and `--version` itself, and exits when it cannot read an option. */
static void take_options(struct jobq_conf_args *args, int argc, char **argv, const char *shorts)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'}, {"option", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},	  {"version", no_argument, NULL, 'V'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == 'c') {
			args->file = optarg;
		} else if (c == 'o' && args->setting_count < JOBQ_LENGTH(args->settings)) {
			args->settings[args->setting_count++] = optarg;
		} else if (c == 'h') {
			print_help();
			exit(EXIT_SUCCESS);
		} else if (c == 'V') {
			printf("jobqctl (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
			exit(EXIT_SUCCESS);
		} else {
			exit(ctl_usage(NULL, ""));
		}
	}
}

int main(int argc, char **argv)
{
	struct jobq_conf_args args = {.file = JOBQ_CONF_FILE};

	take_options(&args, argc, argv, "+c:o:hV"); /* those in front of the command */
	if (optind == argc)
		return ctl_usage("name a command", "");
	const struct command *command = find_command(argv[optind]);
	if (command == NULL)
		return ctl_usage("there is no command ", argv[optind]);

	/* What follows is read from the beginning; getopt's messages begin with argv[0]. */
	argc -= optind;
	argv += optind;
	argv[0] = program_invocation_name;
	optind = 0;
	if (command->run_alone != NULL)
		return command->run_alone(argc, argv, &args);
	take_options(&args, argc, argv, "c:o:hV");
	return run(command, argv + optind, argc - optind, &args);
}
