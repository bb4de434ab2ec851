/*
 * ctl, the client's part: which service, with which token, and requests to it.
 */
#ifndef JOBQ_CTL_CLIENT_H
#define JOBQ_CTL_CLIENT_H

#include <curl/curl.h>
#include <jansson.h>

#include "ctl/ctl.h"

/* ---- which service (settings.c) --------------------------------------------- */

/* All owned; "" when there is none. */
struct ctl_settings {
	char *url; /* without a slash at its end */
	char *token;
	char *ca;
	bool installed; /* it is this machine's: at localhost, whatever the URL's name is */
	char *pin;	/* and has this public key (CURLOPT_PINNEDPUBLICKEY); NULL: checked as any */
	char *file; /* the client's configuration, be it there or not */
};

/*
 * From the command line, else from JOBQ_URL and JOBQ_TOKEN, else from the client's
 * file; where none of them has a URL, the service that is installed here. Returns 0, or
 * CTL_USAGE when it has said what is wrong. The caller frees.
 */
int ctl_settings_read(struct ctl_settings *settings);
void ctl_settings_free(struct ctl_settings *settings);

/* Reads the first line of a file (-: standard input) that keeps a secret; NULL: has said why not. */
char *ctl_settings_secret(const char *file);

/* ---- the service that is installed on this machine (installed.c) --------------- */

#define CTL_CERTIFICATE_CONF "/etc/jobq/certificate.conf" /* as packaging/debian has it */

/*
 * Its URL, and its certificate's public key as struct ctl_settings has it (NULL: not for this
 * user to read), which the caller frees. False: there is none, and both are NULL.
 */
bool ctl_installed(char **url, char **pin);
/* The package's first token; NULL: it has been removed, or is not for this user. */
char *ctl_installed_token(void);

/* ---- requests (client.c) ----------------------------------------------------- */

struct ctl_client {
	struct ctl_settings settings;
	CURL *easy; /* for one request at a time; its connection is kept */
	char error[CURL_ERROR_SIZE + 512]; /* why there was no answer */
	bool distrusted; /* that was for the sake of certificates */
	bool sent;	 /* the last request went out, and may have been carried out */
};

struct ctl_ask {
	const char *method, *path; /* the path begins with a slash */
	json_t *body;		   /* borrowed; NULL: none */
	const char *key;	   /* idempotency key, or NULL */
};

struct ctl_answer {
	long status;
	struct jobq_buf body;
	json_t *json; /* NULL: the body is no JSON object */
	int64_t date; /* seconds since 1970, by the service's clock; 0: not told */
	bool replayed;
};

/* Returns 0 or an exit status, after it has been said what is wrong. */
int ctl_client_open(struct ctl_client *client);
void ctl_client_close(struct ctl_client *client);

/*
 * Options of a request that is made elsewhere (stream.c). The list of headers
 * grows by the token's, and is the caller's to free. False: out of memory.
 */
bool ctl_client_set_up(const struct ctl_client *client, CURL *easy, const char *path,
		       struct curl_slist **headers);

/* 0: the service has answered, whatever it says; else -1 and client->error. */
int ctl_client_try(struct ctl_client *client, const struct ctl_ask *ask,
		   struct ctl_answer *answer);

/* The exit status that an answer leads to: 0 for a 2xx that says "success". */
int ctl_client_judge(const struct ctl_answer *answer);

/* Says what is wrong with an answer that is not good, and what to do. */
void ctl_client_explain(const struct ctl_client *client, const struct ctl_ask *ask,
			const struct ctl_answer *answer);

/* All of that: 0 for a good answer; else an exit status, and it has been said why. */
int ctl_client_ask(struct ctl_client *client, const struct ctl_ask *ask,
		   struct ctl_answer *answer);

void ctl_answer_free(struct ctl_answer *answer);

/* What an answer that is not good says, in short; `room` bytes. */
void ctl_answer_say(char *into, size_t room, const struct ctl_answer *answer);

/* Says why the service cannot be reached (`why`), and what to do; returns CTL_UNREACHABLE. */
int ctl_client_unreachable(const struct ctl_client *client, const char *why);

/* How curl's result reads to people; `room` bytes. */
void ctl_client_say(char *into, size_t room, CURLcode code, const char *detail);

/* Prints an answer's body as it came, and ends the line. */
void ctl_answer_print(const struct ctl_answer *answer);

/* A text member, or "". */
const char *ctl_text_of(const json_t *object, const char *name);

/* Whether a word is the number that an id is; else says so. */
bool ctl_is_id(const char *word);

#endif
