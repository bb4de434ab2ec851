/*
 * `jobqctl token`: the tokens of clients. A token is shown once, when it is made;
 * what is kept is its hash. Each change is on the disk before the token is
 * shown, and nginx is told of it at once.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/tokens.h"

#define OVERLAP "7d"

struct request {
	const char *name; /* of the token; NULL for `list` */
	const char *scope, *expires, *overlap, *file, *reload; /* as given, or NULL */
	bool no_reload, json;
	int64_t now;
	struct jobq_conf conf;
	struct ctl_tokens_file tokens;
	struct jobq_buf said;       /* what to say when the file is changed */
	char token[CTL_TOKEN_TEXT]; /* to be shown, or "" */
};

static int64_t later(const struct request *request, int64_t time)
{
	return request->now + time;
}

/* ---- what people read ----------------------------------------------------------- */

/* Such as 2026-11-24T05:13:04Z. */
static const char *date(int64_t time, const char *none, char into[32])
{
	time_t seconds = (time_t)(time / 1000);
	struct tm tm;

	if (time == 0 || time == CTL_TOKEN_NEVER || gmtime_r(&seconds, &tm) == NULL ||
	    strftime(into, 32, "%FT%TZ", &tm) == 0)
		snprintf(into, 32, "%s", none);
	return into;
}

/* Says what is wrong; returns the exit status. */
static int refuse(const char *name, const char *what)
{
	fprintf(stderr, "jobqctl: token %s: %s\n", name, what);
	return 1;
}

/* ---- the commands: each changes the tokens in memory, returns an exit status ----- */

/* Makes the token and its entry. */
static int enter(struct request *request, const char *scope, int64_t expires)
{
	char hash[CTL_TOKEN_HASH], until[32];
	struct ctl_token token = {.hash = hash, .name = request->name, .scope = scope,
				  .created = request->now, .expires = expires};

	if (!ctl_token_make(request->token))
		return refuse(request->name, "there is no randomness to be had (getrandom(2))");
	ctl_token_hash(request->token, hash);
	if (!ctl_tokens_add(request->tokens.all, &token))
		return refuse(request->name, "out of memory");
	jobq_buf_addf(&request->said,
		      "jobqctl: token %s, scope %s, valid until %s. It is shown only now:\n",
		      token.name, token.scope, date(expires, "it is revoked", until));
	return 0;
}

static int add_token(struct request *request)
{
	int64_t lifetime, expires = CTL_TOKEN_NEVER;

	if (ctl_tokens_count(request->tokens.all, request->name) > 0)
		return refuse(request->name, "there is one of this name: rotate it, or revoke it first");
	if (request->expires != NULL) {
		ctl_token_time(request->expires, &lifetime);
		expires = later(request, lifetime);
	}
	return enter(request, request->scope != NULL ? request->scope : "admin", expires);
}

static int revoke_tokens(struct request *request)
{
	size_t count = ctl_tokens_remove(request->tokens.all, request->name);

	if (count == 0)
		return refuse(request->name, "there is none of this name");
	jobq_buf_addf(&request->said, "jobqctl: token %s: %zu revoked\n", request->name, count);
	return 0;
}

/*
 * What the new token's end is: as far away as the old one's was when that was
 * made, unless said otherwise: a rotation does not make a token live for ever.
 */
static int new_end(const struct request *request, const struct ctl_token *old, int64_t *end)
{
	int64_t lifetime;

	*end = CTL_TOKEN_NEVER;
	if (request->expires != NULL)
		ctl_token_time(request->expires, &lifetime);
	else if (old->expires == CTL_TOKEN_NEVER)
		return 0;
	else if (old->created == 0 || old->created > old->expires)
		return refuse(old->name, "it is not known how long it was to live: say --expires");
	else
		lifetime = old->expires - old->created;
	*end = later(request, lifetime);
	return 0;
}

static int rotate_token(struct request *request)
{
	struct ctl_token old;
	json_t *all = request->tokens.all;
	char until[32], scope[16];
	int64_t overlap, end;

	if (!ctl_tokens_newest(all, request->name, request->now, &old))
		return refuse(request->name, "there is none of this name that is usable");
	int status = new_end(request, &old, &end);
	if (status != 0)
		return status;
	snprintf(scope, sizeof(scope), "%s", old.scope); /* `old` may go now */
	ctl_token_time(request->overlap != NULL ? request->overlap : OVERLAP, &overlap);
	if (!ctl_tokens_end(all, request->name, request->now, later(request, overlap)))
		return refuse(request->name, "out of memory");
	if (overlap > 0 && ctl_tokens_count(all, request->name) > 0)
		jobq_buf_addf(&request->said, "jobqctl: token %s: the old one ends %s at the latest\n",
			      request->name, date(later(request, overlap), "", until));
	return enter(request, scope, end);
}

/* ---- list ------------------------------------------------------------------------ */

static const char *const states[] = {"valid", "expired", "unusable"};

/* What others have written keeps to its column, and does nothing to a terminal. */
static const char *plain(const char *text, char into[65])
{
	size_t len = 0;

	for (; *text != '\0' && len < 64; text++)
		into[len++] = *text > ' ' && *text < 0x7f ? *text : '?';
	into[len] = '\0';
	return len > 0 ? into : strcpy(into, "?");
}

static json_t *seconds(int64_t time)
{
	return time == 0 || time == CTL_TOKEN_NEVER ? json_null() : json_integer(time / 1000);
}

static bool list_json(const struct ctl_token *token)
{
	json_t *object = json_pack("{s:s, s:s, s:o, s:o, s:s, s:s%}", "name", token->name, "scope",
				   token->scope, "created", seconds(token->created), "expires",
				   seconds(token->expires), "state", states[token->state], "hash",
				   token->hash, strnlen(token->hash, 8));
	bool ok = object != NULL &&
		  json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) == 0;

	json_decref(object);
	putchar('\n');
	return ok;
}

static void list_line(const struct ctl_token *token)
{
	char name[65], hash[65], created[32], expires[32];

	printf("%-24s %-7s %-20s %-20s %-8s %.8s\n", plain(token->name, name),
	       token->scope[0] != '\0' ? token->scope : "?", date(token->created, "?", created),
	       date(token->expires, token->state == CTL_TOKEN_UNUSABLE ? "?" : "never", expires),
	       states[token->state], plain(token->hash, hash));
}

static int list_tokens(struct request *request)
{
	struct ctl_token token;
	const char *hash;
	json_t *entry;
	bool ok = true;

	if (!request->json)
		printf("%-24s %-7s %-20s %-20s %-8s %s\n", "NAME", "SCOPE", "CREATED", "EXPIRES",
		       "STATE", "HASH");
	json_object_foreach(request->tokens.all, hash, entry) {
		ctl_token_judge(hash, entry, request->now, &token);
		if (request->json)
			ok = list_json(&token) && ok;
		else
			list_line(&token);
	}
	if (ok && fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	fprintf(stderr, "jobqctl: standard output cannot be written to\n");
	return 1;
}

/* ---- the command line -------------------------------------------------------------- */

static const struct action {
	const char *name;
	bool named, changes;
	const char *options; /* those that it takes beside the common ones */
	int (*run)(struct request *request);
} actions[] = {
	{"add", true, true, "es", add_token},
	{"list", false, false, "j", list_tokens},
	{"revoke", true, true, "", revoke_tokens},
	{"rotate", true, true, "eo", rotate_token},
};

static const struct option longs[] = {
	{"expires", required_argument, NULL, 'e'}, {"scope", required_argument, NULL, 's'},
	{"overlap", required_argument, NULL, 'o'}, {"json", no_argument, NULL, 'j'},
	{"file", required_argument, NULL, 'f'},	   {"reload", required_argument, NULL, 'r'},
	{"no-reload", no_argument, NULL, 'n'},	   {"help", no_argument, NULL, 'h'},
	{0},
};

static int print_help(void)
{
	printf("Usage: jobqctl [-c FILE] token add NAME [--scope SCOPE] [--expires TIME]\n"
	       "       jobqctl [-c FILE] token rotate NAME [--overlap TIME] [--expires TIME]\n"
	       "       jobqctl [-c FILE] token revoke NAME\n"
	       "       jobqctl [-c FILE] token list [--json]\n"
	       "Looks after the tokens that nginx lets in. A new one is printed, alone, on standard\n"
	       "output and kept nowhere.\n\n"
	       "  --scope SCOPE     what it may do [admin]: read (GET and HEAD), submit (also submit\n"
	       "                    and cancel jobs), admin (all)\n"
	       "  --expires TIME    how long it is valid, such as 90d (s, m, h, d); for add: for ever;\n"
	       "                    for rotate: as long as the old one was to be\n"
	       "  --overlap TIME    how long the old one stays valid beside the new one [" OVERLAP "]\n"
	       "  --json            print a JSON object for each token, one a line\n"
	       "  --file FILE       the tokens file [tokens_file of jobq.conf]\n"
	       "  --reload COMMAND  what has nginx read it [nginx_reload of jobq.conf]\n"
	       "  --no-reload       do not: the change counts from nginx's next reload on\n"
	       "  -h, --help        show this and exit\n\n"
	       "A NAME is 1 to 64 of A-Z a-z 0-9 . _ @ - and stands in the access log.\n\n"
	       "Exit status: 0 done, 1 refused, or the file could not be changed, 2 the command\n"
	       "line is wrong, 3 the file is changed but nginx could not be told.\n");
	return 0;
}

static int cannot_take(const struct action *action, int c)
{
	for (const struct option *option = longs; option->name != NULL; option++)
		if (option->val == c)
			fprintf(stderr, "jobqctl: token %s takes no --%s\n", action->name,
				option->name);
	return ctl_usage(NULL, "");
}

/* Takes one option. Returns 0, or the exit status. */
static int take(struct request *request, const struct action *action, int c)
{
	int64_t time;

	if (c == '?')
		return ctl_usage(NULL, "");
	if (strchr("esoj", c) != NULL && strchr(action->options, c) == NULL)
		return cannot_take(action, c);
	if ((c == 'e' || c == 'o') && !ctl_token_time(optarg, &time))
		return ctl_usage("a time is such as 90d, 12h, 30m or 45s, not ", optarg);
	if (c == 'e' && time == 0)
		return ctl_usage("a token that is never valid is of no use: --expires ", optarg);
	if (c == 's' && !ctl_token_is_scope(optarg))
		return ctl_usage("a scope is read, submit or admin, not ", optarg);
	switch (c) {
	case 'e': request->expires = optarg; break;
	case 's': request->scope = optarg; break;
	case 'o': request->overlap = optarg; break;
	case 'f': request->file = optarg; break;
	case 'r': request->reload = optarg; break;
	case 'n': request->no_reload = true; break;
	default: request->json = true; break;
	}
	return 0;
}

/* ---- doing it ---------------------------------------------------------------------- */

/* Where the file is, and how nginx is told; a machine without a jobq.conf has the defaults. */
static int configure(struct request *request, const struct jobq_conf_args *args)
{
	struct jobq_conf_args own = *args;

	if (strcmp(own.file, JOBQ_CONF_FILE) == 0 && access(own.file, F_OK) < 0 && errno == ENOENT)
		own.file = NULL;
	int status = jobq_conf_start(&request->conf, &own);
	if (request->file == NULL)
		request->file = request->conf.tokens_file;
	if (request->reload == NULL)
		request->reload = request->conf.nginx_reload;
	return status;
}

/* With the file read, and locked when it is to be changed. */
static int work(struct request *request, const struct action *action)
{
	struct jobq_buf why = {0};
	int status = 1, rc = ctl_tokens_open(&request->tokens, request->file, action->changes, &why);

	request->now = jobq_clock_wall() / 1000;
	if (rc == 0)
		status = action->run(request);
	if (status == 0 && action->changes)
		rc = ctl_tokens_save(&request->tokens, &why);
	if (rc < 0)
		fprintf(stderr, "jobqctl: %s\n", why.data != NULL ? why.data : strerror(-rc));
	jobq_buf_free(&why);
	ctl_tokens_close(&request->tokens);
	return rc < 0 ? 1 : status;
}

/* What comes when the file is changed. */
static int announce(struct request *request)
{
	int status = 0;

	fputs(request->said.data != NULL ? request->said.data : "", stderr);
	if (request->token[0] != '\0' && (puts(request->token) < 0 || fflush(stdout) != 0))
		status = refuse(request->name, "it could not be printed, so it is of no use: "
					       "rotate it, or revoke it");
	explicit_bzero(request->token, sizeof(request->token));
	if (request->no_reload || ctl_nginx_reload(request->reload, request->conf.nginx_pid))
		return status;
	fprintf(stderr, "jobqctl: %s is changed; it counts when nginx has been reloaded, with "
			"`nginx -t && nginx -s reload`\n", request->file);
	return status != 0 ? status : 3;
}

static int run(struct request *request, const struct action *action,
	       const struct jobq_conf_args *args)
{
	int status = 0;

	if (request->file == NULL || (request->reload == NULL && !request->no_reload))
		status = configure(request, args);
	if (status == 0)
		status = work(request, action);
	if (status == 0 && action->changes)
		status = announce(request);
	jobq_buf_free(&request->said);
	jobq_conf_free(&request->conf);
	return status;
}

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < JOBQ_LENGTH(actions); i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	return NULL;
}

int ctl_token(int argc, char **argv)
{
	struct request request = {0};
	const struct action *action;
	int c, status = 0;

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return print_help();
	if (argc < 2 || (action = find_action(argv[1])) == NULL)
		return ctl_usage("`token` is followed by add, list, revoke or rotate", "");
	argv[1] = argv[0];
	optind = 0; /* argp has its own place */
	while (status == 0 && (c = getopt_long(argc - 1, argv + 1, "h", longs, NULL)) != -1) {
		if (c == 'h')
			return print_help();
		status = take(&request, action, c);
	}
	if (status != 0)
		return status;
	char **words = argv + 1 + optind;
	int count = argc - 1 - optind;
	if (count != (action->named ? 1 : 0))
		return ctl_usage(action->name, action->named ? " takes one name" : " takes no name");
	request.name = words[0];
	if (action->named && !ctl_token_is_name(request.name))
		return ctl_usage("a name is 1 to 64 of A-Z a-z 0-9 . _ @ -, not ", request.name);
	signal(SIGPIPE, SIG_IGN); /* or a reader that is gone would keep nginx from being told */
	return run(&request, action, &ctl_given()->local);
}
