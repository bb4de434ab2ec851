#include "config.h"

#include <stdio.h>

#include "api/api.h"

static int run(struct jobq_conf *conf, const struct jobq_conf_args *args)
{
	struct api_pool pools[] = {
		{
			.name = "api",
			.path = conf->api_socket,
			.processes = (unsigned)conf->api_processes,
			.threads = (unsigned)conf->api_threads,
		},
		{
			.name = "wait",
			.path = conf->wait_socket,
			.processes = 1,
			.threads = (unsigned)conf->wait_threads,
			.waits = true,
		},
	};

	if (args->test) {
		puts("configuration ok");
		return 0;
	}
	jobq_log_open("jobq-api", conf->log_level);
	return api_prefork(conf, args, pools, JOBQ_LENGTH(pools));
}

int main(int argc, char **argv)
{
	struct jobq_conf_args args;
	struct jobq_conf conf;

	jobq_conf_args(&args, argc, argv, "jobq-api",
		       "The FastCGI application of jobq: serves the HTTP API behind nginx.");
	int status = jobq_conf_start(&conf, &args);
	if (status == 0)
		status = run(&conf, &args);
	jobq_conf_free(&conf);
	return status;
}
