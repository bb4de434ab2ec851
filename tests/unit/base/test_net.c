/* base: networks of both families. */
#include "config.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "jobq/base.h"

static void address_of(const char *text, uint8_t into[16])
{
	struct in_addr v4;
	if (inet_pton(AF_INET, text, &v4) == 1)
		jobq_net_map_v4(&v4, into);
	else
		assert_int_equal(inet_pton(AF_INET6, text, into), 1);
}

static bool has(const char *network, const char *address)
{
	struct jobq_net net;
	uint8_t bytes[16];
	if (!jobq_net_parse(network, &net))
		fail_msg("%s is refused", network);
	address_of(address, bytes);
	return jobq_net_has(&net, bytes);
}

static void networks_hold_their_addresses(void **state)
{
	static const struct { const char *network, *first, *last, *before, *behind; } cases[] = {
		{"127.0.0.0/8", "127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
		{"172.16.0.0/12", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
		{"100.64.0.0/10", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
		{"192.0.2.7/32", "192.0.2.7", "192.0.2.7", "192.0.2.6", "192.0.2.8"},
		{"192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.6", "192.0.2.8"},
		{"192.0.2.128/31", "192.0.2.128", "192.0.2.129", "192.0.2.127", "192.0.2.130"},
		{"::1/128", "::1", "::1", "::", "::2"},
		{"::1", "::1", "::1", "::", "::2"},
		{"fe80::/10", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		 "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::"},
		{"fc00::/7", "fc00::", "fdff:ffff::", "fbff::", "fe00::"},
	};
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(cases); i++) {
		if (!has(cases[i].network, cases[i].first) || !has(cases[i].network, cases[i].last))
			fail_msg("%s lacks one of its own", cases[i].network);
		if (has(cases[i].network, cases[i].before) || has(cases[i].network, cases[i].behind))
			fail_msg("%s has one that is not its own", cases[i].network);
	}
}

static void bits_beyond_the_prefix_do_not_count(void **state)
{
	(void)state;
	assert_true(has("127.1.2.3/8", "127.0.0.1"));
	assert_true(has("10.0.0.255/25", "10.0.0.128"));
	assert_false(has("10.0.0.255/25", "10.0.0.127"));
}

static void a_prefix_of_zero_is_its_whole_family(void **state)
{
	(void)state;
	assert_true(has("0.0.0.0/0", "255.255.255.255"));
	assert_true(has("0.0.0.0/0", "::ffff:1.2.3.4"));
	assert_false(has("0.0.0.0/0", "::1"));
	assert_true(has("::/0", "ffff::"));
	assert_true(has("::/0", "1.2.3.4"));
}

static void mapped_addresses_are_ipv4(void **state)
{
	uint8_t mapped[16], v4[4] = {127, 0, 0, 1};
	(void)state;
	jobq_net_map_v4(v4, mapped);
	assert_memory_equal(mapped, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
	assert_true(has("127.0.0.0/8", "::ffff:127.0.0.1"));
	assert_true(has("::ffff:127.0.0.0/104", "127.9.9.9"));
	assert_false(has("127.0.0.0/8", "::127.0.0.1"));
	assert_false(has("127.0.0.0/8", "::1"));
}

static void nonsense_is_refused(void **state)
{
	static const char *const bad[] = {"", "/", "/8", "127.0.0.0/", "127.0.0.0/33", "::/129",
		"127.0.0.0/-1", "127.0.0.0/08", "127.0.0.0/8 ", " 127.0.0.0/8", "127.0.0.0/8/8",
		"127.0.0.0/255.0.0.0", "127.1", "127.0.0", "0x7f.0.0.1", "2130706433", "0177.0.0.1",
		"256.0.0.1", "localhost", "::g", "1::2::3", "[::1]", "fe80::1%lo", "any",
		"1111:2222:3333:4444:5555:6666:255.255.255.255.255.255/8"};
	struct jobq_net net;
	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(bad); i++)
		if (jobq_net_parse(bad[i], &net))
			fail_msg("\"%s\" is taken", bad[i]);
	assert_true(jobq_net_parse("1.2.3.4/32", &net));
	assert_int_equal(net.prefix, 128);
	assert_true(jobq_net_parse("1111:2222:3333:4444:5555:6666:255.255.255.255/128", &net));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks_hold_their_addresses),
		cmocka_unit_test(bits_beyond_the_prefix_do_not_count),
		cmocka_unit_test(a_prefix_of_zero_is_its_whole_family),
		cmocka_unit_test(mapped_addresses_are_ipv4),
		cmocka_unit_test(nonsense_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
