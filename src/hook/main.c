#include "config.h"

#include <stdio.h>

#include "hook/hook.h"

static int run(struct jobq_conf *conf, const struct jobq_conf_args *args)
{
	if (args->test) {
		puts("configuration ok");
		return 0;
	}
	jobq_log_open("jobq-hook", conf->log_level);
	return hook_main(conf, args);
}

int main(int argc, char **argv)
{
	struct jobq_conf_args args;
	struct jobq_conf conf;

	jobq_streams_keep();
	jobq_conf_args(&args, argc, argv, "jobq-hook",
		       "The sender of jobq: delivers events to webhooks.");
	int status = jobq_conf_start(&conf, &args);
	if (status == 0)
		status = run(&conf, &args);
	jobq_conf_free(&conf);
	return status;
}
