/*
 * ctl, the tokens file: JSON that nginx reads (nginx/jobq.js says what is in
 * it), with the SHA-256 of each token and never a token. Members that are not
 * known here, and entries that are no use, stay as they are.
 */
#ifndef JOBQ_CTL_TOKENS_H
#define JOBQ_CTL_TOKENS_H

#include <jansson.h>
#include <sys/stat.h>

#include "jobq/base.h"

#define CTL_TOKEN_TEXT 49 /* bytes of a token, and of its hash, NUL included */
#define CTL_TOKEN_HASH 65
#define CTL_TOKEN_NEVER INT64_MAX

/* ---- tokens.c: what is in the file; pure but for ctl_token_make() ----------- */

enum ctl_token_state { CTL_TOKEN_VALID, CTL_TOKEN_EXPIRED, CTL_TOKEN_UNUSABLE };

/* An entry as nginx sees it; the texts are borrowed from it, or static. */
struct ctl_token {
	const char *hash, *name, *scope; /* "" when there is none that makes sense */
	int64_t created;                 /* milliseconds since 1970; 0: not known */
	int64_t expires;                 /* likewise, or CTL_TOKEN_NEVER */
	enum ctl_token_state state;
};

bool ctl_token_is_name(const char *text);
bool ctl_token_is_scope(const char *text);
/* Reads `90d`, `12h`, `30m`, `45s` or `0`, up to 100 years, as milliseconds. */
bool ctl_token_time(const char *text, int64_t *out);

/* `jobq_` and 256 random bits in base64url: nobody takes it for its hash. False: no randomness. */
bool ctl_token_make(char token[CTL_TOKEN_TEXT]);
/* SHA-256 in lower hex. */
void ctl_token_hash(const char *token, char into[CTL_TOKEN_HASH]);

void ctl_token_judge(const char *hash, const json_t *entry, int64_t now, struct ctl_token *out);

/* The owned object, or NULL with `why`, which names line and column. */
json_t *ctl_tokens_parse(const char *text, size_t len, struct jobq_buf *why);

/* The newest usable token of a name; false when there is none. */
bool ctl_tokens_newest(const json_t *all, const char *name, int64_t now, struct ctl_token *out);
/* How many entries have a name, whatever their state. */
size_t ctl_tokens_count(const json_t *all, const char *name);
/* False: no memory. */
bool ctl_tokens_add(json_t *all, const struct ctl_token *token);
/* Returns how many there were. */
size_t ctl_tokens_remove(json_t *all, const char *name);
/*
 * Lets the tokens of a name end at `end`, but none later than it would have;
 * removes those that have ended. False: no memory.
 */
bool ctl_tokens_end(json_t *all, const char *name, int64_t now, int64_t end);

/* ---- tokens_file.c: the file ------------------------------------------------ */

struct ctl_tokens_file {
	char *path; /* owned: without symbolic links */
	int dir;    /* where it is; locked while it is changed */
	bool existed;
	struct stat was;
	json_t *all; /* owned */
};

/*
 * Reads the file. To `change` it, it need not exist, and others who want to
 * wait until this one is closed. Returns 0 or a negative errno and adds to `why`
 * a line that names the file. The caller closes it either way.
 */
int ctl_tokens_open(struct ctl_tokens_file *file, const char *path, bool change,
		    struct jobq_buf *why);
/*
 * Replaces the file in one step: whoever reads it finds the old or the new one,
 * after a power cut, too. It keeps its owner and its mode; a new one gets 0640.
 */
int ctl_tokens_save(struct ctl_tokens_file *file, struct jobq_buf *why);
void ctl_tokens_close(struct ctl_tokens_file *file);

/* ---- nginx.c: has it read the file ------------------------------------------ */

/*
 * Runs `command` with the shell. Where `pid_file` (NULL: none) names an nginx that
 * runs, waits until that serves with new workers only. Says on standard error what
 * goes wrong; false then.
 */
bool ctl_nginx_reload(const char *command, const char *pid_file);

#endif
