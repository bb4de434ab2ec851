/*
 * The scene cache's numbers. Its memory is mapped for writing, too, because
 * reading them takes the lock that is in it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "jobq/scene.h"

/* Maps the shared memory. Returns 0 or a negative errno. */
static int map(const char *name, void **region, size_t *size)
{
	struct stat st;
	int fd = shm_open(name, O_RDWR | O_CLOEXEC, 0);
	int rc = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = -errno;
	} else if (st.st_size == 0) {
		rc = -ENOENT; /* being made */
	} else {
		*size = (size_t)st.st_size;
		*region = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (*region == MAP_FAILED)
			rc = -errno;
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

static void print(struct jobq_scene_cache *cache)
{
	struct jobq_scene_cache_stats stats;

	jobq_scene_cache_stats(cache, &stats);
	printf("entries %llu\nbytes %llu\nroom %llu\nhits %llu\nmisses %llu\nevictions %llu\n"
	       "resets %llu\n",
	       (unsigned long long)stats.entries, (unsigned long long)stats.bytes,
	       (unsigned long long)stats.room, (unsigned long long)stats.hits,
	       (unsigned long long)stats.misses, (unsigned long long)stats.evictions,
	       (unsigned long long)stats.resets);
}

int ctl_cache(const struct jobq_conf *conf, char *const *words)
{
	char name[JOBQ_CONF_CACHE_NAME];
	void *region = MAP_FAILED;
	size_t size = 0;
	struct jobq_scene_cache *cache = NULL;

	(void)words;
	jobq_conf_cache_name(conf, name);
	int rc = map(name, &region, &size);
	if (rc == 0) {
		cache = jobq_scene_cache_attach(region, size);
		rc = cache != NULL ? 0 : -errno;
	}
	if (rc == -ENOENT)
		fprintf(stderr, "jobqctl: there is no scene cache %s: is jobqd running?\n", name);
	else if (rc == -EINVAL)
		fprintf(stderr, "jobqctl: shared memory %s is not a scene cache of this release\n",
			name);
	else if (rc < 0)
		fprintf(stderr, "jobqctl: shared memory %s: %s\n", name, strerror(-rc));
	else
		print(cache);
	jobq_scene_cache_detach(cache);
	if (region != MAP_FAILED)
		munmap(region, size);
	return rc < 0 ? 2 : 0;
}
