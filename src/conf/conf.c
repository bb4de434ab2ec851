#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf/conf.h"

static const struct conf_option options[] = {
#define X(kind, name, def, least, most, sentence)                                                  \
	{CONF_##kind, #name, def, least, most, sentence, offsetof(struct jobq_conf, name)},
	JOBQ_CONF_OPTIONS(X)
#undef X
};

static const struct conf_option *find_option(const char *name)
{
	for (size_t i = 0; i < JOBQ_LENGTH(options); i++)
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	size_t len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text;
}

/* Takes one `name = value`; `where` begins the error line. Cuts `line` up. */
static bool take_line(struct jobq_conf *conf, char *line, const char *where,
		      struct jobq_buf *errors)
{
	char *equals = strchr(line, '=');
	if (equals == NULL) {
		jobq_buf_addf(errors, "%s: expected `name = value`, found `%s`\n", where,
			      trim(line));
		return false;
	}
	*equals = '\0';
	char *name = trim(line);
	char *value = trim(equals + 1);

	const struct conf_option *option = find_option(name);
	if (option == NULL) {
		jobq_buf_addf(errors, "%s: there is no option `%s` (--help lists them)\n", where,
			      name);
		return false;
	}
	struct jobq_buf why = {0};
	bool ok = conf_value_set(conf, option, value, &why);
	if (!ok)
		jobq_buf_addf(errors, "%s: %s = %s: %s\n", where, name, value,
			      why.data != NULL ? why.data : "out of memory");
	jobq_buf_free(&why);
	return ok;
}

static bool take_file(struct jobq_conf *conf, const char *file, struct jobq_buf *errors)
{
	FILE *in = fopen(file, "re");
	if (in == NULL) {
		jobq_buf_addf(errors, "%s: cannot be opened: %s\n", file, strerror(errno));
		return false;
	}

	bool ok = true;
	char *line = NULL, *where = NULL;
	size_t room = 0;
	ssize_t len;
	for (int number = 1; (len = getline(&line, &room, in)) >= 0; number++) {
		if (asprintf(&where, "%s:%d", file, number) < 0)
			abort();
		if (strlen(line) < (size_t)len) {
			jobq_buf_addf(errors, "%s: holds a NUL byte\n", where);
			ok = false;
		} else if (*trim(line) != '\0' && *trim(line) != '#') {
			ok = take_line(conf, line, where, errors) && ok;
		}
		free(where);
	}
	if (ferror(in)) {
		jobq_buf_addf(errors, "%s: cannot be read: %s\n", file, strerror(errno));
		ok = false;
	}
	free(line);
	fclose(in);
	return ok;
}

bool jobq_conf_load(struct jobq_conf *conf, const char *file, char *const *settings, size_t count,
		    struct jobq_buf *errors)
{
	bool ok = true;

	*conf = (struct jobq_conf){0};
	for (size_t i = 0; i < JOBQ_LENGTH(options); i++)
		ok = conf_value_set(conf, &options[i], options[i].def, errors) && ok;
	if (file != NULL)
		ok = take_file(conf, file, errors) && ok;
	for (size_t i = 0; i < count; i++) {
		char *line = strdup(settings[i]);
		if (line == NULL)
			abort();
		ok = take_line(conf, line, "-o", errors) && ok;
		free(line);
	}
	if (ok && (conf->table_name[0] != '/' || strchr(conf->table_name + 1, '/') != NULL ||
		   strlen(conf->table_name) < 2 || strlen(conf->table_name) > 200)) {
		jobq_buf_addf(errors,
			      "%s: table_name = %s: must be a slash and a name without one "
			      "(shm_open(3))\n",
			      file != NULL ? file : "-o", conf->table_name);
		ok = false;
	}
	return ok;
}

const char *jobq_conf_one_line(struct jobq_buf *errors)
{
	struct jobq_buf line = {0};
	char *rest = errors->data, *sentence;

	while ((sentence = strsep(&rest, "\n")) != NULL)
		if (*sentence != '\0')
			jobq_buf_addf(&line, "%s%s", line.len > 0 ? "; " : "", sentence);
	jobq_buf_free(errors);
	*errors = line;
	return line.data != NULL ? line.data : "out of memory";
}

bool jobq_conf_check_project(const struct jobq_conf *conf, struct jobq_buf *errors)
{
	if (conf->project[0] == '\0') {
		jobq_buf_adds(errors, "project is not set: name the root directory of the Godot "
				      "project\n");
		return false;
	}
	int fd = open(conf->project, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		jobq_buf_addf(errors, "project = %s: cannot be opened: %s\n", conf->project,
			      strerror(errno));
		return false;
	}
	close(fd);
	return true;
}

void jobq_conf_cache_name(const struct jobq_conf *conf, char into[JOBQ_CONF_CACHE_NAME])
{
	snprintf(into, JOBQ_CONF_CACHE_NAME, "%s-scenes", conf->table_name);
}

void jobq_conf_free(struct jobq_conf *conf)
{
	for (size_t i = 0; i < JOBQ_LENGTH(options); i++)
		conf_value_free(conf, &options[i]);
	*conf = (struct jobq_conf){0};
}

void jobq_conf_help(struct jobq_buf *out)
{
	for (size_t i = 0; i < JOBQ_LENGTH(options); i++)
		jobq_buf_addf(out, "  %-17s %s%s%s%s\n", options[i].name, options[i].sentence,
			      options[i].def[0] != '\0' ? " [" : "", options[i].def,
			      options[i].def[0] != '\0' ? "]" : "");
}

static void print_help(const char *program, const char *purpose)
{
	struct jobq_buf list = {0};
	jobq_conf_help(&list);
	printf("Usage: %s [-c FILE] [-o NAME=VALUE]... [-t]\n"
	       "%s\n\n"
	       "  -c, --config FILE        read this configuration [" JOBQ_CONF_FILE "]\n"
	       "  -o, --option NAME=VALUE  set an option, over what the file says\n"
	       "  -t, --test               check the configuration and exit\n"
	       "  -h, --help               show this and exit\n"
	       "  -V, --version            show the version and exit\n\n"
	       "Options of the configuration, with their defaults:\n%s",
	       program, purpose, list.data != NULL ? list.data : "");
	jobq_buf_free(&list);
}

void jobq_conf_args(struct jobq_conf_args *args, int argc, char **argv, const char *program,
		    const char *purpose)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'}, {"option", required_argument, NULL, 'o'},
		{"test", no_argument, NULL, 't'},	  {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},	  {0},
	};
	int c;

	*args = (struct jobq_conf_args){.file = JOBQ_CONF_FILE};
	while ((c = getopt_long(argc, argv, "c:o:thVx:", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			args->file = optarg;
			break;
		case 'o':
			if (args->setting_count == JOBQ_LENGTH(args->settings)) {
				fprintf(stderr, "%s: too many -o\n", program);
				exit(2);
			}
			args->settings[args->setting_count++] = optarg;
			break;
		case 't':
			args->test = true;
			break;
		case 'x':
			args->role = optarg;
			break;
		case 'h':
			print_help(program, purpose);
			exit(EXIT_SUCCESS);
		case 'V':
			printf("%s (%s) %s\n", program, PACKAGE_NAME, PACKAGE_VERSION);
			exit(EXIT_SUCCESS);
		default:
			fprintf(stderr, "Try '%s --help'.\n", program);
			exit(2);
		}
	}
	if (args->role != NULL && optind < argc)
		args->role_arg = argv[optind++];
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument '%s'\nTry '%s --help'.\n", program,
			argv[optind], program);
		exit(2);
	}
}

int jobq_conf_start(struct jobq_conf *conf, const struct jobq_conf_args *args)
{
	struct jobq_buf errors = {0};
	bool ok = jobq_conf_load(conf, args->file, args->settings, args->setting_count, &errors);

	if (!ok)
		fputs(errors.data != NULL ? errors.data : "out of memory\n", stderr);
	jobq_buf_free(&errors);
	return ok ? 0 : EX_CONFIG;
}
