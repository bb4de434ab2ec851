#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "api/api.h"

#define WORKERS_MAX 65
#define YOUNG 1000000        /* a worker that dies within a second ... */
#define BACKOFF_FIRST 100000 /* ... is started again after 0.1 s, */
#define BACKOFF_MOST 5000000 /* doubling up to 5 s */
#define STOP_GRACE 25000000  /* then what is left is killed */
#define STOP_LOOK 100        /* milliseconds between looks at what is left */

struct worker {
	const struct api_pool *pool;
	pid_t pid; /* 0: none */
	int64_t started, start_at, backoff;
};

struct parent {
	struct jobq_conf *conf; /* replaced by SIGHUP */
	const struct jobq_conf_args *args;
	struct worker workers[WORKERS_MAX];
	size_t count;
	pid_t leaving[WORKERS_MAX]; /* replaced ones that still end what they have; 0: none */
	int signals;
	int lifeline[2]; /* a pipe that nobody writes to: its end tells the workers of ours */
	int started;     /* eventfd(2): counts the workers that serve */
	eventfd_t awaited; /* workers that have to, until the service manager hears READY=1 */
	bool stopping;
};

static void start_worker(struct parent *parent, struct worker *worker)
{
	worker->start_at = 0;
	worker->started = jobq_clock_mono();
	worker->pid = fork();
	if (worker->pid == 0) {
		const struct api_ties ties = {parent->lifeline[0], parent->started};
		close(parent->lifeline[1]);
		close(parent->signals);
		for (size_t i = 0; i < parent->count; i++)
			if (parent->workers[i].pool->listener != worker->pool->listener)
				close(parent->workers[i].pool->listener);
		exit(api_pool_run(parent->conf, worker->pool, &ties));
	}
	if (worker->pid < 0) {
		jobq_log(JOBQ_LOG_ERROR, "fork_failed", "msg=\"%s\"", strerror(errno));
		worker->pid = 0;
		worker->start_at = jobq_clock_mono() + BACKOFF_MOST;
	}
}

/* A worker may have died between queueing a job and waking a slot for it. */
static void kick_slots(const struct jobq_conf *conf)
{
	struct jobq_buf why = {0};
	struct jobq_table *table;

	if (jobq_table_attach(conf->table_name, &table, &why) == 0) {
		jobq_table_kick(table);
		jobq_table_detach(table);
	}
	jobq_buf_free(&why);
}

static void worker_ended(struct parent *parent, struct worker *worker, int status)
{
	if (!parent->stopping)
		jobq_log(JOBQ_LOG_WARNING, "worker_died", "pool=%s pid=%d %s=%d",
			 worker->pool->name, (int)worker->pid,
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	worker->pid = 0;
	if (parent->stopping)
		return;
	kick_slots(parent->conf);
	int64_t now = jobq_clock_mono();
	if (now - worker->started >= YOUNG)
		worker->backoff = 0;
	else
		worker->backoff = worker->backoff == 0 ? BACKOFF_FIRST : worker->backoff * 2;
	if (worker->backoff > BACKOFF_MOST)
		worker->backoff = BACKOFF_MOST;
	worker->start_at = now + worker->backoff;
}

static void reap(struct parent *parent)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < parent->count; i++) {
			if (parent->workers[i].pid == pid)
				worker_ended(parent, &parent->workers[i], status);
			if (parent->leaving[i] == pid)
				parent->leaving[i] = 0;
		}
	}
}

static void signal_workers(const struct parent *parent, int signal)
{
	for (size_t i = 0; i < parent->count; i++) {
		if (parent->workers[i].pid > 0)
			kill(parent->workers[i].pid, signal);
		if (parent->leaving[i] > 0)
			kill(parent->leaving[i], signal);
	}
}

/* What differs and cannot be changed while the parent runs, or NULL. */
static const char *needs_restart(const struct jobq_conf *now, const struct jobq_conf *fresh)
{
	if (strcmp(now->api_socket, fresh->api_socket) != 0)
		return "api_socket needs a restart of jobq-api to change";
	if (strcmp(now->wait_socket, fresh->wait_socket) != 0)
		return "wait_socket needs a restart of jobq-api to change";
	if (now->api_processes != fresh->api_processes || now->api_threads != fresh->api_threads ||
	    now->wait_threads != fresh->wait_threads)
		return "numbers of processes and threads need a restart of jobq-api to change";
	return NULL;
}

/* The new ones serve at once; the old ones take nothing new and end what they have. */
static void replace_workers(struct parent *parent)
{
	for (size_t i = 0; i < parent->count; i++) {
		struct worker *worker = &parent->workers[i];
		if (worker->pid == 0)
			continue;
		parent->leaving[i] = worker->pid;
		start_worker(parent, worker);
		kill(parent->leaving[i], SIGTERM);
	}
}

/* The pools hold on to the old copy of a text that has not changed. */
static void keep(char **fresh, char **old)
{
	char *text = *fresh;

	*fresh = *old;
	*old = text;
}

static void reload(struct parent *parent)
{
	const struct jobq_conf_args *args = parent->args;
	struct jobq_conf fresh;
	struct jobq_buf errors = {0};

	if (parent->awaited == 0)
		jobq_notify_reloading();
	bool good = jobq_conf_load(&fresh, args->file, args->settings, args->setting_count, &errors);
	const char *why = good ? needs_restart(parent->conf, &fresh) : jobq_conf_one_line(&errors);

	for (size_t i = 0; i < parent->count; i++)
		if (parent->leaving[i] != 0)
			why = "the last reload is still going on; try again in some seconds";
	if (good && why == NULL) {
		keep(&fresh.api_socket, &parent->conf->api_socket);
		keep(&fresh.wait_socket, &parent->conf->wait_socket);
		jobq_conf_free(parent->conf);
		*parent->conf = fresh;
		jobq_log_open("jobq-api", fresh.log_level);
		replace_workers(parent);
		parent->awaited = parent->count;
		jobq_log(JOBQ_LOG_INFO, "reloaded", "file=\"%s\"", args->file);
	} else {
		jobq_log(JOBQ_LOG_ERROR, "reload_refused", "msg=\"%s\"",
			 why != NULL ? why : "out of memory");
		if (parent->awaited == 0)
			jobq_notify("READY=1\nSTATUS=serving; the last reload was refused, the log "
				    "says why");
		jobq_conf_free(&fresh);
	}
	jobq_buf_free(&errors);
}

/* Workers have said that they serve. */
static void count_started(struct parent *parent)
{
	eventfd_t started;

	if (eventfd_read(parent->started, &started) < 0 || parent->awaited == 0)
		return;
	parent->awaited -= started < parent->awaited ? started : parent->awaited;
	if (parent->awaited == 0 && !parent->stopping)
		jobq_notify("READY=1\nSTATUS=serving");
}

/* Does what is due; returns poll(2)'s timeout until the next is. */
static int do_due(struct parent *parent)
{
	int64_t now = jobq_clock_mono(), next = jobq_notify_alive(now);

	if (parent->stopping)
		return STOP_LOOK;

	for (size_t i = 0; i < parent->count; i++) {
		struct worker *worker = &parent->workers[i];
		if (worker->pid == 0 && worker->start_at <= now)
			start_worker(parent, worker);
		if (worker->pid == 0 && worker->start_at < next)
			next = worker->start_at;
	}
	return next == INT64_MAX ? -1 : (int)((next - now) / 1000 + 1);
}

static bool any_worker(const struct parent *parent)
{
	for (size_t i = 0; i < parent->count; i++)
		if (parent->workers[i].pid > 0 || parent->leaving[i] > 0)
			return true;
	return false;
}

static void run(struct parent *parent)
{
	struct pollfd fds[] = {{parent->signals, POLLIN, 0}, {parent->started, POLLIN, 0}};
	struct signalfd_siginfo info;
	int64_t kill_at = 0;

	while (!parent->stopping || any_worker(parent)) {
		poll(fds, JOBQ_LENGTH(fds), do_due(parent));
		bool got = read(parent->signals, &info, sizeof(info)) == (ssize_t)sizeof(info) &&
			   !parent->stopping;
		count_started(parent);
		if (got && info.ssi_signo == SIGHUP) {
			reload(parent);
		} else if (got && info.ssi_signo != SIGCHLD) {
			jobq_log(JOBQ_LOG_INFO, "stopping", "signal=%u", info.ssi_signo);
			jobq_notify("STOPPING=1\nSTATUS=answering what has been asked");
			parent->stopping = true;
			kill_at = jobq_clock_mono() + STOP_GRACE;
			signal_workers(parent, SIGTERM);
		}
		reap(parent);
		if (parent->stopping && jobq_clock_mono() > kill_at)
			signal_workers(parent, SIGKILL);
	}
}

int api_prefork(struct jobq_conf *conf, const struct jobq_conf_args *args,
		struct api_pool *pools, size_t count)
{
	struct parent parent = {.conf = conf, .args = args};
	sigset_t set;

	jobq_notify_open();
	int status = api_listen(pools, count);
	if (status != 0)
		return status;
	for (size_t i = 0; i < count; i++) {
		for (unsigned n = 0; n < pools[i].processes && parent.count < WORKERS_MAX; n++)
			parent.workers[parent.count++].pool = &pools[i];
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	parent.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	parent.started = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	parent.awaited = parent.count;
	if (parent.signals < 0 || parent.started < 0 || pipe2(parent.lifeline, O_CLOEXEC) < 0) {
		jobq_log(JOBQ_LOG_ERROR, "not_started", "msg=\"%s\"", strerror(errno));
		return EX_OSERR;
	}
	jobq_log(JOBQ_LOG_INFO, "started", "version=%s", PACKAGE_VERSION);
	for (size_t i = 0; i < count; i++)
		jobq_log(JOBQ_LOG_INFO, "listening", "pool=%s path=\"%s\" passed=%s",
			 pools[i].name, pools[i].path, pools[i].passed ? "yes" : "no");
	kick_slots(conf);
	run(&parent);
	for (size_t i = 0; i < count; i++)
		api_listen_end(&pools[i]);
	jobq_log_leave();
	jobq_log(JOBQ_LOG_INFO, "stopped", "status=0");
	return 0;
}
