#include "config.h"

#include "ctl/jobs.h"

static int show(const char *id, const struct ctl_answer *answer, bool json)
{
	if (json)
		ctl_answer_print(answer);
	else
		printf("job %s is cancelled\n", id);
	return CTL_OK;
}

int ctl_cancel(int argc, char **argv)
{
	bool json = false;
	const struct ctl_option options[] = {
		CTL_FLAG("json", &json, "print what the service answers, a line for each"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "cancel",
		.operands = "ID...",
		.sentence = "Cancels jobs that are still queued; one that runs is for "
			    "`jobqctl stop`.\v"
			    "Exit status: 0 they are cancelled, 4 the service cannot be reached, 5 "
			    "it refuses: one is not queued any more, or there is no such job.",
		.groups = CTL_CLIENT,
		.least = 1,
		.options = options,
	};

	char **words = ctl_options(&syntax, argc, argv);
	return ctl_jobs_each("DELETE", words, "", show, json);
}
