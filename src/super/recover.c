#include "config.h"

#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "super/super.h"

/* Watches a live worker of a former supervisor; false when there is none. */
static bool adopt(struct super *super, unsigned slot, const struct jobq_table_slot *at)
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

void super_recover(struct super *super)
{
	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++) {
		struct jobq_table_slot at;
		uint64_t job;
		bool requeued;

		jobq_table_slot(super->table, slot, &at);
		if (adopt(super, slot, &at))
			continue;
		jobq_table_settle(super->table, slot, "worker died while jobqd was not running",
				  &job, &requeued);
		if (job != 0)
			jobq_log(JOBQ_LOG_WARNING, requeued ? "job_requeued" : "job_failed",
				 "job=%llu slot=%u msg=\"its worker is gone\"",
				 (unsigned long long)job, slot);
		super_child_start(super, slot);
	}
}
