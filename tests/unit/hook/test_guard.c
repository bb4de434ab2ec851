/* hook: which addresses webhooks may reach. */
#include "config.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hook/hook.h"

static struct hook_guard guard;

static void configure(char **nets, size_t net_count, char **ports, size_t port_count)
{
	struct jobq_conf conf = {
		.webhook_allow = {nets, net_count},
		.webhook_ports = {ports, port_count},
	};

	assert_true(hook_guard_set(&guard, &conf));
}

static bool allows(const char *text)
{
	uint8_t address[16];
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		jobq_net_map_v4(&v4, address);
	else
		assert_int_equal(inet_pton(AF_INET6, text, address), 1);
	return hook_guard_allows(&guard, address);
}

static void assert_each(const char *const *addresses, size_t count, bool expected)
{
	for (size_t i = 0; i < count; i++)
		if (allows(addresses[i]) != expected)
			fail_msg("%s is %s", addresses[i], expected ? "refused" : "allowed");
}

static const char *const closed[] = {
	"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255",
	"127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254", "172.16.0.0",
	"172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.0",
	"192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.7", "203.0.113.7",
	"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::2", "::127.0.0.1", "::8.8.8.8", "fc00::1", "fdff::1", "fe80::1", "febf::1",
	"fec0::1", "feff::1", "ff00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.1.2.3",
	"::ffff:0.0.0.0", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8",
	"2002:7f00:1::", "2002:808:808::1", "2001::1", "2001:0:4136:e378::1", "2001:10::1",
	"2001:db8::1", "3fff::1", "100::1", "5f00::1", "4000::1", "1::1",
};

static const char *const public[] = {
	"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
	"126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255",
	"172.32.0.0", "192.0.1.1", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
	"198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
	"2001:4860:4860::8888", "2606:4700::1111", "2a00::1", "3ffe::1", "2001:200::1",
};

static void only_public_ones_are_allowed(void **state)
{
	(void)state;
	configure(NULL, 0, NULL, 0);
	assert_each(closed, JOBQ_LENGTH(closed), false);
	assert_each(public, JOBQ_LENGTH(public), true);
}

static void allowed_networks_open_what_they_hold(void **state)
{
	char *nets[] = {(char[]){"127.0.0.0/8"}, (char[]){"10.1.2.3"}, (char[]){"fd00:1::/32"}};
	static const char *const open[] = {
		"127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3",
		"64:ff9b::127.0.0.1", "fd00:1::7",
	};
	static const char *const still_closed[] = {
		"::1", "10.1.2.4", "::127.0.0.1", "fd00:2::7", "192.168.1.1", "2002:7f00:1::",
		"64:ff9b:1::127.0.0.1",
	};

	(void)state;
	configure(nets, JOBQ_LENGTH(nets), NULL, 0);
	assert_each(open, JOBQ_LENGTH(open), true);
	assert_each(still_closed, JOBQ_LENGTH(still_closed), false);
	assert_each(public, JOBQ_LENGTH(public), true);
	configure(NULL, 0, NULL, 0);
	assert_each(closed, JOBQ_LENGTH(closed), false);
}

static void everything_can_be_allowed(void **state)
{
	char *all_v4[] = {(char[]){"0.0.0.0/0"}}, *all_v6[] = {(char[]){"::/0"}};

	(void)state;
	configure(all_v4, 1, NULL, 0);
	assert_true(allows("127.0.0.1") && allows("255.255.255.255") && !allows("::1"));
	configure(all_v6, 1, NULL, 0);
	assert_each(closed, JOBQ_LENGTH(closed), true);
}

static void ports_are_all_or_those_listed(void **state)
{
	char *ports[] = {(char[]){"443"}, (char[]){"65535"}};

	(void)state;
	configure(NULL, 0, NULL, 0);
	assert_true(hook_guard_allows_port(&guard, 1) && hook_guard_allows_port(&guard, 65535));
	configure(NULL, 0, ports, JOBQ_LENGTH(ports));
	assert_true(hook_guard_allows_port(&guard, 443) && hook_guard_allows_port(&guard, 65535));
	assert_false(hook_guard_allows_port(&guard, 80) || hook_guard_allows_port(&guard, 0) ||
		     hook_guard_allows_port(&guard, 444));
}

static int tear_down(void **state)
{
	(void)state;
	hook_guard_free(&guard);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_public_ones_are_allowed),
		cmocka_unit_test(allowed_networks_open_what_they_hold),
		cmocka_unit_test(everything_can_be_allowed),
		cmocka_unit_test(ports_are_all_or_those_listed),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
