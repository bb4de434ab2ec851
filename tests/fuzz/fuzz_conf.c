/* Configuration files: every error is reported, nothing crashes or leaks. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "jobq/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jobq_conf conf;
	struct jobq_buf errors = {0};
	char path[32];
	int fd = memfd_create("conf", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	bool ok = jobq_conf_load(&conf, path, NULL, 0, &errors);
	if (ok != (errors.len == 0))
		abort();
	jobq_conf_free(&conf);
	jobq_buf_free(&errors);
	close(fd);
	return 0;
}
