/*
 * What the commands about single jobs have in common.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/jobs.h"

/* The refusal says that it can't be cancelled. What can be done depends on how the job is. */
static void hint(struct ctl_client *client, const char *id)
{
	struct ctl_answer answer;
	char path[64];
	const struct ctl_ask request = {.method = "GET", .path = path};

	snprintf(path, sizeof(path), "/jobs/%s", id);
	if (ctl_client_try(client, &request, &answer) == 0) {
		const char *status = ctl_text_of(json_object_get(answer.json, "job"), "status");
		if (strcmp(status, "running") == 0)
			fprintf(stderr, "It runs: `jobqctl stop %s` asks it to end at its next scene.\n",
				id);
		else if (strcmp(status, "cancelled") == 0)
			fprintf(stderr, "It has been cancelled already.\n");
		else if (*status != '\0')
			fprintf(stderr, "It has ended already; see `jobqctl status %s`.\n", id);
	}
	ctl_answer_free(&answer);
}

static int ask(struct ctl_client *client, const struct ctl_ask *request, const char *id,
	       ctl_jobs_show show, bool json)
{
	struct ctl_answer answer;

	int status = ctl_client_ask(client, request, &answer);
	if (status == CTL_OK)
		status = show(id, &answer, json);
	else if (strcmp(ctl_text_of(answer.json, "code"), "not_cancellable") == 0)
		hint(client, id);
	ctl_answer_free(&answer);
	return status;
}

int ctl_jobs_each(const char *method, char *const *words, const char *rest, ctl_jobs_show show,
		  bool json)
{
	struct ctl_client client;
	char path[64];
	const struct ctl_ask request = {.method = method, .path = path};
	int worst = 0;

	for (size_t i = 0; words[i] != NULL; i++) {
		if (!ctl_is_id(words[i]))
			return ctl_usage(NULL, "");
	}
	int status = ctl_client_open(&client);
	/* Who is not there will not be there for the next one either. */
	for (; status == 0 && *words != NULL && worst != CTL_UNREACHABLE; words++) {
		snprintf(path, sizeof(path), "/jobs/%s%s", *words, rest);
		int each = ask(&client, &request, *words, show, json);
		worst = each > worst ? each : worst;
	}
	ctl_client_close(&client);
	return ctl_flush(status != 0 ? status : worst);
}

/* ---- new ones --------------------------------------------------------------------- */

static int follow(struct ctl_client *client, const struct ctl_new_job *job, const char *id)
{
	const struct ctl_follow what = {
		.ids = &id,
		.count = 1,
		.total = job->total,
		.json = job->json,
	};

	return ctl_follow(client, &what);
}

/* There was no answer, or only nginx's. */
static void say_unsure(const struct ctl_client *client, const struct ctl_new_job *job, long status)
{
	const bool unsure = status == 0 || status == 502 || status == 504;

	if (!client->sent || !unsure)
		return;
	fprintf(stderr, job->key != NULL
				? "It may have been submitted all the same; again with the same key "
				  "it is not done twice.\n"
				: "It may have been submitted all the same: see `jobqctl list` before "
				  "you do it again (--idempotency-key would make that safe).\n");
}

static int post(struct ctl_client *client, const struct ctl_new_job *job)
{
	const struct ctl_ask ask = {
		.method = "POST",
		.path = job->path,
		.body = job->body,
		.key = job->key,
	};
	struct ctl_answer answer;

	int status = ctl_client_ask(client, &ask, &answer);
	if (status == CTL_OK) {
		const char *id = ctl_text_of(answer.json, "job_id");
		if (answer.replayed)
			fprintf(stderr, "jobqctl: this has been submitted before with that key\n");
		if (job->json && !job->wait)
			ctl_answer_print(&answer);
		else if (!job->json)
			printf("%s\n", id);
		fflush(stdout); /* whatever becomes of the rest: this is its id */
		status = job->wait && ctl_is_id(id) ? follow(client, job, id) : CTL_OK;
	} else if (status == CTL_UNREACHABLE) {
		say_unsure(client, job, answer.status);
	}
	ctl_answer_free(&answer);
	return ctl_flush(status);
}

int ctl_jobs_start(const struct ctl_new_job *job)
{
	struct ctl_client client;
	char wrong[80];

	if (job->key != NULL && !jobq_job_is_key(job->key)) {
		snprintf(wrong, sizeof(wrong),
			 "--idempotency-key is 1 to %d printable ASCII characters, not ",
			 JOBQ_KEY_MAX);
		return ctl_usage(wrong, job->key);
	}
	int status = ctl_client_open(&client);
	if (status == 0)
		status = post(&client, job);
	ctl_client_close(&client);
	return status;
}

bool ctl_jobs_is_label(const char *word, size_t *name_len)
{
	const size_t len = strcspn(word, "=");

	*name_len = len;
	if (word[len] == '=' && jobq_job_is_label(word, len) &&
	    jobq_job_is_label(word + len + 1, strlen(word + len + 1)))
		return true;
	fprintf(stderr, "jobqctl: --label is NAME=VALUE, each 1 to %d of A-Z a-z 0-9 . _ / -, not ",
		JOBQ_LABEL_MAX);
	ctl_put(stderr, word, strlen(word));
	fprintf(stderr, "\n");
	return false;
}

/* ---- what they say ------------------------------------------------------------------ */

void ctl_jobs_time(struct jobq_buf *out, const json_t *time)
{
	const time_t seconds = (time_t)json_integer_value(time);
	struct tm local;
	char text[32];

	if (!json_is_integer(time) || localtime_r(&seconds, &local) == NULL ||
	    strftime(text, sizeof(text), "%F %T", &local) == 0)
		jobq_buf_adds(out, "-");
	else
		jobq_buf_adds(out, text);
}

unsigned ctl_jobs_percent(const json_t *job)
{
	return (unsigned)(json_number_value(json_object_get(job, "progress")) * 100 + 0.5);
}
