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
	       "repairs %llu\nchanges %llu\nstored %llu\nstore_error %d\n",
	       (unsigned long long)stats.next_id, (unsigned long long)stats.bytes_max,
	       (unsigned long long)stats.bytes_committed, (unsigned long long)stats.bytes_free,
	       (unsigned long long)stats.repairs, (unsigned long long)stats.changes,
	       (unsigned long long)stats.durable, stats.store_error);
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
	const char *sentence;
} commands[] = {
	{"show", "", show, "print the job table's numbers"},
	{"cache", "", ctl_cache, "print the scene cache's numbers"},
	{"check", "", check, "check the job table's invariants; exit 1 when one is broken"},
	{"fsck", "", ctl_fsck,
	 "check table and store against each other; exit 1 when they disagree"},
	{"backup", "FILE", ctl_backup, "write a consistent copy of the store to FILE"},
	{"remove-table", "", remove_table,
	 "remove job table and scene cache while jobqd is down; jobs that are stored come back"},
};

static void print_help(void)
{
	printf("Usage: jobqctl [-c FILE] [-o NAME=VALUE]... COMMAND\n"
	       "Looks after the job table of a jobq service.\n\n"
	       "  -c, --config FILE        read this configuration [" JOBQ_CONF_FILE "]\n"
	       "  -o, --option NAME=VALUE  set an option, over what the file says\n"
	       "  -h, --help               show this and exit\n"
	       "  -V, --version            show the version and exit\n\nCommands:\n");
	for (size_t i = 0; i < JOBQ_LENGTH(commands); i++)
		printf("  %-12s %-5s %s\n", commands[i].name, commands[i].operand,
		       commands[i].sentence);
}

static int usage(const char *problem, const char *what)
{
	fprintf(stderr, "jobqctl: %s%s\nTry 'jobqctl --help'.\n", problem, what);
	return 2;
}

/* `words`: the command and its operands. */
static int run(char *const *words, int count, const struct jobq_conf_args *args)
{
	struct jobq_conf conf;

	for (size_t i = 0; i < JOBQ_LENGTH(commands); i++) {
		if (strcmp(commands[i].name, words[0]) != 0)
			continue;
		if (count - 1 != (commands[i].operand[0] != '\0'))
			return usage(words[0], commands[i].operand[0] != '\0' ? " takes one operand"
									     : " takes no operand");
		int status = jobq_conf_start(&conf, args);
		if (status == 0)
			status = commands[i].run(&conf, words + 1);
		jobq_conf_free(&conf);
		return status;
	}
	return usage("there is no command ", words[0]);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'}, {"option", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},	  {"version", no_argument, NULL, 'V'},
		{0},
	};
	struct jobq_conf_args args = {.file = JOBQ_CONF_FILE};
	int c;

	while ((c = getopt_long(argc, argv, "c:o:hV", longs, NULL)) != -1) {
		if (c == 'c') {
			args.file = optarg;
		} else if (c == 'o' && args.setting_count < JOBQ_LENGTH(args.settings)) {
			args.settings[args.setting_count++] = optarg;
		} else if (c == 'h') {
			print_help();
			return 0;
		} else if (c == 'V') {
			printf("jobqctl (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
			return 0;
		} else {
			fprintf(stderr, "Try 'jobqctl --help'.\n");
			return 2;
		}
	}
	if (optind == argc)
		return usage("name a command", "");
	return run(argv + optind, argc - optind, &args);
}
