#include "config.h"

#include "super/super.h"

void super_recover(struct super *super)
{
	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++) {
		struct jobq_table_slot at;
		uint64_t job;
		bool requeued;

		jobq_table_slot(super->table, slot, &at);
		if (super_child_adopt(super, slot, &at))
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
