#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "jobq/slot.h"
#include "super/super.h"

static void clean_up(struct super *super)
{
	size_t jobs = jobq_table_expire(super->table, jobq_clock_wall());
	size_t bytes = jobq_table_trim(super->table);

	if (jobs > 0 || bytes > 0)
		jobq_log(JOBQ_LOG_INFO, "cleaned_up", "jobs=%zu bytes_returned=%zu", jobs, bytes);
	super->next_cleanup = jobq_clock_mono() + super->conf->cleanup_interval * 1000;
}

static void begin_stop(struct super *super, int signal)
{
	if (super->stopping)
		return;
	jobq_log(JOBQ_LOG_INFO, "stopping", "signal=%d drain_timeout_ms=%lld", signal,
		 (long long)super->conf->drain_timeout);
	super->stopping = true;
	super->kill_at = jobq_clock_mono() + super->conf->drain_timeout * 1000;
	jobq_table_drain(super->table, true);
	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++)
		super->children[slot].start_at = 0;
}

static void take_signals(struct super *super)
{
	struct signalfd_siginfo info;

	while (read(super->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		begin_stop(super, (int)info.ssi_signo);
}

/* What is due by the clock. Returns when the next thing will be (-1: nothing). */
static int64_t do_due(struct super *super)
{
	int64_t now = jobq_clock_mono(), next = super->next_cleanup;

	if (super->stopping) {
		next = super->kill_at;
		for (unsigned slot = 0; slot < JOBQ_SLOTS && now >= super->kill_at; slot++)
			if (super->children[slot].pidfd >= 0)
				pidfd_send_signal(super->children[slot].pidfd, SIGKILL, NULL, 0);
		return now >= super->kill_at ? -1 : next;
	}
	if (now >= super->next_cleanup) {
		clean_up(super);
		next = super->next_cleanup;
	}
	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++) {
		struct super_child *child = &super->children[slot];
		if (child->start_at > 0 && now >= child->start_at)
			super_child_start(super, slot);
		if (child->start_at > 0 && child->start_at < next)
			next = child->start_at;
	}
	return next;
}

static int poll_timeout(int64_t next)
{
	if (next < 0)
		return -1;
	int64_t left = next - jobq_clock_mono();
	return left <= 0 ? 0 : left > 3600000000 ? 3600000 : (int)(left / 1000 + 1);
}

static bool any_child(const struct super *super)
{
	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++)
		if (super->children[slot].pid != 0)
			return true;
	return false;
}

int super_loop(struct super *super)
{
	while (!super->stopping || any_child(super)) {
		struct pollfd fds[JOBQ_SLOTS + 1];
		int64_t next = do_due(super);

		for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++)
			fds[slot] = (struct pollfd){super->children[slot].pidfd, POLLIN, 0};
		fds[JOBQ_SLOTS] = (struct pollfd){super->signals, POLLIN, 0};
		if (poll(fds, JOBQ_SLOTS + 1, poll_timeout(next)) < 0 && errno != EINTR) {
			jobq_log(JOBQ_LOG_ERROR, "poll_failed", "msg=\"%s\"", strerror(errno));
			return EX_OSERR;
		}
		for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++)
			if ((fds[slot].revents & POLLIN) != 0)
				super_child_ended(super, slot);
		take_signals(super);
	}
	return 0;
}

static bool open_signals(struct super *super)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	super->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return super->signals >= 0;
}

int super_main(const struct jobq_conf *conf, const struct jobq_conf_args *args)
{
	struct super super = {.conf = conf, .args = args, .signals = -1};
	struct jobq_buf why = {0};
	struct jobq_table_stats stats;
	int status = EX_UNAVAILABLE;

	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++)
		super.children[slot].pidfd = -1;
	if (!open_signals(&super) || !jobq_conf_check_project(conf, &why) ||
	    jobq_table_own(conf->table_name, conf->table_max, conf->retention, &super.table,
			   &why) < 0 ||
	    jobq_slot_cache_create(conf, &why) < 0) {
		jobq_log(JOBQ_LOG_ERROR, "not_started", "msg=\"%s\"",
			 why.data != NULL ? why.data : strerror(errno));
		goto out;
	}
	jobq_table_stats(super.table, &stats);
	jobq_log(JOBQ_LOG_INFO, "started", "version=%s project=\"%s\" table=%s queued=%llu next_id=%llu",
		 PACKAGE_VERSION, conf->project, conf->table_name,
		 (unsigned long long)stats.jobs[JOBQ_STATUS_QUEUED],
		 (unsigned long long)stats.next_id);
	if (stats.bytes_max / 65536 != conf->table_max / 65536)
		jobq_log(JOBQ_LOG_WARNING, "table_max_kept",
			 "bytes=%llu msg=\"a table keeps its size; the new one holds once it has "
			 "been removed\"", (unsigned long long)stats.bytes_max);

	jobq_table_drain(super.table, false);
	super_recover(&super);
	clean_up(&super);
	status = super_loop(&super);
	jobq_log(JOBQ_LOG_INFO, "stopped", "status=%d", status);
out:
	jobq_table_detach(super.table);
	if (super.signals >= 0)
		close(super.signals);
	jobq_buf_free(&why);
	return status;
}
