#include "config.h"

#include "ctl/view.h"

int ctl_watch(int argc, char **argv)
{
	struct ctl_follow what = {0};
	bool all = false;
	const struct ctl_option options[] = {
		CTL_FLAG("all", &all, "all jobs that there are and that come, until Ctrl-C"),
		CTL_FLAG("json", &what.json, "print the job as JSON, a line a change"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "watch",
		.operands = "ID...\n--all",
		.sentence =
			"Follows jobs to their ends: with progress bars on a terminal, else with a "
			"line for each change. Ctrl-C ends the watching, not the jobs.\v"
			"Exit status: 0 all have completed, 1 one has failed, 3 one was cancelled, "
			"4 the service cannot be reached, 5 it refuses, or there is no such job, "
			"130 Ctrl-C.",
		.groups = CTL_CLIENT | CTL_COLOUR,
		.most = SIZE_MAX,
		.options = options,
	};
	struct ctl_client client;

	char **words = ctl_options(&syntax, argc, argv);
	if (all == (words[0] != NULL))
		return ctl_usage(all ? "watch takes ids or --all, not both"
				     : "name jobs to watch, or --all", "");
	for (; words[what.count] != NULL; what.count++) {
		if (!ctl_is_id(words[what.count]))
			return ctl_usage(NULL, "");
	}
	what.ids = all ? NULL : (const char *const *)words;
	int status = ctl_client_open(&client);
	if (status == 0)
		status = ctl_follow(&client, &what);
	ctl_client_close(&client);
	return status;
}
