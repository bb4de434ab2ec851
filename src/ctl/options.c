/*
 * Command lines, read by argp(3). A command lists its options in a table; what
 * many commands have in common is in groups, which may also stand in front of
 * the command.
 */
#include "config.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

#define OPTIONS_MAX 16 /* of one command's own */

/* argp's keys: letters are the short options' names. */
enum { KEY_URL = 256, KEY_TOKEN, KEY_TOKEN_FILE, KEY_CA, KEY_COLOUR, KEY_OWN };

/* One at a time is being read. */
static struct ctl_given given = {.local.file = JOBQ_CONF_FILE};
static const char *command; /* whose command line it is, for ctl_usage() */

struct reading {
	const struct ctl_syntax *syntax;
	const struct argp *argp;
	void (*list_commands)(void); /* in front of the command */
	int at;			     /* there: where in argv it is */
	char **words;
	size_t count;
	bool wrong; /* it has been said how */
};

const struct ctl_given *ctl_given(void)
{
	return &given;
}

int ctl_usage(const char *problem, const char *what)
{
	if (problem != NULL) {
		fprintf(stderr, "jobqctl: %s", problem);
		ctl_put(stderr, what, strlen(what));
		fprintf(stderr, "\n");
	}
	fprintf(stderr, "Try 'jobqctl --help'");
	if (command != NULL)
		fprintf(stderr, " or 'jobqctl %s --help'", command);
	fprintf(stderr, ".\n");
	return CTL_USAGE;
}

/* ---- the groups -------------------------------------------------------------- */

static error_t take_local(int key, char *arg, struct argp_state *state)
{
	struct jobq_conf_args *local = &given.local;

	(void)state;
	if (key == 'c') {
		local->file = arg;
		given.config = true;
	} else if (key == 'o' && local->setting_count < JOBQ_LENGTH(local->settings)) {
		local->settings[local->setting_count++] = arg;
	} else if (key == 'o') {
		exit(ctl_usage("too many -o", ""));
	} else {
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* Who looks at the list of processes is not to see it for longer than need be. */
static const char *hide(char *arg)
{
	char *copy = strdup(arg);

	if (copy == NULL)
		abort();
	memset(arg, '*', strlen(arg));
	return copy;
}

static error_t take_client(int key, char *arg, struct argp_state *state)
{
	(void)state;
	switch (key) {
	case KEY_URL: given.url = arg; return 0;
	case KEY_TOKEN: given.token = hide(arg); return 0;
	case KEY_TOKEN_FILE: given.token_file = arg; return 0;
	case KEY_CA: given.ca = arg; return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static error_t take_colour(int key, char *arg, struct argp_state *state)
{
	(void)state;
	if (key != KEY_COLOUR)
		return ARGP_ERR_UNKNOWN;
	given.color = arg == NULL ? "always" : arg;
	if (strcmp(given.color, "auto") != 0 && strcmp(given.color, "always") != 0 &&
	    strcmp(given.color, "never") != 0)
		exit(ctl_usage("--color is auto, always or never, not ", given.color));
	return 0;
}

static const struct argp_option local_options[] = {
	{"config", 'c', "FILE", 0, "read this configuration [" JOBQ_CONF_FILE "]", 0},
	{"option", 'o', "NAME=VALUE", 0, "set an option, over what the file says", 0},
	{0},
};
static const struct argp_option client_options[] = {
	{"url", KEY_URL, "URL", 0, "the service's address [$JOBQ_URL, the one installed here, http://localhost:8080]", 0},
	{"token-file", KEY_TOKEN_FILE, "FILE", 0, "read the token from FILE [$JOBQ_TOKEN]", 0},
	{"token", KEY_TOKEN, "TOKEN", 0, "the token itself, which others may see", 0},
	{"ca", KEY_CA, "FILE", 0, "file of certificates that the service's is checked with", 0},
	{0},
};
static const struct argp_option colour_options[] = {
	{"color", KEY_COLOUR, "WHEN", OPTION_ARG_OPTIONAL,
	 "auto, always or never [auto: on a terminal, without NO_COLOR]", 0},
	{0},
};

static const struct argp local_argp = {.options = local_options, .parser = take_local};
static const struct argp client_argp = {.options = client_options, .parser = take_client};
static const struct argp colour_argp = {.options = colour_options, .parser = take_colour};

/* ---- a command's own --------------------------------------------------------- */

static void show_help(const struct reading *reading)
{
	const struct ctl_syntax *syntax = reading->syntax;
	char *name = NULL;

	/* Everybody knows what argp would say of short options' arguments. */
	setenv("ARGP_HELP_FMT", "no-dup-args-note", 0);
	if (asprintf(&name, "jobqctl%s%s", syntax->command != NULL ? " " : "",
		     syntax->command != NULL ? syntax->command : "") < 0)
		abort();
	argp_help(reading->argp, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC,
		  name);
	free(name);
	if (reading->list_commands != NULL)
		reading->list_commands();
	exit(ctl_flush(EXIT_SUCCESS));
}

static void take_one_more(const struct ctl_option *option, char *arg)
{
	struct ctl_texts *texts = option->texts;

	if (texts->count == JOBQ_LENGTH(texts->text)) {
		fprintf(stderr, "jobqctl: --%s may be given %zu times at the most\n", option->name,
			texts->count);
		exit(ctl_usage(NULL, ""));
	}
	texts->text[texts->count++] = arg;
}

static void take_own(const struct ctl_option *option, char *arg)
{
	uint64_t number = 0;

	if (option->flag != NULL) {
		*option->flag = true;
	} else if (option->text != NULL) {
		*option->text = arg;
	} else if (option->texts != NULL) {
		take_one_more(option, arg);
	} else if (jobq_text_u64(arg, strlen(arg), UINT32_MAX, &number) && number > 0) {
		*option->number = number;
	} else {
		fprintf(stderr, "jobqctl: --%s takes a whole number from 1 on, not %s\n",
			option->name, arg);
		exit(ctl_usage(NULL, ""));
	}
}

static error_t take(int key, char *arg, struct argp_state *state)
{
	struct reading *reading = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->err_stream = NULL; /* getopt says what is wrong, and we what to do */
		for (size_t i = 0; reading->argp->children[i].argp != NULL; i++)
			state->child_inputs[i] = reading;
		return 0;
	case 'h':
		show_help(reading);
		return 0;
	case 'V':
		printf("jobqctl (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
		exit(ctl_flush(EXIT_SUCCESS));
	case ARGP_KEY_ARG:
		if (reading->list_commands == NULL)
			return ARGP_ERR_UNKNOWN; /* all of them at once, below */
		reading->at = state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_ARGS:
		reading->words = state->argv + state->next;
		reading->count = (size_t)(state->argc - state->next);
		return 0;
	default:
		if (key < KEY_OWN || key >= KEY_OWN + OPTIONS_MAX)
			return ARGP_ERR_UNKNOWN;
		take_own(&reading->syntax->options[key - KEY_OWN], arg);
		return 0;
	}
}

/* Makes argp's form of the tables, and lets it read. Exits when that fails. */
static void read_line(struct reading *reading, int argc, char **argv, unsigned flags)
{
	const struct ctl_syntax *syntax = reading->syntax;
	struct argp_option options[OPTIONS_MAX + 3] = {0};
	struct argp_child children[4] = {0};
	size_t n = 0, child = 0;

	for (; syntax->options != NULL && syntax->options[n].name != NULL; n++)
		options[n] = (struct argp_option){
			.name = syntax->options[n].name,
			.key = KEY_OWN + (int)n,
			.arg = syntax->options[n].operand,
			.doc = syntax->options[n].sentence,
		};
	options[n++] = (struct argp_option){"help", 'h', NULL, 0, "show this and exit", -1};
	options[n] = (struct argp_option){"version", 'V', NULL, 0, "show the version and exit", -1};
	if (syntax->groups & CTL_CLIENT)
		children[child++] = (struct argp_child){&client_argp, 0, "The service:", 1};
	if (syntax->groups & CTL_LOCAL)
		children[child++] = (struct argp_child){&local_argp, 0, "On this machine:", 2};
	if (syntax->groups & CTL_COLOUR)
		children[child] = (struct argp_child){&colour_argp, 0, "Looks:", 3};
	const struct argp argp = {
		.options = options,
		.parser = take,
		.args_doc = syntax->operands[0] != '\0' ? syntax->operands : NULL,
		.doc = syntax->sentence,
		.children = children,
	};
	reading->argp = &argp;
	if (argp_parse(&argp, argc, argv, flags | ARGP_NO_HELP | ARGP_NO_EXIT, NULL, reading) != 0)
		exit(ctl_usage(NULL, ""));
}

char **ctl_options(const struct ctl_syntax *syntax, int argc, char **argv)
{
	struct reading reading = {.syntax = syntax, .words = argv + argc};

	command = syntax->command;
	read_line(&reading, argc, argv, 0);
	bool any = syntax->least > 0 && syntax->most == 0;
	if (reading.count >= syntax->least && (any || reading.count <= syntax->most))
		return reading.words;
	exit(ctl_usage(syntax->command, any		    ? " takes one operand or more"
					: syntax->least > 0 ? " takes one operand"
					: syntax->most > 0  ? " takes one operand, or none"
							    : " takes no operand"));
}

int ctl_options_front(int argc, char **argv, void (*list_commands)(void))
{
	const struct ctl_syntax syntax = {
		.operands = "COMMAND [ARGUMENT...]",
		.sentence = "Submits jobs to a jobq service, watches them, and looks after the "
			    "service.",
		.groups = CTL_LOCAL | CTL_CLIENT | CTL_COLOUR,
	};
	struct reading reading = {.syntax = &syntax, .list_commands = list_commands};

	read_line(&reading, argc, argv, ARGP_IN_ORDER);
	return reading.at;
}
