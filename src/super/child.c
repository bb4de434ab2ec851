#include "config.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "super/super.h"

#define YOUNG 1000000           /* a worker that dies within a second ... */
#define BACKOFF_FIRST 100000    /* ... is started again after 0.1 s, */
#define BACKOFF_MOST 5000000    /* doubling up to 5 s */

extern char **environ;

static int spawn(struct super *super, unsigned index, pid_t *pid)
{
	const struct jobq_conf_args *args = super->args;
	char *argv[2 * JOBQ_LENGTH(args->settings) + 8], number[16];
	size_t n = 0;

	snprintf(number, sizeof(number), "%u", index);
	argv[n++] = "jobqd";
	argv[n++] = "-c";
	argv[n++] = (char *)(uintptr_t)args->file; /* execve(2) does not write to it */
	for (size_t i = 0; i < args->setting_count; i++) {
		argv[n++] = "-o";
		argv[n++] = args->settings[i];
	}
	argv[n++] = "-x";
	argv[n++] = index == SUPER_WRITER ? "store" : "slot";
	if (index != SUPER_WRITER)
		argv[n++] = number;
	argv[n] = NULL;

	posix_spawnattr_t attr;
	sigset_t held; /* until the child is ready for it: its default would be to die */
	sigemptyset(&held);
	sigaddset(&held, SIGTERM);
	int rc = posix_spawnattr_init(&attr);
	if (rc != 0)
		return -rc;
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attr, &held);
	rc = posix_spawn(pid, "/proc/self/exe", NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	return -rc;
}

static void start_later(struct super_child *child)
{
	child->backoff = child->backoff == 0 ? BACKOFF_FIRST : child->backoff * 2;
	if (child->backoff > BACKOFF_MOST)
		child->backoff = BACKOFF_MOST;
	child->start_at = jobq_clock_mono() + child->backoff;
}

void super_child_start(struct super *super, unsigned index)
{
	struct super_child *child = &super->children[index];

	child->start_at = 0;
	child->adopted = false;
	child->started = jobq_clock_mono();
	int rc = spawn(super, index, &child->pid);
	if (rc == 0) {
		child->pidfd = pidfd_open(child->pid, 0);
		if (child->pidfd >= 0)
			return;
		rc = -errno;
		kill(child->pid, SIGKILL);
		waitpid(child->pid, NULL, 0);
	}
	jobq_log(JOBQ_LOG_ERROR, "child_not_started", "child=%u msg=\"%s\"", index, strerror(-rc));
	child->pid = 0;
	child->pidfd = -1;
	start_later(child);
}

bool super_child_adopt(struct super *super, unsigned slot, const struct jobq_table_slot *at)
{
	struct super_child *child = &super->children[slot];

	if (at->pid == 0 || at->start_time == 0)
		return false;
	int pidfd = pidfd_open(at->pid, 0);
	if (pidfd < 0)
		return false;
	/* Looked at with the pidfd in hand: the number cannot change its owner now. */
	if (jobq_table_start_time(at->pid) != at->start_time) {
		close(pidfd);
		return false;
	}
	*child = (struct super_child){
		.pid = at->pid,
		.pidfd = pidfd,
		.adopted = true,
		.started = jobq_clock_mono(),
	};
	/* It has the old configuration: it may finish its job, no more. */
	pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
	jobq_log(JOBQ_LOG_INFO, "worker_adopted", "slot=%u pid=%d job=%llu", slot, (int)at->pid,
		 (unsigned long long)at->job);
	return true;
}

/* Says how the worker ended, in the words of the job's error. */
static void describe_end(const struct super *super, const struct super_child *child,
			 const siginfo_t *info, int64_t job_started, char *into, size_t room)
{
	long long seconds = (long long)super->conf->job_timeout / 1000;
	int64_t limit = job_started + super->conf->job_timeout * 1000;
	bool timed_out = child->adopted ? job_started > 0 && jobq_clock_wall() >= limit
					: info->si_code != CLD_EXITED && info->si_status == SIGALRM;

	if (timed_out)
		snprintf(into, room, "job timed out: it ran longer than %lld.%03lld s (job_timeout)",
			 seconds, (long long)super->conf->job_timeout % 1000);
	else if (super->stopping && jobq_clock_mono() >= super->kill_at)
		snprintf(into, room, "jobqd was stopped before the job was done");
	else if (child->adopted)
		snprintf(into, room, "worker died while jobqd was being restarted");
	else if (info->si_code == CLD_EXITED)
		snprintf(into, room, "worker exited with status %d in the middle of the job",
			 info->si_status);
	else
		snprintf(into, room, "worker killed by signal %d (SIG%s)", info->si_status,
			 sigabbrev_np(info->si_status) != NULL ? sigabbrev_np(info->si_status)
							       : "RT");
}

/* Returns whether a job of the worker's was settled. */
static bool worker_ended(struct super *super, unsigned slot, const siginfo_t *info)
{
	struct super_child *child = &super->children[slot];
	struct jobq_table_slot at;
	char how[128];
	uint64_t job;
	bool requeued;

	jobq_table_slot(super->table, slot, &at);
	describe_end(super, child, info, at.job_started, how, sizeof(how));
	jobq_table_settle(super->table, slot, how, &job, &requeued);

	bool clean = !child->adopted && info->si_code == CLD_EXITED && info->si_status == 0;
	if (!clean)
		jobq_table_kick(super->table); /* it may have been killed before it woke somebody */
	if (job != 0)
		jobq_log(JOBQ_LOG_WARNING, requeued ? "job_requeued" : "job_failed",
			 "job=%llu slot=%u pid=%d error=\"%s\"", (unsigned long long)job, slot,
			 (int)child->pid, how);
	else if (!clean && !child->adopted)
		jobq_log(JOBQ_LOG_WARNING, "worker_died", "slot=%u pid=%d msg=\"%s\"", slot,
			 (int)child->pid, how);
	return job != 0;
}

static void writer_ended(struct super *super, const siginfo_t *info)
{
	bool exited = info->si_code == CLD_EXITED;

	if (exited && (info->si_status == EX_DATAERR || info->si_status == EX_CONFIG)) {
		super_stop(super, "store", info->si_status);
	} else if (exited && super->stopping) {
		super->status = super->status != 0 ? super->status : info->si_status;
	} else if (!exited || info->si_status != 0) { /* 0: told to read the configuration anew */
		jobq_log(JOBQ_LOG_ERROR, "writer_died", "pid=%d %s=%d",
			 (int)super->children[SUPER_WRITER].pid, exited ? "status" : "signal",
			 info->si_status);
	}
}

/*
 * Whether it ended because it found the slot taken, by a worker whose supervisor
 * was killed before that one entered: super_recover() could not see it. Then
 * that one is adopted; to settle would fail the job that it is doing.
 */
static bool taken_by_another(struct super *super, unsigned slot)
{
	struct super_child *child = &super->children[slot];
	struct jobq_table_slot at;
	int pidfd = child->pidfd;

	jobq_table_slot(super->table, slot, &at);
	if (child->adopted || at.pid == child->pid || !super_child_adopt(super, slot, &at))
		return false;
	close(pidfd);
	return true;
}

void super_child_ended(struct super *super, unsigned index)
{
	struct super_child *child = &super->children[index];
	siginfo_t info = {0};
	bool settled = false;

	if (!child->adopted && waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED) < 0)
		info.si_code = CLD_EXITED;
	if (index != SUPER_WRITER && taken_by_another(super, index))
		return;
	if (index == SUPER_WRITER)
		writer_ended(super, &info);
	else
		settled = worker_ended(super, index, &info);

	close(child->pidfd);
	child->pidfd = -1;
	child->pid = 0;
	/* What is still to be stored is stored also while stopping. */
	if (super->stopping && (index != SUPER_WRITER || super->writer_told))
		return;
	if (!settled && jobq_clock_mono() - child->started < YOUNG) {
		start_later(child);
	} else {
		child->backoff = 0;
		super_child_start(super, index);
	}
}
