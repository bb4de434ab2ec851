#include "config.h"

#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "jobq/store.h"

int ctl_backup(const struct jobq_conf *conf, char *const *words)
{
	struct jobq_store *store;
	struct jobq_buf why = {0};
	int rc = jobq_store_open(conf->store, JOBQ_STORE_READ, conf->durability, &store, &why);

	if (rc == 0) {
		rc = jobq_store_backup(store, words[0]);
		jobq_store_close(store);
	}
	if (rc < 0)
		fprintf(stderr, "jobqctl: backup to %s: %s\n", words[0],
			why.data != NULL ? why.data : strerror(-rc));
	jobq_buf_free(&why);
	return rc < 0 ? 1 : 0;
}
