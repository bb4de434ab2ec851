/* hook: signatures. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook/hook.h"

static const char body[] = "{\"test\": 2432232314}";

static void assert_v1(const char *secret, const char *id, int64_t timestamp, const char *expected)
{
	char into[HOOK_SIGN_V1];

	assert_true(hook_sign_v1(secret, id, timestamp, body, strlen(body), into));
	assert_string_equal(into, expected);
}

/* The example of the Standard Webhooks' libraries. */
static void standard_webhooks_reference_vector(void **state)
{
	(void)state;
	assert_v1("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
		  1614265330, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

/* Computed with Python's hmac. */
static void secrets_without_a_prefix_are_the_key_itself(void **state)
{
	(void)state;
	assert_v1("geheim", "a", 1, "v1,7QGrZ/aOEjUxcSBtDBQWwzMv9eSzzgRdfXPY3rGLrZM=");
}

static void what_is_no_base64_is_the_key_itself(void **state)
{
	(void)state;
	assert_v1("whsec_!!", "a", 1, "v1,3V3Sk3W+PBjYa30PxiLsiNNjhSW2zLQDgjPtfujlxgs=");
	assert_v1("whsec_", "a", 1, "v1,IKsoF7iOUuMMEpzMBsPhGa8oRbM83b842Z7lPMMpXeQ=");
}

static void base64_may_have_its_padding_or_not(void **state)
{
	(void)state;
	assert_v1("whsec_YQ==", "a", 1, "v1,++xd1ZF2Z/mEqXS1eIMfQIYYuu+l50zxLWbmDi3qEFY=");
	assert_v1("whsec_YQ", "a", 1, "v1,++xd1ZF2Z/mEqXS1eIMfQIYYuu+l50zxLWbmDi3qEFY=");
	assert_v1("a", "a", 1, "v1,++xd1ZF2Z/mEqXS1eIMfQIYYuu+l50zxLWbmDi3qEFY=");
}

static void longest_secrets_fit(void **state)
{
	char secret[JOBQ_WEBHOOK_SECRET_MAX + 1], into[HOOK_SIGN_V1];
	(void)state;
	memset(secret, 'A', sizeof(secret) - 1);
	memcpy(secret, "whsec_", 6);
	secret[sizeof(secret) - 1] = '\0';
	assert_true(hook_sign_v1(secret, "1-1", INT64_MAX, body, strlen(body), into));
	assert_int_equal(strlen(into), HOOK_SIGN_V1 - 1);
}

static void hex_is_the_plain_hmac_of_the_body(void **state)
{
	static const char fox[] = "The quick brown fox jumps over the lazy dog";
	char into[HOOK_SIGN_HEX];
	(void)state;
	hook_sign_hex("key", fox, strlen(fox), into);
	assert_string_equal(into,
			    "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
	hook_sign_hex("", "", 0, into);
	assert_string_equal(into,
			    "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(standard_webhooks_reference_vector),
		cmocka_unit_test(secrets_without_a_prefix_are_the_key_itself),
		cmocka_unit_test(what_is_no_base64_is_the_key_itself),
		cmocka_unit_test(base64_may_have_its_padding_or_not),
		cmocka_unit_test(longest_secrets_fit),
		cmocka_unit_test(hex_is_the_plain_hmac_of_the_body),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
