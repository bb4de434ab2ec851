#include "config.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/stream.h"
#include "jobq/table_counters.h"

#define SILENT_READ 30  /* seconds; nginx closes idle connections after 5 */
#define SILENT_WRITE 75 /* seconds; nginx gives its own clients 60 */
#define KEPT_BUFFER (256 * 1024)

_Atomic bool api_stopping;

/*
 * Our own accept(2): libfcgi's has a select(2) on it that breaks beyond 1024
 * descriptors, and loses a signal that comes just before it sleeps. Given a
 * connection, libfcgi uses it. Returns -1 when there is none.
 */
static int accept_connection(struct api_thread *self)
{
	const struct timeval read_time = {.tv_sec = SILENT_READ};
	const struct timeval write_time = {.tv_sec = SILENT_WRITE};

	int fd = accept4(self->pool->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno != EINTR && errno != ECONNABORTED) {
			jobq_log(JOBQ_LOG_ERROR, "accept_failed", "pool=%s msg=\"%s\"",
				 self->pool->name, strerror(errno));
			poll(NULL, 0, 100); /* descriptors or memory are short: let some go */
		}
		return -1;
	}
	/* A peer that falls silent in the middle of a record does not keep a thread. */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &read_time, sizeof(read_time));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &write_time, sizeof(write_time));
	return fd;
}

/*
 * Waits until a new connection has something to read. A signal that was meant for a
 * thread without a connection would end libfcgi's read(2), and take with it the request that
 * is on its way. False: it said nothing for too long.
 */
static bool await_first(struct api_thread *self, int fd)
{
	struct pollfd ready = {fd, POLLIN, 0};
	int n;

	do
		n = poll(&ready, 1, SILENT_READ * 1000);
	while (n < 0 && errno == EINTR && !api_pool_gives_up(self));
	return n > 0;
}

static const char *parameter(const struct api_request *request, const char *name)
{
	const char *value = FCGX_GetParam(name, request->fcgi.envp);
	return value != NULL ? value : "";
}

static void empty(struct jobq_buf *buf)
{
	if (buf->room > KEPT_BUFFER || buf->failed)
		jobq_buf_free(buf);
	buf->len = 0;
}

static void serve(struct api_thread *self)
{
	struct api_request *request = &self->request;

	request->conf = self->conf;
	request->may_wait = self->pool->waits;
	request->method = parameter(request, "REQUEST_METHOD");
	request->path = parameter(request, "DOCUMENT_URI");
	request->query = parameter(request, "QUERY_STRING");
	request->token_name = parameter(request, "JOBQ_TOKEN_NAME");
	request->head = false;
	request->listener = NULL;
	request->status = 200; /* of an event stream, which api_reply() does not send */
	request->content_type = API_JSON;
	empty(&request->headers);
	empty(&request->body);
	request->table = api_table_take(self->conf);
	api_route(request);
	if (request->table != NULL)
		jobq_table_count_request(request->table, request->route, request->status);
	api_table_give(request->table);
}

/*
 * What a handler has not read of the request's body would stay on the kept
 * connection, where libfcgi takes it for the next request.
 */
static void read_rest(FCGX_Request *fcgi)
{
	char rest[4096];

	while (FCGX_GetStr(rest, sizeof(rest), fcgi->in) == (int)sizeof(rest))
		;
}

/*
 * Ends the request and its connection, which nginx means to keep: behind the end it may
 * send the next request before it sees that nobody reads it. So something follows the
 * end, in one piece with it; then nginx does not keep the connection
 * (ngx_http_fastcgi_module.c), and a new one waits for who comes next.
 */
static void end_connection(FCGX_Request *fcgi)
{
	const uint8_t id[] = {(uint8_t)(fcgi->requestId >> 8), (uint8_t)fcgi->requestId};
	/* Version, type, id, length (FastCGI specification, 3.3); bodies of 8 bytes. */
	const uint8_t end[] = {
		1, 6, id[0], id[1], 0, 0, 0, 0, /* no more standard output */
		1, 3, id[0], id[1], 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* the end: all went well */
		1, 11, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,        /* a type that is not known */
	};
	int fd = fcgi->ipcFd;

	FCGX_FFlush(fcgi->out);
	FCGX_Free(fcgi, 0);
	fcgi->ipcFd = -1;
	ssize_t ignored = send(fd, end, sizeof(end), MSG_NOSIGNAL); /* it may have gone */
	(void)ignored;
	close(fd);
}

/* libfcgi forgets the request and its connection, and sends nothing more. */
static void hand_over(struct api_request *request)
{
	int fd = request->fcgi.ipcFd;

	FCGX_Free(&request->fcgi, 0);
	request->fcgi.ipcFd = -1;
	api_stream_add(request->listener, fd);
}

void *api_accept(void *thread)
{
	struct api_thread *self = thread;
	FCGX_Request *fcgi = &self->request.fcgi;

	bool is_new = false;

	FCGX_InitRequest(fcgi, -1, 0); /* no socket to accept from: we do that */
	/* One that is kept may have its next request on the way: it is not just closed. */
	while (fcgi->ipcFd >= 0 || !atomic_load(&api_stopping)) {
		if (fcgi->ipcFd < 0) {
			atomic_store(&self->state, API_ACCEPTING);
			fcgi->ipcFd = accept_connection(self);
			if (fcgi->ipcFd < 0)
				continue;
			is_new = true;
			fcgi->keepConnection = 1; /* or libfcgi closes it before the first request */
		}
		atomic_store(&self->idle_since, jobq_clock_mono());
		atomic_store(&self->state, API_IDLE);
		if (is_new && !await_first(self, fcgi->ipcFd)) {
			close(fcgi->ipcFd); /* libfcgi has nothing of it yet */
			fcgi->ipcFd = -1;
			continue;
		}
		is_new = false;
		if (FCGX_Accept_r(fcgi) < 0)
			continue; /* the peer closed it, fell silent, or spoke no FastCGI */
		atomic_store(&self->state, API_BUSY);
		serve(self);
		read_rest(fcgi); /* or closing the connection would take the answer away */
		if (self->request.listener != NULL) {
			hand_over(&self->request);
			continue;
		}
		if (fcgi->keepConnection && atomic_load(&api_stopping))
			end_connection(fcgi);
		else
			FCGX_Finish_r(fcgi);
	}
	jobq_buf_free(&self->request.headers);
	jobq_buf_free(&self->request.body);
	atomic_store(&self->state, API_ENDED);
	return NULL;
}
