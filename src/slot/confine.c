#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "slot/room.h"

/*
 * A worker reads files that anybody may have put into a project. If one of them
 * takes it over through a bug, it is to find itself in a process that reads the
 * project and writes its log and the shared memory, and can do nothing else.
 * Two walls, because each has holes that the other one closes:
 *
 * Landlock knows paths: only reading beneath the project's root, no TCP, no
 * signals to others. It lets pass what it has no right for, such as chmod(2),
 * and sockets of other kinds. seccomp knows system calls and their numbers, but
 * not what a pointer points to, so no paths. What neither refuses is to
 * ask for a file's size and times by its path (stat(2)), outside the project too.
 *
 * The sanitizers read /proc and the program itself when they report, and their
 * leak check clones a process that traces this one: built with them, a worker
 * may read everything, calls what it likes and has no limit of memory.
 */
#ifdef __has_feature /* clang's way to say it */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/*
 * Address space for a job, beyond what is mapped before it (the table, the
 * cache, the program). A worker that wants more gets no memory and fails its
 * job, instead of the whole machine. The most that was seen was 17 times a text
 * file's size, and JOBQ_SCENE_FILE_MAX times 17 is 4.3 GiB.
 */
#define MEMORY_MAX (UINT64_C(8) << 30)
/* Four threads of cache_warming may look for uids at once, 64 directories deep, and more. */
#define FILES_MAX 512

/* ---- limits ------------------------------------------------------------------- */

static void limit(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit now;

	if (getrlimit(what, &now) < 0)
		return;
	if (now.rlim_max != RLIM_INFINITY && now.rlim_max < most)
		most = now.rlim_max;
	now = (struct rlimit){.rlim_cur = most, .rlim_max = most};
	setrlimit(what, &now);
}

/* Bytes of address space in use (proc(5), statm); 0: not known. */
static uint64_t mapped(void)
{
	unsigned long long pages = 0;
	FILE *in = fopen("/proc/self/statm", "re");

	if (in == NULL)
		return 0;
	if (fscanf(in, "%llu", &pages) != 1)
		pages = 0;
	fclose(in);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void set_limits(void)
{
	uint64_t base = mapped();

	/* A core would hold the table: the jobs and names of every client. */
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, FILES_MAX);
	if (!SANITIZED && base > 0)
		limit(RLIMIT_AS, base + MEMORY_MAX);
}

/* ---- Landlock ----------------------------------------------------------------- */

/* struct landlock_ruleset_attr as of version 6; Debian 12's header has its beginning. */
struct ruleset {
	uint64_t fs, net, scoped;
};

/*
 * All the rights that each version of the interface knows, and so all that are
 * taken away; rows must not be skipped. Version 7 adds to what is logged only.
 */
#define BITS(n) ((UINT64_C(1) << (n)) - 1)
static const struct ruleset rulesets[] = {
	[1] = {.fs = BITS(13)},                                      /* up to MAKE_SYM */
	[2] = {.fs = BITS(14)},                                      /* REFER */
	[3] = {.fs = BITS(15)},                                      /* TRUNCATE */
	[4] = {.fs = BITS(15), .net = BITS(2)},                      /* BIND_TCP, CONNECT_TCP */
	[5] = {.fs = BITS(16), .net = BITS(2)},                      /* IOCTL_DEV */
	[6] = {.fs = BITS(16), .net = BITS(2), .scoped = BITS(2)},   /* abstract sockets, signals */
	[7] = {.fs = BITS(16), .net = BITS(2), .scoped = BITS(2)},
};

static int allow_reading(int ruleset, int directory)
{
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
		.parent_fd = directory,
	};
	int all = SANITIZED ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	if (all >= 0)
		beneath.parent_fd = all;
	long rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
	int error = rc < 0 ? -errno : 0;
	if (all >= 0)
		close(all);
	return error;
}

/* Returns the version in force (at most the newest one known here), or a negative errno. */
static int confine_paths(int root)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);
	int newest = (int)JOBQ_LENGTH(rulesets) - 1;

	if (version < 1)
		return version < 0 ? -errno : -EOPNOTSUPP;
	if (version > newest)
		version = newest;
	/* An older kernel takes the longer struct, because the rest of it is zero. */
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rulesets[version],
				   sizeof(rulesets[version]), 0);
	if (ruleset < 0)
		return -errno;
	int rc = allow_reading(ruleset, root);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		rc = -errno;
	close(ruleset);
	return rc == 0 ? (int)version : rc;
}

/* ---- seccomp ------------------------------------------------------------------ */

/*
 * What is not on the list answers EPERM. To kill the process instead would make
 * an attack louder, but no weaker: nothing is done either way. And the list is
 * taken from this C library's doing; another release of it may ask for something
 * else in a seldom moment. Whoever gets EPERM falls back or fails in an orderly
 * way, where a kill would fail a client's job, the same one each time.
 */
#define REFUSED SCMP_ACT_ERRNO(EPERM)

/* A name that an architecture does not have is ignored by libseccomp. */
static const int calls[] = {
	/* files */
	SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(close), SCMP_SYS(getdents64),
	SCMP_SYS(newfstatat), SCMP_SYS(fstatat64), SCMP_SYS(statx), SCMP_SYS(fstat),
	SCMP_SYS(fstat64), SCMP_SYS(fadvise64), SCMP_SYS(fadvise64_64),
	SCMP_SYS(arm_fadvise64_64), SCMP_SYS(lseek), SCMP_SYS(_llseek),
	/* the log, and the C library's last words (writev) */
	SCMP_SYS(write), SCMP_SYS(writev),
	/* memory; executable memory is refused below */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	/* waiting; restart_syscall goes on with it after SIGSTOP and SIGCONT */
	SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(restart_syscall),
	/* signals and the time limit of a job */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigreturn), SCMP_SYS(setitimer),
	/* clocks, where the vDSO has none */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	/* malloc's and qsort's questions */
	SCMP_SYS(getrandom), SCMP_SYS(sysinfo),
	/* threads of cache_warming (clone itself is below), which stand back */
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(setpriority),
	SCMP_SYS(ioprio_set), SCMP_SYS(sched_getaffinity),
	/* who and how to go */
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(exit), SCMP_SYS(exit_group),
};

/* Calls that are allowed only when (argument & mask) == value. */
struct condition {
	int call;
	unsigned argument;
	uint64_t mask, value;
};

#define WHOLE UINT64_MAX
#define WRITES (O_ACCMODE | O_CREAT | O_TRUNC) /* O_TMPFILE needs one of them */

static const struct condition conditions[] = {
	/* A thread, no process. (On the few architectures with another order: nothing.) */
	{SCMP_SYS(clone), 0, CLONE_VM | CLONE_THREAD, CLONE_VM | CLONE_THREAD},
	{SCMP_SYS(openat), 2, WRITES, O_RDONLY},
	{SCMP_SYS(mmap), 2, PROT_EXEC, 0},
	{SCMP_SYS(mmap2), 2, PROT_EXEC, 0},
	{SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
	/* Others, F_SETOWN and F_SETSIG, send signals. */
	{SCMP_SYS(fcntl), 1, WHOLE, F_DUPFD_CLOEXEC},
	{SCMP_SYS(fcntl), 1, WHOLE, F_GETFL},
	{SCMP_SYS(fcntl), 1, WHOLE, F_GETFD},
	{SCMP_SYS(fcntl), 1, WHOLE, F_SETFD},
	{SCMP_SYS(fcntl64), 1, WHOLE, F_DUPFD_CLOEXEC},
	{SCMP_SYS(fcntl64), 1, WHOLE, F_GETFL},
	{SCMP_SYS(fcntl64), 1, WHOLE, F_GETFD},
	{SCMP_SYS(fcntl64), 1, WHOLE, F_SETFD},
	/* The table takes more memory; to give some back is jobqd's. */
	{SCMP_SYS(fallocate), 1, WHOLE, 0},
};

static int add_conditions(scmp_filter_ctx filter)
{
	int rc = 0;

	for (size_t i = 0; i < JOBQ_LENGTH(conditions) && rc == 0; i++) {
		const struct condition *c = &conditions[i];
		struct scmp_arg_cmp is = {c->argument, SCMP_CMP_MASKED_EQ, c->mask, c->value};
		rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, c->call, 1, &is);
	}
	return rc;
}

static int add_calls(scmp_filter_ctx filter, bool paths_confined)
{
	/* abort(3) signals the process itself; nobody else is to be signalled. */
	struct scmp_arg_cmp self = {0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0};
	int rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &self);

	/* Its flags lie in memory; with this answer the C library takes clone(2). */
	if (rc == 0)
		rc = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0,
					    NULL);
	for (size_t i = 0; i < JOBQ_LENGTH(calls) && rc == 0; i++)
		rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, calls[i], 0, NULL);
	/*
	 * Its flags lie in memory, where no filter looks: only Landlock keeps it
	 * from writing. Without it, scenes are opened segment by segment by openat(2).
	 */
	if (rc == 0 && paths_confined)
		rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat2), 0, NULL);
	return rc;
}

static int confine_calls(bool paths_confined)
{
	scmp_filter_ctx filter = seccomp_init(REFUSED);

	if (filter == NULL)
		return -ENOMEM;
	/* Nothing honest calls the kernel in the way of another architecture. */
	int rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0)
		rc = add_calls(filter, paths_confined);
	if (rc == 0)
		rc = add_conditions(filter);
	errno = 0;
	if (rc == 0)
		rc = seccomp_load(filter);
	if (rc == -ECANCELED && errno != 0)
		rc = -errno; /* what the kernel has said */
	seccomp_release(filter);
	return rc;
}

/* ---- all of it ---------------------------------------------------------------- */

/* What libraries open when it is first used, and could not open later. */
static void open_late_files(void)
{
	json_object_seed(0); /* /dev/urandom */
	tzset();             /* /etc/localtime */
}

void slot_confine(int root, struct jobq_table_confinement *is)
{
	open_late_files();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!SANITIZED)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core through a pipe either, no tracing */
	set_limits();
	int landlock = confine_paths(root);
	int seccomp = SANITIZED ? -EOPNOTSUPP : confine_calls(landlock > 0);
	*is = (struct jobq_table_confinement){
		.told = true,
		.landlock = landlock > 0 ? (unsigned)landlock : 0,
		.seccomp = seccomp == 0,
	};
	if (landlock < 0 || (seccomp < 0 && !SANITIZED))
		jobq_log(JOBQ_LOG_WARNING, "confinement_lacks",
			 "landlock=\"%s\" seccomp=\"%s\" msg=\"the worker goes on without\"",
			 landlock < 0 ? strerror(-landlock) : "ok",
			 seccomp < 0 ? strerror(-seccomp) : "ok");
}
