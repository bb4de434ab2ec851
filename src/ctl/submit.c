#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/jobs.h"
#include "ctl/scenes.h"

struct submit {
	const char *project, *action, *mode, *scope, *key, *priority;
	struct ctl_texts labels;
	bool wait, json;
	uint64_t total; /* scenes or operations; 0: not known */
};

/* Which options make sense depends on what is submitted. NULL: they do. */
static const char *misplaced(const struct submit *submit, const char *type)
{
	const bool batch = strcmp(type, "batch") == 0, warm = strcmp(type, "warm") == 0;

	if (submit->action != NULL && !batch)
		return "--action is for submit batch";
	if (submit->mode != NULL && !batch)
		return "--mode is for submit batch";
	if (submit->scope != NULL && !warm)
		return "--scope is for submit warm";
	if (submit->project != NULL && warm)
		return "submit warm takes no --project: it warms the service's own";
	if (submit->action != NULL && !jobq_job_is_action(submit->action))
		return "--action is load, validate or get_info";
	if (submit->mode != NULL && strcmp(submit->mode, "continue") != 0 &&
	    strcmp(submit->mode, "transactional") != 0)
		return "--mode is continue or transactional";
	if (submit->scope != NULL && strcmp(submit->scope, "all") != 0 &&
	    strcmp(submit->scope, "stale") != 0)
		return "--scope is all or stale";
	return NULL;
}

static json_t *warming(const struct submit *submit)
{
	return submit->scope != NULL ? json_pack("{s:s, s:{s:s}}", "type", "cache_warming",
						 "parameters", "scope", submit->scope)
				     : json_pack("{s:s, s:{}}", "type", "cache_warming", "parameters");
}

/* Returns 0 with the body of the request, or CTL_USAGE. */
static int write_body(struct submit *submit, char *const *words, json_t **body)
{
	const bool batch = strcmp(words[0], "batch") == 0;
	struct ctl_scenes scenes = {.project = submit->project};

	if (strcmp(words[0], "warm") == 0) {
		*body = warming(submit);
		return 0;
	}
	if (batch)
		scenes.action = submit->action != NULL ? submit->action : "load";
	int status = ctl_scenes_add(&scenes, words + 1);
	if (status == 0) {
		submit->total = json_array_size(scenes.items);
		*body = batch ? json_pack("{s:s, s:{s:O, s:s*}}", "type", "batch_operations",
					  "parameters", "operations", scenes.items, "mode",
					  submit->mode)
			      : json_pack("{s:s, s:{s:O}}", "type", "scene_preload", "parameters",
					  "scene_paths", scenes.items);
	}
	ctl_scenes_free(&scenes);
	return status;
}

static bool add_priority(json_t *remarks, const char *text)
{
	const bool negative = *text == '-';
	uint64_t size;

	if (!jobq_text_u64(text + negative, strlen(text + negative), JOBQ_PRIORITY_MAX, &size)) {
		fprintf(stderr, "jobqctl: --priority is a whole number from %d to %d, not ",
			-JOBQ_PRIORITY_MAX, JOBQ_PRIORITY_MAX);
		ctl_put(stderr, text, strlen(text));
		fprintf(stderr, "\n");
		return false;
	}
	json_int_t value = negative ? -(json_int_t)size : (json_int_t)size;
	return json_object_set_new(remarks, "priority", json_integer(value)) == 0;
}

static bool add_labels(json_t *remarks, const struct ctl_texts *words)
{
	json_t *labels = json_object();
	bool good = true;

	for (size_t i = 0; i < words->count && good; i++) {
		const char *word = words->text[i];
		size_t len;

		good = ctl_jobs_is_label(word, &len);
		if (good && json_object_getn(labels, word, len) != NULL) {
			fprintf(stderr, "jobqctl: --label names %.*s twice\n", (int)len, word);
			good = false;
		} else if (good) {
			json_object_setn_new(labels, word, len, json_string(word + len + 1));
		}
	}
	if (good && words->count > 0)
		json_object_set(remarks, "labels", labels);
	json_decref(labels);
	return good;
}

/* What any job may have. False: it has been said what is wrong. */
static bool add_remarks(json_t *remarks, const struct submit *submit)
{
	return (submit->priority == NULL || add_priority(remarks, submit->priority)) &&
	       add_labels(remarks, &submit->labels);
}

static int post(const struct submit *submit, json_t *body)
{
	const struct ctl_new_job job = {
		.path = "/jobs",
		.body = body,
		.key = submit->key,
		.total = submit->total,
		.wait = submit->wait,
		.json = submit->json,
	};

	return ctl_jobs_start(&job);
}

int ctl_submit(int argc, char **argv)
{
	struct submit submit = {0};
	const struct ctl_option options[] = {
		CTL_TEXT("project", "DIR", &submit.project,
			 "look for patterns among the scenes of this Godot project [the working "
			 "directory]"),
		CTL_TEXT("action", "ACTION", &submit.action,
			 "what a batch does: load, validate or get_info [load]"),
		CTL_TEXT("mode", "MODE", &submit.mode,
			 "continue: a batch tries everything; transactional: it stops at the first "
			 "failure [continue]"),
		CTL_TEXT("scope", "SCOPE", &submit.scope,
			 "what is warmed: all scenes, or the stale ones [all]"),
		CTL_TEXT("priority", "N", &submit.priority,
			 "from -10 to 10; jobs of a higher one start first [0]"),
		CTL_TEXTS("label", "NAME=VALUE", &submit.labels,
			  "a label by which list finds the job; may be repeated"),
		CTL_TEXT("idempotency-key", "KEY", &submit.key,
			 "submitted again with this key it is not done again"),
		CTL_FLAG("wait", &submit.wait, "follow the job to its end, as watch does"),
		CTL_FLAG("json", &submit.json,
			 "print what the service answers; with --wait the job, a line a change"),
		{0},
	};
	const struct ctl_syntax syntax = {
		.command = "submit",
		.operands = "preload PATH...\nbatch PATH...\nwarm",
		.sentence =
			"Submits a job and prints its id. A PATH is a scene's, with or without "
			"res://, a pattern (`*` within a segment, `**` across, a directory with "
			"its slash; quote it from the shell), or - for standard input: a path a "
			"line, for a batch also `ACTION PATH`, or JSON: paths, or objects with "
			"action and scene_path.\v"
			"Exit status: 0 it is submitted (with --wait: completed), 1 the job has "
			"failed, 2 the command line makes no sense, 3 it was cancelled, 4 the "
			"service cannot be reached, 5 it refuses.",
		.groups = CTL_CLIENT | CTL_COLOUR,
		.least = 1,
		.options = options,
	};
	json_t *remarks, *body = NULL;

	char **words = ctl_options(&syntax, argc, argv);
	const bool warm = strcmp(words[0], "warm") == 0;
	if (!warm && strcmp(words[0], "preload") != 0 && strcmp(words[0], "batch") != 0)
		return ctl_usage("submit is followed by preload, batch or warm, not ", words[0]);
	if (warm == (words[1] != NULL))
		return ctl_usage(warm ? "submit warm takes no path" : "name scenes to ",
				 warm ? "" : words[0]);
	const char *problem = misplaced(&submit, words[0]);
	if (problem != NULL)
		return ctl_usage(problem, "");
	remarks = json_object();
	int status = add_remarks(remarks, &submit) ? write_body(&submit, words, &body)
						   : ctl_usage(NULL, "");
	if (status == 0) {
		json_object_update(body, remarks);
		status = post(&submit, body);
	}
	json_decref(remarks);
	json_decref(body);
	return status;
}
