/*
 * ctl, what follows jobs: events as they come, and what is shown of them.
 */
#ifndef JOBQ_CTL_VIEW_H
#define JOBQ_CTL_VIEW_H

#include "ctl/client.h"

/* ---- server-sent events (sse.c; pure) ---------------------------------------- */

#define CTL_SSE_NAME 64
#define CTL_SSE_ID 128
#define CTL_SSE_MOST (256u << 20) /* bytes of a line, or of an event's data */

struct ctl_sse_event {
	const char *name; /* "message" when the stream gives none */
	const char *data; /* terminated; without the last line's end */
	size_t len;
};

/* A zeroed one is at the beginning of a stream. */
struct ctl_sse {
	struct jobq_buf line, data;
	bool begun;   /* a byte order mark can come no more */
	bool after_cr; /* a line feed that comes next belongs to the line's end */
	bool has_data;
	bool failed; /* out of memory, or too long: nothing more is read */
	char name[CTL_SSE_NAME];
	char id[CTL_SSE_ID]; /* the last one; for Last-Event-ID */
	long retry;	     /* milliseconds; 0: not told */
};

typedef void (*ctl_sse_take)(void *arg, const struct ctl_sse_event *event);

/* Reads more of a stream and calls `take` for each event that is complete. */
void ctl_sse_feed(struct ctl_sse *sse, const char *bytes, size_t len, ctl_sse_take take, void *arg);
/* A new connection: keeps the id, drops what was incomplete. */
void ctl_sse_restart(struct ctl_sse *sse);
void ctl_sse_free(struct ctl_sse *sse);

/* ---- progress (bar.c; pure) --------------------------------------------------- */

#define CTL_PACE_SAMPLES 16

/* The last times at which a job's progress moved. */
struct ctl_pace {
	struct {
		int64_t at; /* microseconds, any clock */
		unsigned hundredths;
	} samples[CTL_PACE_SAMPLES];
	unsigned count, next;
};

void ctl_pace_add(struct ctl_pace *pace, int64_t at, unsigned hundredths);
/* Hundredths in a second, as it looks at `now`; 0: nobody knows. */
double ctl_pace_rate(const struct ctl_pace *pace, int64_t now);
/* Seconds that are left; negative: nobody knows. */
double ctl_pace_left(const struct ctl_pace *pace, int64_t now);

/* Adds 0:07, 12:05, 3:02:11, 2d 3h. */
void ctl_bar_duration(struct jobq_buf *out, double seconds);
/* Adds [####------] in `width` columns. */
void ctl_bar_draw(struct jobq_buf *out, unsigned hundredths, unsigned width);

/* What a line tells of a job. */
struct ctl_bar {
	const char *id, *type, *status, *note;
	unsigned hundredths;
	double rate, left; /* as above */
	uint64_t total;	   /* scenes or operations; 0: not known */
	bool running, colour;
};
/* Adds the line, at most `columns` wide; what finds no room is left out. Returns how wide it is. */
unsigned ctl_bar_line(struct jobq_buf *out, const struct ctl_bar *bar, unsigned columns);

/* The escape sequence that begins a status' colour, or ""; CTL_PLAIN ends it. */
const char *ctl_bar_colour(const char *status, bool colour);
#define CTL_PLAIN "\033[0m"

/* ---- the terminal (screen.c) --------------------------------------------------- */

#define CTL_ROWS_MAX 512

struct ctl_screen {
	bool live;   /* lines are drawn again; else each is printed once */
	bool colour;
	unsigned columns, rows;
	size_t drawn; /* lines that are going to be drawn over */
	unsigned widths[CTL_ROWS_MAX];
};

/* `json`: what is printed is for programs. */
void ctl_screen_open(struct ctl_screen *screen, bool json);
/* Whether standard output or another stream gets colours. */
bool ctl_screen_colours(FILE *out);
/* Asks how large the terminal is now. */
void ctl_screen_measure(struct ctl_screen *screen);
/* Takes the live lines away; what is printed then stays. */
void ctl_screen_clear(struct ctl_screen *screen);
/* Adds a live line, at most columns - 1 wide. */
void ctl_screen_draw(struct ctl_screen *screen, const char *line, unsigned width);

/* Catches SIGINT, SIGTERM and SIGWINCH; returns a descriptor to poll, or -1. */
int ctl_signals_open(void);
/* What has come: read it and forget it. Whether the terminal's size has changed. */
bool ctl_signals_resized(void);
bool ctl_signals_interrupted(void);

/* ---- streams (stream.c) -------------------------------------------------------- */

enum ctl_stream_news {
	CTL_STREAM_QUIET,
	CTL_STREAM_OPENED, /* it has begun: what happens from now on will be told */
	CTL_STREAM_ENDED,  /* see `status` and `error` */
};

struct ctl_stream {
	struct ctl_client *client;
	const char *path;
	ctl_sse_take take;
	void *arg;
	CURLM *multi;
	CURL *easy; /* NULL: not connected */
	struct curl_slist *headers;
	struct ctl_sse sse;
	bool opened;
	long status; /* of the last answer; 0: there was none */
	char detail[CURL_ERROR_SIZE], error[CURL_ERROR_SIZE + 128];
};

/* `path` is borrowed. False: out of memory. */
bool ctl_stream_init(struct ctl_stream *stream, struct ctl_client *client, const char *path,
		     ctl_sse_take take, void *arg);
/* Connects, where it left off; to be called again after CTL_STREAM_ENDED. */
bool ctl_stream_connect(struct ctl_stream *stream);
/* Sleeps until something happens or `fd` can be read; events go to `take` meanwhile. */
enum ctl_stream_news ctl_stream_step(struct ctl_stream *stream, int fd, int timeout_ms);
void ctl_stream_free(struct ctl_stream *stream);

/* ---- following (follow.c) ------------------------------------------------------- */

struct ctl_follow {
	const char *const *ids; /* of the jobs; NULL: all that there are and come */
	size_t count;
	uint64_t total; /* scenes or operations of the one job; 0: not known */
	bool json;
};

/* Follows jobs to their ends and returns the exit status. */
int ctl_follow(struct ctl_client *client, const struct ctl_follow *what);

/* What a finished job's result comes to, as "9 of 10 scenes"; adds nothing when it has none (board.c). */
void ctl_board_summary(struct jobq_buf *out, const json_t *job);

#endif
