/*
 * What the service is doing: how many jobs wait and run is asked for, how many
 * come and end in a second is counted from the stream of events.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/jobs.h"

#define SECOND INT64_C(1000000)
#define WINDOW 60	  /* seconds that rates are of */
#define INTERVAL 2
#define HEARD_WITHIN (5 * SECOND) /* a stream opens by then, or there is none */

enum count { SUBMITTED, COMPLETED, FAILED, CANCELLED, COUNTS };
static const char *const count_names[COUNTS] = {"submitted", "completed", "failed", "cancelled"};

struct top {
	struct ctl_client client;
	struct ctl_stream stream;
	struct ctl_screen screen;
	struct jobq_buf line;
	struct ctl_answer health, queue, running, oldest;
	uint64_t interval;
	unsigned counts[WINDOW][COUNTS]; /* a second each, round and round */
	int64_t second;			 /* the last one that has been begun */
	int64_t heard_since, connect_at; /* jobq_clock_mono(); 0: nothing is heard */
	bool once;
};

/* ---- rates ------------------------------------------------------------------------- */

/* Forgets the seconds that have left the window. */
static void advance(struct top *top)
{
	const int64_t now = jobq_clock_mono() / SECOND;

	if (now - top->second > WINDOW)
		top->second = now - WINDOW;
	while (top->second < now)
		memset(top->counts[++top->second % WINDOW], 0, sizeof(top->counts[0]));
}

static void take_event(void *arg, const struct ctl_sse_event *event)
{
	static const char *const names[COUNTS] = {"job.queued", "job.completed", "job.failed",
						  "job.cancelled"};
	struct top *top = arg;

	advance(top);
	for (size_t i = 0; i < COUNTS; i++) {
		if (strcmp(names[i], event->name) == 0)
			top->counts[top->second % WINDOW][i]++;
	}
}

/* A second, as far as it has been listened; negative: nobody knows. */
static double rate_of(struct top *top, enum count count)
{
	double seconds = (double)(jobq_clock_mono() - top->heard_since) / SECOND;
	unsigned sum = 0;

	if (top->heard_since == 0)
		return -1;
	advance(top);
	for (size_t i = 0; i < WINDOW; i++)
		sum += top->counts[i][count];
	return sum / (seconds < 1 ? 1 : seconds > WINDOW ? WINDOW : seconds);
}

static void listen_on(struct top *top, int fd, int timeout_ms)
{
	const int64_t now = jobq_clock_mono();

	if (top->stream.easy == NULL && now >= top->connect_at) {
		top->connect_at = now + 5 * SECOND;
		ctl_stream_connect(&top->stream);
	}
	switch (ctl_stream_step(&top->stream, fd, timeout_ms)) {
	case CTL_STREAM_OPENED:
		if (top->heard_since == 0)
			top->heard_since = jobq_clock_mono();
		break;
	case CTL_STREAM_ENDED: top->connect_at = jobq_clock_mono() + SECOND; break;
	default: break;
	}
}

/* ---- how it is now -------------------------------------------------------------------- */

/* healthz says 503 when something is wrong: that is what is to be shown. */
static int ask(struct top *top, const char *path, struct ctl_answer *answer, bool may_fail)
{
	const struct ctl_ask ask = {.method = "GET", .path = path};

	ctl_answer_free(answer);
	if (ctl_client_try(&top->client, &ask, answer) != 0)
		return CTL_UNREACHABLE;
	ctl_answer_say(top->client.error, sizeof(top->client.error), answer);
	if (may_fail && json_object_get(answer->json, "supervisor") != NULL)
		return CTL_OK;
	int status = ctl_client_judge(answer);
	if (status == CTL_REFUSED)
		ctl_client_explain(&top->client, &ask, answer);
	return status;
}

static int look(struct top *top)
{
	int status = ask(top, "/healthz", &top->health, true);

	if (status == CTL_OK)
		status = ask(top, "/queue", &top->queue, false);
	if (status == CTL_OK)
		status = ask(top, "/jobs?status=running", &top->running, false);
	if (status == CTL_OK)
		status = ask(top, "/jobs?status=queued&limit=1", &top->oldest, false);
	return status;
}

static size_t busy(const struct top *top)
{
	return json_array_size(json_object_get(top->running.json, "jobs"));
}

static const json_t *queue(const struct top *top)
{
	return json_object_get(top->queue.json, "queue");
}

static json_int_t number_of(const struct top *top, const char *name)
{
	return json_integer_value(json_object_get(queue(top), name));
}

/* Seconds that the oldest queued job has been waiting, by the service's clock. */
static int64_t oldest(const struct top *top)
{
	const json_t *first = json_array_get(json_object_get(top->oldest.json, "jobs"), 0);
	int64_t now = top->oldest.date > 0 ? top->oldest.date : jobq_clock_wall() / SECOND;
	int64_t age = now - json_integer_value(json_object_get(first, "created_at"));

	return first == NULL || age < 0 ? 0 : age;
}

/* ---- for programs ----------------------------------------------------------------------- */

static void print_values(struct top *top)
{
	size_t i;
	json_t *job;

	printf("status %s\nqueue %s\nslots %" JSON_INTEGER_FORMAT "\nslots_busy %zu\n"
	       "queued %" JSON_INTEGER_FORMAT "\noldest_queued_seconds %" PRId64 "\n",
	       ctl_text_of(top->health.json, "status"), ctl_text_of(queue(top), "state"),
	       number_of(top, "slots"), busy(top), number_of(top, "queued"), oldest(top));
	for (unsigned count = 0; count < COUNTS; count++) {
		double rate = rate_of(top, count);
		if (rate >= 0)
			printf("%s_per_second %.2f\n", count_names[count], rate);
	}
	json_array_foreach(json_object_get(top->running.json, "jobs"), i, job)
		printf("running %s %s %u%%\n", ctl_text_of(job, "id"), ctl_text_of(job, "type"),
		       ctl_jobs_percent(job));
}

/* ---- for people --------------------------------------------------------------------------- */

static void draw(struct top *top)
{
	struct jobq_buf *line = &top->line;
	const unsigned columns = top->screen.columns - 1;

	if (!line->failed && line->len > columns) {
		line->len = columns;
		line->data[columns] = '\0';
	}
	ctl_screen_draw(&top->screen, line->data, (unsigned)line->len);
	line->len = 0;
}

/* A line only when it is not as it should be. */
static void draw_state(struct top *top)
{
	const char *state = ctl_text_of(queue(top), "state");

	if (strcmp(state, "paused") == 0)
		jobq_buf_adds(&top->line, "queue   paused: no job starts until `jobqctl queue resume`");
	else if (strcmp(state, "draining") == 0)
		jobq_buf_adds(&top->line, "queue   draining: it takes no job until `jobqctl queue resume`");
	else
		return;
	draw(top);
}

static void draw_numbers(struct top *top)
{
	struct jobq_buf *line = &top->line;
	char clock[16] = "";
	time_t now = time(NULL);
	struct tm local;

	if (localtime_r(&now, &local) != NULL)
		strftime(clock, sizeof(clock), "%T", &local);
	jobq_buf_addf(line, "%s  %s  service ", clock, top->client.settings.url);
	ctl_add(line, ctl_text_of(top->health.json, "status"));
	draw(top);
	jobq_buf_addf(line,
		      "slots   %zu of %" JSON_INTEGER_FORMAT " busy   queued %" JSON_INTEGER_FORMAT,
		      busy(top), number_of(top, "slots"), number_of(top, "queued"));
	if (number_of(top, "queued") > 0) {
		jobq_buf_adds(line, ", the oldest for ");
		ctl_bar_duration(line, (double)oldest(top));
	}
	draw(top);
	draw_state(top);
	jobq_buf_adds(line, "rates ");
	for (unsigned count = 0; count < COUNTS; count++) {
		double rate = rate_of(top, count);
		if (rate >= 0)
			jobq_buf_addf(line, "  %.1f/s %s", rate, count_names[count]);
	}
	if (top->heard_since == 0)
		jobq_buf_adds(line, "  not known yet");
	draw(top);
}

static void draw_jobs(struct top *top)
{
	size_t i;
	json_t *job;

	json_array_foreach(json_object_get(top->running.json, "jobs"), i, job) {
		const struct ctl_bar bar = {
			.id = ctl_text_of(job, "id"),
			.type = ctl_text_of(job, "type"),
			.status = ctl_text_of(job, "status"),
			.hundredths = ctl_jobs_percent(job),
			.left = -1,
			.running = true,
			.colour = top->screen.colour,
		};
		top->line.len = 0;
		unsigned width = ctl_bar_line(&top->line, &bar, top->screen.columns - 1);
		ctl_screen_draw(&top->screen, top->line.data, width);
		top->line.len = 0;
	}
}

static void show(struct top *top, int status)
{
	if (!top->screen.live) {
		print_values(top);
		putchar('\n');
	} else {
		ctl_screen_clear(&top->screen);
		if (status == CTL_OK) {
			draw_numbers(top);
			draw_jobs(top);
		} else {
			jobq_buf_addf(&top->line, "%s is away: ", top->client.settings.url);
			ctl_add(&top->line, top->client.error);
			draw(top);
		}
	}
	fflush(stdout);
}

/* ---- the command ----------------------------------------------------------------------------- */

/* Sleeps for the interval, counting; until Ctrl-C. */
static void pass(struct top *top, int fd)
{
	const int64_t until = jobq_clock_mono() + (int64_t)top->interval * SECOND;
	int64_t now;

	while ((now = jobq_clock_mono()) < until && !ctl_signals_interrupted()) {
		listen_on(top, fd, (int)((until - now) / 1000) + 1);
		if (ctl_signals_resized()) {
			ctl_screen_measure(&top->screen);
			show(top, CTL_OK);
		}
	}
}

static int run_once(struct top *top, int fd)
{
	const int64_t until = jobq_clock_mono() + HEARD_WITHIN;

	int status = look(top);
	while (status == CTL_OK && top->heard_since == 0 && jobq_clock_mono() < until &&
	       !ctl_signals_interrupted())
		listen_on(top, fd, 100);
	if (status == CTL_OK) {
		pass(top, fd);
		status = look(top);
	}
	if (status == CTL_OK && ctl_signals_interrupted())
		status = CTL_INTERRUPTED;
	if (status == CTL_OK)
		print_values(top);
	return status;
}

static int run(struct top *top, int fd)
{
	int status = look(top);

	if (status == CTL_UNREACHABLE)
		return status;
	while (status != CTL_REFUSED && !ctl_signals_interrupted() && !ferror(stdout)) {
		show(top, status);
		pass(top, fd);
		status = look(top);
	}
	return status == CTL_REFUSED ? status : CTL_OK;
}

static int start(struct top *top)
{
	const int fd = ctl_signals_open();

	ctl_screen_open(&top->screen, top->once);
	top->second = jobq_clock_mono() / SECOND;
	if (!ctl_stream_init(&top->stream, &top->client, "/events", take_event, top))
		return CTL_UNREACHABLE;
	int status = top->once ? run_once(top, fd) : run(top, fd);
	if (status == CTL_UNREACHABLE)
		ctl_client_unreachable(&top->client, top->client.error);
	ctl_stream_free(&top->stream);
	ctl_answer_free(&top->health);
	ctl_answer_free(&top->queue);
	ctl_answer_free(&top->running);
	ctl_answer_free(&top->oldest);
	jobq_buf_free(&top->line);
	return ctl_flush(status);
}

int ctl_top(int argc, char **argv)
{
	struct top top = {.interval = INTERVAL};
	const struct ctl_option options[] = {
		CTL_FLAG("once", &top.once,
			 "listen for one interval, print a number a line, and end"),
		CTL_NUMBER("interval", "SECONDS", &top.interval, "time between two looks [2]"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "top",
		.operands = "",
		.sentence = "Shows slots, queue and rates as they change, until Ctrl-C. Rates are of "
			    "the last minute, or since it began to listen.\v"
			    "Exit status: 0 it was shown, 4 the service cannot be reached, 5 it "
			    "refuses.",
		.groups = CTL_CLIENT | CTL_COLOUR,
		.options = options,
	};

	ctl_options(&syntax, argc, argv);
	if (top.interval > 3600)
		return ctl_usage("--interval is at most 3600 seconds", "");
	int status = ctl_client_open(&top.client);
	if (status == 0)
		status = start(&top);
	ctl_client_close(&top.client);
	return status;
}
