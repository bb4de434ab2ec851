#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "slot/room.h"
#include "slot/scenes.h"

static int (*const type_runs[JOBQ_TYPES])(struct slot_work *work) = {
#define X(upper, lower, ...) slot_##lower,
	JOBQ_JOB_TYPES(X)
#undef X
};

/*
 * The kernel ends this process (SIGALRM, default action) when the job has run
 * for too long, also if it is caught in a loop; jobqd sees that and fails
 * the job. Nobody has to look at a clock meanwhile.
 */
static void set_alarm(int64_t milliseconds)
{
	struct itimerval timer = {
		.it_value = {milliseconds / 1000, milliseconds % 1000 * 1000},
	};
	setitimer(ITIMER_REAL, &timer, NULL);
}

void slot_progress(struct slot_work *work, size_t done, size_t total)
{
	int hundredths = total > 0 ? (int)((double)done / (double)total * 100) : 0;

	if (hundredths > 99)
		hundredths = 99;
	if (hundredths <= work->progress_sent)
		return;
	work->progress_sent = hundredths;
	jobq_table_progress(work->table, work->claim, (unsigned)hundredths);
	slot_tell_cache(work, false);
}

/* The job's own parameters, as a new reference; NULL with an error left in `work`. */
static json_t *read_parameters(struct slot_work *work)
{
	struct jobq_buf text = {0};
	json_error_t error;
	json_t *parameters = NULL;

	int rc = jobq_table_parameters(work->table, work->claim, &text);
	if (rc == 0)
		parameters = json_loadb(text.data, text.len, JSON_ALLOW_NUL, &error);
	if (parameters == NULL)
		work->error = strdup("the parameters of the job could not be read back");
	jobq_buf_free(&text);
	return parameters;
}

bool slot_stopped(const struct slot_work *work)
{
	return jobq_table_stop_asked(work->table, work->claim);
}

static void report(struct slot_work *work, int64_t began)
{
	char *text = work->result != NULL ? json_dumps(work->result, JSON_COMPACT) : NULL;
	if (work->result != NULL && text == NULL && work->error == NULL)
		work->error = strdup("out of memory while the result was written");
	const char *outcome = work->error != NULL ? "failed" : "completed";
	struct jobq_text log = slot_log_end(work);
	char quoted[1024];

	int rc = jobq_table_finish(work->table, work->claim, text,
				   text != NULL ? strlen(text) : 0, work->error, &log);
	if (rc < 0)
		jobq_log(JOBQ_LOG_ERROR, "job_lost", "job=%llu attempt=%u msg=\"%s\"",
			 (unsigned long long)work->claim->id, work->claim->attempt, strerror(-rc));
	else
		jobq_log(JOBQ_LOG_INFO, "job_finished",
			 "job=%llu type=%s slot=%u status=%s duration_ms=%lld%s%s%s",
			 (unsigned long long)work->claim->id, jobq_job_type_name(work->claim->type),
			 work->claim->slot, outcome,
			 (long long)(jobq_clock_mono() - began) / 1000,
			 work->error != NULL ? " error=\"" : "",
			 work->error != NULL ? jobq_log_quote(quoted, sizeof(quoted), work->error) : "",
			 work->error != NULL ? "\"" : "");
	free(text);
}

void slot_job_run(struct slot_work *work, struct jobq_job_claim *claim)
{
	int64_t began = jobq_clock_mono();

	work->claim = claim;
	work->result = NULL;
	work->error = NULL;
	work->progress_sent = 0;
	work->whole = false;
	work->log.len = work->log_left_out = 0;
	set_alarm(work->conf->job_timeout);
	jobq_log(JOBQ_LOG_INFO, "job_started", "job=%llu type=%s slot=%u attempt=%u",
		 (unsigned long long)claim->id, jobq_job_type_name(claim->type), claim->slot,
		 claim->attempt);

	json_t *parameters = read_parameters(work);
	jobq_table_begin(work->table, claim);
	if (parameters != NULL) {
		work->parameters = parameters;
		int rc = type_runs[claim->type](work);
		if (rc < 0 && work->error == NULL)
			work->error = strdup("out of memory");
		if (work->error == NULL && slot_stopped(work) && !work->whole)
			work->error = strdup("stopped on request before it was done");
		work->parameters = NULL;
	}
	set_alarm(0);
	slot_tell_end(work);
	slot_tell_cache(work, false);
	report(work, began);
	json_decref(parameters);
	json_decref(work->result);
	free(work->error);
	work->result = NULL;
	work->error = NULL;
}
