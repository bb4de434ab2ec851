#include "config.h"

#include "ctl/jobs.h"

static int cancel(struct ctl_client *client, const char *id, bool json)
{
	struct ctl_answer answer;
	char path[64];
	const struct ctl_ask ask = {.method = "DELETE", .path = path};

	snprintf(path, sizeof(path), "/jobs/%s", id);
	int status = ctl_client_ask(client, &ask, &answer);
	if (status == CTL_OK && json)
		ctl_answer_print(&answer);
	else if (status == CTL_OK)
		printf("job %s is cancelled\n", id);
	ctl_answer_free(&answer);
	return status;
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
		.sentence = "Cancels jobs that are still queued.\v"
			    "Exit status: 0 they are cancelled, 4 the service cannot be reached, 5 "
			    "it refuses: one is not queued any more, or there is no such job.",
		.groups = CTL_CLIENT,
		.least = 1,
		.options = options,
	};

	char **words = ctl_options(&syntax, argc, argv);
	return ctl_jobs_each(words, cancel, json);
}
