/*
 * doctor, what is on this machine. Nothing is changed, and nothing waits for
 * long.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/doctor.h"
#include "jobq/store.h"

#define ANSWER_SECONDS 5
#define MIB (UINT64_C(1) << 20)
#define ROOM_FAIL (16 * MIB) /* on the store's disk */
#define ROOM_WARN (256 * MIB)

extern char **environ;

/* ---- nginx -------------------------------------------------------------------------- */

/* Runs `nginx -t`; returns its exit status with what it said, or a negative errno. */
static int test_nginx(char *said, size_t room)
{
	char *argv[] = {"nginx", "-t", "-q", NULL};
	posix_spawn_file_actions_t actions;
	int fds[2], status = 0;
	pid_t pid;

	said[0] = '\0';
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDERR_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	int rc = -posix_spawnp(&pid, "/usr/sbin/nginx", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (rc == 0) {
		size_t len = 0;
		ssize_t got;
		while (len < room - 1 && (got = read(fds[0], said + len, room - 1 - len)) > 0)
			len += (size_t)got;
		said[len] = '\0';
		close(fds[0]);
		fds[0] = -1;
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			continue;
		rc = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	}
	if (fds[0] >= 0)
		close(fds[0]);
	return rc;
}

void ctl_doctor_nginx(struct ctl_doctor *doctor)
{
	char said[512];

	if (access("/usr/sbin/nginx", X_OK) < 0) {
		ctl_doctor_say(doctor, CTL_WARN, "nginx", "apt-get install nginx, if it is to be here",
			       "it is not installed on this machine");
		return;
	}
	if (geteuid() != 0) {
		ctl_doctor_say(doctor, CTL_WARN, "nginx", "run jobqctl doctor as root",
			       "its configuration was not tried, which takes root");
		return;
	}
	int rc = test_nginx(said, sizeof(said));
	said[strcspn(said, "\n")] = '\0';
	if (rc == 0)
		ctl_doctor_say(doctor, CTL_GOOD, "nginx", NULL, "its configuration is valid");
	else
		ctl_doctor_say(doctor, CTL_FAIL, "nginx", "mend that; `nginx -t` says when it is well",
			       "its configuration is not valid: %s", said);
}

/* ---- configuration and project ---------------------------------------------------------- */

/* Each line of what is wrong. */
static void say_errors(struct ctl_doctor *doctor, const char *part, struct jobq_buf *errors)
{
	char *line = errors->data, *end;

	for (; line != NULL && *line != '\0'; line = end + 1) {
		end = strchrnul(line, '\n');
		bool last = *end == '\0';
		*end = '\0';
		ctl_doctor_say(doctor, CTL_FAIL, part, "mend that line; `jobqd -t` checks them all",
			       "%s", line);
		if (last)
			break;
	}
}

static bool look_at_configuration(struct ctl_doctor *doctor, struct jobq_conf *conf)
{
	const struct ctl_given *given = ctl_given();
	struct jobq_buf errors = {0};

	bool good = jobq_conf_load(conf, given->local.file, given->local.settings,
				   given->local.setting_count, &errors);
	if (good)
		ctl_doctor_say(doctor, CTL_GOOD, "configuration", NULL, "%s is valid",
			       given->local.file);
	else
		say_errors(doctor, "configuration", &errors);
	jobq_buf_free(&errors);
	return good;
}

static void look_at_project(struct ctl_doctor *doctor, const struct jobq_conf *conf)
{
	struct jobq_buf errors = {0}, path = {0};

	jobq_buf_addf(&path, "%s/project.godot", conf->project);
	if (!jobq_conf_check_project(conf, &errors))
		say_errors(doctor, "project", &errors);
	else if (access(path.data, R_OK) < 0)
		ctl_doctor_say(doctor, CTL_FAIL, "project",
			       "set `project` to the directory with project.godot, and let jobqd's "
			       "user read it",
			       "%s: %s", path.data, strerror(errno));
	else
		ctl_doctor_say(doctor, CTL_GOOD, "project", NULL, "%s can be read", conf->project);
	if (conf->whitelist.count == 0)
		ctl_doctor_say(doctor, CTL_WARN, "project", "add lines such as `whitelist = res://`",
			       "no scene may be named: the whitelist is empty");
	jobq_buf_free(&errors);
	jobq_buf_free(&path);
}

/* ---- table and store ----------------------------------------------------------------------- */

static void look_at_numbers(struct ctl_doctor *doctor, struct jobq_table *table)
{
	struct jobq_table_stats stats;
	unsigned workers = 0;

	jobq_table_stats(table, &stats);
	for (unsigned slot = 0; slot < JOBQ_SLOTS; slot++) {
		struct jobq_table_slot at;
		jobq_table_slot(table, slot, &at);
		workers += at.pid != 0;
	}
	if (!jobq_table_owned(table))
		ctl_doctor_say(doctor, CTL_FAIL, "job table", "start jobqd", "no jobqd owns it");
	else if (!stats.ready)
		ctl_doctor_say(doctor, CTL_WARN, "job table", "wait", "it is being filled");
	else if (stats.draining)
		ctl_doctor_say(doctor, CTL_WARN, "job table", "start jobqd again when it has ended",
			       "its jobqd is stopping");
	else
		ctl_doctor_say(doctor, workers == JOBQ_SLOTS ? CTL_GOOD : CTL_WARN, "job table",
			       "they come back by themselves; if not, look at jobqd's log",
			       "owned by a jobqd with %u of %d workers", workers, JOBQ_SLOTS);
	if (stats.store_error != 0)
		ctl_doctor_say(doctor, CTL_FAIL, "job table",
			       "make room on the store's disk; it goes on by itself",
			       "the store takes nothing: %s", strerror(stats.store_error));
	if (stats.bytes_max - stats.bytes_committed + stats.bytes_free < stats.bytes_max / 10)
		ctl_doctor_say(doctor, CTL_WARN, "job table", "raise table_max, or lower retention",
			       "it is nearly full: %llu of %llu MiB",
			       (unsigned long long)((stats.bytes_committed - stats.bytes_free) / MIB),
			       (unsigned long long)(stats.bytes_max / MIB));
}

/* The store that the table belongs to; 0: not known. */
static uint64_t look_at_table(struct ctl_doctor *doctor, const struct jobq_conf *conf)
{
	struct jobq_table *table = NULL;
	struct jobq_buf why = {0};
	uint64_t store = 0;

	int rc = jobq_table_attach(conf->table_name, &table, &why);
	if (rc == -EPROTO) {
		ctl_doctor_say(doctor, CTL_FAIL, "job table",
			       "start and stop the release that made it, which stores its jobs; or "
			       "`jobqctl remove-table`",
			       "%s", why.data != NULL ? why.data : "of another layout");
	} else if (rc == -EACCES) {
		ctl_doctor_say(doctor, CTL_WARN, "job table", "run jobqctl doctor as root",
			       "%s may not be read by this user", conf->table_name);
	} else if (rc < 0) {
		ctl_doctor_say(doctor, CTL_FAIL, "job table", "start jobqd and look at its log",
			       "%s: %s", conf->table_name,
			       why.len > 0 ? why.data : "there is none");
	} else {
		look_at_numbers(doctor, table);
		store = jobq_table_store_id(table);
		jobq_table_detach(table);
	}
	jobq_buf_free(&why);
	return store;
}

static void look_at_store(struct ctl_doctor *doctor, const struct jobq_conf *conf, uint64_t wanted)
{
	struct jobq_store *store = NULL;
	struct jobq_store_meta meta = {0};
	struct jobq_buf why = {0};

	int rc = jobq_store_open(conf->store, JOBQ_STORE_READ, conf->durability, &store, &why);
	if (rc == 0)
		rc = jobq_store_meta(store, &meta);
	if (rc == -EACCES)
		ctl_doctor_say(doctor, CTL_WARN, "store", "run jobqctl doctor as root",
			       "%s may not be read by this user", conf->store);
	else if (rc == -ENOENT)
		ctl_doctor_say(doctor, CTL_FAIL, "store", "jobqd makes it when it starts",
			       "%s is not there", conf->store);
	else if (rc == -EUCLEAN)
		ctl_doctor_say(doctor, CTL_FAIL, "store",
			       "put a backup in its place (README, Back up), or move it away",
			       "%s is damaged", conf->store);
	else if (rc < 0)
		ctl_doctor_say(doctor, CTL_FAIL, "store", "run the release that wrote it, if it is newer",
			       "%s", why.data != NULL ? why.data : strerror(-rc));
	else if (wanted != 0 && wanted != meta.store_id)
		ctl_doctor_say(doctor, CTL_FAIL, "store",
			       "configure the table's store, or `jobqctl remove-table`",
			       "%s is not the one that the job table belongs to", conf->store);
	else
		ctl_doctor_say(doctor, CTL_GOOD, "store", NULL, "%s opens, its schema is of this release",
			       conf->store);
	jobq_store_close(store);
	jobq_buf_free(&why);
}

/* ---- room -------------------------------------------------------------------------------------- */

static void look_at_room(struct ctl_doctor *doctor, const char *part, const char *where,
			 uint64_t fail, uint64_t warn, const char *advice)
{
	struct statvfs fs;

	if (statvfs(where, &fs) < 0) {
		ctl_doctor_say(doctor, CTL_FAIL, part, "make that directory", "%s: %s", where,
			       strerror(errno));
		return;
	}
	const uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
	ctl_doctor_say(doctor, room < fail ? CTL_FAIL : room < warn ? CTL_WARN : CTL_GOOD, part,
		       advice, "%llu MiB are free in %s", (unsigned long long)(room / MIB), where);
	if (fs.f_files > 0 && fs.f_favail == 0)
		ctl_doctor_say(doctor, CTL_FAIL, part, "remove files", "no inode is free in %s", where);
}

static void look_at_rooms(struct ctl_doctor *doctor, const struct jobq_conf *conf)
{
	char *place = strdup(conf->store);
	/* The table grows to table_max only as jobs come: much less is enough to work. */
	const uint64_t most = conf->table_max + conf->scene_cache_size;

	if (place == NULL)
		abort();
	look_at_room(doctor, "disk", dirname(place), ROOM_FAIL, ROOM_WARN,
		     "make room: without it nothing can be submitted");
	look_at_room(doctor, "shared memory", "/dev/shm", MIB, most < ROOM_WARN ? most : ROOM_WARN,
		     "enlarge /dev/shm, or lower table_max and scene_cache_size");
	free(place);
}

/* ---- sockets --------------------------------------------------------------------------------------- */

static int connect_to(const char *path, int type)
{
	const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	int rc = -errno;
	close(fd);
	return rc;
}

/* The FastCGI specification's section 3.3; no content here has 128 bytes. */
static void add_record(struct jobq_buf *out, unsigned char type, const char *content, size_t len)
{
	const unsigned char head[8] = {1, type, 0, 1, 0, (unsigned char)len, 0, 0};

	jobq_buf_add(out, head, sizeof(head));
	jobq_buf_add(out, content, len);
}

static void add_pair(struct jobq_buf *out, const char *name, const char *value)
{
	const char lengths[2] = {(char)strlen(name), (char)strlen(value)};

	jobq_buf_add(out, lengths, 2);
	jobq_buf_adds(out, name);
	jobq_buf_adds(out, value);
}

/* Asks jobq-api for its health, as nginx would. Returns 0 or a negative errno. */
static int ask_for_health(int fd)
{
	static const char begin[8] = {0, 1, 0, 0, 0, 0, 0, 0}; /* a responder; close at the end */
	struct jobq_buf pairs = {0}, out = {0};
	char answer[64];
	size_t len = 0;
	ssize_t got = 1;
	int rc = 0;

	add_pair(&pairs, "REQUEST_METHOD", "GET");
	add_pair(&pairs, "DOCUMENT_URI", "/healthz");
	add_record(&out, 1, begin, sizeof(begin));
	add_record(&out, 4, pairs.data, pairs.len);
	add_record(&out, 4, "", 0);
	add_record(&out, 5, "", 0);
	if (send(fd, out.data, out.len, MSG_NOSIGNAL) != (ssize_t)out.len)
		rc = -errno;
	while (rc == 0 && len < 8 + 7 && (got = recv(fd, answer + len, sizeof(answer) - len, 0)) > 0)
		len += (size_t)got;
	if (rc == 0 && got < 0)
		rc = errno == EAGAIN ? -ETIMEDOUT : -errno;
	else if (rc == 0 && (len < 8 + 7 || memcmp(answer + 8, "Status:", 7) != 0))
		rc = -EPROTO;
	jobq_buf_free(&pairs);
	jobq_buf_free(&out);
	return rc;
}

static void look_at_api(struct ctl_doctor *doctor, const char *part, const char *path)
{
	int fd = connect_to(path, SOCK_STREAM);
	int rc = fd < 0 ? fd : ask_for_health(fd);

	if (fd >= 0)
		close(fd);
	if (rc == -EACCES)
		ctl_doctor_say(doctor, CTL_WARN, part, "run jobqctl doctor as root",
			       "%s may not be used by this user", path);
	else if (rc < 0)
		ctl_doctor_say(doctor, CTL_FAIL, part,
			       rc == -ENOENT || rc == -ECONNREFUSED
				       ? "start jobq-api"
				       : "look at jobq-api's log, and start it again",
			       "%s: %s", path,
			       rc == -ETIMEDOUT ? "no answer from jobq-api" : strerror(-rc));
	else
		ctl_doctor_say(doctor, CTL_GOOD, part, NULL, "%s: jobq-api answers", path);
}

static void look_at_hook(struct ctl_doctor *doctor, const char *path)
{
	int fd = connect_to(path, SOCK_DGRAM);

	if (fd >= 0)
		close(fd);
	if (fd == -EACCES)
		ctl_doctor_say(doctor, CTL_WARN, "webhooks", "run jobqctl doctor as root",
			       "%s may not be used by this user", path);
	else if (fd < 0)
		ctl_doctor_say(doctor, CTL_FAIL, "webhooks",
			       "start jobq-hook; what it has to send waits in the store", "%s: %s",
			       path, strerror(-fd));
	else
		ctl_doctor_say(doctor, CTL_GOOD, "webhooks", NULL, "%s: jobq-hook listens", path);
}

void ctl_doctor_local(struct ctl_doctor *doctor)
{
	struct jobq_conf conf;

	if (!ctl_given()->config && access(JOBQ_CONF_FILE, F_OK) < 0 && errno == ENOENT) {
		ctl_doctor_say(doctor, CTL_WARN, "configuration",
			       "name it with -c FILE, if the service is on this machine",
			       "there is no " JOBQ_CONF_FILE "; nothing here was looked at");
		return;
	}
	if (look_at_configuration(doctor, &conf)) {
		look_at_project(doctor, &conf);
		look_at_store(doctor, &conf, look_at_table(doctor, &conf));
		look_at_rooms(doctor, &conf);
		look_at_api(doctor, "api socket", conf.api_socket);
		look_at_api(doctor, "wait socket", conf.wait_socket);
		look_at_hook(doctor, conf.notice_socket);
	}
	jobq_conf_free(&conf);
}
