#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"", 1}, {"K", 1024}, {"M", 1024 * 1024}, {"G", 1024 * 1024 * 1024}, {NULL, 0}};
static const struct unit time_units[] = {{"", 1000},   {"ms", 1},	{"s", 1000}, {"m", 60000},
					 {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static const char *const levels[] = {"error", "warning", "info", "debug", NULL};
static const char *const durabilities[] = {"off", "fast", "full", NULL};

static void *member(struct jobq_conf *conf, const struct conf_option *option)
{
	return (char *)conf + option->offset;
}

static bool read_number(const char *value, const struct unit *units, uint64_t *out)
{
	size_t digits = strspn(value, "0123456789");
	uint64_t number;

	if (!jobq_text_u64(value, digits, UINT64_MAX, &number))
		return false;
	for (; units->suffix != NULL; units++) {
		if (strcmp(units->suffix, value + digits) != 0)
			continue;
		if (number > UINT64_MAX / units->factor)
			return false;
		*out = number * units->factor;
		return true;
	}
	return false;
}

bool jobq_conf_time(const char *text, uint64_t *out)
{
	return read_number(text, time_units, out);
}

static bool set_number(uint64_t *into, const struct conf_option *option, const char *value,
		       struct jobq_buf *why)
{
	static const struct {
		const struct unit *units;
		const char *form, *measure;
	} forms[] = {
		[CONF_COUNT] = {no_units, "a whole number", ""},
		[CONF_SIZE] = {size_units, "a number of bytes such as 512M (K, M, G)", " bytes"},
		[CONF_TIME] = {time_units, "a time such as 90s (ms, s, m, h, d)", " ms"},
	};
	uint64_t number;

	if (!read_number(value, forms[option->kind].units, &number)) {
		jobq_buf_addf(why, "must be %s", forms[option->kind].form);
		return false;
	}
	if (number < option->least || number > option->most) {
		jobq_buf_addf(why, "must be from %llu to %llu%s", (unsigned long long)option->least,
			      (unsigned long long)option->most, forms[option->kind].measure);
		return false;
	}
	*into = number;
	return true;
}

static bool set_text(char **into, const char *value, struct jobq_buf *why)
{
	char *copy = strdup(value);
	if (copy == NULL) {
		jobq_buf_adds(why, "could not be kept: out of memory");
		return false;
	}
	free(*into);
	*into = copy;
	return true;
}

static bool add_item(struct jobq_list *list, const char *value, struct jobq_buf *why)
{
	if (value[0] == '\0')
		return true; /* the default: an empty list */

	char **items = realloc(list->items, (list->count + 1) * sizeof(*items));
	if (items == NULL) {
		jobq_buf_adds(why, "could not be kept: out of memory");
		return false;
	}
	list->items = items;
	items[list->count] = NULL;
	if (!set_text(&items[list->count], value, why))
		return false;
	list->count++;
	return true;
}

/* The word's place among `words`, or -1. */
static int find_word(const char *const *words, const char *value)
{
	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], value) == 0)
			return i;
	return -1;
}

bool conf_value_set(struct jobq_conf *conf, const struct conf_option *option, const char *value,
		    struct jobq_buf *why)
{
	struct jobq_net net;
	uint64_t number;
	int word;

	switch (option->kind) {
	case CONF_TEXT:
		return set_text(member(conf, option), value, why);
	case CONF_LIST:
		if (value[0] != '\0' && strncmp(value, "res://", 6) != 0) {
			jobq_buf_adds(why, "must begin with res://");
			return false;
		}
		return add_item(member(conf, option), value, why);
	case CONF_NETS:
		if (value[0] != '\0' && !jobq_net_parse(value, &net)) {
			jobq_buf_adds(why, "must be a network such as 10.1.0.0/16 or fd00::/8");
			return false;
		}
		return add_item(member(conf, option), value, why);
	case CONF_PORTS:
		if (value[0] != '\0' && (!jobq_text_u64(value, strlen(value), 65535, &number) ||
					 number == 0)) {
			jobq_buf_adds(why, "must be a port number from 1 to 65535");
			return false;
		}
		return add_item(member(conf, option), value, why);
	case CONF_COUNT:
	case CONF_SIZE:
		return set_number(member(conf, option), option, value, why);
	case CONF_TIME:
		if (!set_number(&number, option, value, why))
			return false;
		*(int64_t *)member(conf, option) = (int64_t)number;
		return true;
	case CONF_LEVEL:
		word = find_word(levels, value);
		if (word < 0)
			jobq_buf_adds(why, "must be error, warning, info or debug");
		else
			*(enum jobq_log_level *)member(conf, option) = (enum jobq_log_level)word;
		return word >= 0;
	case CONF_DURABILITY:
		word = find_word(durabilities, value);
		if (word < 0)
			jobq_buf_adds(why, "must be off, fast or full");
		else
			*(enum jobq_durability *)member(conf, option) =
				(enum jobq_durability)(word + JOBQ_DURABILITY_OFF);
		return word >= 0;
	}
	return false;
}

void conf_value_free(struct jobq_conf *conf, const struct conf_option *option)
{
	if (option->kind == CONF_TEXT) {
		free(*(char **)member(conf, option));
	} else if (option->kind == CONF_LIST || option->kind == CONF_NETS ||
		   option->kind == CONF_PORTS) {
		struct jobq_list *list = member(conf, option);
		for (size_t i = 0; i < list->count; i++)
			free(list->items[i]);
		free(list->items);
	}
}
