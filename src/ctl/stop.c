#include "config.h"

#include "ctl/jobs.h"

/* 202: it runs, and has been asked to stop; else it was queued, and never starts. */
static int show(const char *id, const struct ctl_answer *answer, bool json)
{
	if (json)
		ctl_answer_print(answer);
	else if (answer->status == 202)
		printf("job %s is asked to stop\n", id);
	else
		printf("job %s is cancelled\n", id);
	return CTL_OK;
}

int ctl_stop(int argc, char **argv)
{
	bool json = false;
	const struct ctl_option options[] = {
		CTL_FLAG("json", &json, "print what the service answers, a line for each"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "stop",
		.operands = "ID...",
		.sentence = "Asks running jobs to end at their next scene: they fail then, with what "
			    "they have done as their result. A job that is still queued is "
			    "cancelled.\v"
			    "Exit status: 0 they are asked, 4 the service cannot be reached, 5 it "
			    "refuses: one has ended already, or there is no such job.",
		.groups = CTL_CLIENT,
		.least = 1,
		.options = options,
	};

	char **words = ctl_options(&syntax, argc, argv);
	return ctl_jobs_each("POST", words, "/cancel", show, json);
}
