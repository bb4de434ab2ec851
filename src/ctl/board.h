/*
 * ctl, following jobs: what is known of them, and what is shown of it.
 */
#ifndef JOBQ_CTL_BOARD_H
#define JOBQ_CTL_BOARD_H

#include "ctl/view.h"

struct ctl_row {
	uint64_t id;
	char type[24], status[12];
	unsigned hundredths;
	int rank;    /* -1: nothing is known yet; 0 queued, 1 running, 2 finished */
	bool listed; /* since somebody has set it to false */
	struct ctl_pace pace;
};

struct ctl_board {
	struct ctl_screen screen;
	struct ctl_row *rows; /* owned; by rising id */
	size_t count, room;
	struct jobq_buf printed; /* lines that are to stay, before they are printed */
	struct jobq_buf line;
	bool all; /* jobs that nobody has named are taken, too, and dropped at their ends */
	bool json;
	uint64_t total; /* of the one job; 0: not known */
	bool changed;	/* there is something to show */
	int64_t drawn_at;
	int status; /* what the ends so far come to */
};

/* Where a job of that id is, or would be. */
size_t ctl_board_place(const struct ctl_board *board, uint64_t id);
struct ctl_row *ctl_board_find(struct ctl_board *board, uint64_t id);
struct ctl_row *ctl_board_add(struct ctl_board *board, uint64_t id);
void ctl_board_drop(struct ctl_board *board, struct ctl_row *row);

/* Takes a job as the API shows it. */
void ctl_board_take(struct ctl_board *board, const json_t *job);
void ctl_board_worsen(struct ctl_board *board, int status);

/* Prints and draws what is due; `at_once`: all of it. */
void ctl_board_show(struct ctl_board *board, bool at_once);
/* What goes to people and belongs to no job. */
void ctl_board_say(struct ctl_board *board, const char *text);

void ctl_board_free(struct ctl_board *board);

#endif
