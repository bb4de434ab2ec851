#include "config.h"

#include <stdio.h>
#include <unistd.h>

#include "api/api.h"

#define PROCESSES_LEAST 2
#define PROCESSES_MOST 64

/* One a processor, as nginx has workers (worker_processes auto): so there is a thread for
 * each connection that those keep, whatever the machine. */
static unsigned processes(const struct jobq_conf *conf)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (conf->api_processes > 0)
		return (unsigned)conf->api_processes;
	if (processors < PROCESSES_LEAST)
		return PROCESSES_LEAST;
	return processors < PROCESSES_MOST ? (unsigned)processors : PROCESSES_MOST;
}

static int run(struct jobq_conf *conf, const struct jobq_conf_args *args)
{
	struct api_pool pools[] = {
		{
			.name = "api",
			.path = conf->api_socket,
			.processes = processes(conf),
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

	jobq_streams_keep();
	jobq_conf_args(&args, argc, argv, "jobq-api",
		       "The FastCGI application of jobq: serves the HTTP API behind nginx.");
	int status = jobq_conf_start(&conf, &args);
	if (status == 0)
		status = run(&conf, &args);
	jobq_conf_free(&conf);
	return status;
}
