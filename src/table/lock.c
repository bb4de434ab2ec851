#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "table/table.h"

void table_lock(struct jobq_table *table)
{
	pthread_mutex_t *lock = &table->header->lock;
	int rc = pthread_mutex_lock(lock);

	if (rc == EOWNERDEAD) {
		table_rebuild(table);
		table->header->repairs++;
		pthread_mutex_consistent(lock);
	} else if (rc != 0) {
		/* Not a lock any more: somebody has written over the header. */
		jobq_log(JOBQ_LOG_ERROR, "table_lock_broken", "error=%d", rc);
		abort();
	}
}

void table_unlock(struct jobq_table *table)
{
	pthread_mutex_unlock(&table->header->lock);
}
