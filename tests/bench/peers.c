/*
 * peers: one client for jobq and for what else keeps jobs on disk. CONNECTIONS
 * clients, each of which submits a job of 200 bytes, waits until the server
 * says that it has it, and submits the next.
 *
 * usage: peers http PORT SECONDS CONNECTIONS TOKEN     POST /jobs
 *        peers beanstalkd PORT SECONDS CONNECTIONS     put
 *        peers redis PORT SECONDS CONNECTIONS          what RQ 1.13 enqueues with
 *
 * Prints `name value` lines: jobs, failed, seconds, jobs a second, microseconds.
 */
#include "config.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "jobq/base.h"

#define BODY_BYTES 200
#define BODY_HEAD "{\"type\":\"scene_preload\",\"parameters\":{\"scene_paths\":[\"res://a.tscn\""
#define BODY_TAIL "]}}"
#define REDIS_LINES 10 /* OK, four times QUEUED, the array's head, its four numbers */
#define PATIENCE_MS 60000

struct client {
	int fd;
	int64_t sent; /* jobq_clock_mono() */
	size_t len;
	char answer[4096];
};

struct message {
	size_t len;
	char text[4096];
};

/* What differs between the servers. */
struct peer {
	const char *name;
	void (*make)(struct message *out, uint64_t number);
	/* Negative: not all of it is there; else whether the job was accepted. */
	int (*accepted)(const char *answer);
	bool (*closes)(const char *answer);
};

static char body[BODY_BYTES + 1];
static const char *token;
static int port;

__attribute__((format(printf, 2, 3)))
static void add(struct message *out, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	int len = vsnprintf(out->text + out->len, sizeof(out->text) - out->len, format, arguments);
	va_end(arguments);
	if (len < 0 || (size_t)len >= sizeof(out->text) - out->len)
		abort();
	out->len += (size_t)len;
}

/* ---- jobq ----------------------------------------------------------------- */

static void make_http(struct message *out, uint64_t number)
{
	(void)number;
	add(out, "POST /jobs HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
	    port, token, BODY_BYTES, body);
}

static int http_accepted(const char *answer)
{
	static const char length[] = "\r\nContent-Length: ";
	const char *end = strstr(answer, "\r\n\r\n"), *at = strstr(answer, length);

	if (end == NULL)
		return -1;
	if (at == NULL || at > end)
		return 0;
	if (strlen(end + 4) < strtoul(at + sizeof(length) - 1, NULL, 10))
		return -1;
	return strncmp(answer, "HTTP/1.1 202 ", 13) == 0;
}

static bool http_closes(const char *answer) /* nginx does after keepalive_requests */
{
	return strstr(answer, "\r\nConnection: close\r\n") != NULL;
}

/* ---- beanstalkd ----------------------------------------------------------- */

static void make_put(struct message *out, uint64_t number)
{
	(void)number;
	add(out, "put 0 0 60 %d\r\n%s\r\n", BODY_BYTES, body);
}

static int put_accepted(const char *answer)
{
	return strchr(answer, '\n') == NULL ? -1 : strncmp(answer, "INSERTED ", 9) == 0;
}

static bool stays(const char *answer)
{
	(void)answer;
	return false;
}

/* ---- Redis, as rq/queue.py enqueue_job() and rq/job.py to_dict() use it ---- */

static void command(struct message *out, size_t count, const char *const *words)
{
	add(out, "*%zu\r\n", count);
	for (size_t i = 0; i < count; i++)
		add(out, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
}

#define COMMAND(out, ...)                                                                          \
	do {                                                                                       \
		const char *const words_[] = {__VA_ARGS__};                                        \
		command(out, JOBQ_LENGTH(words_), words_);                                         \
	} while (0)

static void make_enqueue(struct message *out, uint64_t number)
{
	static const char when[] = "2026-11-24T05:13:04.130000Z";
	char id[64], key[80];

	snprintf(id, sizeof(id), "5f0c1d9a-8a3e-4f57-%04x-%012" PRIx64, (unsigned)getpid() & 0xffff,
		 number);
	snprintf(key, sizeof(key), "rq:job:%s", id);
	COMMAND(out, "MULTI");
	COMMAND(out, "SADD", "rq:queues", "rq:queue:default");
	COMMAND(out, "HSET", key, "status", "queued");
	COMMAND(out, "HSET", key, "created_at", when, "data", body, "success_callback_name", "",
		"failure_callback_name", "", "started_at", "", "ended_at", "", "last_heartbeat", "",
		"worker_name", "", "origin", "default", "description", "bench.scene_preload()",
		"enqueued_at", when, "timeout", "180", "status", "queued");
	COMMAND(out, "RPUSH", "rq:queue:default", id);
	COMMAND(out, "EXEC");
}

static int enqueue_accepted(const char *answer)
{
	int lines = 0;

	for (const char *at = answer; *at != '\0'; lines++) {
		const char *end = strchr(at, '\n');
		if (*at == '-')
			return 0;
		if (end == NULL)
			break;
		at = end + 1;
	}
	return lines < REDIS_LINES ? -1 : 1;
}

static const struct peer peers[] = {
	{"http", make_http, http_accepted, http_closes},
	{"beanstalkd", make_put, put_accepted, stays},
	{"redis", make_enqueue, enqueue_accepted, stays},
};

/* ---- the load ------------------------------------------------------------- */

static uint64_t made, failed;
static uint32_t *times; /* microseconds, of the jobs accepted in time */
static size_t accepted, room;

static void fatal(const char *what)
{
	perror(what);
	exit(1);
}

static void open_client(struct client *client, int epoll)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
	int on = 1;

	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) < 0)
		fatal("peers: connect");
}

static void submit(const struct peer *peer, struct client *client)
{
	struct message message = {0};

	peer->make(&message, ++made);
	client->len = 0;
	client->sent = jobq_clock_mono();
	/* A few hundred bytes always fit into an idle connection. */
	if (send(client->fd, message.text, message.len, MSG_NOSIGNAL) != (ssize_t)message.len)
		fatal("peers: send");
}

static void note(int64_t duration)
{
	if (accepted == room) {
		room = room == 0 ? 65536 : room * 2;
		times = realloc(times, room * sizeof(*times));
		if (times == NULL)
			fatal("peers: memory");
	}
	times[accepted++] = (uint32_t)duration;
}

/* Takes what has come. False: the client has submitted nothing further. */
static bool receive(const struct peer *peer, struct client *client, int epoll, int64_t end)
{
	ssize_t n = recv(client->fd, client->answer + client->len,
			 sizeof(client->answer) - 1 - client->len, 0);
	if (n <= 0)
		fatal("peers: the server has closed a connection");
	client->len += (size_t)n;
	client->answer[client->len] = '\0';
	int rc = peer->accepted(client->answer);
	if (rc < 0)
		return true;
	int64_t now = jobq_clock_mono();
	if (rc == 0 && failed++ == 0)
		fprintf(stderr, "peers: %s\n", client->answer);
	if (rc > 0 && now <= end)
		note(now - client->sent);
	if (now >= end)
		return false;
	if (peer->closes(client->answer)) {
		close(client->fd);
		open_client(client, epoll);
	}
	submit(peer, client);
	return true;
}

static void load(const struct peer *peer, struct client *clients, size_t count, int64_t duration)
{
	struct epoll_event events[64];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	size_t busy = count;

	for (size_t i = 0; i < count; i++)
		open_client(&clients[i], epoll);
	int64_t end = jobq_clock_mono() + duration;
	for (size_t i = 0; i < count; i++)
		submit(peer, &clients[i]);
	while (busy > 0) { /* to the last answer, so that the server has a clean end */
		int n = epoll_wait(epoll, events, (int)JOBQ_LENGTH(events), PATIENCE_MS);
		if (n <= 0)
			fatal("peers: no answer");
		for (int i = 0; i < n; i++)
			busy -= !receive(peer, events[i].data.ptr, epoll, end);
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	return left < right ? -1 : left > right;
}

int main(int argc, char **argv)
{
	const struct peer *peer = NULL;

	for (size_t i = 0; argc >= 5 && i < JOBQ_LENGTH(peers); i++)
		if (strcmp(argv[1], peers[i].name) == 0)
			peer = &peers[i];
	token = argc == 6 ? argv[5] : "";
	port = argc >= 5 ? atoi(argv[2]) : 0;
	int64_t seconds = argc >= 5 ? atoi(argv[3]) : 0;
	size_t count = argc >= 5 ? strtoul(argv[4], NULL, 10) : 0;
	struct client *clients = count > 0 ? calloc(count, sizeof(*clients)) : NULL;
	if (peer == NULL || clients == NULL || port <= 0 || seconds <= 0) {
		fprintf(stderr, "usage: peers http|beanstalkd|redis PORT SECONDS CONNECTIONS [TOKEN]\n");
		return 2;
	}
	snprintf(body, sizeof(body), "%s%*s%s", BODY_HEAD,
		 (int)(BODY_BYTES - strlen(BODY_HEAD BODY_TAIL)), "", BODY_TAIL);
	load(peer, clients, count, seconds * 1000000);
	if (accepted == 0)
		return 1;
	qsort(times, accepted, sizeof(*times), compare);
	printf("jobs %zu\nfailed %" PRIu64 "\nmade %" PRIu64 "\nrate %.1f\np50 %u\np99 %u\nmax %u\n",
	       accepted, failed, made, (double)accepted / (double)seconds, times[accepted / 2],
	       times[accepted * 99 / 100], times[accepted - 1]);
	free(times);
	free(clients);
	return 0;
}
