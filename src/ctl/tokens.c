#include "config.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

#include "ctl/tokens.h"
#include "jobq/conf.h"

#define NAME_MAX_LENGTH 64
#define TIME_MAX 3153600000000 /* 100 years */
#define TOKEN_BITS 256
#define PREFIX "jobq_"

/* ---- words ------------------------------------------------------------------- */

bool ctl_token_is_name(const char *text)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._@-";
	size_t len = strspn(text, allowed);

	return len > 0 && len <= NAME_MAX_LENGTH && text[len] == '\0';
}

bool ctl_token_is_scope(const char *text)
{
	return strcmp(text, "read") == 0 || strcmp(text, "submit") == 0 ||
	       strcmp(text, "admin") == 0;
}

bool ctl_token_time(const char *text, int64_t *out)
{
	uint64_t number;
	size_t len = strlen(text);

	/* A bare number is days to one and seconds to another. */
	if (len == 0 || (strchr("smhd", text[len - 1]) == NULL && strcmp(text, "0") != 0) ||
	    strstr(text, "ms") != NULL)
		return false;
	if (!jobq_conf_time(text, &number) || number > TIME_MAX)
		return false;
	*out = (int64_t)number;
	return true;
}

/* ---- tokens ------------------------------------------------------------------ */

bool ctl_token_make(char token[CTL_TOKEN_TEXT])
{
	unsigned char bits[TOKEN_BITS / 8], base64[4 * ((sizeof(bits) + 2) / 3) + 1];
	ssize_t got;

	do
		got = getrandom(bits, sizeof(bits), 0);
	while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(bits))
		return false;
	EVP_EncodeBlock(base64, bits, sizeof(bits));
	char *end = stpcpy(token, PREFIX);
	for (const unsigned char *c = base64; *c != '=' && *c != '\0'; c++)
		*end++ = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
	*end = '\0';
	explicit_bzero(bits, sizeof(bits));
	explicit_bzero(base64, sizeof(base64));
	return true;
}

void ctl_token_hash(const char *token, char into[CTL_TOKEN_HASH])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[(CTL_TOKEN_HASH - 1) / 2] = {0};

	EVP_Digest(token, strlen(token), digest, NULL, EVP_sha256(), NULL);
	for (size_t i = 0; i < sizeof(digest); i++) {
		into[2 * i] = digits[digest[i] >> 4];
		into[2 * i + 1] = digits[digest[i] & 15];
	}
	into[CTL_TOKEN_HASH - 1] = '\0';
}

/* ---- entries ----------------------------------------------------------------- */

/* The name that an entry gives itself, usable or not; "" for none. */
static const char *name_of(const json_t *entry)
{
	const char *name = json_string_value(json_is_object(entry) ? json_object_get(entry, "name")
								   : entry);

	return name != NULL ? name : "";
}

/* Seconds since 1970 as milliseconds. */
static int64_t milliseconds(const json_t *number)
{
	double value = json_number_value(number) * 1000;

	return value < 1e18 ? (int64_t)value : CTL_TOKEN_NEVER;
}

static bool is_hash(const char *text)
{
	return strspn(text, "0123456789abcdef") == CTL_TOKEN_HASH - 1 &&
	       strlen(text) == CTL_TOKEN_HASH - 1;
}

/* Judges as nginx/jobq.js does. */
void ctl_token_judge(const char *hash, const json_t *entry, int64_t now, struct ctl_token *out)
{
	const json_t *scope = json_object_get(entry, "scope");
	const json_t *expires = json_object_get(entry, "expires");
	const json_t *created = json_object_get(entry, "created");

	*out = (struct ctl_token){hash, name_of(entry), "", 0, CTL_TOKEN_NEVER, CTL_TOKEN_VALID};
	if (json_is_number(created) && json_number_value(created) > 0)
		out->created = milliseconds(created);
	bool usable = is_hash(hash) && ctl_token_is_name(out->name);
	if (scope == NULL)
		out->scope = "admin";
	else if (json_is_string(scope) && ctl_token_is_scope(json_string_value(scope)))
		out->scope = json_string_value(scope);
	else
		usable = false;
	if (json_is_number(expires) && json_number_value(expires) >= 0)
		out->expires = milliseconds(expires);
	else if (expires != NULL && !json_is_null(expires))
		usable = false;
	if (!usable)
		out->state = CTL_TOKEN_UNUSABLE;
	else if (out->expires <= now)
		out->state = CTL_TOKEN_EXPIRED;
}

/* ---- all of them ------------------------------------------------------------- */

json_t *ctl_tokens_parse(const char *text, size_t len, struct jobq_buf *why)
{
	json_error_t error;
	json_t *all = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

	if (all == NULL) {
		jobq_buf_addf(why, "line %d, column %d: %s", error.line, error.column, error.text);
	} else if (!json_is_object(all)) {
		jobq_buf_adds(why, "line 1, column 1: must be an object with the hashes of tokens");
		json_decref(all);
		all = NULL;
	}
	return all;
}

/* Jansson's iteration takes no const, though it changes nothing. */
#define EACH(all, hash, entry) json_object_foreach((json_t *)(uintptr_t)(all), hash, entry)

bool ctl_tokens_newest(const json_t *all, const char *name, int64_t now, struct ctl_token *out)
{
	struct ctl_token token;
	const char *hash;
	json_t *entry;
	bool found = false;

	EACH(all, hash, entry) {
		ctl_token_judge(hash, entry, now, &token);
		if (token.state == CTL_TOKEN_UNUSABLE || strcmp(token.name, name) != 0 ||
		    (found && token.created < out->created))
			continue;
		*out = token;
		found = true;
	}
	return found;
}

size_t ctl_tokens_count(const json_t *all, const char *name)
{
	const char *hash;
	json_t *entry;
	size_t count = 0;

	EACH(all, hash, entry)
		count += strcmp(name_of(entry), name) == 0;
	return count;
}

static json_t *seconds(int64_t time)
{
	return time == CTL_TOKEN_NEVER ? json_null() : json_integer(time / 1000);
}

bool ctl_tokens_add(json_t *all, const struct ctl_token *token)
{
	json_t *entry = json_pack("{s:s, s:s, s:o, s:o}", "name", token->name, "scope",
				  token->scope, "created", seconds(token->created), "expires",
				  seconds(token->expires));

	return json_object_set_new(all, token->hash, entry) == 0;
}

size_t ctl_tokens_remove(json_t *all, const char *name)
{
	const char *hash;
	json_t *entry;
	void *next;
	size_t count = 0;

	json_object_foreach_safe(all, next, hash, entry) {
		if (strcmp(name_of(entry), name) == 0 && json_object_del(all, hash) == 0)
			count++;
	}
	return count;
}

/* Gives an entry another end; one that is a name alone becomes an object. */
static bool set_end(json_t *all, const char *hash, json_t *entry, int64_t end)
{
	if (json_is_object(entry))
		return json_object_set_new(entry, "expires", seconds(end)) == 0;
	entry = json_pack("{s:O, s:o}", "name", entry, "expires", seconds(end));
	return entry != NULL && json_object_set_new(all, hash, entry) == 0;
}

bool ctl_tokens_end(json_t *all, const char *name, int64_t now, int64_t end)
{
	struct ctl_token token;
	const char *hash;
	json_t *entry;
	void *next;

	json_object_foreach_safe(all, next, hash, entry) {
		ctl_token_judge(hash, entry, now, &token);
		if (strcmp(token.name, name) != 0 || token.state == CTL_TOKEN_UNUSABLE)
			continue;
		if (token.expires <= now || end <= now)
			json_object_del(all, hash);
		else if (end < token.expires && !set_end(all, hash, entry, end))
			return false;
	}
	return true;
}
