#include "config.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "hook/hook.h"

#define SECOND INT64_C(1000000)
#define FILES 4096		 /* for requests, kept connections and resolvers */
#define LOOK SECOND		 /* at whether the table is still the one */
#define ENTER_GRACE (5 * SECOND) /* for another jobq-hook that is about to end */
#define HANDLED_GRACE (5 * SECOND) /* for the outcomes that the last one has posted */
#define HANDLED_LOOK (SECOND / 50)
#define STOP_GRACE (2 * SECOND) /* for the requests that run */
#define POST_GRACE SECOND	/* for their outcomes */

struct hook {
	struct jobq_conf *conf; /* replaced by SIGHUP */
	const struct jobq_conf_args *args;
	struct jobq_table *table; /* NULL: not attached */
	bool entered;		  /* this process is the table's hook */
	bool ready;		  /* and what the last one had posted is stored */
	uint64_t posted;	  /* by the last one */
	int64_t ready_at, enter_until, attach_at, look_at; /* jobq_clock_mono() */
	struct jobq_buf refused; /* why there was no table at the last look */
	struct hook_guard guard;
	struct hook_sender *sender;
	struct hook_outbox outbox;
	struct hook_listener listener;
	uint64_t malformed; /* of its notices; told of in the log */
	pthread_t sleeper;
	bool sleeping; /* there is a sleeper */
	_Atomic uint32_t stop_sleeping;
	int signals;
	bool stopping;
	int status;
};

/* ---- the thread that sleeps until the writer rings ------------------------- */

static void *sleep_and_wake(void *arg)
{
	struct hook *hook = arg;
	uint32_t stop = 0;

	while ((stop = atomic_load(&hook->stop_sleeping)) % 2 == 0) {
		uint32_t seen = jobq_table_outbox_added(hook->table);
		hook_sender_wake(hook->sender);
		jobq_table_await_outbox(hook->table, seen, jobq_clock_mono() + 60 * SECOND,
					&hook->stop_sleeping, stop);
	}
	return NULL;
}

/* stop_sleeping is odd when the thread is to end. */
static void start_sleeper(struct hook *hook)
{
	atomic_store(&hook->stop_sleeping, 0);
	int rc = pthread_create(&hook->sleeper, NULL, sleep_and_wake, hook);
	hook->sleeping = rc == 0;
	if (rc != 0) /* then news are found at the next look */
		jobq_log(JOBQ_LOG_ERROR, "thread_failed", "msg=\"%s\"", strerror(rc));
}

static void end_sleeper(struct hook *hook)
{
	if (!hook->sleeping)
		return;
	jobq_table_interrupt(&hook->stop_sleeping);
	pthread_join(hook->sleeper, NULL);
	hook->sleeping = false;
}

/* ---- the table ------------------------------------------------------------ */

static void tell_state(struct hook *hook)
{
	jobq_notify(hook->entered ? "READY=1\nSTATUS=delivering"
				  : "READY=1\nSTATUS=waiting for the job table");
}

static void detach(struct hook *hook)
{
	bool told = hook->entered && !hook->stopping;

	end_sleeper(hook);
	hook_listen_set_table(&hook->listener, NULL);
	if (hook->table != NULL)
		jobq_table_detach(hook->table);
	hook->table = NULL;
	hook->entered = hook->ready = false;
	if (told)
		tell_state(hook);
}

static void attach(struct hook *hook, int64_t now)
{
	struct jobq_buf why = {0};

	if (now < hook->attach_at)
		return;
	hook->attach_at = now + SECOND;
	int rc = jobq_table_attach(hook->conf->table_name, &hook->table, &why);
	if (rc < 0)
		hook->table = NULL;
	/* Said once: the next look, in a second, will find the same. */
	if (why.len > 0 && (hook->refused.len == 0 || strcmp(why.data, hook->refused.data) != 0))
		jobq_log(JOBQ_LOG_ERROR, "table_refused", "msg=\"%s\"", why.data);
	jobq_buf_free(&hook->refused);
	hook->refused = why;
}

/* Another one may be about to end; if it is not, there is no use for a second. */
static void enter(struct hook *hook, int64_t now)
{
	if (jobq_table_hook_enter(hook->table) < 0) {
		if (hook->enter_until == 0)
			hook->enter_until = now + ENTER_GRACE;
		if (now < hook->enter_until)
			return;
		jobq_log(JOBQ_LOG_ERROR, "already_running",
			 "table=%s msg=\"another jobq-hook serves this table: stop it first\"",
			 hook->conf->table_name);
		hook->status = EX_TEMPFAIL;
		hook->stopping = true;
		return;
	}
	hook->enter_until = 0;
	hook->entered = true;
	hook->posted = jobq_table_posted(hook->table);
	hook->ready_at = now + HANDLED_GRACE;
	hook_outbox_restart(&hook->outbox);
	if (hook->listener.fd < 0)
		hook_listen(&hook->listener, hook->conf->notice_socket);
	hook_listen_set_table(&hook->listener, hook->table);
	start_sleeper(hook);
	tell_state(hook);
	jobq_log(JOBQ_LOG_INFO, "table_attached", "table=%s generation=%08x",
		 hook->conf->table_name, jobq_table_generation(hook->table));
}

static bool is_gone(struct hook *hook, int64_t now)
{
	if (jobq_table_retired(hook->table))
		return true;
	if (now < hook->look_at)
		return false;
	hook->look_at = now + LOOK;
	return !jobq_table_owned(hook->table) && jobq_table_replaced(hook->table);
}

/* Takes steps towards a table that one can work with; whether there is one. */
static bool have_table(struct hook *hook)
{
	int64_t now = jobq_clock_mono();

	if (hook->table != NULL && is_gone(hook, now)) {
		detach(hook);
		hook->attach_at = 0;
	}
	if (hook->table == NULL)
		attach(hook, now);
	if (hook->table != NULL && !hook->entered)
		enter(hook, now);
	if (hook->entered && !hook->ready)
		hook->ready = jobq_table_handled(hook->table) >= hook->posted ||
			      now >= hook->ready_at;
	return hook->ready;
}

/* ---- configuration -------------------------------------------------------- */

/* Said once, here: else it would be told of each delivery only. */
static void check_ca(const struct jobq_conf *conf)
{
	if (conf->webhook_ca[0] != '\0' && access(conf->webhook_ca, R_OK) < 0)
		jobq_log(JOBQ_LOG_ERROR, "webhook_ca_unreadable",
			 "path=\"%s\" msg=\"%s: nothing can be sent by https\"", conf->webhook_ca,
			 strerror(errno));
}

/* What differs and cannot be changed while it runs, or NULL. */
static const char *needs_restart(const struct jobq_conf *now, const struct jobq_conf *fresh)
{
	if (strcmp(now->table_name, fresh->table_name) != 0)
		return "table_name needs a restart of jobq-hook to change";
	if (strcmp(now->store, fresh->store) != 0)
		return "store needs a restart of jobq-hook to change";
	if (strcmp(now->notice_socket, fresh->notice_socket) != 0)
		return "notice_socket needs a restart of jobq-hook to change";
	return NULL;
}

static void reload(struct hook *hook)
{
	const struct jobq_conf_args *args = hook->args;
	struct jobq_conf fresh;
	struct jobq_buf errors = {0};

	jobq_notify_reloading();
	bool good = jobq_conf_load(&fresh, args->file, args->settings, args->setting_count, &errors);
	const char *why = good ? needs_restart(hook->conf, &fresh) : jobq_conf_one_line(&errors);

	if (good && why == NULL && hook_guard_set(&hook->guard, &fresh)) {
		hook_sender_renew(hook->sender, fresh.webhook_ca);
		jobq_conf_free(hook->conf);
		*hook->conf = fresh;
		jobq_log_open("jobq-hook", fresh.log_level);
		jobq_log(JOBQ_LOG_INFO, "reloaded", "file=\"%s\"", args->file);
		check_ca(&fresh);
		tell_state(hook);
	} else {
		jobq_log(JOBQ_LOG_ERROR, "reload_refused", "msg=\"%s\"",
			 why != NULL ? why : "out of memory");
		jobq_notify("READY=1\nSTATUS=the last reload was refused, the log says why");
		jobq_conf_free(&fresh);
	}
	jobq_buf_free(&errors);
}

/* ---- signals -------------------------------------------------------------- */

static void take_signals(struct hook *hook)
{
	struct signalfd_siginfo info;

	while (read(hook->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			reload(hook);
		} else if (!hook->stopping) {
			jobq_log(JOBQ_LOG_INFO, "stopping", "signal=%u requests=%zu",
				 info.ssi_signo, hook_sender_running(hook->sender));
			jobq_notify("STOPPING=1\nSTATUS=ending the requests that run");
			hook->stopping = true;
		}
	}
}

static bool open_signals(struct hook *hook)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	hook->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return hook->signals >= 0;
}

/* ---- running -------------------------------------------------------------- */

static int64_t earlier(int64_t one, int64_t other)
{
	return one < other ? one : other;
}

/* Sleeps at most until `next` (jobq_clock_mono()). */
static void wait_until(struct hook *hook, int64_t next)
{
	int64_t left = next - jobq_clock_mono();

	hook_sender_wait(hook->sender, hook->signals, left <= 0 ? 0 : (int)(left / 1000 + 1));
}

static void collect(struct hook *hook)
{
	struct hook_answer answer;

	hook_sender_perform(hook->sender);
	while (hook_sender_ended(hook->sender, &answer))
		hook_outbox_ended(&hook->outbox, &answer);
}

static void tell_malformed(struct hook *hook)
{
	uint64_t malformed = atomic_load(&hook->listener.malformed);

	if (malformed != hook->malformed)
		jobq_log(JOBQ_LOG_DEBUG, "notices_malformed", "count=%llu",
			 (unsigned long long)(malformed - hook->malformed));
	hook->malformed = malformed;
}

/* One round of everything; returns when the next is due at the latest. */
static int64_t turn(struct hook *hook)
{
	int64_t now = jobq_clock_mono(), next = earlier(now + LOOK, jobq_notify_alive(now));

	take_signals(hook);
	if (hook->stopping)
		return 0;
	bool have = have_table(hook);
	if (hook->entered && !have)
		next = jobq_clock_mono() + HANDLED_LOOK;
	collect(hook);
	if (have) {
		hook_outbox_post(&hook->outbox, hook->table, false);
		int64_t wall = hook_outbox_turn(&hook->outbox, hook->conf, hook->table,
						hook->sender);
		if (wall != INT64_MAX)
			next = earlier(next, jobq_clock_mono() + wall - jobq_clock_wall());
		if (hook->outbox.post.count > 0)
			next = earlier(next, hook->outbox.post.since + HOOK_BATCH);
	}
	tell_malformed(hook);
	return next;
}

/* Requests that run have a moment to end; what is known of any goes to the writer. */
static void stop(struct hook *hook)
{
	int64_t until = jobq_clock_mono() + STOP_GRACE;

	while (hook_sender_running(hook->sender) > 0 && jobq_clock_mono() < until) {
		collect(hook);
		if (hook_sender_running(hook->sender) > 0)
			hook_sender_wait(hook->sender, -1,
					 (int)((until - jobq_clock_mono()) / 1000 + 1));
	}
	until = jobq_clock_mono() + POST_GRACE;
	while (hook->ready && hook->outbox.post.count > 0 && jobq_clock_mono() < until) {
		hook_outbox_post(&hook->outbox, hook->table, true);
		if (hook->outbox.post.count > 0)
			hook_sender_wait(hook->sender, -1, 10);
	}
}

static void raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= FILES)
		return;
	files.rlim_cur = files.rlim_max < FILES ? files.rlim_max : FILES;
	setrlimit(RLIMIT_NOFILE, &files);
}

int hook_main(struct jobq_conf *conf, const struct jobq_conf_args *args)
{
	static struct hook hook;

	hook.conf = conf;
	hook.args = args;
	hook.signals = hook.listener.fd = -1;
	pthread_mutex_init(&hook.listener.lock, NULL);
	jobq_notify_open();
	raise_files();
	if (!hook_listen_passed(&hook.listener))
		return EX_CONFIG;
	bool good = open_signals(&hook) && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
		    hook_guard_set(&hook.guard, conf) &&
		    (hook.sender = hook_sender_open(&hook.guard, conf->webhook_ca)) != NULL;
	if (!good) {
		jobq_log(JOBQ_LOG_ERROR, "not_started", "msg=\"%s\"", strerror(errno));
		return EX_OSERR;
	}
	jobq_log(JOBQ_LOG_INFO, "started", "version=%s table=%s store=\"%s\"", PACKAGE_VERSION,
		 conf->table_name, conf->store);
	check_ca(conf);
	tell_state(&hook);
	while (!hook.stopping) {
		int64_t next = turn(&hook);
		if (!hook.stopping)
			wait_until(&hook, next);
	}
	stop(&hook);
	hook_listen_end(&hook.listener, conf->notice_socket);
	hook_sender_close(hook.sender);
	hook_outbox_free(&hook.outbox);
	detach(&hook);
	jobq_buf_free(&hook.refused);
	hook_guard_free(&hook.guard);
	close(hook.signals);
	curl_global_cleanup();
	jobq_log_leave();
	jobq_log(JOBQ_LOG_INFO, "stopped", "status=%d", hook.status);
	return hook.status;
}
