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

	FCGX_InitRequest(fcgi, -1, 0); /* no socket to accept from: we do that */
	while (!atomic_load(&api_stopping)) {
		if (fcgi->ipcFd < 0) {
			atomic_store(&self->state, API_ACCEPTING);
			fcgi->ipcFd = accept_connection(self);
			if (fcgi->ipcFd < 0)
				continue;
			fcgi->keepConnection = 1; /* or libfcgi closes it before the first request */
		}
		atomic_store(&self->state, API_IDLE);
		if (FCGX_Accept_r(fcgi) < 0)
			continue; /* the peer closed it, fell silent, or spoke no FastCGI */
		atomic_store(&self->state, API_BUSY);
		serve(self);
		read_rest(fcgi); /* or closing the connection would take the answer away */
		if (self->request.listener != NULL) {
			hand_over(&self->request);
			continue;
		}
		if (atomic_load(&api_stopping))
			fcgi->keepConnection = 0;
		FCGX_Finish_r(fcgi);
	}
	if (fcgi->ipcFd >= 0)
		FCGX_Free(fcgi, 1);
	jobq_buf_free(&self->request.headers);
	jobq_buf_free(&self->request.body);
	atomic_store(&self->state, API_ENDED);
	return NULL;
}
