/*
 * The service that Debian's package has set up on this machine: what nginx's files of
 * it say, so that nobody who is on the machine has to.
 */
#include "config.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/client.h"

/* As packaging/debian has them. */
#define SITE "/etc/nginx/sites-enabled/jobq"
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

/* What CURLOPT_PINNEDPUBLICKEY takes for the first certificate in a file; NULL: it has none. */
static char *pin_of(const char *file)
{
	FILE *in = fopen(file, "re");
	X509 *certificate = in != NULL ? PEM_read_X509(in, NULL, NULL, NULL) : NULL;
	unsigned char *key = NULL, digest[EVP_MAX_MD_SIZE], text[2 * EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;
	char *pin = NULL;

	int len = certificate != NULL
			  ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key)
			  : 0;
	if (len > 0 && EVP_Digest(key, (size_t)len, digest, &digest_len, EVP_sha256(), NULL) == 1) {
		EVP_EncodeBlock(text, digest, (int)digest_len);
		if (asprintf(&pin, "sha256//%s", (char *)text) < 0)
			abort();
	}
	OPENSSL_free(key);
	X509_free(certificate);
	if (in != NULL)
		fclose(in);
	return pin;
}

/* Whether a URL can have nginx's name; not a regular expression, nor all names of a kind. */
static bool is_host(const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

	return name[0] != '.' && name[strspn(name, plain)] == '\0';
}

bool ctl_installed(char **url, char **pin)
{
	char *name = directive(SITE, "server_name"), host[256] = "localhost";
	char *certificate = directive(CTL_CERTIFICATE_CONF, "ssl_certificate");
	const bool there = name != NULL && certificate != NULL;

	*url = *pin = NULL;
	if (there) {
		if (strcmp(name, "$hostname") == 0)
			gethostname(host, sizeof(host) - 1);
		else if (is_host(name))
			snprintf(host, sizeof(host), "%s", name);
		if (asprintf(url, "https://%s", host) < 0)
			abort();
		*pin = pin_of(certificate);
	}
	free(certificate);
	free(name);
	return there;
}

char *ctl_installed_token(void)
{
	return access(FIRST_TOKEN, R_OK) == 0 ? ctl_settings_secret(FIRST_TOKEN) : NULL;
}
