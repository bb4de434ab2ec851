#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "jobq/slot.h"
#include "super/super.h"

static int test(const struct jobq_conf *conf)
{
	struct jobq_buf errors = {0};
	bool ok = jobq_conf_check_project(conf, &errors);

	if (ok)
		puts("configuration ok");
	else
		fputs(errors.data, stderr);
	jobq_buf_free(&errors);
	return ok ? 0 : EX_CONFIG;
}

static int run(struct jobq_conf *conf, const struct jobq_conf_args *args)
{
	uint64_t slot;

	if (args->test)
		return test(conf);
	/* What was open where jobqd was started is no child's; the log opens what is. */
	if (args->role != NULL)
		close_range(STDERR_FILENO + 1, UINT_MAX, 0);
	jobq_log_open("jobqd", conf->log_level);
	if (args->role == NULL)
		return super_main(conf, args);
	if (strcmp(args->role, "store") == 0)
		return super_writer_main(conf);
	if (strcmp(args->role, "slot") == 0 && args->role_arg != NULL &&
	    jobq_text_u64(args->role_arg, strlen(args->role_arg), JOBQ_SLOTS - 1, &slot))
		return jobq_slot_main(conf, (unsigned)slot);
	fprintf(stderr, "jobqd: -x %s: no such role\n", args->role);
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	struct jobq_conf_args args;
	struct jobq_conf conf;

	jobq_streams_keep();
	jobq_conf_args(&args, argc, argv, "jobqd",
		       "The supervisor of jobq: owns the job table and runs the jobs.");
	int status = jobq_conf_start(&conf, &args);
	if (status == 0)
		status = run(&conf, &args);
	jobq_conf_free(&conf);
	return status;
}
