/*
 * libFuzzer target over what comes from nginx's log socket: the input is a
 * datagram. What is made of it must be good JSON.
 */
#include "config.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "hook/hook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hook_notice notice;
	struct jobq_buf out = {0};

	if (!hook_notice_read((const char *)data, size, &notice))
		return 0;
	hook_notice_data(&out, &notice, size);
	json_t *event = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
	if (event == NULL)
		abort();
	json_decref(event);
	jobq_buf_free(&out);
	return 0;
}
