/*
 * jobqctl: the tool of operators and of clients.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "ctl/ctl.h"

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
	const char *operands;
	/* On this machine, by its configuration; it has one operand, or none. */
	int (*run)(const struct jobq_conf *conf, char *const *words);
	/* Instead: with a command line of its own. argv[1] follows the name. */
	int (*run_alone)(int argc, char **argv);
	const char *sentence;
} commands[] = {
	{"submit", "TYPE ...", NULL, ctl_submit, "submit a job, and with --wait follow it to its end"},
	{"watch", "ID...", NULL, ctl_watch, "follow jobs to their ends, or with --all every job"},
	{"status", "ID...", NULL, ctl_status, "print how jobs are"},
	{"list", "", NULL, ctl_list, "list jobs, oldest first"},
	{"cancel", "ID...", NULL, ctl_cancel, "cancel jobs that are still queued"},
	{"stop", "ID...", NULL, ctl_stop, "ask running jobs to end at their next scene"},
	{"retry", "ID", NULL, ctl_retry, "do a job again, or with --failed what failed of it"},
	{"result", "ID", NULL, ctl_result, "print a finished job's result"},
	{"log", "ID", NULL, ctl_log, "print what a job did with each scene"},
	{"queue", "[VERB]", NULL, ctl_queue, "show the queue's state, or pause, resume or drain it"},
	{"webhook", "...", NULL, ctl_webhook, "see to webhooks and their deliveries"},
	{"top", "", NULL, ctl_top, "show slots, queue and rates as they change"},
	{"doctor", "", NULL, ctl_doctor, "check the installation and say what to mend"},
	{"scene", "check", NULL, ctl_scene, "judge scenes of a project without a service"},
	{"show", "", show, NULL, "print the job table's numbers"},
	{"cache", "", ctl_cache, NULL, "print the scene cache's numbers"},
	{"check", "", check, NULL,
	 "check the job table's invariants; exit 1 when one is broken"},
	{"fsck", "", ctl_fsck, NULL,
	 "check table and store against each other; exit 1 when they disagree"},
	{"backup", "FILE", ctl_backup, NULL, "write a consistent copy of the store to FILE"},
	{"remove-table", "", remove_table, NULL,
	 "remove job table and scene cache while jobqd is down; jobs that are stored come back"},
	{"token", "...", NULL, ctl_token, "add, list, revoke or rotate clients' tokens"},
};

static void list_commands(void)
{
	printf("\nCommands (jobqctl COMMAND --help says more):\n");
	for (size_t i = 0; i < JOBQ_LENGTH(commands); i++)
		printf("  %-12s %-8s %s\n", commands[i].name, commands[i].operands,
		       commands[i].sentence);
}

static int run(const struct command *command, int argc, char **argv)
{
	const size_t operands = command->operands[0] != '\0';
	const struct ctl_syntax syntax = {
		.command = command->name,
		.operands = command->operands,
		.sentence = command->sentence,
		.groups = CTL_LOCAL,
		.least = operands,
		.most = operands,
	};
	struct jobq_conf conf;

	char **words = ctl_options(&syntax, argc, argv);
	int status = jobq_conf_start(&conf, &ctl_given()->local);
	if (status == 0)
		status = command->run(&conf, words);
	jobq_conf_free(&conf);
	return ctl_flush(status);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < JOBQ_LENGTH(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	jobq_streams_keep();
	int at = ctl_options_front(argc, argv, list_commands);
	if (at == 0)
		return ctl_usage("name a command", "");
	const struct command *command = find_command(argv[at]);
	if (command == NULL)
		return ctl_usage("there is no command ", argv[at]);
	/* What follows is read from the beginning; getopt's messages begin with argv[0]. */
	argc -= at;
	argv += at;
	argv[0] = program_invocation_name;
	return command->run_alone != NULL ? command->run_alone(argc, argv)
					  : run(command, argc, argv);
}
