#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "jobq/base.h"

void jobq_streams_keep(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			abort();
}
