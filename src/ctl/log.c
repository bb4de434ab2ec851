#include "config.h"

#include "ctl/jobs.h"

static int show(const char *id, const struct ctl_answer *answer, bool json)
{
	const json_t *lines = json_object_get(answer->json, "lines");
	const bool finished = json_is_true(json_object_get(answer->json, "finished"));
	size_t i;
	json_t *line;

	if (json)
		ctl_answer_print(answer);
	json_array_foreach(lines, i, line) {
		if (json)
			break;
		ctl_put(stdout, json_string_value(line), json_string_length(line));
		putchar('\n');
	}
	if (!finished)
		fprintf(stderr,
			"jobqctl: job %s has not ended yet, and its log is to be had then; follow it "
			"with: jobqctl watch %s\n",
			id, id);
	else if (json_array_size(lines) == 0 && !json)
		fprintf(stderr, "jobqctl: the log of job %s is empty\n", id);
	return finished ? CTL_OK : CTL_FAILED;
}

int ctl_log(int argc, char **argv)
{
	bool json = false;
	const struct ctl_option options[] = {
		CTL_FLAG("json", &json, "print what the service answers"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "log",
		.operands = "ID",
		.sentence = "Prints what a job that has ended did, a line for each scene. A long log "
			    "is cut, and its last line says so.\v"
			    "Exit status: 0 it is printed, 1 the job has not ended, 4 the service "
			    "cannot be reached, 5 it refuses, or there is no such job.",
		.groups = CTL_CLIENT,
		.least = 1,
		.most = 1,
		.options = options,
	};

	char **words = ctl_options(&syntax, argc, argv);
	return ctl_jobs_each("GET", words, "/log", show, json);
}
