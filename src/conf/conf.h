/* conf, inside: reading one value. */
#ifndef JOBQ_CONF_ROOM_H
#define JOBQ_CONF_ROOM_H

#include "jobq/conf.h"

enum conf_kind {
	CONF_TEXT,
	CONF_LIST,
	CONF_NETS,
	CONF_PORTS,
	CONF_COUNT,
	CONF_SIZE,
	CONF_TIME,
	CONF_LEVEL,
	CONF_DURABILITY,
};

struct conf_option {
	enum conf_kind kind;
	const char *name;
	const char *def;
	uint64_t least, most;
	const char *sentence;
	size_t offset; /* of its member in struct jobq_conf */
};

/*
 * Reads `value` into the option's member. Returns true, or false with a
 * clause in `why` that ends a sentence about the value.
 */
bool conf_value_set(struct jobq_conf *conf, const struct conf_option *option, const char *value,
		    struct jobq_buf *why);

/* Frees what the option's member owns. */
void conf_value_free(struct jobq_conf *conf, const struct conf_option *option);

#endif
