#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/jobs.h"

static void print_job(const json_t *job, bool colours)
{
	const char *id = ctl_text_of(job, "id"), *type = ctl_text_of(job, "type");
	const char *status = ctl_text_of(job, "status");
	const char *colour = ctl_bar_colour(status, colours);
	struct jobq_buf line = {0}, word = {0};

	ctl_add(&word, id);
	jobq_buf_addf(&line, "%8s  ", word.data != NULL ? word.data : "");
	word.len = 0;
	ctl_add(&word, type);
	jobq_buf_addf(&line, "%-16s  %s", word.data, colour);
	word.len = 0;
	ctl_add(&word, status);
	jobq_buf_addf(&line, "%-9s%s  %3u%%  ", word.data, *colour != '\0' ? CTL_PLAIN : "",
		      ctl_jobs_percent(job));
	ctl_jobs_time(&line, json_object_get(job, "created_at"));
	puts(line.data);
	jobq_buf_free(&line);
	jobq_buf_free(&word);
}

static void print_jobs(const json_t *jobs)
{
	const bool colours = ctl_screen_colours(stdout);
	size_t i;
	json_t *job;

	if (json_array_size(jobs) > 0)
		printf("%8s  %-16s  %-9s  %4s  %s\n", "ID", "TYPE", "STATUS", "DONE", "CREATED");
	json_array_foreach(jobs, i, job)
		print_job(job, colours);
}

static int ask(const char *status_name, const char *type, uint64_t limit, bool json)
{
	struct jobq_buf path = {0};
	struct ctl_client client;
	struct ctl_answer answer = {0};

	jobq_buf_adds(&path, "/jobs?");
	if (status_name != NULL)
		jobq_buf_addf(&path, "status=%s&", status_name);
	if (type != NULL)
		jobq_buf_addf(&path, "type=%s&", type);
	if (limit > 0)
		jobq_buf_addf(&path, "limit=%" PRIu64 "&", limit);
	path.data[--path.len] = '\0'; /* the ? or the last & */
	int status = ctl_client_open(&client);
	if (status == 0) {
		const struct ctl_ask ask = {.method = "GET", .path = path.data};
		status = ctl_client_ask(&client, &ask, &answer);
	}
	if (status == CTL_OK && json)
		ctl_answer_print(&answer);
	else if (status == CTL_OK)
		print_jobs(json_object_get(answer.json, "jobs"));
	ctl_answer_free(&answer);
	ctl_client_close(&client);
	jobq_buf_free(&path);
	return ctl_flush(status);
}

int ctl_list(int argc, char **argv)
{
	const char *status = NULL, *type = NULL;
	uint64_t limit = 0;
	bool json = false;
	char choice[JOBQ_TYPE_CHOICE], only[JOBQ_TYPE_CHOICE + 8], wrong[JOBQ_TYPE_CHOICE + 24];
	const struct ctl_option options[] = {
		CTL_TEXT("status", "STATUS", &status,
			 "only those that are queued, running, completed, failed or cancelled"),
		CTL_TEXT("type", "TYPE", &type, only),
		CTL_NUMBER("limit", "N", &limit, "not more than N, from 1 to 10000"),
		CTL_FLAG("json", &json, "print what the service answers"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "list",
		.operands = "",
		.sentence = "Lists jobs, oldest first.\v"
			    "Exit status: 0 they are listed, 4 the service cannot be reached, 5 it "
			    "refuses.",
		.groups = CTL_CLIENT | CTL_COLOUR,
		.options = options,
	};
	enum jobq_job_status known_status;
	enum jobq_job_type known_type;

	jobq_job_type_choice(choice);
	snprintf(only, sizeof(only), "only %s", choice);
	snprintf(wrong, sizeof(wrong), "--type is %s, not ", choice);
	ctl_options(&syntax, argc, argv);
	if (status != NULL && !jobq_job_status_of(status, strlen(status), &known_status))
		return ctl_usage("--status is queued, running, completed, failed or cancelled, not ",
				 status);
	if (type != NULL && !jobq_job_type_of(type, strlen(type), &known_type))
		return ctl_usage(wrong, type);
	return ask(status, type, limit, json);
}
