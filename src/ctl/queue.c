#include "config.h"

#include <string.h>

#include "ctl/client.h"

static json_int_t number_of(const json_t *queue, const char *name)
{
	return json_integer_value(json_object_get(queue, name));
}

static void print_queue(const json_t *queue)
{
	const char *state = ctl_text_of(queue, "state");

	ctl_put(stdout, state, strlen(state));
	printf(": %" JSON_INTEGER_FORMAT " queued, %" JSON_INTEGER_FORMAT
	       " of %" JSON_INTEGER_FORMAT " slots busy\n",
	       number_of(queue, "queued"), number_of(queue, "running"), number_of(queue, "slots"));
}

static int ask(const struct ctl_ask *ask, bool json)
{
	struct ctl_client client;
	struct ctl_answer answer = {0};

	int status = ctl_client_open(&client);
	if (status == 0)
		status = ctl_client_ask(&client, ask, &answer);
	if (status == CTL_OK && json)
		ctl_answer_print(&answer);
	else if (status == CTL_OK)
		print_queue(json_object_get(answer.json, "queue"));
	ctl_answer_free(&answer);
	ctl_client_close(&client);
	return ctl_flush(status);
}

int ctl_queue(int argc, char **argv)
{
	static const char *const verbs[] = {"pause", "resume", "drain"};
	bool json = false;
	const struct ctl_option options[] = {
		CTL_FLAG("json", &json, "print what the service answers"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "queue",
		.operands = "\npause\nresume\ndrain",
		.sentence = "Shows the queue's state and depth, or changes the state, which takes a "
			    "token of scope admin and outlasts restarts: paused it takes jobs and "
			    "starts none, draining it starts jobs and takes none, resumed it is "
			    "open again. What runs goes on.\v"
			    "Exit status: 0 it is done, 4 the service cannot be reached, 5 it "
			    "refuses.",
		.groups = CTL_CLIENT,
		.most = 1,
		.options = options,
	};
	char path[32];

	char **words = ctl_options(&syntax, argc, argv);
	if (words[0] == NULL)
		return ask(&(struct ctl_ask){.method = "GET", .path = "/queue"}, json);
	for (size_t i = 0; i < JOBQ_LENGTH(verbs); i++) {
		if (strcmp(words[0], verbs[i]) == 0) {
			snprintf(path, sizeof(path), "/queue/%s", verbs[i]);
			return ask(&(struct ctl_ask){.method = "POST", .path = path}, json);
		}
	}
	return ctl_usage("queue is followed by pause, resume, drain or nothing, not ", words[0]);
}
