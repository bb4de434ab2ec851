#include "config.h"

#include <string.h>

#include "ctl/jobs.h"

static void print_member(const char *name, const char *value)
{
	if (*value == '\0')
		return;
	printf("  %-10s ", name);
	ctl_put(stdout, value, strlen(value));
	putchar('\n');
}

static void print_time(const char *name, const json_t *job, const char *member)
{
	struct jobq_buf text = {0};

	if (json_is_integer(json_object_get(job, member))) {
		ctl_jobs_time(&text, json_object_get(job, member));
		print_member(name, text.data);
	}
	jobq_buf_free(&text);
}

/* What stands beside the job, where there is any. */
static void print_remarks(const json_t *answer)
{
	static const char *const numbers[][2] = {{"position", "queue_position"},
						 {"priority", "priority"}};
	json_t *labels = json_object_get(answer, "labels"), *label;
	struct jobq_buf text = {0};
	const char *name;

	for (size_t i = 0; i < JOBQ_LENGTH(numbers); i++) {
		const json_t *number = json_object_get(answer, numbers[i][1]);
		if (json_is_integer(number))
			printf("  %-10s %" JSON_INTEGER_FORMAT "%s\n", numbers[i][0],
			       json_integer_value(number), i == 0 ? " in the queue" : "");
	}
	json_object_foreach(labels, name, label) {
		jobq_buf_addf(&text, "%s%s=%s", text.len > 0 ? " " : "", name,
			      json_is_string(label) ? json_string_value(label) : "");
	}
	print_member("labels", text.len > 0 ? text.data : "");
	jobq_buf_free(&text);
}

static void print_job(const json_t *answer)
{
	const json_t *job = json_object_get(answer, "job");
	const char *status = ctl_text_of(job, "status"), *type = ctl_text_of(job, "type");
	const char *colour = ctl_bar_colour(status, ctl_screen_colours(stdout));
	struct jobq_buf summary = {0};

	printf("job %s: %s", ctl_text_of(job, "id"), colour);
	ctl_put(stdout, status, strlen(status));
	printf("%s, %u%%\n", *colour != '\0' ? CTL_PLAIN : "", ctl_jobs_percent(job));
	print_member("type", type);
	print_remarks(answer);
	print_time("created", job, "created_at");
	print_time("started", job, "started_at");
	print_time("completed", job, "completed_at");
	ctl_board_summary(&summary, job);
	print_member("result", summary.data != NULL ? summary.data : "");
	print_member("error", ctl_text_of(job, "error"));
	jobq_buf_free(&summary);
}

/* As a script asks for: how the job stands is the exit status, too. */
static int status_of(const json_t *job)
{
	const char *status = ctl_text_of(job, "status");

	return strcmp(status, "failed") == 0	  ? CTL_FAILED
	       : strcmp(status, "cancelled") == 0 ? CTL_CANCELLED
						  : CTL_OK;
}

static int show(const char *id, const struct ctl_answer *answer, bool json)
{
	(void)id;
	if (json)
		ctl_answer_print(answer);
	else
		print_job(answer->json);
	return status_of(json_object_get(answer->json, "job"));
}

int ctl_status(int argc, char **argv)
{
	bool json = false;
	const struct ctl_option options[] = {
		CTL_FLAG("json", &json, "print what the service answers, a line for each"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "status",
		.operands = "ID...",
		.sentence = "Prints how jobs are.\v"
			    "Exit status: 0 they are queued, running or completed, 1 one has "
			    "failed, 3 one was cancelled, 4 the service cannot be reached, 5 it "
			    "refuses, or there is no such job.",
		.groups = CTL_CLIENT | CTL_COLOUR,
		.least = 1,
		.options = options,
	};

	char **words = ctl_options(&syntax, argc, argv);
	return ctl_jobs_each("GET", words, "", show, json);
}
