/*
 * Which service a client speaks to. What the command line says is stronger than
 * the environment, and that than the client's file.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/client.h"

#define URL_DEFAULT "http://localhost:8080" /* as packaging/quickstart has it */
#define SECRET_MAX 4096

static char *copy(const char *text)
{
	char *new = strdup(text);

	if (new == NULL)
		abort();
	return new;
}

static void set(char **where, const char *text)
{
	free(*where);
	*where = copy(text);
}

static char *trim(char *text)
{
	text += strspn(text, " \t");
	size_t len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text;
}

/* ---- secrets ------------------------------------------------------------------ */

char *ctl_settings_secret(const char *file)
{
	const bool input = strcmp(file, "-") == 0;
	FILE *in = input ? stdin : fopen(file, "re");
	char line[SECRET_MAX + 2];

	if (in == NULL) {
		fprintf(stderr, "jobqctl: %s: %s\n", file, strerror(errno));
		return NULL;
	}
	errno = 0;
	bool read = fgets(line, sizeof(line), in) != NULL;
	int error = errno;
	if (!input)
		fclose(in);
	char *secret = read ? trim(line) : line;
	if (!read || *secret == '\0' || strlen(line) > SECRET_MAX) {
		fprintf(stderr, "jobqctl: %s: %s\n", file,
			error != 0 ? strerror(error) : "its first line is to be the secret");
		return NULL;
	}
	secret = copy(secret);
	explicit_bzero(line, sizeof(line));
	return secret;
}

/* Others may not read what holds a token. */
static void look_at_mode(const char *file, FILE *in)
{
	struct stat st;

	if (fstat(fileno(in), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IROTH) != 0)
		fprintf(stderr,
			"jobqctl: warning: %s can be read by everybody: chmod 600 it, and replace "
			"the token\n",
			file);
}

/* ---- the client's file ---------------------------------------------------------- */

static void find_file(struct ctl_settings *settings)
{
	const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int rc;

	free(settings->file);
	if (base != NULL && base[0] == '/')
		rc = asprintf(&settings->file, "%s/jobq/client.conf", base);
	else
		rc = asprintf(&settings->file, "%s/.config/jobq/client.conf",
			      home != NULL ? home : "");
	if (rc < 0)
		abort();
}

/* False: it makes no sense, which has been said. */
static bool take_line(struct ctl_settings *settings, char *line, unsigned number, FILE *in)
{
	char *name = trim(line), *equals = strchr(line, '=');

	if (*name == '\0' || *name == '#')
		return true;
	if (equals != NULL) {
		*equals = '\0';
		name = trim(name);
		char *value = trim(equals + 1);
		if (strcmp(name, "url") == 0) {
			set(&settings->url, value);
			return true;
		}
		if (strcmp(name, "ca") == 0) {
			set(&settings->ca, value);
			return true;
		}
		if (strcmp(name, "token") == 0) {
			look_at_mode(settings->file, in);
			set(&settings->token, value);
			return true;
		}
	}
	fprintf(stderr, "jobqctl: %s:%u: expected `url = `, `token = ` or `ca = `\n",
		settings->file, number);
	return false;
}

static bool read_file(struct ctl_settings *settings)
{
	FILE *in = fopen(settings->file, "re");
	char *line = NULL;
	size_t room = 0;
	bool good = true;

	if (in == NULL) {
		if (errno == ENOENT || errno == ENOTDIR)
			return true;
		fprintf(stderr, "jobqctl: %s: %s\n", settings->file, strerror(errno));
		return false;
	}
	for (unsigned number = 1; good && getline(&line, &room, in) >= 0; number++)
		good = take_line(settings, line, number, in);
	if (ferror(in)) {
		fprintf(stderr, "jobqctl: %s: %s\n", settings->file, strerror(errno));
		good = false;
	}
	if (line != NULL)
		explicit_bzero(line, room);
	free(line);
	fclose(in);
	return good;
}

/* ---- all of it ------------------------------------------------------------------ */

static bool take_token(struct ctl_settings *settings, const struct ctl_given *given)
{
	const char *environment = getenv("JOBQ_TOKEN");

	if (given->token != NULL) {
		set(&settings->token, given->token);
	} else if (given->token_file != NULL) {
		free(settings->token);
		settings->token = ctl_settings_secret(given->token_file);
		if (settings->token == NULL) {
			settings->token = copy("");
			return false;
		}
	} else if (environment != NULL && *environment != '\0') {
		set(&settings->token, environment);
	} else if (settings->installed && *settings->token == '\0') {
		char *token = ctl_installed_token();
		set(&settings->token, token != NULL ? token : "");
		free(token);
	}
	for (const char *at = settings->token; *at != '\0'; at++) {
		if (*at <= 0x20 || *at >= 0x7f) { /* a line's end would begin another header */
			fprintf(stderr,
				"jobqctl: the token (--token, --token-file, JOBQ_TOKEN or %s) holds "
				"a blank, or what is not printable ASCII\n",
				settings->file);
			return false;
		}
	}
	return true;
}

/* Who names an authority has it checked with that. */
static void take_installed(struct ctl_settings *settings)
{
	char *url;

	settings->installed = ctl_installed(&url, &settings->pin);
	set(&settings->url, settings->installed ? url : URL_DEFAULT);
	free(url);
	if (*settings->ca != '\0') {
		free(settings->pin);
		settings->pin = NULL;
	}
}

static bool take_url(struct ctl_settings *settings, const struct ctl_given *given)
{
	const char *environment = getenv("JOBQ_URL");

	if (given->url != NULL)
		set(&settings->url, given->url);
	else if (environment != NULL && *environment != '\0')
		set(&settings->url, environment);
	else if (*settings->url == '\0')
		take_installed(settings);
	const size_t scheme = strncmp(settings->url, "http://", 7) == 0	   ? 7
			      : strncmp(settings->url, "https://", 8) == 0 ? 8
									   : 0;
	if (scheme == 0 || strchr("/?#", settings->url[scheme]) != NULL) { /* or its end */
		fprintf(stderr, "jobqctl: the URL must begin with http:// or https:// and a host, "
			"not %s\n",
			settings->url);
		return false;
	}
	size_t len = strlen(settings->url);
	while (len > 0 && settings->url[len - 1] == '/')
		settings->url[--len] = '\0';
	return true;
}

int ctl_settings_read(struct ctl_settings *settings)
{
	const struct ctl_given *given = ctl_given();

	*settings = (struct ctl_settings){
		.url = copy(""), .token = copy(""), .ca = copy("")};
	find_file(settings);
	if (!read_file(settings))
		return CTL_USAGE;
	if (given->ca != NULL)
		set(&settings->ca, given->ca);
	return take_url(settings, given) && take_token(settings, given) ? 0 : CTL_USAGE;
}

void ctl_settings_free(struct ctl_settings *settings)
{
	if (settings->token != NULL)
		explicit_bzero(settings->token, strlen(settings->token));
	free(settings->url);
	free(settings->token);
	free(settings->ca);
	free(settings->pin);
	free(settings->file);
	*settings = (struct ctl_settings){0};
}
