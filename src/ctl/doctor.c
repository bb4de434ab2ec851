#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"
#include "ctl/view.h"

#define SKEW_MOST 5 /* seconds */

void ctl_doctor_say(struct ctl_doctor *doctor, enum ctl_verdict verdict, const char *part,
		    const char *advice, const char *fmt, ...)
{
	static const char *const words[] = {"ok", "warn", "FAIL"};
	static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	doctor->failed = doctor->failed || verdict == CTL_FAIL;
	printf("%s%-4s%s  %-14s ", doctor->colour ? colours[verdict] : "", words[verdict],
	       doctor->colour ? CTL_PLAIN : "", part);
	ctl_put(stdout, text, strlen(text));
	putchar('\n');
	if (verdict != CTL_GOOD && advice != NULL)
		printf("%-21s-> %s\n", "", advice);
	fflush(stdout); /* the next one may take a while */
}

/* ---- the service, as its clients see it ------------------------------------------------ */

static void look_at_parts(struct ctl_doctor *doctor, const struct ctl_answer *health)
{
	static const struct {
		const char *member, *advice;
	} parts[] = {
		{"supervisor", "start jobqd and look at its log"},
		{"table", "wait: the jobs are being read from the store"},
		{"store", "look for event=store_failed in jobqd's log, and make room on its disk"},
	};
	const json_t *workers = json_object_get(health->json, "workers");
	const json_int_t running = json_integer_value(json_object_get(workers, "running"));
	const json_int_t slots = json_integer_value(json_object_get(workers, "slots"));

	for (size_t i = 0; i < JOBQ_LENGTH(parts); i++) {
		const char *state = ctl_text_of(health->json, parts[i].member);
		if (strcmp(state, "ok") != 0)
			ctl_doctor_say(doctor, CTL_FAIL, "service", parts[i].advice, "its %s: %s",
				       parts[i].member, *state != '\0' ? state : "not told");
	}
	if (running < slots)
		ctl_doctor_say(doctor, running == 0 ? CTL_FAIL : CTL_WARN, "service",
			       "they come back by themselves; if not, look at jobqd's log",
			       "%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " workers run",
			       running, slots);
}

static void look_at_clock(struct ctl_doctor *doctor, const struct ctl_answer *answer)
{
	const int64_t skew = answer->date - jobq_clock_wall() / 1000000;

	if (answer->date == 0)
		ctl_doctor_say(doctor, CTL_WARN, "clock", "is something between nginx and here?",
			       "the service does not tell the time");
	else if (skew > SKEW_MOST || skew < -SKEW_MOST)
		ctl_doctor_say(doctor, CTL_WARN, "clock", "set both clocks (timedatectl set-ntp true)",
			       "the service's is %" PRId64 " s %s this machine's",
			       skew < 0 ? -skew : skew, skew < 0 ? "behind" : "before");
	else
		ctl_doctor_say(doctor, CTL_GOOD, "clock", NULL, "the service's is this machine's");
}

static void look_at_token(struct ctl_doctor *doctor, struct ctl_client *client)
{
	const struct ctl_ask ask = {.method = "GET", .path = "/jobs?limit=1"};
	struct ctl_answer answer;

	if (*client->settings.token == '\0') {
		ctl_doctor_say(doctor, CTL_WARN, "token",
			       "give one with --token-file FILE, JOBQ_TOKEN or `token = ` in the "
			       "client's file",
			       "there is none; not tried");
		return;
	}
	if (ctl_client_try(client, &ask, &answer) != 0)
		ctl_doctor_say(doctor, CTL_FAIL, "token", NULL, "no answer: %s", client->error);
	else if (answer.status == 200)
		ctl_doctor_say(doctor, CTL_GOOD, "token", NULL, "it is accepted");
	else if (answer.status == 401)
		ctl_doctor_say(doctor, CTL_FAIL, "token",
			       "use another, or make one on the service's machine: jobqctl token add "
			       "NAME",
			       "it is not accepted");
	else
		ctl_doctor_say(doctor, CTL_FAIL, "token", "look at the logs of nginx and jobq-api",
			       "GET %s answers %ld: %s", ask.path, answer.status,
			       ctl_text_of(answer.json, "error"));
	ctl_answer_free(&answer);
}

static void look_at_service(struct ctl_doctor *doctor, struct ctl_client *client)
{
	const struct ctl_ask ask = {.method = "GET", .path = "/healthz"};
	struct ctl_answer answer;

	if (ctl_client_try(client, &ask, &answer) != 0) {
		ctl_doctor_say(doctor, CTL_FAIL, "address",
			       "start nginx, or name the right address with --url URL", "%s: %s",
			       client->settings.url, client->error);
	} else if (answer.status == 502 || answer.status == 504) {
		ctl_doctor_say(doctor, CTL_FAIL, "address", "start jobq-api and look at its log",
			       "%s: nginx answers, but jobq-api does not", client->settings.url);
	} else if ((answer.status != 200 && answer.status != 503) ||
		   json_object_get(answer.json, "supervisor") == NULL) {
		ctl_doctor_say(doctor, CTL_FAIL, "address",
			       "name jobq's address with --url URL, or put jobq's site into nginx",
			       "%s: something else answers (%ld)", client->settings.url,
			       answer.status);
	} else {
		ctl_doctor_say(doctor, CTL_GOOD, "address", NULL, "%s: jobq %s answers",
			       client->settings.url, ctl_text_of(answer.json, "version"));
		look_at_parts(doctor, &answer);
		look_at_clock(doctor, &answer);
		look_at_token(doctor, client);
	}
	ctl_answer_free(&answer);
}

int ctl_doctor(int argc, char **argv)
{
	const struct ctl_syntax syntax = {
		.command = "doctor",
		.operands = "",
		.sentence =
			"Checks the installation, from nginx to the disk, and says what is to be "
			"mended. Where there is no configuration only the service's address and "
			"the token are tried.\v"
			"Exit status: 0 everything works, be it with warnings, 1 something does "
			"not.",
		.groups = CTL_LOCAL | CTL_CLIENT | CTL_COLOUR,
	};
	struct ctl_doctor doctor = {0};
	struct ctl_client client;

	ctl_options(&syntax, argc, argv);
	doctor.colour = ctl_screen_colours(stdout);
	ctl_doctor_nginx(&doctor);
	ctl_doctor_local(&doctor);
	int status = ctl_client_open(&client);
	if (status == 0)
		look_at_service(&doctor, &client);
	else
		ctl_doctor_say(&doctor, CTL_FAIL, "client", "see the lines above",
			       "its settings cannot be used");
	ctl_client_close(&client);
	return ctl_flush(doctor.failed ? CTL_FAILED : CTL_OK);
}
