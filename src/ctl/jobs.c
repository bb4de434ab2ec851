/*
 * What the commands about single jobs have in common.
 */
#include "config.h"

#include <string.h>
#include <time.h>

#include "ctl/jobs.h"

int ctl_jobs_each(char *const *words, ctl_jobs_one one, bool json)
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
		int each = one(&client, *words, json);
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
