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

#define WRITER_GRACE 30000000 /* microseconds for the store's last transactions */
#define IDLE_GRACE 1000000    /* microseconds for a worker without a job to leave */

static void clean_up(struct super *super)
{
	size_t jobs = jobq_table_expire(super->table, jobq_clock_wall());
	size_t bytes = jobq_table_trim(super->table);

	if (jobs > 0 || bytes > 0)
		jobq_log(JOBQ_LOG_INFO, "cleaned_up", "jobs=%zu bytes_returned=%zu", jobs, bytes);
	super->next_cleanup = jobq_clock_mono() + super->conf->cleanup_interval * 1000;
}

void super_stop(struct super *super, const char *reason, int status)
{
	super->status = status;
	if (super->stopping)
		return;
	jobq_log(status == 0 ? JOBQ_LOG_INFO : JOBQ_LOG_ERROR, "stopping",
		 "reason=%s drain_timeout_ms=%lld", reason,
		 (long long)super->conf->drain_timeout);
	super->stopping = true;
	jobq_notify("STOPPING=1\nSTATUS=waiting for the running jobs, then for the store");
	super->kill_at = jobq_clock_mono() + super->conf->drain_timeout * 1000;
	jobq_table_drain(super->table, true);
	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++)
		super->children[slot].start_at = 0;
}

static void take_signals(struct super *super)
{
	struct signalfd_siginfo info;

	while (read(super->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGHUP)
			super_reload(super);
		else if (info.ssi_signo != SIGUSR1) /* that one only wakes us: tell_ready() */
			super_stop(super, info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT", 0);
}

static bool any_child(const struct super *super, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (super->children[i].pid != 0)
			return true;
	return false;
}

static void signal_child(const struct super *super, unsigned index, int number)
{
	if (super->children[index].pidfd >= 0)
		pidfd_send_signal(super->children[index].pidfd, number, NULL, 0);
}

/* From when on a worker that still runs is killed: one without a job is on its way out. */
static int64_t patience(const struct super *super, unsigned slot)
{
	struct jobq_table_slot at;

	jobq_table_slot(super->table, slot, &at);
	return at.job != 0 ? super->kill_at : super->kill_at + IDLE_GRACE;
}

/*
 * The slots are left to end their jobs until kill_at. When they have ended, the
 * writer stores the rest and ends, for which it has as long again and some.
 */
static int64_t go_on_stopping(struct super *super, int64_t now)
{
	if (any_child(super, JOBQ_SLOTS)) {
		int64_t next = -1;
		for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++) {
			int64_t until = patience(super, slot);
			if (now >= until)
				signal_child(super, slot, SIGKILL);
			else if (super->children[slot].pid != 0 && (next < 0 || until < next))
				next = until;
		}
		return next;
	}
	if (!super->writer_told) {
		super->writer_told = true;
		super->kill_at = now + WRITER_GRACE;
		signal_child(super, SUPER_WRITER, SIGTERM);
	} else if (now >= super->kill_at) {
		signal_child(super, SUPER_WRITER, SIGKILL);
		return -1;
	}
	return super->kill_at;
}

/* The table that was found is filled already; an empty one when the writer has done so. */
static void tell_ready(struct super *super)
{
	if (super->ready || super->stopping || !jobq_table_is_ready(super->table))
		return;
	super->ready = true;
	jobq_notify("READY=1\nSTATUS=running");
}

/* The earlier of two times, of which -1 is never. */
static int64_t earlier(int64_t one, int64_t other)
{
	return one < 0 || (other >= 0 && other < one) ? other : one;
}

/* What is due by the clock. Returns when the next thing will be (-1: nothing). */
static int64_t do_due(struct super *super)
{
	int64_t now = jobq_clock_mono(), next = super->next_cleanup;

	tell_ready(super);
	if (super->stopping)
		next = go_on_stopping(super, now);
	else if (now >= super->next_cleanup) {
		clean_up(super);
		next = super->next_cleanup;
	}
	for (unsigned i = 0; i < SUPER_CHILDREN; i++) {
		struct super_child *child = &super->children[i];
		if (child->start_at > 0 && now >= child->start_at)
			super_child_start(super, i);
		if (child->start_at > 0)
			next = earlier(next, child->start_at);
	}
	int64_t sign = jobq_notify_alive(now);
	return sign == INT64_MAX ? next : earlier(next, sign);
}

static int poll_timeout(int64_t next)
{
	if (next < 0)
		return -1;
	int64_t left = next - jobq_clock_mono();
	return left <= 0 ? 0 : left > 3600000000 ? 3600000 : (int)(left / 1000 + 1);
}

int super_loop(struct super *super)
{
	while (!super->stopping || !super->writer_told || any_child(super, SUPER_CHILDREN)) {
		struct pollfd fds[SUPER_CHILDREN + 1];
		int64_t next = do_due(super);

		for (unsigned i = 0; i < SUPER_CHILDREN; i++)
			fds[i] = (struct pollfd){super->children[i].pidfd, POLLIN, 0};
		fds[SUPER_CHILDREN] = (struct pollfd){super->signals, POLLIN, 0};
		if (poll(fds, SUPER_CHILDREN + 1, poll_timeout(next)) < 0 && errno != EINTR) {
			jobq_log(JOBQ_LOG_ERROR, "poll_failed", "msg=\"%s\"", strerror(errno));
			return EX_OSERR;
		}
		for (unsigned i = 0; i < SUPER_CHILDREN; i++)
			if ((fds[i].revents & POLLIN) != 0)
				super_child_ended(super, i);
		take_signals(super);
	}
	return super->status;
}

static bool open_signals(struct super *super)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	super->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return super->signals >= 0;
}

/* Makes the table or takes it over; one of another layout gives way if it can. */
static int own_table(struct super *super, struct jobq_buf *why)
{
	const struct jobq_conf *conf = super->conf;
	int rc = jobq_table_own(conf->table_name, conf->table_max, conf->retention, &super->table,
				why);
	struct jobq_buf reason = {0};

	if (rc == -EPROTO && jobq_table_supersede(conf->table_name, &reason) == 0) {
		jobq_log(JOBQ_LOG_WARNING, "table_superseded", "table=%s msg=\"%s; all its jobs are "
			 "stored, and a new table takes its place\"", conf->table_name, why->data);
		why->len = 0;
		rc = jobq_table_own(conf->table_name, conf->table_max, conf->retention,
				    &super->table, why);
	} else if (rc == -EPROTO && reason.len > 0) {
		jobq_buf_addf(why, " (%s)", reason.data);
	}
	jobq_buf_free(&reason);
	return rc;
}

int super_main(struct jobq_conf *conf, const struct jobq_conf_args *args)
{
	struct super super = {.conf = conf, .args = args, .signals = -1};
	struct jobq_buf why = {0};
	struct jobq_table_stats stats;
	int status = EX_UNAVAILABLE;

	jobq_notify_open();
	for (unsigned i = 0; i < SUPER_CHILDREN; i++)
		super.children[i].pidfd = -1;
	if (!open_signals(&super) || !jobq_conf_check_project(conf, &why) ||
	    own_table(&super, &why) < 0 ||
	    jobq_slot_cache_create(conf, &why) < 0) {
		jobq_log(JOBQ_LOG_ERROR, "not_started", "msg=\"%s\"",
			 why.data != NULL ? jobq_conf_one_line(&why) : strerror(errno));
		if (conf->project[0] == '\0')
			status = EX_CONFIG; /* to try again does not help */
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

	jobq_notify("STATUS=filling the job table from the store");
	jobq_table_drain(super.table, false);
	super_child_start(&super, SUPER_WRITER);
	super_recover(&super);
	clean_up(&super);
	status = super_loop(&super);
	jobq_log_leave();
	jobq_log(JOBQ_LOG_INFO, "stopped", "status=%d", status);
out:
	jobq_table_detach(super.table);
	if (super.signals >= 0)
		close(super.signals);
	jobq_buf_free(&why);
	return status;
}
