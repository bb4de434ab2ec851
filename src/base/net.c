#include "config.h"

#include <arpa/inet.h>
#include <string.h>

#include "jobq/base.h"

bool jobq_net_parse(const char *text, struct jobq_net *out)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	struct in_addr v4;
	uint64_t prefix;

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	*out = (struct jobq_net){0};
	bool is_v4 = inet_pton(AF_INET, address, &v4) == 1;
	if (is_v4)
		jobq_net_map_v4(&v4, out->address);
	else if (inet_pton(AF_INET6, address, out->address) != 1)
		return false;
	unsigned most = is_v4 ? 32 : 128;
	if (slash != NULL && !jobq_text_u64(slash + 1, strlen(slash + 1), most, &prefix))
		return false;
	out->prefix = (slash != NULL ? (unsigned)prefix : most) + (128 - most);
	return true;
}

void jobq_net_map_v4(const void *v4, uint8_t into[16])
{
	memset(into, 0, 10);
	into[10] = into[11] = 0xff;
	memcpy(into + 12, v4, 4);
}

bool jobq_net_has(const struct jobq_net *net, const uint8_t address[16])
{
	unsigned bytes = net->prefix / 8, bits = net->prefix % 8;

	return memcmp(net->address, address, bytes) == 0 &&
	       (bits == 0 || ((net->address[bytes] ^ address[bytes]) >> (8 - bits)) == 0);
}
