#include "config.h"

#include "ctl/jobs.h"

int ctl_retry(int argc, char **argv)
{
	char path[64];
	struct ctl_new_job job = {.path = path};
	bool failed = false;
	const struct ctl_option options[] = {
		CTL_FLAG("failed", &failed, "only the scenes or operations that failed"),
		CTL_TEXT("idempotency-key", "KEY", &job.key,
			 "repeated with this key it is not done again"),
		CTL_FLAG("wait", &job.wait, "follow the new job to its end, as watch does"),
		CTL_FLAG("json", &job.json,
			 "print what the service answers; with --wait the job, a line a change"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "retry",
		.operands = "ID",
		.sentence = "Does a job that has ended again, as a new one with the same priority and "
			    "labels, and prints the new one's id.\v"
			    "Exit status: 0 it is submitted (with --wait: completed), 1 the new job "
			    "has failed, 3 it was cancelled, 4 the service cannot be reached, 5 it "
			    "refuses: the job has not ended, nothing of it failed, or there is no "
			    "such job.",
		.groups = CTL_CLIENT | CTL_COLOUR,
		.least = 1,
		.most = 1,
		.options = options,
	};

	char **words = ctl_options(&syntax, argc, argv);
	if (!ctl_is_id(words[0]))
		return ctl_usage(NULL, "");
	snprintf(path, sizeof(path), "/jobs/%s/retry", words[0]);
	job.body = failed ? json_pack("{s:s}", "only", "failed") : json_object();
	int status = ctl_jobs_start(&job);
	json_decref(job.body);
	return status;
}
