/*
 * Follows jobs to their ends. What is known of them comes from a stream of
 * events; how they were before it began, and how they are where there are no
 * streams, from asking.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/board.h"

#define SECOND INT64_C(1000000)
#define TICK_MS 1000		/* estimates change though nothing happens */
#define POLL_EVERY SECOND
#define STREAM_AGAIN (30 * SECOND) /* a place may be free */
#define GOODBYE_MOST 20		   /* jobs that are named when one goes */
#define PATIENCE (60 * SECOND)	   /* with a service that was there */

struct follow {
	const struct ctl_follow *what;
	struct ctl_client *client;
	struct ctl_board board;
	struct ctl_stream stream;
	char path[64];
	bool reset; /* the stream has left something out */
	bool polls; /* there is no stream */
	int64_t connect_at, poll_at;
	int64_t lost_since; /* 0: all is well */
	unsigned losses;
	char error[CURL_ERROR_SIZE + 512];
};

static void take_event(void *arg, const struct ctl_sse_event *event)
{
	struct follow *follow = arg;

	if (strcmp(event->name, "reset") == 0) {
		follow->reset = true;
		return;
	}
	json_t *job = json_loadb(event->data, event->len, 0, NULL);
	if (job != NULL)
		ctl_board_take(&follow->board, job);
	json_decref(job);
}

/* ---- asking --------------------------------------------------------------------------------- */

/*
 * CTL_OK; CTL_UNREACHABLE: it may work later, follow->error says why it does not;
 * CTL_REFUSED: it will not, which has been said but for a 404.
 */
static int ask(struct follow *follow, const char *path, struct ctl_answer *answer)
{
	const struct ctl_ask question = {.method = "GET", .path = path};

	if (ctl_client_try(follow->client, &question, answer) != 0) {
		snprintf(follow->error, sizeof(follow->error), "%s", follow->client->error);
		return CTL_UNREACHABLE;
	}
	int status = ctl_client_judge(answer);
	if (status == CTL_REFUSED && answer->status == 429)
		status = CTL_UNREACHABLE; /* it passes */
	if (status == CTL_REFUSED && answer->status != 404)
		ctl_client_explain(follow->client, &question, answer);
	if (status == CTL_UNREACHABLE)
		ctl_answer_say(follow->error, sizeof(follow->error), answer);
	return status;
}

/* A job that is not there is told of, and the others are followed. */
static int ask_job(struct follow *follow, uint64_t id)
{
	struct ctl_answer answer;
	char path[64];

	snprintf(path, sizeof(path), "/jobs/%" PRIu64, id);
	int status = ask(follow, path, &answer);
	if (status == CTL_OK) {
		ctl_board_take(&follow->board, json_object_get(answer.json, "job"));
	} else if (status == CTL_REFUSED && answer.status == 404) {
		struct ctl_row *row = ctl_board_find(&follow->board, id);
		if (!follow->board.all) {
			char text[64];
			snprintf(text, sizeof(text), "there is no job %" PRIu64, id);
			ctl_board_say(&follow->board, text);
			ctl_board_worsen(&follow->board, CTL_REFUSED);
		}
		if (row != NULL)
			ctl_board_drop(&follow->board, row);
		status = CTL_OK;
	}
	ctl_answer_free(&answer);
	return status;
}

static int ask_list(struct follow *follow, const char *path)
{
	struct ctl_answer answer;
	size_t i;
	json_t *job;

	int status = ask(follow, path, &answer);
	if (status == CTL_OK)
		json_array_foreach(json_object_get(answer.json, "jobs"), i, job)
			ctl_board_take(&follow->board, job);
	ctl_answer_free(&answer);
	return status;
}

/* How all of them are now. */
static int look(struct follow *follow)
{
	int status = CTL_OK;

	for (size_t i = 0; i < follow->board.count; i++)
		follow->board.rows[i].listed = false;
	if (follow->board.all) {
		/* In this order: who starts between the two is in the second, too. */
		status = ask_list(follow, "/jobs?status=queued");
		if (status == CTL_OK)
			status = ask_list(follow, "/jobs?status=running");
	}
	/* One that is asked for may be dropped. */
	for (size_t i = 0; i < follow->board.count && status == CTL_OK;) {
		uint64_t id = follow->board.rows[i].id;
		if (follow->board.rows[i].rank < 2 && !follow->board.rows[i].listed)
			status = ask_job(follow, id);
		i = ctl_board_place(&follow->board, id + 1);
	}
	return status;
}

/* ---- the connection --------------------------------------------------------------------------- */

static void lost(struct follow *follow, const char *why)
{
	const int64_t now = jobq_clock_mono();
	char text[sizeof(follow->error) + 64];

	if (ctl_signals_interrupted())
		return;
	if (follow->error != why)
		snprintf(follow->error, sizeof(follow->error), "%s", why);
	if (follow->lost_since == 0) {
		follow->lost_since = now;
		snprintf(text, sizeof(text), "the service is away (%s); trying again", why);
		ctl_board_say(&follow->board, text);
	}
	int64_t pause = SECOND / 4 << (follow->losses < 4 ? follow->losses : 4);
	follow->losses++;
	follow->connect_at = follow->poll_at = now + pause;
}

static void found(struct follow *follow)
{
	if (follow->lost_since != 0)
		ctl_board_say(&follow->board, "the service is back");
	follow->lost_since = 0;
	follow->losses = 0;
}

/* CTL_OK: go on. */
static int look_again(struct follow *follow)
{
	int status = look(follow);

	follow->poll_at = jobq_clock_mono() + POLL_EVERY;
	follow->reset = false;
	if (status == CTL_OK)
		found(follow);
	else if (status == CTL_UNREACHABLE)
		lost(follow, follow->error);
	return status == CTL_UNREACHABLE ? CTL_OK : status;
}

/* Nobody gives a stream; or the service is not there, which asking it will show. */
static int stream_ended(struct follow *follow)
{
	const struct ctl_stream *stream = &follow->stream;
	const int64_t now = jobq_clock_mono();

	if (stream->status == 200 || stream->status == 0) {
		/* A single job's stream ends with its job. */
		follow->connect_at = now + (stream->status == 200 ? 0 : SECOND / 4);
		if (stream->status == 0)
			lost(follow, stream->error);
		else
			follow->losses++;
		if (follow->losses > 3 && stream->status == 200)
			follow->connect_at = now + SECOND;
		return stream->status == 200 ? look_again(follow) : CTL_OK;
	}
	follow->polls = true;
	follow->connect_at = stream->status == 404 || stream->status == 405 ? INT64_MAX
									     : now + STREAM_AGAIN;
	return look_again(follow);
}

static int step(struct follow *follow, int fd)
{
	int64_t now = jobq_clock_mono();
	int status = CTL_OK;

	if (follow->stream.easy == NULL && now >= follow->connect_at &&
	    !ctl_stream_connect(&follow->stream))
		follow->connect_at = now + SECOND;
	if (follow->polls && now >= follow->poll_at)
		status = look_again(follow);
	int timeout = follow->board.changed ? 100 : follow->stream.easy == NULL ? 250 : TICK_MS;
	if (status == CTL_OK) {
		switch (ctl_stream_step(&follow->stream, fd, timeout)) {
		case CTL_STREAM_OPENED:
			follow->polls = false;
			status = look_again(follow);
			break;
		case CTL_STREAM_ENDED: status = stream_ended(follow); break;
		default: break;
		}
	}
	if (status == CTL_OK && follow->reset)
		status = look_again(follow);
	return status;
}

/* ---- all of it ----------------------------------------------------------------------------------- */

static bool all_ended(const struct follow *follow)
{
	for (size_t i = 0; i < follow->board.count && !follow->board.all; i++) {
		if (follow->board.rows[i].rank < 2)
			return false;
	}
	return !follow->board.all;
}

/* A command to go on with, unless it were too long to be read. */
static void say_goodbye(struct follow *follow)
{
	struct jobq_buf text = {0}, ids = {0};
	size_t named = 0;

	for (size_t i = 0; i < follow->board.count; i++) {
		if (follow->board.rows[i].rank < 2 && ++named > 0)
			jobq_buf_addf(&ids, " %" PRIu64, follow->board.rows[i].id);
	}
	if (follow->board.all || named > GOODBYE_MOST)
		jobq_buf_adds(&text, "the jobs go on; watch them again with: jobqctl watch --all");
	else
		jobq_buf_addf(&text, "not cancelled, %s on; watch again with: jobqctl watch%s",
			      named > 1 ? "they go" : "it goes", ids.len > 0 ? ids.data : "");
	ctl_board_say(&follow->board, text.data);
	jobq_buf_free(&ids);
	jobq_buf_free(&text);
}

static void resize(struct follow *follow)
{
	ctl_screen_measure(&follow->board.screen);
	ctl_board_show(&follow->board, true);
}

static int run(struct follow *follow, int fd)
{
	int status = CTL_OK;

	while (status == CTL_OK && !all_ended(follow)) {
		if (ctl_signals_resized())
			resize(follow);
		if (ctl_signals_interrupted()) {
			ctl_board_show(&follow->board, true);
			follow->board.screen.drawn = 0; /* how they were stays to be seen */
			say_goodbye(follow);
			return CTL_INTERRUPTED;
		}
		if (follow->lost_since != 0 &&
		    jobq_clock_mono() - follow->lost_since > PATIENCE)
			return ctl_client_unreachable(follow->client, follow->error);
		if (ferror(stdout))
			return CTL_USAGE;
		status = step(follow, fd);
		if (follow->board.changed || follow->board.screen.live)
			ctl_board_show(&follow->board, false);
	}
	return status != CTL_OK ? status : follow->board.status;
}

/* Who waits for a queue that stands still may wait for long. */
static void look_at_queue(struct follow *follow)
{
	struct ctl_answer answer;
	bool waits = false;

	for (size_t i = 0; i < follow->board.count; i++)
		waits = waits || follow->board.rows[i].rank == 0;
	if (!waits)
		return;
	if (ask(follow, "/queue", &answer) == CTL_OK &&
	    strcmp(ctl_text_of(json_object_get(answer.json, "queue"), "state"), "paused") == 0)
		ctl_board_say(&follow->board,
			      "the queue is paused: no job starts until `jobqctl queue resume`");
	ctl_answer_free(&answer);
}

static int start(struct follow *follow)
{
	for (size_t i = 0; i < follow->what->count; i++) {
		uint64_t id = 0;
		jobq_text_u64(follow->what->ids[i], strlen(follow->what->ids[i]), UINT64_MAX, &id);
		ctl_board_add(&follow->board, id);
	}
	int status = look(follow); /* who is wrong, or not there, is to be told at once */
	if (status == CTL_UNREACHABLE && ctl_signals_interrupted()) {
		say_goodbye(follow);
		return CTL_INTERRUPTED;
	}
	if (status == CTL_UNREACHABLE)
		ctl_client_unreachable(follow->client, follow->error);
	if (status == CTL_OK)
		look_at_queue(follow);
	if (!follow->board.all && follow->board.count == 1)
		snprintf(follow->path, sizeof(follow->path), "/jobs/%" PRIu64 "/events",
			 follow->board.rows[0].id);
	else
		snprintf(follow->path, sizeof(follow->path), "/events");
	return status;
}

int ctl_follow(struct ctl_client *client, const struct ctl_follow *what)
{
	struct follow follow = {
		.what = what,
		.client = client,
		.board = {.all = what->ids == NULL, .json = what->json, .total = what->total},
	};
	const int fd = ctl_signals_open();

	ctl_screen_open(&follow.board.screen, what->json);
	int status = start(&follow);
	if (status == CTL_OK && !ctl_stream_init(&follow.stream, client, follow.path, take_event, &follow))
		status = CTL_UNREACHABLE;
	ctl_board_show(&follow.board, true);
	if (status == CTL_OK)
		status = run(&follow, fd);
	if (status != CTL_INTERRUPTED)
		ctl_board_show(&follow.board, true);
	else
		fflush(stdout);
	ctl_stream_free(&follow.stream);
	ctl_board_free(&follow.board);
	return ctl_flush(status);
}
