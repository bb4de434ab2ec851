/*
 * The service that Debian's package has set up on this machine: what nginx's files of
 * it say, so that nobody who is on the machine has to.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/client.h"

/* As packaging/debian has them. */
#define SITE "/etc/nginx/sites-enabled/jobq"
#define CERTIFICATE_CONF "/etc/jobq/certificate.conf"
#define FIRST_TOKEN "/etc/jobq/token.initial"

/* The first word behind a directive's name, in a line of its own; NULL: there is none. */
static char *directive(const char *file, const char *name)
{
	FILE *in = fopen(file, "re");
	char *line = NULL, *found = NULL;
	size_t room = 0;

	while (in != NULL && found == NULL && getline(&line, &room, in) >= 0) {
		const char *word = line + strspn(line, " \t");
		const size_t len = strcspn(word, " \t\n");
		const char *value = word + len + strspn(word + len, " \t");
		if (len == strlen(name) && strncmp(word, name, len) == 0)
			found = strndup(value, strcspn(value, " \t;\n"));
	}
	free(line);
	if (in != NULL)
		fclose(in);
	return found;
}

bool ctl_installed(char **url, char **certificate)
{
	char *name = directive(SITE, "server_name"), host[256] = "localhost";

	*url = NULL;
	*certificate = directive(CERTIFICATE_CONF, "ssl_certificate");
	if (name != NULL && *certificate != NULL) {
		gethostname(host, sizeof(host) - 1);
		if (asprintf(url, "https://%s", strcmp(name, "$hostname") == 0 ? host : name) < 0)
			abort();
	} else {
		free(*certificate);
		*certificate = NULL;
	}
	free(name);
	return *url != NULL;
}

char *ctl_installed_token(void)
{
	return access(FIRST_TOKEN, R_OK) == 0 ? ctl_settings_secret(FIRST_TOKEN) : NULL;
}
