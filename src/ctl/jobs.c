/*
 * What the commands about single jobs have in common.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/jobs.h"

static int ask(struct ctl_client *client, const char *method, const char *id, ctl_jobs_show show,
	       bool json)
{
	struct ctl_answer answer;
	char path[64];
	const struct ctl_ask request = {.method = method, .path = path};

	snprintf(path, sizeof(path), "/jobs/%s", id);
	int status = ctl_client_ask(client, &request, &answer);
	if (status == CTL_OK)
		status = show(id, &answer, json);
	ctl_answer_free(&answer);
	return status;
}

int ctl_jobs_each(const char *method, char *const *words, ctl_jobs_show show, bool json)
{
	struct ctl_client client;
	int worst = 0;

	for (size_t i = 0; words[i] != NULL; i++) {
		if (!ctl_is_id(words[i]))
			return ctl_usage(NULL, "");
	}
	int status = ctl_client_open(&client);
	/* Who is not there will not be there for the next one either. */
	for (; status == 0 && *words != NULL && worst != CTL_UNREACHABLE; words++) {
		int each = ask(&client, method, *words, show, json);
		worst = each > worst ? each : worst;
	}
	ctl_client_close(&client);
	return ctl_flush(status != 0 ? status : worst);
}

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
