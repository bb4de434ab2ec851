/*
 * api: jobq-api, the FastCGI application behind nginx.
 *
 * A parent forks worker processes; each serves one pool's socket with many
 * threads, one request a thread at a time. A request's way: accept.c takes it
 * from libfcgi, route.c finds its handler by method and path, the handler's
 * file does the work on the table, reply.c sends the answer.
 *
 * Two pools, each with its own socket. "api" serves what is answered at once.
 * "wait" serves what may take long (?wait=, whole lists, event streams), so
 * that plain requests never queue behind it; nginx sends each request to its
 * pool. Event streams hold no thread: see stream.h.
 */
#ifndef JOBQ_API_API_H
#define JOBQ_API_API_H

#include <fcgiapp.h>
#include <pthread.h>

#include "jobq/conf.h"
#include "jobq/job.h"
#include "jobq/table.h"
#include "jobq/table_hooks.h"

#define API_WAIT_MAX 60 /* seconds of ?wait= */
#define API_JSON "application/json"

/* A kind of worker process. */
struct api_pool {
	const char *name;
	const char *path; /* of its socket */
	unsigned processes, threads;
	bool waits; /* requests may sleep in it */
	int listener;
	bool passed; /* the service manager's: it has made the socket, and keeps it */
	char bound[108]; /* then: its name, to which `path` points */
	ino_t inode; /* else: of the socket's name, to see when a successor has taken it */
};

/* What ties a worker to its parent. */
struct api_ties {
	int parent;  /* readable when the parent is gone */
	int started; /* eventfd(2): a worker adds 1 when its threads run */
};

struct api_listener; /* see stream.h */
struct api_thread;

/* One request. Belongs to the thread that serves it. */
struct api_request {
	FCGX_Request fcgi;
	const struct jobq_conf *conf;
	struct jobq_table *table; /* NULL: there is none just now */
	const char *method, *path, *query, *token_name;
	size_t route; /* its row, see api_route_name() */
	uint64_t id;  /* from the path, where the route has one */
	struct jobq_text item; /* likewise, what the path names of the thing with that id */
	bool head;    /* send no body */
	bool may_wait; /* this pool's threads may sleep for a client */
	_Atomic uint32_t stop; /* changes when the client has gone or the process stops */
	int status; /* of the answer */
	const char *content_type;
	struct jobq_buf headers; /* beyond the usual ones; each line ends in CRLF */
	struct jobq_buf body;
	struct api_listener *listener; /* takes the connection over when the request has been read */
};

/* ---- reply.c: every function sends the whole answer ---- */
/* The request's body as JSON; body.failed becomes a 500. */
void api_reply(struct api_request *request, int status);
/* An error body. `fmt` makes the sentence for a person. */
void api_reply_error(struct api_request *request, int status, const char *code, const char *fmt,
		     ...) JOBQ_PRINTF(4, 5);
/* The same from a refusal, with its details. */
void api_reply_refusal(struct api_request *request, int status, const struct jobq_refusal *why);
/* 503 with Retry-After. */
void api_reply_unavailable(struct api_request *request, unsigned retry_after, const char *code,
			   const char *sentence);
/* 404: there is none of the request's id. */
void api_reply_no_job(struct api_request *request);
void api_reply_no_webhook(struct api_request *request);
/* Begins an answer of unknown length; parts follow. */
void api_reply_begin(struct api_request *request, int status);
/* Sends and empties the body; false: the client has gone. */
bool api_reply_part(struct api_request *request);

/* ---- query.c ---- */
/*
 * The value of a query parameter, decoded into `into`. Returns its length, -1
 * when it is not there, or -2 when it cannot be read: given twice, a broken
 * percent sign, or too long. The name itself is not decoded: nginx, which
 * chooses the pool by it, does not do so either.
 */
int api_query(const char *query, const char *name, char *into, size_t room);
/* A whole number; *out stays when it is not there. False: it has been answered. */
bool api_query_number(struct api_request *request, const char *name, uint64_t least, uint64_t most,
		      uint64_t *out);

/* ---- body.c ---- */
/* Reads the request's body, which has to say that it is JSON. False: it has been answered. */
bool api_body(struct api_request *request, struct jobq_buf *body);

/* ---- route.c ---- */
/* Answers the request. */
void api_route(struct api_request *request);
/* How many routes there are. A request of none has this for its row. */
size_t api_route_count(void);
/* Method and pattern of a row; left as they are for that of no route. */
void api_route_name(size_t row, const char **method, const char **pattern);
/* Tells this table of routes from other releases'. */
uint32_t api_route_digest(void);

/* ---- one file a handler ---- */
void api_submit(struct api_request *request); /* POST /jobs */
void api_list(struct api_request *request);   /* GET /jobs */
void api_show(struct api_request *request);   /* GET /jobs/:id */
void api_cancel(struct api_request *request); /* DELETE /jobs/:id */
void api_stop(struct api_request *request);   /* POST /jobs/:id/cancel */
/* cancel.c, for both: cancels a queued job, or refuses with that sentence. */
void api_cancel_or_refuse(struct api_request *request, const char *refusal);
void api_retry(struct api_request *request);  /* POST /jobs/:id/retry */
void api_job_log(struct api_request *request); /* GET /jobs/:id/log */
void api_queue_show(struct api_request *request);   /* GET /queue */
void api_queue_pause(struct api_request *request);  /* POST /queue/pause */
void api_queue_resume(struct api_request *request); /* POST /queue/resume */
void api_queue_drain(struct api_request *request);  /* POST /queue/drain */
/* submit.c: the rest of a submission whose body is at hand. */
void api_submit_body(struct api_request *request, const char *body, size_t len);
void api_health(struct api_request *request); /* GET /healthz */
void api_metrics(struct api_request *request); /* GET /metrics */
void api_events(struct api_request *request); /* GET /events */
void api_job_events(struct api_request *request); /* GET /jobs/:id/events */

/* ---- webhooks.c ---- */
void api_webhooks_create(struct api_request *request); /* POST /webhooks */
void api_webhooks_list(struct api_request *request);   /* GET /webhooks */
void api_webhooks_show(struct api_request *request);   /* GET /webhooks/:id */
void api_webhooks_change(struct api_request *request); /* PUT /webhooks/:id */
void api_webhooks_remove(struct api_request *request); /* DELETE /webhooks/:id */

/* ---- deliveries.c ---- */
void api_deliveries_list(struct api_request *request); /* GET /webhooks/:id/deliveries */
void api_deliveries_ping(struct api_request *request); /* POST /webhooks/:id/test */
/* POST /webhooks/:id/deliveries/:delivery/redeliver */
void api_deliveries_redeliver(struct api_request *request);

/* ---- command.c ---- */
/*
 * Has the store's writer carry out a command, see jobq_table_command(); `event`
 * may be NULL. False: it has been answered.
 */
bool api_command(struct api_request *request, struct jobq_command *command, uint64_t *event);

/* ---- pool.c ---- */
/*
 * Counts a request in as one that may hold its thread for long; false when too
 * few threads would be left for others. Each true is followed by
 * api_pool_leave().
 */
bool api_pool_enter(void);
void api_pool_leave(void);
/* How many are in. */
unsigned api_pool_count(void);
/*
 * Whether, as the process is to stop, a thread that waits for a request has waited for
 * long enough: then it is signalled, and closes its connection.
 */
bool api_pool_gives_up(struct api_thread *thread);
/* The life of a worker process. */
int api_pool_run(const struct jobq_conf *conf, const struct api_pool *pool,
		 const struct api_ties *ties);

/* ---- accept.c ---- */
enum api_thread_state {
	API_ACCEPTING, /* no connection: may be stopped at once */
	API_IDLE,      /* waits for a request on a kept connection */
	API_BUSY,
	API_ENDED,
};

struct api_thread {
	pthread_t thread;
	const struct jobq_conf *conf;
	const struct api_pool *pool;
	_Atomic int state;
	_Atomic int64_t idle_since; /* jobq_clock_mono() */
	struct api_request request;
};

/* Set once, when the process is to stop. */
extern _Atomic bool api_stopping;
/* The thread's function: serves one request after another until api_stopping. */
void *api_accept(void *thread);

/* ---- gone.c: clients that go away while we sleep for them ---- */
/* Starts the watching thread. Once a process, in the wait pool. */
bool api_gone_start(void);
/* Interrupts *stop when the other side of `fd` hangs up; until forgotten. */
void api_gone_watch(int fd, _Atomic uint32_t *stop);
void api_gone_forget(int fd);

/* ---- table.c: this process's hold on the table ---- */
/* The table, attached if it has to be; NULL: there is none. Given back after use. */
struct jobq_table *api_table_take(const struct jobq_conf *conf);
void api_table_give(struct jobq_table *table);
/*
 * Waits, for submit_timeout at the most, while a jobqd that has just been started is
 * about to have the request's table: while one of another layout stands there (as on
 * an upgrade, until the older jobqd has ended), while it is being made, and while jobs
 * are read into it, by this jobqd or, if it dies, the next one. At once where there is
 * no table at all: then nothing tells that a jobqd will come; and where as many wait as
 * may (api_pool_enter()).
 */
void api_table_await(struct api_request *request);
/*
 * Whether a supervisor owns the request's table. If not, looks whether another
 * table stands under the name by now and changes request->table to it.
 */
bool api_table_owned(struct api_request *request);

/* ---- stored.c: answers that wait for the store ---- */
/*
 * Waits, for submit_timeout at the most, until there is an owner to keep a
 * promise. False: answered with 503.
 */
bool api_stored_begin(struct api_request *request, int64_t *deadline);
/*
 * Waits until what was just done to the job is stored. False: answered with
 * 503, and if it was `submitted` just now, it is no more.
 */
bool api_stored_await(struct api_request *request, uint64_t id, bool submitted, int64_t deadline);
/* The 503 for a store that takes nothing, or (-EAGAIN) nothing more just now. */
void api_stored_refuse(struct api_request *request, int rc);

/* ---- listen.c ---- */
/*
 * Opens the sockets of all pools: those that the service manager has passed, by
 * the pools' names; or else each under its name, in place of one that is there, in
 * one step: clients find the old one or the new one. Returns 0 or the exit
 * status; what is wrong has been logged.
 */
int api_listen(struct api_pool *pools, size_t count);
/* Takes the name away, if it is ours and still stands for this pool's socket. */
void api_listen_end(const struct api_pool *pool);
/* Whether the name still stands for this pool's socket. */
bool api_listen_current(const struct api_pool *pool);

/* ---- prefork.c ---- */
/*
 * The parent: keeps the workers running until SIGTERM; at SIGHUP it reads the
 * configuration again and replaces them. The service manager hears that it is
 * ready once every worker serves. The exit status.
 */
int api_prefork(struct jobq_conf *conf, const struct jobq_conf_args *args,
		struct api_pool *pools, size_t count);

#endif
