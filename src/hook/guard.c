#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "hook/hook.h"

/* What is not public though it looks so: the registries of RFC 6890, and multicast. */
static const char *const closed_v4[] = {
	"0.0.0.0/8",	  "10.0.0.0/8",	     "100.64.0.0/10",	"127.0.0.0/8",
	"169.254.0.0/16", "172.16.0.0/12",   "192.0.0.0/24",	"192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16",  "198.18.0.0/15",	"198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/4",     "240.0.0.0/4",
};

/* Of IPv6 only 2000::/3 is public; and of that, not these. */
static const char *const closed_v6[] = {
	"2001::/23", /* Teredo, ORCHID, benchmarks */
	"2001:db8::/32", "2002::/16" /* 6to4 */, "3fff::/20",
};
static const char *const open_v6 = "2000::/3";

static const char *const mapped = "::ffff:0:0/96";
static const char *const nat64 = "64:ff9b::/96"; /* RFC 6052: the last 4 bytes are IPv4 */

static bool is_in(const char *net, const uint8_t address[16])
{
	struct jobq_net parsed;

	return jobq_net_parse(net, &parsed) && jobq_net_has(&parsed, address);
}

static bool is_in_any(const char *const *nets, size_t count, const uint8_t address[16])
{
	for (size_t i = 0; i < count; i++)
		if (is_in(nets[i], address))
			return true;
	return false;
}

static bool is_allowed(const struct hook_guard *guard, const uint8_t address[16])
{
	for (size_t i = 0; i < guard->allow_count; i++)
		if (jobq_net_has(&guard->allow[i], address))
			return true;
	return false;
}

bool hook_guard_allows(const struct hook_guard *guard, const uint8_t address[16])
{
	uint8_t inner[16];

	if (is_allowed(guard, address))
		return true;
	if (is_in(mapped, address))
		return !is_in_any(closed_v4, JOBQ_LENGTH(closed_v4), address);
	if (is_in(nat64, address)) {
		jobq_net_map_v4(address + 12, inner);
		return hook_guard_allows(guard, inner);
	}
	return is_in(open_v6, address) && !is_in_any(closed_v6, JOBQ_LENGTH(closed_v6), address);
}

bool hook_guard_allows_port(const struct hook_guard *guard, unsigned port)
{
	for (size_t i = 0; i < guard->port_count; i++)
		if (guard->ports[i] == port)
			return true;
	return guard->port_count == 0;
}

bool hook_guard_set(struct hook_guard *guard, const struct jobq_conf *conf)
{
	const struct jobq_list *nets = &conf->webhook_allow, *ports = &conf->webhook_ports;
	struct hook_guard fresh = {
		.allow = calloc(nets->count + 1, sizeof(*fresh.allow)),
		.ports = calloc(ports->count + 1, sizeof(*fresh.ports)),
	};
	uint64_t port;

	if (fresh.allow == NULL || fresh.ports == NULL) {
		hook_guard_free(&fresh);
		return false;
	}
	/* conf has looked at all of them; what is none would allow nothing. */
	for (size_t i = 0; i < nets->count; i++)
		if (jobq_net_parse(nets->items[i], &fresh.allow[fresh.allow_count]))
			fresh.allow_count++;
	for (size_t i = 0; i < ports->count; i++)
		if (jobq_text_u64(ports->items[i], strlen(ports->items[i]), 65535, &port))
			fresh.ports[fresh.port_count++] = (uint16_t)port;
	hook_guard_free(guard);
	*guard = fresh;
	return true;
}

void hook_guard_free(struct hook_guard *guard)
{
	free(guard->allow);
	free(guard->ports);
	*guard = (struct hook_guard){0};
}
