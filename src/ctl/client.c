#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctl/client.h"
#include "ctl/view.h"

#define CONNECT_SECONDS 10
#define SILENT_SECONDS 75 /* longer than the service may think about anything */

int ctl_client_open(struct ctl_client *client)
{
	*client = (struct ctl_client){0};
	int status = ctl_settings_read(&client->settings);
	if (status != 0)
		return status;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		client->easy = curl_easy_init();
	if (client->easy != NULL)
		return 0;
	fprintf(stderr, "jobqctl: out of memory\n");
	return CTL_UNREACHABLE;
}

void ctl_client_close(struct ctl_client *client)
{
	curl_easy_cleanup(client->easy);
	ctl_settings_free(&client->settings);
}

void ctl_answer_free(struct ctl_answer *answer)
{
	jobq_buf_free(&answer->body);
	json_decref(answer->json);
	*answer = (struct ctl_answer){0};
}

void ctl_answer_print(const struct ctl_answer *answer)
{
	if (answer->body.len > 0)
		fwrite(answer->body.data, 1, answer->body.len, stdout);
	putchar('\n');
}

const char *ctl_text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

bool ctl_is_id(const char *word)
{
	uint64_t id;

	if (jobq_text_u64(word, strlen(word), UINT64_MAX, &id) && id > 0)
		return true;
	fprintf(stderr, "jobqctl: an id is a number from 1 on, not ");
	ctl_put(stderr, word, strlen(word));
	fprintf(stderr, "\n");
	return false;
}

/* ---- a request ------------------------------------------------------------------ */

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct ctl_answer *answer = arg;

	jobq_buf_add(&answer->body, bytes, size * count);
	return answer->body.failed ? 0 : size * count;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *arg)
{
	static const char date[] = "Date: ", replayed[] = "Idempotent-Replayed: true";
	struct ctl_answer *answer = arg;
	const size_t len = size * count;
	char text[64];

	if (len >= sizeof(replayed) - 1 && strncasecmp(bytes, replayed, sizeof(replayed) - 1) == 0)
		answer->replayed = true;
	if (len > sizeof(date) - 1 && len < sizeof(text) &&
	    strncasecmp(bytes, date, sizeof(date) - 1) == 0) {
		memcpy(text, bytes + sizeof(date) - 1, len - sizeof(date) + 1);
		text[len - sizeof(date) + 1] = '\0';
		time_t time = curl_getdate(text, NULL);
		answer->date = time > 0 ? time : 0;
	}
	return len;
}

/* Ctrl-C, where somebody looks for it, is not to wait for the service. */
static int stop(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	(void)arg;
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return ctl_signals_interrupted();
}

static bool add_header(struct curl_slist **headers, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*headers, line);

	*headers = longer != NULL ? longer : *headers;
	return longer != NULL;
}

static bool add_named(struct curl_slist **headers, const char *name, const char *value)
{
	char *line = NULL;
	bool good = asprintf(&line, "%s: %s", name, value) >= 0 && add_header(headers, line);

	if (line != NULL)
		explicit_bzero(line, strlen(line));
	free(line);
	return good;
}

/*
 * The name is nginx's, for it to find the site among others, and need be in no DNS. Nor
 * need the certificate be made out to it, or be signed by somebody known: its key is.
 */
static bool set_installed(const struct ctl_settings *settings, CURL *easy)
{
	static char where[] = "::localhost:";
	static struct curl_slist here = {.data = where};

	return curl_easy_setopt(easy, CURLOPT_CONNECT_TO, &here) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK &&
	       (settings->pin == NULL ||
		(curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, settings->pin) == CURLE_OK &&
		 curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
		 curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK));
}

bool ctl_client_set_up(const struct ctl_client *client, CURL *easy, const char *path,
		       struct curl_slist **headers)
{
	const struct ctl_settings *settings = &client->settings;
	char *bearer = NULL, *url = NULL;

	bool good = asprintf(&url, "%s%s", settings->url, path) >= 0 &&
		    curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
		    asprintf(&bearer, "Bearer %s", settings->token) >= 0 &&
		    (*settings->token == '\0' || add_named(headers, "Authorization", bearer));
	if (bearer != NULL)
		explicit_bzero(bearer, strlen(bearer));
	free(bearer);
	free(url);
	if (settings->installed)
		good = good && set_installed(settings, easy);
	return good && add_header(headers, "Expect:") &&
	       curl_easy_setopt(easy, CURLOPT_HTTPHEADER, *headers) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)SILENT_SECONDS) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_USERAGENT, "jobqctl/" PACKAGE_VERSION) == CURLE_OK &&
	       (*settings->ca == '\0' ||
		curl_easy_setopt(easy, CURLOPT_CAINFO, settings->ca) == CURLE_OK);
}

static bool set_body(CURL *easy, const struct ctl_ask *ask, char **text,
		     struct curl_slist **headers)
{
	if (ask->body == NULL)
		return true;
	*text = json_dumps(ask->body, JSON_COMPACT);
	return *text != NULL && add_header(headers, "Content-Type: application/json") &&
	       curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(*text)) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_POSTFIELDS, *text) == CURLE_OK;
}

void ctl_client_say(char *into, size_t room, CURLcode code, const char *detail)
{
	const char *what = detail[0] != '\0' ? detail : curl_easy_strerror(code);

	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
		snprintf(into, room, "its certificate is not trusted: %s", what);
		break;
	case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		snprintf(into, room, "its certificate is another one than " CTL_CERTIFICATE_CONF
				     " names; if that one is new: nginx -s reload");
		break;
	case CURLE_SSL_CACERT_BADFILE:
		snprintf(into, room, "the file of --ca cannot be read: %s", what);
		break;
	default:
		snprintf(into, room, "%s", what);
	}
}

int ctl_client_try(struct ctl_client *client, const struct ctl_ask *ask,
		   struct ctl_answer *answer)
{
	struct curl_slist *headers = NULL;
	char detail[CURL_ERROR_SIZE] = "", *text = NULL;
	CURL *easy = client->easy;
	CURLcode code = CURLE_OUT_OF_MEMORY;
	long sent = 0;

	*answer = (struct ctl_answer){0};
	curl_easy_reset(easy);
	if (set_body(easy, ask, &text, &headers) &&
	    (ask->key == NULL || add_named(&headers, "Idempotency-Key", ask->key)) &&
	    (ask->body != NULL || strcmp(ask->method, "POST") != 0 ||
	     curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "") == CURLE_OK) &&
	    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, ask->method) == CURLE_OK &&
	    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail) == CURLE_OK &&
	    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
	    curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer) == CURLE_OK &&
	    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
	    curl_easy_setopt(easy, CURLOPT_HEADERDATA, answer) == CURLE_OK &&
	    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, stop) == CURLE_OK &&
	    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
	    ctl_client_set_up(client, easy, ask->path, &headers))
		code = curl_easy_perform(easy);
	if (code == CURLE_OK)
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer->status);
	else
		ctl_client_say(client->error, sizeof(client->error), code, detail);
	curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
	client->sent = sent > 0;
	client->distrusted = code == CURLE_PEER_FAILED_VERIFICATION ||
			     code == CURLE_SSL_PINNEDPUBKEYNOTMATCH ||
			     code == CURLE_SSL_CACERT_BADFILE;
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
	curl_slist_free_all(headers);
	if (text != NULL)
		explicit_bzero(text, strlen(text)); /* a webhook's secret may be in it */
	free(text);
	if (answer->body.len > 0)
		answer->json = json_loadb(answer->body.data, answer->body.len, 0, NULL);
	return code == CURLE_OK ? 0 : -1;
}

/* ---- what it means ---------------------------------------------------------------- */

int ctl_client_unreachable(const struct ctl_client *client, const char *why)
{
	fprintf(stderr, "jobqctl: %s cannot be reached: ", client->settings.url);
	ctl_put(stderr, why, strlen(why));
	fprintf(stderr,
		client->distrusted
			? "\nName the certificate of the authority that has signed it with --ca FILE, or "
			  "`ca = ` in %s, if you trust it.\n"
			: "\nIs the service running, and is that its address (--url, JOBQ_URL, or "
			  "`url = ` in %s)?\n",
		client->settings.file);
	return CTL_UNREACHABLE;
}

int ctl_client_judge(const struct ctl_answer *answer)
{
	const long status = answer->status;

	if (status >= 400 && status < 500)
		return CTL_REFUSED;
	/* Other services answer with JSON, too. */
	return status >= 200 && status < 300 &&
			       json_is_true(json_object_get(answer->json, "success"))
		       ? CTL_OK
		       : CTL_UNREACHABLE;
}

/* Its sentence, where it is one of jobq's. */
static const char *error_of(const struct ctl_answer *answer)
{
	const char *error = ctl_text_of(answer->json, "error");

	return *error != '\0' ? error : "an answer that is none of jobq's";
}

void ctl_answer_say(char *into, size_t room, const struct ctl_answer *answer)
{
	snprintf(into, room, "HTTP %ld: %s", answer->status, error_of(answer));
}

/* Says what to do where a refusal's code tells more than its status; false: it does not. */
static bool advise_by_code(const char *code)
{
	if (strcmp(code, "insufficient_scope") == 0)
		fprintf(stderr, "Give a token of that scope with --token-file FILE; an administrator "
				"makes one with `jobqctl token add NAME --scope SCOPE`.\n");
	else if (strcmp(code, "job_not_found") == 0)
		fprintf(stderr, "Jobs that have ended are kept for a while (`retention`); `jobqctl "
				"list` shows those that there are.\n");
	else if (strcmp(code, "queue_draining") == 0)
		fprintf(stderr, "It takes jobs again when an administrator resumes it: `jobqctl queue "
				"resume`.\n");
	else
		return false;
	return true;
}

static void advise(const struct ctl_client *client, const struct ctl_answer *answer)
{
	if (advise_by_code(ctl_text_of(answer->json, "code")))
		return;
	switch (answer->status) {
	case 401:
		fprintf(stderr,
			*client->settings.token == '\0'
				? "Give a token with --token-file FILE, JOBQ_TOKEN, or `token = ` in "
				  "%s.\n"
				: "The service does not know this token. Give another with --token-file "
				  "FILE, JOBQ_TOKEN, or `token = ` in %s.\n",
			client->settings.file);
		break;
	case 413:
		fprintf(stderr, "Submit fewer paths at a time.\n");
		break;
	case 429:
		fprintf(stderr, "Too many requests with this token; try again in a moment.\n");
		break;
	case 502:
	case 503:
	case 504:
		fprintf(stderr, "The service is not ready; try again in a moment. `jobqctl doctor` "
				"on its machine says what is wrong.\n");
		break;
	default:
		if (*ctl_text_of(answer->json, "error") == '\0')
			fprintf(stderr, "Is %s the address of a jobq service (--url)?\n",
				client->settings.url);
	}
}

void ctl_client_explain(const struct ctl_client *client, const struct ctl_ask *ask,
			const struct ctl_answer *answer)
{
	const char *error = error_of(answer);
	const char *pointer = ctl_text_of(json_object_get(answer->json, "details"), "pointer");

	fprintf(stderr, "jobqctl: ");
	ctl_put(stderr, error, strlen(error));
	if (*pointer != '\0') {
		fprintf(stderr, " (at ");
		ctl_put(stderr, pointer, strlen(pointer));
		fprintf(stderr, ")");
	}
	fprintf(stderr, "\n%s %s%s: %ld ", ask->method, client->settings.url, ask->path,
		answer->status);
	const char *code = ctl_text_of(answer->json, "code");
	ctl_put(stderr, code, strlen(code));
	fprintf(stderr, "\n");
	advise(client, answer);
}

int ctl_client_ask(struct ctl_client *client, const struct ctl_ask *ask,
		   struct ctl_answer *answer)
{
	if (ctl_client_try(client, ask, answer) != 0)
		return ctl_signals_interrupted() ? CTL_INTERRUPTED
						 : ctl_client_unreachable(client, client->error);
	int status = ctl_client_judge(answer);
	if (status != CTL_OK)
		ctl_client_explain(client, ask, answer);
	return status;
}
