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

struct list {
	const char *status, *type;
	struct ctl_texts labels; /* one, or none */
	uint64_t limit;
	bool json;
};

static int ask(const struct list *list)
{
	struct jobq_buf path = {0};
	struct ctl_client client;
	struct ctl_answer answer = {0};

	jobq_buf_adds(&path, "/jobs?");
	if (list->status != NULL)
		jobq_buf_addf(&path, "status=%s&", list->status);
	if (list->type != NULL)
		jobq_buf_addf(&path, "type=%s&", list->type);
	if (list->labels.count > 0) {
		const char *label = list->labels.text[0];
		const size_t name = strcspn(label, "=");
		jobq_buf_addf(&path, "label=%.*s:%s&", (int)name, label, label + name + 1);
	}
	if (list->limit > 0)
		jobq_buf_addf(&path, "limit=%" PRIu64 "&", list->limit);
	path.data[--path.len] = '\0'; /* the ? or the last & */
	int status = ctl_client_open(&client);
	if (status == 0) {
		const struct ctl_ask ask = {.method = "GET", .path = path.data};
		status = ctl_client_ask(&client, &ask, &answer);
	}
	if (status == CTL_OK && list->json)
		ctl_answer_print(&answer);
	else if (status == CTL_OK)
		print_jobs(json_object_get(answer.json, "jobs"));
	ctl_answer_free(&answer);
	ctl_client_close(&client);
	jobq_buf_free(&path);
	return ctl_flush(status);
}

/* False: it has been said what is wrong. */
static bool makes_sense(const struct list *list)
{
	enum jobq_job_status status;
	enum jobq_job_type type;
	char choice[JOBQ_TYPE_CHOICE], wrong[JOBQ_TYPE_CHOICE + 24];
	size_t name_len;

	snprintf(wrong, sizeof(wrong), "--type is %s, not ", jobq_job_type_choice(choice));
	if (list->status != NULL && !jobq_job_status_of(list->status, strlen(list->status), &status))
		ctl_usage("--status is queued, running, completed, failed or cancelled, not ",
			  list->status);
	else if (list->type != NULL && !jobq_job_type_of(list->type, strlen(list->type), &type))
		ctl_usage(wrong, list->type);
	else if (list->labels.count > 1)
		ctl_usage("list takes one --label", "");
	else if (list->labels.count == 1 && !ctl_jobs_is_label(list->labels.text[0], &name_len))
		ctl_usage(NULL, "");
	else
		return true;
	return false;
}

int ctl_list(int argc, char **argv)
{
	struct list list = {0};
	char choice[JOBQ_TYPE_CHOICE], only[JOBQ_TYPE_CHOICE + 8];
	const struct ctl_option options[] = {
		CTL_TEXT("status", "STATUS", &list.status,
			 "only those that are queued, running, completed, failed or cancelled"),
		CTL_TEXT("type", "TYPE", &list.type, only),
		CTL_TEXTS("label", "NAME=VALUE", &list.labels,
			  "only those that were submitted with this label"),
		CTL_NUMBER("limit", "N", &list.limit, "not more than N, from 1 to 10000"),
		CTL_FLAG("json", &list.json, "print what the service answers"),
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

	snprintf(only, sizeof(only), "only %s", jobq_job_type_choice(choice));
	ctl_options(&syntax, argc, argv);
	return makes_sense(&list) ? ask(&list) : CTL_USAGE;
}
