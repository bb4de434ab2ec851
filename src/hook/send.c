#include "config.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hook/hook.h"

#define ANSWER_MOST 65536 /* bytes of an answer's head, and of its body, that are read */
#define KEPT 256	  /* idle connections, of all receivers together */
#define KEPT_SECONDS 60
#define CA_SECONDS 86400 /* how long certificates that were read once are used */

struct hook_sender {
	CURLM *multi;
	const struct hook_guard *guard;
	const char *ca;	 /* borrowed */
	int64_t renewed; /* jobq_clock_mono() */
	struct request *running;
	size_t count;
};

struct request {
	CURL *easy;
	struct hook_sender *sender;
	struct request *next, **link; /* among the running ones */
	struct curl_slist *headers;
	struct jobq_buf body;
	uint64_t webhook, event;
	unsigned attempt;
	size_t head_bytes, answer_bytes;
	bool sent;
	bool cut;	/* the answer was longer than anybody wants to read */
	bool connected; /* some address was allowed */
	char refused[JOBQ_DELIVERY_MESSAGE]; /* why another one was not */
	char error[CURL_ERROR_SIZE];
};

/* ---- what curl asks ------------------------------------------------------- */

static bool take_address(const struct sockaddr *from, uint8_t address[16], unsigned *port)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (from->sa_family == AF_INET) {
		memcpy(&v4, from, sizeof(v4));
		jobq_net_map_v4(&v4.sin_addr, address);
		*port = ntohs(v4.sin_port);
		return true;
	}
	if (from->sa_family == AF_INET6) {
		memcpy(&v6, from, sizeof(v6));
		memcpy(address, &v6.sin6_addr, 16);
		*port = ntohs(v6.sin6_port);
		return true;
	}
	return false;
}

static void say_refused(struct request *request, const struct sockaddr *from)
{
	char text[INET6_ADDRSTRLEN];
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memcpy(&v4, from, sizeof(v4));
	memcpy(&v6, from, from->sa_family == AF_INET6 ? sizeof(v6) : sizeof(v4));
	if (inet_ntop(from->sa_family, from->sa_family == AF_INET ? (void *)&v4.sin_addr
								   : (void *)&v6.sin6_addr,
		      text, sizeof(text)) == NULL)
		text[0] = '\0';
	snprintf(request->refused, sizeof(request->refused),
		 "address %s is not allowed (webhook_allow)", text);
}

/*
 * The one place where connections begin. What is looked at is what is connected
 * to: a name that resolves to something else the next time is looked at again.
 */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct request *request = arg;
	uint8_t address[16];
	unsigned port;

	if (purpose != CURLSOCKTYPE_IPCXN || !take_address(&to->addr, address, &port))
		return CURL_SOCKET_BAD;
	if (!hook_guard_allows(request->sender->guard, address)) {
		say_refused(request, &to->addr);
		return CURL_SOCKET_BAD;
	}
	if (!hook_guard_allows_port(request->sender->guard, port)) {
		snprintf(request->refused, sizeof(request->refused),
			 "port %u is not allowed (webhook_ports)", port);
		return CURL_SOCKET_BAD;
	}
	request->connected = true;
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/*
 * Called before a request is sent. curl would send it again, by itself, when a kept
 * connection ends before the answer. Who gets it could not tell that from two
 * attempts, so it is one that failed.
 */
static int before_sending(void *arg, char *to, char *from, int to_port, int from_port)
{
	struct request *request = arg;

	(void)to;
	(void)from;
	(void)to_port;
	(void)from_port;
	if (request->sent)
		return CURL_PREREQFUNC_ABORT;
	request->sent = true;
	return CURL_PREREQFUNC_OK;
}

static size_t take_head(char *bytes, size_t size, size_t count, void *arg)
{
	struct request *request = arg;

	(void)bytes;
	request->head_bytes += size * count;
	request->cut = request->cut || request->head_bytes > ANSWER_MOST;
	return request->cut ? 0 : size * count;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct request *request = arg;

	(void)bytes;
	request->answer_bytes += size * count;
	request->cut = request->cut || request->answer_bytes > ANSWER_MOST;
	return request->cut ? 0 : size * count;
}

/* ---- a request ------------------------------------------------------------ */

static void free_request(struct request *request)
{
	if (request->easy != NULL)
		curl_easy_cleanup(request->easy);
	curl_slist_free_all(request->headers);
	jobq_buf_free(&request->body);
	free(request);
}

static bool add_header(struct request *request, const char *name, const char *value)
{
	char line[512];
	struct curl_slist *longer;

	snprintf(line, sizeof(line), "%s: %s", name, value);
	longer = curl_slist_append(request->headers, line);
	request->headers = longer != NULL ? longer : request->headers;
	return longer != NULL;
}

static bool add_number(struct request *request, const char *name, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, number);
	return add_header(request, name, text);
}

static bool write_body(struct request *request, const struct jobq_event *event)
{
	jobq_buf_addf(&request->body,
		      "{\"event\":\"%s\",\"webhook_id\":\"%" PRIu64 "\",\"timestamp\":%" PRId64
		      ",\"data\":",
		      jobq_event_name(event->kind), request->webhook, event->at / 1000000);
	jobq_buf_add(&request->body, event->data.data, event->data.len);
	jobq_buf_adds(&request->body, "}");
	return !request->body.failed;
}

static bool sign(struct request *request, const char *secret, const char *id, int64_t timestamp)
{
	char hex[HOOK_SIGN_HEX], v1[HOOK_SIGN_V1];

	hook_sign_hex(secret, request->body.data, request->body.len, hex);
	return hook_sign_v1(secret, id, timestamp, request->body.data, request->body.len, v1) &&
	       add_header(request, "X-Webhook-Signature", hex) &&
	       add_header(request, "webhook-signature", v1);
}

static bool write_headers(struct request *request, const struct jobq_webhook *webhook,
			  const struct jobq_event *event)
{
	char id[JOBQ_DELIVERY_ID];
	int64_t timestamp = jobq_clock_wall() / 1000000;

	jobq_event_delivery_id(id, webhook->id, event->seq);
	request->headers = curl_slist_append(NULL, "Expect:"); /* the body is sent at once */
	return request->headers != NULL &&
	       add_header(request, "Content-Type", "application/json") &&
	       add_header(request, "X-Webhook-Event", jobq_event_name(event->kind)) &&
	       add_number(request, "X-Webhook-ID", (int64_t)webhook->id) &&
	       add_number(request, "X-Webhook-Attempt", request->attempt) &&
	       add_header(request, "webhook-id", id) &&
	       add_number(request, "webhook-timestamp", timestamp) &&
	       (!webhook->has_secret || sign(request, webhook->secret, id, timestamp));
}

/* How long ago certificates may have been read, at the most. */
static long ca_seconds(const struct hook_sender *sender)
{
	int64_t seconds = (jobq_clock_mono() - sender->renewed) / 1000000;

	return seconds < CA_SECONDS ? (long)seconds : CA_SECONDS;
}

/* Not on a kept connection, which may be from before a renewal, or be what failed last time. */
static bool needs_fresh(const struct request *request)
{
	return request->attempt > 1 || ca_seconds(request->sender) <= KEPT_SECONDS + HOOK_TIMEOUT;
}

static bool set_up_network(CURL *easy, struct request *request)
{
	const struct hook_sender *sender = request->sender;

	return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, request) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       /* A resolver that hangs is not waited for. */
	       curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)HOOK_TIMEOUT) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)KEPT_SECONDS) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)needs_fresh(request)) ==
		       CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) ==
		       CURLE_OK &&
	       /* The directory beside the file would let others in, and keep curl from caching. */
	       curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK &&
	       (sender->ca[0] == '\0' ||
		curl_easy_setopt(easy, CURLOPT_CAINFO, sender->ca) == CURLE_OK) &&
	       curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, ca_seconds(sender)) == CURLE_OK;
}

static bool set_up(CURL *easy, struct request *request, const char *url)
{
	return curl_easy_setopt(easy, CURLOPT_PRIVATE, request) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ==
		       CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_USERAGENT, "jobq/" PACKAGE_VERSION) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)request->body.len) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body.data) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_sending) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PREREQDATA, request) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_head) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HEADERDATA, request) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEDATA, request) == CURLE_OK &&
	       set_up_network(easy, request);
}

bool hook_sender_start(struct hook_sender *sender, const struct jobq_webhook *webhook,
		       const struct jobq_event *event, unsigned attempt)
{
	struct request *request = calloc(1, sizeof(*request));

	if (request == NULL)
		return false;
	request->sender = sender;
	request->webhook = webhook->id;
	request->event = event->seq;
	request->attempt = attempt;
	request->easy = curl_easy_init();
	if (request->easy == NULL || !write_body(request, event) ||
	    !write_headers(request, webhook, event) ||
	    !set_up(request->easy, request, webhook->url) ||
	    curl_multi_add_handle(sender->multi, request->easy) != CURLM_OK) {
		free_request(request);
		return false;
	}
	request->next = sender->running;
	request->link = &sender->running;
	if (request->next != NULL)
		request->next->link = &request->next;
	sender->running = request;
	sender->count++;
	return true;
}

static void end_request(struct request *request)
{
	*request->link = request->next;
	if (request->next != NULL)
		request->next->link = request->link;
	request->sender->count--;
	curl_multi_remove_handle(request->sender->multi, request->easy);
	free_request(request);
}

/* ---- how it ended --------------------------------------------------------- */

static void say_status(char *into, size_t room, long status)
{
	bool redirect = status == 301 || status == 302 || status == 303 || status == 307 ||
			status == 308;

	snprintf(into, room,
		 redirect ? "redirect to another address (HTTP %ld) is not followed" : "HTTP %ld",
		 status);
}

static void say_errno(char *into, size_t room, CURL *easy)
{
	long number = 0;

	curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
	if (number == ECONNREFUSED)
		snprintf(into, room, "connection refused");
	else
		snprintf(into, room, "cannot connect%s%s", number != 0 ? ": " : "",
			 number != 0 ? strerror((int)number) : "");
}

static void say_error(char *into, size_t room, const struct request *request, CURLcode code)
{
	const char *detail = request->error[0] != '\0' ? request->error : curl_easy_strerror(code);

	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		snprintf(into, room, "host name cannot be resolved");
		break;
	case CURLE_COULDNT_CONNECT:
		say_errno(into, room, request->easy);
		break;
	case CURLE_OPERATION_TIMEDOUT:
		snprintf(into, room, "timed out after %d s", HOOK_TIMEOUT);
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
		snprintf(into, room, "certificate not valid: %s", detail);
		break;
	case CURLE_SSL_CONNECT_ERROR:
		snprintf(into, room, "no TLS: %s", detail);
		break;
	case CURLE_SSL_CACERT_BADFILE:
		snprintf(into, room, "webhook_ca cannot be read");
		break;
	case CURLE_GOT_NOTHING:
		snprintf(into, room, "connection closed without an answer");
		break;
	case CURLE_SEND_ERROR:
	case CURLE_ABORTED_BY_CALLBACK: /* before_sending() */
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
		snprintf(into, room, "connection broke off");
		break;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
		snprintf(into, room, "the answer is not HTTP/1");
		break;
	default:
		snprintf(into, room, "%s", detail);
	}
}

static void judge(const struct request *request, CURLcode code, struct hook_answer *out)
{
	char text[CURL_ERROR_SIZE + 64];
	curl_off_t retry_after = 0;

	*out = (struct hook_answer){
		.webhook = request->webhook,
		.event = request->event,
		.payload_size = (uint32_t)request->body.len,
	};
	if (code == CURLE_OK || request->cut)
		curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &out->status);
	if (out->status != 0) {
		curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_after);
		out->retry_after = retry_after > 0 ? retry_after : 0;
		say_status(text, sizeof(text), out->status);
	} else if (request->refused[0] != '\0' && !request->connected) {
		snprintf(text, sizeof(text), "%s", request->refused);
	} else {
		say_error(text, sizeof(text), request, code);
	}
	hook_judge_text(out->message, text);
}

bool hook_sender_ended(struct hook_sender *sender, struct hook_answer *out)
{
	struct request *request = NULL;
	CURLMsg *message;
	int left;

	do
		message = curl_multi_info_read(sender->multi, &left);
	while (message != NULL && message->msg != CURLMSG_DONE);
	if (message == NULL ||
	    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request) !=
		    CURLE_OK)
		return false;
	judge(request, message->data.result, out);
	end_request(request);
	return true;
}

/* ---- all of them ---------------------------------------------------------- */

struct hook_sender *hook_sender_open(const struct hook_guard *guard, const char *ca)
{
	struct hook_sender *sender = calloc(1, sizeof(*sender));

	if (sender == NULL)
		return NULL;
	sender->guard = guard;
	sender->ca = ca;
	sender->renewed = jobq_clock_mono() - CA_SECONDS * INT64_C(1000000);
	sender->multi = curl_multi_init();
	if (sender->multi == NULL) {
		free(sender);
		return NULL;
	}
	curl_multi_setopt(sender->multi, CURLMOPT_MAXCONNECTS, (long)KEPT);
	curl_multi_setopt(sender->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return sender;
}

void hook_sender_close(struct hook_sender *sender)
{
	if (sender == NULL)
		return;
	while (sender->running != NULL)
		end_request(sender->running);
	curl_multi_cleanup(sender->multi);
	free(sender);
}

void hook_sender_renew(struct hook_sender *sender, const char *ca)
{
	sender->ca = ca;
	sender->renewed = jobq_clock_mono();
}

void hook_sender_perform(struct hook_sender *sender)
{
	int running;

	curl_multi_perform(sender->multi, &running);
}

void hook_sender_wait(struct hook_sender *sender, int fd, int timeout_ms)
{
	struct curl_waitfd extra = {.fd = fd, .events = CURL_WAIT_POLLIN};

	curl_multi_poll(sender->multi, &extra, fd >= 0 ? 1 : 0, timeout_ms, NULL);
}

void hook_sender_wake(struct hook_sender *sender)
{
	curl_multi_wakeup(sender->multi);
}

size_t hook_sender_running(const struct hook_sender *sender)
{
	return sender->count;
}
