/*
 * What is known of the jobs that are followed, and what is shown of it. News
 * that is older than what is known is no news: it does not matter in which order
 * answers and events come.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/board.h"

#define DRAW_AFTER INT64_C(100000) /* microseconds: at most ten times a second */

/* ---- the jobs ------------------------------------------------------------------------ */

size_t ctl_board_place(const struct ctl_board *board, uint64_t id)
{
	size_t from = 0, to = board->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (board->rows[middle].id < id)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

struct ctl_row *ctl_board_find(struct ctl_board *board, uint64_t id)
{
	size_t at = ctl_board_place(board, id);

	return at < board->count && board->rows[at].id == id ? &board->rows[at] : NULL;
}

struct ctl_row *ctl_board_add(struct ctl_board *board, uint64_t id)
{
	struct ctl_row *row = ctl_board_find(board, id);

	if (row != NULL)
		return row;
	if (board->count == board->room) {
		board->room = board->room == 0 ? 64 : board->room * 2;
		board->rows = reallocarray(board->rows, board->room, sizeof(*board->rows));
		if (board->rows == NULL)
			abort();
	}
	size_t at = ctl_board_place(board, id);
	memmove(&board->rows[at + 1], &board->rows[at],
		(board->count - at) * sizeof(*board->rows));
	board->count++;
	board->rows[at] = (struct ctl_row){.id = id, .rank = -1};
	return &board->rows[at];
}

void ctl_board_drop(struct ctl_board *board, struct ctl_row *row)
{
	size_t at = (size_t)(row - board->rows);

	memmove(row, row + 1, (board->count - at - 1) * sizeof(*row));
	board->count--;
}

static int rank_of(const char *status)
{
	return strcmp(status, "queued") == 0 ? 0 : strcmp(status, "running") == 0 ? 1 : 2;
}

static unsigned hundredths_of(const json_t *job)
{
	double progress = json_number_value(json_object_get(job, "progress"));

	return progress >= 1 ? 100 : progress > 0 ? (unsigned)(progress * 100 + 0.5) : 0;
}

void ctl_board_free(struct ctl_board *board)
{
	jobq_buf_free(&board->printed);
	jobq_buf_free(&board->line);
	free(board->rows);
}

/* ---- what is printed ------------------------------------------------------------------- */

static void add_count(struct jobq_buf *out, json_int_t good, json_int_t all, const char *noun)
{
	jobq_buf_addf(out, "%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " %s", good, all,
		      noun);
}

void ctl_board_summary(struct jobq_buf *out, const json_t *job)
{
	const json_t *result = json_object_get(job, "result");
	const json_t *loaded = json_object_get(result, "scenes_loaded");
	const json_t *good = json_object_get(result, "successful");
	const json_t *warmed = json_object_get(result, "scenes_warmed");

	if (json_is_integer(loaded))
		add_count(out, json_integer_value(loaded),
			  json_integer_value(json_object_get(result, "total_scenes")), "scenes");
	else if (json_is_integer(good))
		add_count(out, json_integer_value(good),
			  json_integer_value(json_object_get(result, "total")), "operations");
	else if (json_is_integer(warmed))
		add_count(out, json_integer_value(warmed),
			  json_integer_value(warmed) +
				  json_integer_value(json_object_get(result, "scenes_failed")),
			  "scenes");
}

static void add_outcome(struct jobq_buf *out, const json_t *job)
{
	const json_t *started = json_object_get(job, "started_at");
	const json_t *completed = json_object_get(job, "completed_at");
	const char *error = ctl_text_of(job, "error");

	if (json_is_integer(started) && json_is_integer(completed)) {
		jobq_buf_adds(out, " in ");
		ctl_bar_duration(out, (double)(json_integer_value(completed) -
					       json_integer_value(started)));
	}
	size_t before = out->len;
	jobq_buf_adds(out, ": ");
	size_t from = out->len;
	ctl_board_summary(out, job);
	if (*error != '\0') {
		if (out->len > from)
			jobq_buf_adds(out, "; ");
		ctl_add(out, error);
	}
	if (out->len == from)
		out->len = before;
}

/* One line a change; on a terminal only the last one of each job. */
static void print_change(struct ctl_board *board, const struct ctl_row *row, const json_t *job)
{
	struct jobq_buf *out = &board->printed;
	const char *colour = ctl_bar_colour(row->status, board->screen.colour);

	if (board->json) {
		char *text = json_dumps(job, JSON_COMPACT | JSON_REAL_PRECISION(15));
		jobq_buf_adds(out, text != NULL ? text : "");
		free(text);
	} else if (row->rank == 2 || !board->screen.live) {
		jobq_buf_addf(out, "%" PRIu64 " %s %s%s%s %u%%", row->id, row->type, colour,
			      row->status, *colour != '\0' ? CTL_PLAIN : "", row->hundredths);
		if (row->rank == 2)
			add_outcome(out, job);
	} else {
		return;
	}
	jobq_buf_adds(out, "\n");
}

static void draw_row(struct ctl_board *board, const struct ctl_row *row, int64_t now)
{
	char id[24];
	const struct ctl_bar bar = {
		.id = id,
		.type = row->type,
		.status = row->status,
		.hundredths = row->hundredths,
		.rate = ctl_pace_rate(&row->pace, now),
		.left = row->rank == 1 ? ctl_pace_left(&row->pace, now) : -1,
		.total = board->total,
		.running = row->rank == 1,
		.colour = board->screen.colour,
	};

	snprintf(id, sizeof(id), "%" PRIu64, row->id);
	board->line.len = 0;
	unsigned width = ctl_bar_line(&board->line, &bar, board->screen.columns - 1);
	ctl_screen_draw(&board->screen, board->line.data, width);
}

/* The running ones first: they are what moves. */
static void draw_rows(struct ctl_board *board, int64_t now)
{
	const size_t room = board->screen.rows > 2 ? board->screen.rows - 2 : 1;
	size_t drawn = 0, there = 0;

	for (int rank = 1; rank >= 0; rank--) {
		for (size_t i = 0; i < board->count; i++) {
			const struct ctl_row *row = &board->rows[i];
			if (row->rank != rank)
				continue;
			there++;
			if (drawn < room && ++drawn > 0)
				draw_row(board, row, now);
		}
	}
	if (there > drawn) {
		board->line.len = 0;
		jobq_buf_addf(&board->line, "and %zu more", there - drawn);
		ctl_screen_draw(&board->screen, board->line.data, (unsigned)board->line.len);
	}
}

void ctl_board_show(struct ctl_board *board, bool at_once)
{
	const int64_t now = jobq_clock_mono();
	const bool due = at_once || now - board->drawn_at >= DRAW_AFTER;

	if (board->screen.live && !due)
		return;
	if (board->screen.live)
		ctl_screen_clear(&board->screen);
	if (board->printed.len > 0)
		fwrite(board->printed.data, 1, board->printed.len, stdout);
	board->printed.len = 0;
	if (board->screen.live && board->screen.columns > 1)
		draw_rows(board, now);
	fflush(stdout);
	board->drawn_at = now;
	board->changed = false;
}

/* What goes to people and belongs to no job. */
void ctl_board_say(struct ctl_board *board, const char *text)
{
	if (board->screen.live)
		ctl_screen_clear(&board->screen);
	fflush(stdout);
	fprintf(stderr, "jobqctl: ");
	ctl_put(stderr, text, strlen(text));
	fprintf(stderr, "\n");
	board->changed = true;
}

/* ---- news --------------------------------------------------------------------------------- */

void ctl_board_worsen(struct ctl_board *board, int status)
{
	/* A failed job is worse than a cancelled one; what could not be followed is worst. */
	static const int order[] = {CTL_OK, CTL_CANCELLED, CTL_FAILED, CTL_REFUSED};
	size_t old = 0, new = 0;

	for (size_t i = 0; i < JOBQ_LENGTH(order); i++) {
		old = order[i] == board->status ? i : old;
		new = order[i] == status ? i : new;
	}
	if (new > old)
		board->status = status;
}

/* Whether it tells more than what is known. */
static bool is_news(const struct ctl_row *row, int rank, unsigned hundredths)
{
	if (row->rank == 2)
		return false;
	return rank > row->rank || (rank == row->rank && hundredths > row->hundredths);
}

void ctl_board_take(struct ctl_board *board, const json_t *job)
{
	const char *id_text = ctl_text_of(job, "id"), *status = ctl_text_of(job, "status");
	uint64_t id;

	if (!jobq_text_u64(id_text, strlen(id_text), UINT64_MAX, &id) || *status == '\0')
		return;
	struct ctl_row *row = ctl_board_find(board, id);
	const int rank = rank_of(status);
	const unsigned hundredths = hundredths_of(job);
	if (row == NULL && !board->all)
		return;
	if (row == NULL)
		row = ctl_board_add(board, id);
	row->listed = true;
	if (!is_news(row, rank, hundredths))
		return;

	struct jobq_buf type = {0}, name = {0};
	ctl_add(&type, ctl_text_of(job, "type"));
	ctl_add(&name, status);
	snprintf(row->type, sizeof(row->type), "%s", type.data != NULL ? type.data : "");
	snprintf(row->status, sizeof(row->status), "%s", name.data != NULL ? name.data : "");
	jobq_buf_free(&type);
	jobq_buf_free(&name);
	row->rank = rank;
	row->hundredths = hundredths;
	if (rank == 1)
		ctl_pace_add(&row->pace, jobq_clock_mono(), hundredths);
	board->changed = true;
	print_change(board, row, job);
	if (rank < 2)
		return;
	if (strcmp(status, "failed") == 0)
		ctl_board_worsen(board, CTL_FAILED);
	else if (strcmp(status, "cancelled") == 0)
		ctl_board_worsen(board, CTL_CANCELLED);
	if (board->all)
		ctl_board_drop(board, row);
}

