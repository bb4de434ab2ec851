/*
 * api, inside: event streams (GET /events, GET /jobs/:id/events).
 *
 * A thread of the wait pool takes the request from libfcgi and looks at it
 * (events.c); then one thread a process, the stream (stream.c), has the
 * connection. It writes the records of FastCGI itself (listener.c), never
 * waits for a client, and follows the table's feed with a cursor a listener.
 * So a listener costs a descriptor and a hundred bytes, and holds text only
 * while its socket takes no more; the text is shared by all who are sent it.
 */
#ifndef JOBQ_API_STREAM_H
#define JOBQ_API_STREAM_H

#include "api/api.h"
#include "jobq/table_feed.h"

/* ---- sse.c: the form of the events ---- */
extern const char api_sse_head[]; /* of the answer */
/* The first lines: say that the stream is open. */
void api_sse_open(struct jobq_buf *out);
/*
 * An id without data: no event, but what a client says that is cut off before
 * the first one. Not before it has been told how its job is.
 */
void api_sse_place(struct jobq_buf *out, uint32_t generation, uint64_t seq);
/* Says that the client may have missed something. */
void api_sse_reset(struct jobq_buf *out);
/* The job as it is, under the name of what happened to it last; `result` may be of no length. */
void api_sse_job(struct jobq_buf *out, uint32_t generation, uint64_t seq,
		 const struct jobq_job *job, const char *result, size_t result_len,
		 const char *error, size_t error_len);
/* Reads a Last-Event-ID; false when it is not one of this generation. */
bool api_sse_id(const char *text, uint32_t generation, uint64_t *seq);

/* ---- listener.c: what one client is sent. The stream's thread only ---- */
/* Text on its way to one or more listeners. */
struct api_message {
	struct jobq_buf text;
	unsigned refs;
};
/* Takes the text; NULL: there is none, or there was no memory. */
struct api_message *api_message_make(struct jobq_buf *text);
void api_message_drop(struct api_message *message); /* NULL: nothing */
/* Bytes in all messages. */
size_t api_message_bytes(void);

struct api_listener {
	struct api_listener *next, *prev, *grave;
	/* Set by who makes it. */
	uint64_t job;   /* 0: all */
	uint64_t after; /* what it has been told up to */
	uint32_t generation; /* of the table that it means */
	uint16_t request_id;
	bool now;   /* begin with what happens now rather than behind `after` */
	bool reset; /* tell it that it may have missed something */
	bool state; /* tell it how its job is */
	/* The stream's. */
	int fd; /* -1: closed */
	bool opened, ends, blocked;
	uint8_t header_left, tail_sent;
	uint32_t version; /* of its job as it was told; what is older is no news. 0: all is */
	struct api_message *message; /* what it is being sent, or NULL */
	size_t at;		       /* bytes of it that are sent */
	size_t frame_begin, frame_end; /* its part in the record that is being sent */
	int64_t sent_at;	     /* when its socket took something last */
};

enum api_sent {
	API_SENT_ALL,
	API_SENT_PART, /* the socket takes no more just now */
	API_SENT_END,  /* the end of the stream, too */
	API_SENT_GONE, /* the other side is no more */
};
/* Begins a message; the listener has none. The reference is the listener's. */
void api_listener_give(struct api_listener *listener, struct api_message *message);
/* Sends what there is, and when it `ends`, the end of the request. */
enum api_sent api_listener_send(struct api_listener *listener, int64_t now);

/* ---- news.c: what there is to tell. The stream's thread only ---- */
struct api_news {
	struct jobq_table *table;
	uint32_t generation;
};
/*
 * The next message for the listener, with a reference for it, or NULL; moves its
 * cursor on, and sets `ends` with the last one.
 */
struct api_message *api_news_next(const struct api_news *news, struct api_listener *listener);
/* Forgets what has been made for others: to be called when all have been asked. */
void api_news_forget(void);

/* ---- stream.c ---- */
/* Starts it; once a process. At most `most` listeners. */
bool api_stream_start(const struct jobq_conf *conf, unsigned most);
/*
 * Counts a listener in; false: there are too many. Each true is followed by
 * api_stream_add(), or api_stream_leave().
 */
bool api_stream_enter(void);
void api_stream_leave(void);
/* How many are in, and how many may be. */
unsigned api_stream_count(void);
unsigned api_stream_most(void);
/* Hands a listener (allocated) and its connection over. */
void api_stream_add(struct api_listener *listener, int fd);
/* api_stopping has been set: all streams are ended, those that still come, too. */
void api_stream_stop(void);
/* Ends the threads; no more listeners come. */
void api_stream_end(void);

#endif
