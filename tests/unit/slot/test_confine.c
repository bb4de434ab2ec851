/* What a confined worker can still do, and what it cannot: each tried in a child. */
#include "config.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <pthread.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "slot/room.h"

#define SIGNALLED 1000 /* plus the signal's number */

static char project[64];
static int root = -1;
static int listener = -1; /* a TCP socket that listens on loopback */
static struct sockaddr_in address;
/* What a child has told; shared with it. */
static struct jobq_table_confinement *is;

/* ---- in a child --------------------------------------------------------------- */

/* The errno that a call has left, or 0. */
static int errno_of(long rc)
{
	return rc < 0 ? errno : 0;
}

/* Runs `attempt` in a confined child: what it returned, or SIGNALLED + n. */
static int confined_after(void (*before)(void), int (*attempt)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (before != NULL)
			before();
		slot_confine(root, is);
		_exit(attempt());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

static int confined(int (*attempt)(void))
{
	return confined_after(NULL, attempt);
}

static int nothing(void)
{
	return 0;
}

/*
 * Whether the walls are there: not on an old kernel, in some containers, with a
 * sanitizer. (cmocka's skip() is a failure to automake's reader of TAP.)
 */
static bool has(bool landlock, bool seccomp)
{
	assert_int_equal(confined(nothing), 0);
	assert_true(is->told);
	bool there = (!landlock || is->landlock > 0) && (!seccomp || is->seccomp);
	if (!there)
		print_message("# nothing to try: landlock=%u seccomp=%d\n", is->landlock, is->seccomp);
	return there;
}

static void assert_refused(int (*attempt)(void))
{
	int error = confined(attempt);

	if (error != EPERM && error != EACCES)
		fail_msg("not refused: %d", error);
}

/* As the scenes are opened. */
static int open_beneath(const char *path, uint64_t flags)
{
	struct open_how how = {.flags = flags, .mode = (flags & O_CREAT) != 0 ? 0600 : 0};

	return errno_of(syscall(SYS_openat2, root, path, &how, sizeof(how)));
}

static int open_plainly(const char *path, int flags)
{
	return errno_of(openat(root, path, flags, 0600));
}

/* ---- what works --------------------------------------------------------------- */

static int read_scene(void)
{
	char bytes[16];
	int fd = openat(root, "a.tscn", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, bytes, sizeof(bytes)) != 3)
		return errno;
	return posix_fadvise(fd, 0, 3, POSIX_FADV_WILLNEED);
}

static int open_scene_beneath(void)
{
	return open_beneath("levels/b.tscn", O_RDONLY | O_CLOEXEC);
}

static int list_project(void)
{
	int names = 0;
	DIR *dir = fdopendir(openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	while (dir != NULL && readdir(dir) != NULL)
		names++;
	return names == 4 ? 0 : 1; /* with . and .. */
}

static int write_log(void)
{
	static const char line[] = "# a line of the log\n";

	return write(STDERR_FILENO, line, sizeof(line) - 1) == sizeof(line) - 1 ? 0 : errno;
}

static int sleep_on_a_word(void)
{
	_Atomic uint32_t word = 1;

	jobq_futex_wake(&word, 1);
	return -jobq_futex_wait(&word, 1, jobq_clock_mono() + 10000);
}

static int use_memory(void)
{
	size_t big = (size_t)600 << 20;
	char *a = malloc(100), *b = malloc(big);

	if (a == NULL || b == NULL)
		return ENOMEM;
	b[big - 1] = 1;
	b = realloc(b, big / 2);
	free(a);
	free(b);
	return b == NULL ? ENOMEM : 0;
}

static void works(void **state)
{
	(void)state;
	assert_int_equal(confined(read_scene), 0);
	assert_int_equal(confined(list_project), 0);
	assert_int_equal(confined(write_log), 0);
	assert_int_equal(confined(sleep_on_a_word), ETIMEDOUT);
	assert_int_equal(confined(use_memory), 0);
}

static void opens_beneath(void **state)
{
	(void)state;
	if (!has(true, false))
		return; /* else openat2 is not for it */
	assert_int_equal(confined(open_scene_beneath), 0);
}

static int run_too_long(void)
{
	struct itimerval timer = {.it_value = {0, 20000}};

	setitimer(ITIMER_REAL, &timer, NULL);
	while (timer.it_value.tv_usec > 0)
		sleep_on_a_word();
	return 0;
}

static int give_up(void)
{
	abort();
}

static void ends_as_it_should(void **state)
{
	(void)state;
	assert_int_equal(confined(run_too_long), SIGNALLED + SIGALRM);
	assert_int_equal(confined(give_up), SIGNALLED + SIGABRT);
}

/* ---- what does not: files ----------------------------------------------------- */

static int open_passwd(void) { return open_plainly("/etc/passwd", O_RDONLY); }
static int open_outside(void) { return open_beneath("/etc/passwd", O_RDONLY); }
static int open_upwards(void) { return open_plainly("../..", O_RDONLY | O_DIRECTORY); }
static int open_memory(void) { return open_plainly("/proc/self/mem", O_RDONLY); }
static int open_linked(void) { return open_plainly("levels/passwd", O_RDONLY); }
static int open_to_write(void) { return open_plainly("a.tscn", O_WRONLY); }
static int open_to_truncate(void) { return open_plainly("a.tscn", O_RDONLY | O_TRUNC); }
static int make_file(void) { return open_plainly("new", O_RDONLY | O_CREAT); }
static int make_unnamed(void) { return open_plainly(".", O_RDWR | O_TMPFILE); }
static int write_beneath(void) { return open_beneath("a.tscn", O_RDWR); }
static int make_beneath(void) { return open_beneath("new", O_RDONLY | O_CREAT); }
static int remove_file(void) { return errno_of(unlinkat(root, "a.tscn", 0)); }
static int move_file(void) { return errno_of(renameat(root, "a.tscn", root, "c.tscn")); }
static int make_directory(void) { return errno_of(mkdirat(root, "new", 0700)); }
static int cut_file(void) { return errno_of(truncate(project, 0)); }
static int change_mode(void) { return errno_of(fchmodat(root, "a.tscn", 0777, 0)); }
static int watch(void) { return errno_of(syscall(SYS_inotify_init1, 0)); }

static void files_are_refused(void **state)
{
	(void)state;
	if (!has(true, true))
		return;
	assert_refused(open_passwd);
	assert_refused(open_outside);
	assert_refused(open_upwards);
	assert_refused(open_memory);
	assert_refused(open_linked);
	assert_refused(open_to_write);
	assert_refused(open_to_truncate);
	assert_refused(make_file);
	assert_refused(make_unnamed);
	assert_refused(write_beneath);
	assert_refused(make_beneath);
	assert_refused(remove_file);
	assert_refused(move_file);
	assert_refused(make_directory);
	assert_refused(cut_file);
	assert_refused(change_mode);
	assert_refused(watch);
	assert_int_equal(faccessat(root, "a.tscn", F_OK, 0), 0);
	assert_int_not_equal(faccessat(root, "new", F_OK, 0), 0);
}

/* ---- what does not: the network and other processes --------------------------- */

static int open_socket = -1; /* from before the confinement */

static void take_socket(void)
{
	open_socket = socket(AF_INET, SOCK_STREAM, 0);
}

static int connect_out(void)
{
	return errno_of(connect(open_socket, (struct sockaddr *)&address, sizeof(address)));
}

static int make_socket(void) { return errno_of(socket(AF_INET, SOCK_STREAM, 0)); }
static int make_pair(void)
{
	int pair[2];
	return errno_of(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

static void network_is_refused(void **state)
{
	(void)state;
	if (!has(false, true))
		return;
	assert_refused(make_socket);
	assert_refused(make_pair);
	assert_int_equal(confined_after(take_socket, connect_out), EPERM);
}

static int execute(void)
{
	char *argv[] = {"true", NULL};
	return errno_of(execv("/bin/true", argv));
}

static int start_process(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	return errno_of(pid);
}

/* As vfork(2) and posix_spawn(3) do. */
static int start_process_in_memory(void)
{
	long pid = syscall(SYS_clone, CLONE_VM | SIGCHLD, NULL, NULL, NULL, NULL);
	return errno_of(pid);
}

static void *return_at_once(void *arg)
{
	return arg;
}

static int start_thread(void)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, return_at_once, NULL);

	return rc != 0 ? rc : pthread_join(thread, NULL);
}

static int start_process_anew(void)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		_exit(0);
	return errno_of(pid);
}

static int trace_parent(void) { return errno_of(ptrace(PTRACE_ATTACH, getppid(), 0, 0)); }
static int signal_parent(void) { return errno_of(kill(getppid(), SIGTERM)); }
static int signal_thread(void)
{
	return errno_of(syscall(SYS_tgkill, getppid(), getppid(), SIGTERM));
}
static int signal_by_file(void)
{
	return errno_of(fcntl(STDERR_FILENO, F_SETOWN, getppid()));
}
static int read_parent(void)
{
	char byte;
	struct iovec mine = {&byte, 1}, other = {&byte, 1};
	return errno_of(syscall(SYS_process_vm_readv, getppid(), &mine, 1, &other, 1, 0));
}
static int raise_limit(void)
{
	struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY};
	return errno_of(setrlimit(RLIMIT_CORE, &most));
}
static int make_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return at == MAP_FAILED ? errno : 0;
}
static int turn_into_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return errno_of(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}
static int punch_hole(void)
{
	return errno_of(fallocate(STDERR_FILENO, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				  4096));
}

static void processes_are_refused(void **state)
{
	(void)state;
	if (!has(false, true))
		return;
	assert_refused(execute);
	assert_refused(start_process);
	assert_refused(start_process_in_memory);
	assert_int_equal(confined(start_process_anew), ENOSYS); /* for which there is clone(2) */
	assert_int_equal(confined(start_thread), 0);
	assert_refused(trace_parent);
	assert_refused(signal_parent);
	assert_refused(signal_thread);
	assert_refused(signal_by_file);
	assert_refused(read_parent);
	assert_refused(raise_limit);
	assert_refused(make_code);
	assert_refused(turn_into_code);
	assert_refused(punch_hole);
}

/* ---- limits ------------------------------------------------------------------- */

static int ask_for_too_much(void)
{
	return malloc((size_t)16 << 30) == NULL ? ENOMEM : 0;
}

static int open_many(void)
{
	int error = 0;

	for (int i = 0; i < 1000 && error == 0; i++)
		error = open_plainly("a.tscn", O_RDONLY);
	return error;
}

static void limits_hold(void **state)
{
	(void)state;
	assert_int_equal(confined(open_many), EMFILE);
	if (!has(false, true))
		return; /* not under a sanitizer */
	assert_int_equal(confined(ask_for_too_much), ENOMEM);
}

/* ---- kernels that have less ---------------------------------------------------- */

/* Lets the process's own calls of this name fail, as if the kernel did not have it. */
static void take_away(int call, int error)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)error), call, 0) != 0 ||
	    seccomp_load(filter) != 0)
		_exit(99);
	seccomp_release(filter);
}

static void without_landlock(void) { take_away(SCMP_SYS(landlock_create_ruleset), ENOSYS); }
static void without_seccomp(void) { take_away(SCMP_SYS(seccomp), EPERM); }

static void with_socket_alone(void)
{
	take_socket();
	without_seccomp();
}

static int fall_back(void)
{
	struct jobq_scene_project *opened;

	if (is->landlock != 0)
		return 1;
	/* openat2 could write, so it is refused; a project is read without it. */
	if (open_beneath("a.tscn", O_RDONLY) != EPERM || open_to_write() != EPERM)
		return 2;
	return jobq_scene_project_open(&opened, project, NULL) == 0 ? 0 : 3;
}

static void old_kernel_keeps_it_from_writing(void **state)
{
	(void)state;
	if (!has(false, true))
		return;
	assert_int_equal(confined_after(without_landlock, fall_back), 0);
	assert_true(is->told && is->seccomp);
}

static void landlock_alone_holds(void **state)
{
	(void)state;
	if (!has(true, true))
		return;
	assert_int_equal(confined_after(without_seccomp, read_scene), 0);
	assert_true(is->told && is->landlock > 0 && !is->seccomp);
	assert_int_equal(confined_after(without_seccomp, open_passwd), EACCES);
	assert_int_equal(confined_after(without_seccomp, open_to_write), EACCES);
	assert_int_equal(confined_after(without_seccomp, make_beneath), EACCES);
	assert_int_equal(confined_after(without_seccomp, execute), EACCES);
	if (is->landlock >= 4)
		assert_int_equal(confined_after(with_socket_alone, connect_out), EACCES);
	if (is->landlock >= 6)
		assert_int_equal(confined_after(without_seccomp, signal_parent), EPERM);
}

/* ---- a project of its own ------------------------------------------------------ */

static int put(const char *path, const char *text)
{
	int fd = openat(root, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return good ? 0 : -1;
}

static int listen_on_loopback(void)
{
	socklen_t len = sizeof(address);

	address = (struct sockaddr_in){.sin_family = AF_INET};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 4) < 0)
		return -1;
	return getsockname(listener, (struct sockaddr *)&address, &len);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(project, "/tmp/jobq-confine-XXXXXX");
	is = mmap(NULL, sizeof(*is), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mkdtemp(project) == NULL || is == MAP_FAILED || listen_on_loopback() < 0)
		return -1;
	root = open(project, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || mkdirat(root, "levels", 0700) < 0 || put("a.tscn", "abc") < 0 ||
	    put("levels/b.tscn", "b") < 0)
		return -1;
	return symlinkat("/etc/passwd", root, "levels/passwd");
}

static int tear_down(void **state)
{
	(void)state;
	unlinkat(root, "levels/passwd", 0);
	unlinkat(root, "levels/b.tscn", 0);
	unlinkat(root, "levels", AT_REMOVEDIR);
	unlinkat(root, "a.tscn", 0);
	close(listener);
	close(root);
	return rmdir(project);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(works),
		cmocka_unit_test(opens_beneath),
		cmocka_unit_test(ends_as_it_should),
		cmocka_unit_test(files_are_refused),
		cmocka_unit_test(network_is_refused),
		cmocka_unit_test(processes_are_refused),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(old_kernel_keeps_it_from_writing),
		cmocka_unit_test(landlock_alone_holds),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
