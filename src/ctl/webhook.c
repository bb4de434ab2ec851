#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/jobs.h"
#include "jobq/event.h"

struct webhook {
	struct ctl_client client;
	const char *secret_file;
	uint64_t limit;
	bool json;
};

/* ---- what is printed ------------------------------------------------------------------ */

static void put(const char *text)
{
	ctl_put(stdout, text, strlen(text));
}

static void print_time(const json_t *time)
{
	struct jobq_buf text = {0};

	ctl_jobs_time(&text, time);
	put(text.data);
	jobq_buf_free(&text);
}

static void print_webhook(const json_t *webhook)
{
	size_t i;
	json_t *event;

	printf("%4s  %-8s  ", ctl_text_of(webhook, "id"),
	       json_is_true(json_object_get(webhook, "enabled")) ? "enabled" : "disabled");
	put(ctl_text_of(webhook, "url"));
	printf(" ");
	json_array_foreach(json_object_get(webhook, "events"), i, event) {
		printf(i > 0 ? "," : " ");
		put(json_string_value(event));
	}
	printf("  %" JSON_INTEGER_FORMAT " sent, %" JSON_INTEGER_FORMAT " failed%s\n",
	       json_integer_value(json_object_get(webhook, "delivery_count")),
	       json_integer_value(json_object_get(webhook, "failure_count")),
	       json_object_get(webhook, "secret") != NULL ? ", signed" : "");
}

static void print_webhooks(const json_t *answer)
{
	size_t i;
	json_t *webhook;

	json_array_foreach(json_object_get(answer, "webhooks"), i, webhook)
		print_webhook(webhook);
}

static void print_one(const json_t *answer)
{
	print_webhook(json_object_get(answer, "webhook"));
}

static void print_id(const json_t *answer)
{
	puts(ctl_text_of(answer, "webhook_id"));
}

static void print_message(const json_t *answer)
{
	put(ctl_text_of(answer, "message"));
	if (*ctl_text_of(answer, "delivery_id") != '\0') {
		printf(": ");
		put(ctl_text_of(answer, "delivery_id"));
	}
	putchar('\n');
}

static void print_deliveries(const json_t *answer)
{
	size_t i;
	json_t *delivery;

	json_array_foreach(json_object_get(answer, "deliveries"), i, delivery) {
		printf("%-10s  ", ctl_text_of(delivery, "id"));
		print_time(json_object_get(delivery, "timestamp"));
		printf("  %-6s  %-16s  %" JSON_INTEGER_FORMAT " attempts  ",
		       json_is_true(json_object_get(delivery, "success")) ? "ok" : "failed",
		       ctl_text_of(delivery, "event"),
		       json_integer_value(json_object_get(delivery, "attempts")));
		put(ctl_text_of(delivery, "message"));
		putchar('\n');
	}
}

/* ---- requests ---------------------------------------------------------------------------- */

static int ask(struct webhook *webhook, const char *method, const char *path, json_t *body,
	       void (*print)(const json_t *answer))
{
	const struct ctl_ask ask = {.method = method, .path = path, .body = body};
	struct ctl_answer answer;

	int status = ctl_client_ask(&webhook->client, &ask, &answer);
	if (status == CTL_OK && webhook->json)
		ctl_answer_print(&answer);
	else if (status == CTL_OK)
		print(answer.json);
	ctl_answer_free(&answer);
	return status;
}

/* About the webhook that the first word names. */
static int ask_of(struct webhook *webhook, const char *method, const char *id, const char *rest,
		  json_t *body, void (*print)(const json_t *answer))
{
	struct jobq_buf path = {0};
	int status = CTL_USAGE;

	jobq_buf_addf(&path, "/webhooks/%s%s", id, rest);
	if (ctl_is_id(id))
		status = ask(webhook, method, path.data, body, print);
	jobq_buf_free(&path);
	return status;
}

static int list(struct webhook *webhook, char *const *words)
{
	(void)words;
	return ask(webhook, "GET", "/webhooks", NULL, print_webhooks);
}

static int add(struct webhook *webhook, char *const *words)
{
	json_t *events = json_array();
	char *secret = NULL;

	for (char *const *event = words + 1; *event != NULL; event++)
		json_array_append_new(events, json_string(*event));
	if (webhook->secret_file != NULL) {
		secret = ctl_settings_secret(webhook->secret_file);
		if (secret == NULL) {
			json_decref(events);
			return CTL_USAGE;
		}
	}
	json_t *body = json_pack("{s:s, s:o, s:s*}", "url", words[0], "events", events, "secret",
				 secret);
	int status = CTL_USAGE;
	if (body != NULL)
		status = ask(webhook, "POST", "/webhooks", body, print_id);
	else
		fprintf(stderr, "jobqctl: URL, events and secret must be UTF-8\n");
	json_decref(body);
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	free(secret);
	return status;
}

static int show(struct webhook *webhook, char *const *words)
{
	return ask_of(webhook, "GET", words[0], "", NULL, print_one);
}

static int set_enabled(struct webhook *webhook, const char *id, int enabled)
{
	json_t *body = json_pack("{s:b}", "enabled", enabled);
	int status = ask_of(webhook, "PUT", id, "", body, print_one);

	json_decref(body);
	return status;
}

static int enable(struct webhook *webhook, char *const *words)
{
	return set_enabled(webhook, words[0], 1);
}

static int disable(struct webhook *webhook, char *const *words)
{
	return set_enabled(webhook, words[0], 0);
}

static int drop(struct webhook *webhook, char *const *words)
{
	return ask_of(webhook, "DELETE", words[0], "", NULL, print_message);
}

static int test(struct webhook *webhook, char *const *words)
{
	return ask_of(webhook, "POST", words[0], "/test", NULL, print_message);
}

static int deliveries(struct webhook *webhook, char *const *words)
{
	char rest[64] = "/deliveries";

	if (webhook->limit > 0)
		snprintf(rest, sizeof(rest), "/deliveries?limit=%" PRIu64, webhook->limit);
	return ask_of(webhook, "GET", words[0], rest, NULL, print_deliveries);
}

static int redeliver(struct webhook *webhook, char *const *words)
{
	char rest[128];
	uint64_t of, event;

	if (!jobq_event_delivery_of(words[1], strlen(words[1]), &of, &event))
		return ctl_usage("a delivery's id looks like 1-23, not ", words[1]);
	snprintf(rest, sizeof(rest), "/deliveries/%s/redeliver", words[1]);
	return ask_of(webhook, "POST", words[0], rest, NULL, print_message);
}

/* ---- the command ---------------------------------------------------------------------------- */

static const struct verb {
	const char *name;
	int (*run)(struct webhook *webhook, char *const *words);
	size_t least, most; /* words behind it */
	const char *operands;
} verbs[] = {
	{"list", list, 0, 0, ""},
	{"add", add, 2, SIZE_MAX, "URL EVENT..."},
	{"show", show, 1, 1, "ID"},
	{"enable", enable, 1, 1, "ID"},
	{"disable", disable, 1, 1, "ID"},
	{"remove", drop, 1, 1, "ID"},
	{"test", test, 1, 1, "ID"},
	{"deliveries", deliveries, 1, 1, "ID"},
	{"redeliver", redeliver, 2, 2, "ID DELIVERY"},
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < JOBQ_LENGTH(verbs); i++) {
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	}
	return NULL;
}

static int run(struct webhook *webhook, char *const *words)
{
	const struct verb *verb = find_verb(words[0]);
	size_t count = 0;

	if (verb == NULL)
		return ctl_usage("there is no webhook command ", words[0]);
	while (words[count + 1] != NULL)
		count++;
	if (count < verb->least || count > verb->most) {
		fprintf(stderr, "jobqctl: it is `webhook %s%s%s`\n", verb->name,
			*verb->operands != '\0' ? " " : "", verb->operands);
		return ctl_usage(NULL, "");
	}
	if (webhook->secret_file != NULL && verb->run != add)
		return ctl_usage("--secret-file is for webhook add", "");
	int status = ctl_client_open(&webhook->client);
	if (status == 0)
		status = verb->run(webhook, words + 1);
	ctl_client_close(&webhook->client);
	return ctl_flush(status);
}

int ctl_webhook(int argc, char **argv)
{
	struct webhook webhook = {0};
	const struct ctl_option options[] = {
		CTL_TEXT("secret-file", "FILE", &webhook.secret_file,
			 "add: sign with the secret that is FILE's first line; - is standard input"),
		CTL_NUMBER("limit", "N", &webhook.limit, "deliveries: not more than N [50]"),
		CTL_FLAG("json", &webhook.json, "print what the service answers"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "webhook",
		.operands = "list\nadd URL EVENT...\nshow|enable|disable|remove|test ID\n"
			    "deliveries ID\nredeliver ID DELIVERY",
		.sentence = "Sees to webhooks and their deliveries. An EVENT is a name such as "
			    "job.failed, or a pattern such as 'job.*'.\v"
			    "Exit status: 0 it is done, 4 the service cannot be reached, 5 it "
			    "refuses.",
		.groups = CTL_CLIENT,
		.least = 1,
		.options = options,
	};

	char **words = ctl_options(&syntax, argc, argv);
	return run(&webhook, words);
}
