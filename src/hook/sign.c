#include "config.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "hook/hook.h"

#define DIGEST 32
#define PREFIX "whsec_"

static void digest(const void *key, size_t key_len, const char *data, size_t len,
		   unsigned char into[DIGEST])
{
	memset(into, 0, DIGEST);
	HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)data, len, into, NULL);
}

void hook_sign_hex(const char *secret, const char *body, size_t len, char into[HOOK_SIGN_HEX])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char mac[DIGEST];

	digest(secret, strlen(secret), body, len, mac);
	for (size_t i = 0; i < DIGEST; i++) {
		into[2 * i] = digits[mac[i] >> 4];
		into[2 * i + 1] = digits[mac[i] & 15];
	}
	into[HOOK_SIGN_HEX - 1] = '\0';
}

/* Decodes base64 (RFC 4648 section 4) with its padding or without; 0: it is none. */
static size_t decode(const char *text, unsigned char into[JOBQ_WEBHOOK_SECRET_MAX])
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text), count = 0;
	unsigned bits = 0, have = 0;

	if (len > JOBQ_WEBHOOK_SECRET_MAX)
		return 0;
	bool padded = len % 4 == 0;
	for (unsigned pads = 0; padded && pads < 2 && len > 0 && text[len - 1] == '='; pads++)
		len--;
	for (size_t i = 0; i < len; i++) {
		const char *letter = strchr(letters, text[i]);
		if (letter == NULL)
			return 0;
		bits = (bits << 6 | (unsigned)(letter - letters)) & 0xffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			into[count++] = (unsigned char)(bits >> have);
		}
	}
	return len % 4 == 1 ? 0 : count;
}

bool hook_sign_v1(const char *secret, const char *id, int64_t timestamp, const char *body,
		  size_t len, char into[HOOK_SIGN_V1])
{
	unsigned char decoded[JOBQ_WEBHOOK_SECRET_MAX], mac[DIGEST];
	struct jobq_buf text = {0};
	size_t decoded_len = 0;

	if (strncmp(secret, PREFIX, strlen(PREFIX)) == 0)
		decoded_len = decode(secret + strlen(PREFIX), decoded);
	jobq_buf_addf(&text, "%s.%lld.", id, (long long)timestamp);
	jobq_buf_add(&text, body, len);
	bool ok = !text.failed;
	if (ok) {
		digest(decoded_len > 0 ? (const void *)decoded : secret,
		       decoded_len > 0 ? decoded_len : strlen(secret), text.data, text.len, mac);
		memcpy(into, "v1,", 3);
		EVP_EncodeBlock((unsigned char *)into + 3, mac, DIGEST);
	}
	jobq_buf_free(&text);
	return ok;
}
