#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/jobs.h"

static void print_failure(const json_t *row)
{
	const char *path = ctl_text_of(row, "scene_path"), *error = ctl_text_of(row, "error");
	const json_t *errors = json_object_get(json_object_get(row, "result"), "errors");
	size_t i;
	json_t *text;

	if (*error == '\0' && json_array_size(errors) == 0)
		error = "failed";
	if (*error != '\0') {
		ctl_put(stderr, path, strlen(path));
		fprintf(stderr, ": ");
		ctl_put(stderr, error, strlen(error));
		fprintf(stderr, "\n");
	}
	json_array_foreach(errors, i, text) {
		ctl_put(stderr, path, strlen(path));
		fprintf(stderr, ": ");
		ctl_put(stderr, json_string_value(text), json_string_length(text));
		fprintf(stderr, "\n");
	}
}

/* What went wrong with each scene, a line for each, for people. */
static void print_failures(const json_t *result)
{
	static const char *const lists[] = {"scenes", "operations"};
	size_t i;
	json_t *row;

	fflush(stdout);
	for (size_t list = 0; list < JOBQ_LENGTH(lists); list++) {
		json_array_foreach(json_object_get(result, lists[list]), i, row) {
			if (json_is_false(json_object_get(row, "success")))
				print_failure(row);
		}
	}
}

static int print_result(const char *id, const json_t *job, bool json)
{
	const json_t *result = json_object_get(job, "result");
	const char *status = ctl_text_of(job, "status"), *error = ctl_text_of(job, "error");
	const size_t how = json ? JSON_COMPACT : JSON_INDENT(2);

	if (json_is_object(result)) {
		char *text = json_dumps(result, how | JSON_REAL_PRECISION(15));
		puts(text != NULL ? text : "");
		free(text);
		print_failures(result);
	}
	if (strcmp(status, "completed") == 0)
		return CTL_OK;
	fprintf(stderr, "jobqctl: job %s %s", id,
		strcmp(status, "failed") == 0	   ? "has failed: "
		: strcmp(status, "cancelled") == 0 ? "was cancelled"
						   : "has not ended yet; follow it with: jobqctl watch ");
	if (strcmp(status, "failed") == 0)
		ctl_put(stderr, error, strlen(error));
	else if (strcmp(status, "cancelled") != 0)
		fprintf(stderr, "%s", id);
	fprintf(stderr, "\n");
	return strcmp(status, "cancelled") == 0 ? CTL_CANCELLED : CTL_FAILED;
}

static int show(const char *id, const struct ctl_answer *answer, bool json)
{
	return print_result(id, json_object_get(answer->json, "job"), json);
}

int ctl_result(int argc, char **argv)
{
	bool json = false;
	const struct ctl_option options[] = {
		CTL_FLAG("json", &json, "on one line"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "result",
		.operands = "ID",
		.sentence = "Prints a job's result as JSON, and on standard error a line for each "
			    "scene that something was wrong with.\v"
			    "Exit status: 0 the job has completed, 1 it has failed or has not "
			    "ended, 3 it was cancelled, 4 the service cannot be reached, 5 it "
			    "refuses, or there is no such job.",
		.groups = CTL_CLIENT,
		.least = 1,
		.most = 1,
		.options = options,
	};

	char **words = ctl_options(&syntax, argc, argv);
	return ctl_jobs_each("GET", words, "", show, json);
}
