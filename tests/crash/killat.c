/*
 * killat: kills the store's writer as it enters its Nth system call.
 *
 *   killat N PID          of a writer that runs; counts from now on
 *   killat N -- COMMAND   of the first one that COMMAND (jobqd) starts; counts
 *                         from its execve(2). Stays for as long as COMMAND runs
 *                         and ends with its status
 *
 * Prints `ready` when it counts, then `killed CALL` with the number of the
 * system call, or, when it is told to end (SIGTERM) or the writer ends before,
 * `counted CALLS`. With N = 0 it only counts.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLLOW (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

static volatile sig_atomic_t told;
static pid_t command;     /* 0: there is none */
static pid_t target;      /* 0: not there yet, or no more */
static unsigned long limit, count;

static void on_term(int number)
{
	(void)number;
	told = 1;
	if (command > 0)
		kill(command, SIGTERM);
	else if (target > 0)
		ptrace(PTRACE_INTERRUPT, target, 0, 0);
}

static void say(const char *word, unsigned long number)
{
	printf("%s %lu\n", word, number);
	fflush(stdout);
}

/* Once, and only when nobody was killed. */
static void say_count(void)
{
	static bool said;

	if (!said && (limit == 0 || count < limit))
		say("counted", count);
	said = true;
}

static bool is_writer(pid_t pid)
{
	static const char role[] = "\0-x\0store";
	char path[64], line[4096];

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	FILE *in = fopen(path, "re");
	size_t len = in != NULL ? fread(line, 1, sizeof(line), in) : 0;
	if (in != NULL)
		fclose(in);
	return memmem(line, len, role, sizeof(role) - 1) != NULL;
}

/* The target has stopped at a system call. Whether it has been killed there. */
static bool at_call(pid_t pid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) < 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	count++;
	if (count != limit)
		return false;
	kill(pid, SIGKILL);
	say("killed", info.entry.nr);
	target = 0;
	return true;
}

/* One stop of one process that is traced. */
static void go_on(pid_t pid, int status)
{
	int event = status >> 16, number = WSTOPSIG(status);

	if (event == PTRACE_EVENT_EXEC && command > 0 && target == 0 && count == 0 &&
	    is_writer(pid)) {
		target = pid;
		say("ready", 0);
	}
	if (number == (SIGTRAP | 0x80) && pid == target && at_call(pid))
		return;
	if (event == PTRACE_EVENT_STOP && number != SIGTRAP) {
		ptrace(PTRACE_LISTEN, pid, 0, 0); /* stopped by somebody else, and stays so */
		return;
	}
	if (event != 0 || number == (SIGTRAP | 0x80))
		number = 0;
	ptrace(pid == target ? PTRACE_SYSCALL : PTRACE_CONT, pid, 0, number);
}

/* Until all that is traced has ended; the status of `command`. */
static int trace(void)
{
	int status, result = 0;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, __WALL);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return result;
		if (WIFSTOPPED(status)) {
			if (command == 0 && told) {
				ptrace(PTRACE_DETACH, pid, 0, 0);
				return 0;
			}
			go_on(pid, status);
			continue;
		}
		if (pid == command)
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (pid == command || (command == 0 && pid == target))
			return result;
		if (pid == target) {
			target = 0;
			say_count();
		}
	}
}

static int run(char **argv)
{
	int gate[2];
	char byte;

	if (pipe(gate) < 0)
		return 1;
	command = fork();
	if (command == 0) {
		close(gate[1]);
		if (read(gate[0], &byte, 1) != 1)
			_exit(1);
		close(gate[0]);
		execv(argv[0], argv);
		_exit(127);
	}
	close(gate[0]);
	if (ptrace(PTRACE_SEIZE, command, 0, FOLLOW | PTRACE_O_TRACESYSGOOD) < 0 ||
	    write(gate[1], "", 1) != 1)
		return 1;
	close(gate[1]);
	return trace();
}

static int attach(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0 || waitpid(pid, &status, __WALL) != pid ||
	    !WIFSTOPPED(status)) {
		perror("killat");
		return 1;
	}
	target = pid;
	say("ready", 0);
	ptrace(PTRACE_SYSCALL, pid, 0, 0);
	return trace();
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_term};

	if (argc < 3 || (strcmp(argv[2], "--") == 0 && argc < 4)) {
		fputs("Usage: killat N PID | killat N -- COMMAND...\n", stderr);
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	limit = strtoul(argv[1], NULL, 10);
	int result = strcmp(argv[2], "--") == 0 ? run(argv + 3) : attach(atoi(argv[2]));
	say_count();
	return result;
}
