/*
 * Has nginx read its files again. `nginx -s reload` returns before anything has
 * come of it: the old workers answer for some milliseconds more, and go on
 * answering when the master finds fault with its files. So the workers are
 * watched, in /proc: those that serve have one title, those that end another.
 */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/tokens.h"

#define TITLE "nginx: worker process"
#define ENDING TITLE " is shutting down"
#define WORKERS_MAX 4096
#define DEADLINE 5000000 /* microseconds for new workers to come */
#define PAUSE 10         /* milliseconds between two looks */

struct workers {
	int pids[WORKERS_MAX];
	size_t count;
};

/* Reads a small file; returns false when there is none, or nothing in it. */
static bool read_file(const char *path, char *into, size_t room)
{
	FILE *in = fopen(path, "re");

	if (in == NULL)
		return false;
	size_t len = fread(into, 1, room - 1, in);
	fclose(in);
	into[len] = '\0';
	return len > 0;
}

/* The process id in a file; 0 when there is none in it. */
static int read_pid(const char *file)
{
	char text[32];

	return read_file(file, text, sizeof(text)) ? atoi(text) : 0;
}

/* Whether a process is a worker of this master, and serves. */
static bool serves(const char *pid, int master)
{
	char path[64], title[128], stat[256];
	int parent;

	snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
	if (!read_file(path, title, sizeof(title)) || strncmp(title, TITLE, strlen(TITLE)) != 0 ||
	    strncmp(title, ENDING, strlen(ENDING)) == 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	if (!read_file(path, stat, sizeof(stat)))
		return false;
	const char *behind = strrchr(stat, ')'); /* ") S 123" */
	return behind != NULL && sscanf(behind + 1, " %*c %d", &parent) == 1 && parent == master;
}

/* The workers that serve. */
static void look(int master, struct workers *workers)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	workers->count = 0;
	while (dir != NULL && (entry = readdir(dir)) != NULL && workers->count < WORKERS_MAX)
		if (isdigit((unsigned char)entry->d_name[0]) && serves(entry->d_name, master))
			workers->pids[workers->count++] = atoi(entry->d_name);
	if (dir != NULL)
		closedir(dir);
}

/* Whether there are workers, and all of them are new. */
static bool is_new(const struct workers *now, const struct workers *before)
{
	for (size_t i = 0; i < now->count; i++)
		for (size_t j = 0; j < before->count; j++)
			if (now->pids[i] == before->pids[j])
				return false;
	return now->count > 0;
}

/* The shell's exit status; the programs of an administrator are found. */
static int run(const char *command)
{
	const char *path = getenv("PATH");
	char *longer;
	int status;

	if (asprintf(&longer, "%s:/usr/sbin:/sbin", path != NULL ? path : "/usr/bin:/bin") < 0)
		return -1;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		setenv("PATH", longer, 1);
		dup2(STDERR_FILENO, STDOUT_FILENO); /* there is a token alone */
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	free(longer);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool ctl_nginx_reload(const char *command, const char *pid_file)
{
	static struct workers before, now;
	int master = pid_file != NULL ? read_pid(pid_file) : 0;

	look(master, &before);
	if (run(command) != 0) {
		fprintf(stderr, "jobqctl: nginx could not be reloaded with: %s\n", command);
		return false;
	}
	if (before.count == 0) /* it is where it cannot be seen from here */
		return true;
	for (int64_t deadline = jobq_clock_mono() + DEADLINE; jobq_clock_mono() < deadline;) {
		look(master, &now);
		if (is_new(&now, &before))
			return true;
		poll(NULL, 0, PAUSE);
	}
	fprintf(stderr, "jobqctl: nginx was told to read its files, but its old workers serve on: "
			"its error log says why\n");
	return false;
}
