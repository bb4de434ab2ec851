#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "jobq/slot.h"
#include "jobq/table_counters.h"
#include "slot/room.h"

static volatile sig_atomic_t leaving;
static struct jobq_table *claims_from; /* NULL: not yet, or no more */

static void on_term(int signal)
{
	(void)signal;
	leaving = 1;
	if (claims_from != NULL)
		jobq_table_claim_end(claims_from);
}

/* SIGTERM: finish the job at hand, then go. Without SA_RESTART: it ends a wait. */
static void set_signals(void)
{
	struct sigaction action = {.sa_handler = on_term};

	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group: jobqd decides */
	signal(SIGHUP, SIG_IGN); /* so does a terminal that hangs up */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, SIG_DFL); /* the job's time is up: see slot_job_run() */
	/* jobqd has held it until here. */
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &action.sa_mask, NULL);
}

void slot_tell_cache(struct slot_work *work, bool fresh)
{
	struct jobq_scene_cache_stats stats;

	if (work->cache == NULL)
		return;
	jobq_scene_cache_stats(work->cache, &stats);
	const struct jobq_cache_counters counters = {
		.entries = stats.entries,
		.bytes = stats.bytes,
		.room = stats.room,
		.hits = stats.hits,
		.misses = stats.misses,
		.evictions = stats.evictions,
		.resets = stats.resets,
	};
	jobq_table_tell_cache(work->table, &counters, fresh);
}

static void attach_cache(struct slot_work *work)
{
	char name[JOBQ_CONF_CACHE_NAME];
	struct stat st;

	jobq_conf_cache_name(work->conf, name);
	int fd = shm_open(name, O_RDWR | O_CLOEXEC, 0);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
		size_t size = (size_t)st.st_size;
		void *region = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (region != MAP_FAILED)
			work->cache = jobq_scene_cache_attach(region, size);
		work->cache_region = region;
		work->cache_size = size;
	}
	if (fd >= 0)
		close(fd);
	if (work->cache == NULL)
		jobq_log(JOBQ_LOG_WARNING, "scene_cache_missing",
			 "name=%s msg=\"scenes are parsed every time\"", name);
}

int jobq_slot_cache_create(const struct jobq_conf *conf, struct jobq_buf *why)
{
	char name[JOBQ_CONF_CACHE_NAME];
	struct stat st;
	int rc = 0;

	jobq_conf_cache_name(conf, name);
	int fd = shm_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = -errno;
	} else {
		size_t size = (size_t)conf->scene_cache_size;
		bool fresh = (uint64_t)st.st_size != conf->scene_cache_size;
		if (fresh && (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)size) < 0))
			rc = -errno;
		/* Taken now, because a full tmpfs answers a touch with SIGBUS. */
		if (rc == 0)
			rc = -posix_fallocate(fd, 0, (off_t)size);
		void *region = rc == 0 ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
				       : MAP_FAILED;
		if (rc == 0 && region == MAP_FAILED)
			rc = -errno;
		if (rc == 0 && !fresh) {
			struct jobq_scene_cache *cache = jobq_scene_cache_attach(region, size);
			fresh = cache == NULL;
			jobq_scene_cache_detach(cache);
		}
		if (rc == 0 && fresh)
			rc = jobq_scene_cache_init(region, size);
		if (region != MAP_FAILED)
			munmap(region, size);
	}
	if (fd >= 0)
		close(fd);
	if (rc < 0)
		jobq_buf_addf(why, "shared memory %s for the scene cache: %s", name, strerror(-rc));
	return rc;
}

/* Opens what the worker works with. False: logged. */
static bool begin(struct slot_work *work, unsigned slot)
{
	const struct jobq_conf *conf = work->conf;
	struct jobq_buf why = {0};
	pid_t holder = 0;

	int rc = jobq_table_attach(conf->table_name, &work->table, &why);
	if (rc < 0)
		jobq_log(JOBQ_LOG_ERROR, "table_missing", "slot=%u msg=\"%s\"", slot,
			 why.data != NULL ? why.data : strerror(-rc));
	jobq_buf_free(&why);
	if (rc < 0)
		return false;
	claims_from = work->table;
	if (jobq_table_enter(work->table, slot, &holder) < 0) {
		jobq_log(JOBQ_LOG_ERROR, "slot_taken", "slot=%u by_pid=%d", slot, (int)holder);
		return false;
	}
	if (!jobq_table_stay(work->table, slot)) {
		jobq_log(JOBQ_LOG_WARNING, "worker_orphaned",
			 "slot=%u msg=\"jobqd died while it started this worker\"", slot);
		return false;
	}
	rc = jobq_scene_project_open(&work->project, conf->project, &conf->blacklist);
	if (rc < 0)
		jobq_log(JOBQ_LOG_ERROR, "project_missing", "slot=%u project=\"%s\" msg=\"%s\"",
			 slot, conf->project, strerror(-rc));
	return rc == 0;
}

static void confine(struct slot_work *work, unsigned slot)
{
	struct jobq_table_confinement is;
	char landlock[16] = "no";

	slot_confine(jobq_scene_project_root(work->project), &is);
	jobq_table_tell_confinement(work->table, slot, &is);
	if (is.landlock > 0)
		snprintf(landlock, sizeof(landlock), "%u", is.landlock);
	jobq_log(JOBQ_LOG_INFO, "confined", "slot=%u landlock=%s seccomp=%s", slot, landlock,
		 is.seccomp ? "yes" : "no");
}

static void work_until_told(struct slot_work *work, unsigned slot)
{
	struct jobq_job_claim claim;

	jobq_log(JOBQ_LOG_INFO, "worker_started", "slot=%u", slot);
	while (!leaving) {
		int rc = jobq_table_claim(work->table, slot, &claim);
		if (rc == -ESHUTDOWN)
			break;
		if (rc == 0)
			slot_job_run(work, &claim);
	}
	jobq_log_leave();
	jobq_log(JOBQ_LOG_INFO, "worker_leaving", "slot=%u", slot);
}

int jobq_slot_main(const struct jobq_conf *conf, unsigned slot)
{
	struct slot_work work = {.conf = conf, .log_lock = PTHREAD_MUTEX_INITIALIZER};

	set_signals();
	bool begun = begin(&work, slot);
	if (begun) {
		attach_cache(&work);
		slot_tell_cache(&work, true);
		confine(&work, slot);
		work_until_told(&work, slot);
	}
	claims_from = NULL;
	jobq_buf_free(&work.log);
	jobq_scene_cache_detach(work.cache);
	jobq_scene_project_close(work.project);
	jobq_table_detach(work.table);
	return begun ? 0 : EX_UNAVAILABLE;
}
