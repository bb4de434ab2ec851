/*
 * The one table of options: X(KIND, name, default, least, most, sentence).
 *
 * Made from it: struct jobq_conf, the parser, `--help`, and the test that
 * README and man pages name every option. Kinds:
 *   TEXT  a string                        LIST  a string; each line adds one
 *   COUNT a whole number                  SIZE  bytes; K, M, G may follow
 *   TIME  seconds; ms, s, m, h, d may follow; kept in milliseconds
 *   LEVEL error, warning, info or debug
 *   NETS  a network in CIDR form; each line adds one    PORTS  likewise a port
 *   DURABILITY off, fast or full
 * For SIZE the bounds are bytes, for TIME milliseconds.
 */
#define JOBQ_CONF_OPTIONS(X)                                                                       \
	X(TEXT, project, "", 0, 0, "root directory of the Godot project; needed")                  \
	X(LIST, whitelist, "", 0, 0,                                                               \
	  "scene paths that jobs may name: an exact path, a directory ending in /, or a glob")     \
	X(LIST, blacklist, "", 0, 0,                                                               \
	  "paths that are never opened, whatever the whitelist says or a scene refers to")         \
	X(TEXT, api_socket, "/run/jobq/api.sock", 0, 0, "FastCGI socket of the plain requests")    \
	X(TEXT, wait_socket, "/run/jobq/wait.sock", 0, 0,                                          \
	  "FastCGI socket of the requests that take long: ?wait= and whole lists")                 \
	X(COUNT, api_processes, "0", 0, 64,                                                        \
	  "processes that serve plain requests; 0: as many as processors, two at least")           \
	X(COUNT, api_threads, "160", 1, 900,                                                       \
	  "requests that each of them serves at a time; processes x threads must exceed twice "    \
	  "nginx workers x keepalive")                                                             \
	X(COUNT, wait_threads, "512", 8, 900, "requests that take long, served at a time")         \
	X(COUNT, event_listeners, "2000", 1, 100000, "clients that may listen to events at a time") \
	X(TEXT, notice_socket, "/run/jobq/notice.sock", 0, 0,                                      \
	  "datagram socket of jobq-hook, where nginx tells of refused requests")                   \
	X(NETS, webhook_allow, "", 0, 0,                                                           \
	  "networks (CIDR) that webhooks may reach though they are not public, such as "           \
	  "127.0.0.0/8")                                                                           \
	X(PORTS, webhook_ports, "", 0, 0, "ports that webhooks may reach: all when there is none") \
	X(TEXT, webhook_ca, "", 0, 0,                                                              \
	  "file with the certificates that receivers' are checked against; empty: the system's")   \
	X(COUNT, webhook_backlog, "100000", 1, 10000000,                                           \
	  "deliveries that may wait for one webhook; those beyond it fail at once")                \
	X(TEXT, table_name, "/jobq", 0, 0, "name of the shared memory with the job table")         \
	X(SIZE, table_max, "1G", 8388608, 68719476736,                                             \
	  "most memory the job table may take; submissions beyond it are answered 503")            \
	X(TEXT, store, "/var/lib/jobq/jobq.db", 0, 0, "file that keeps the jobs")                  \
	X(DURABILITY, durability, "full", 0, 0,                                                    \
	  "what an answer waits for: full: the jobs' change is on the disk; fast: it is with the " \
	  "kernel; off: nothing")                                                                  \
	X(TIME, submit_timeout, "5s", 1, 60000,                                                    \
	  "how long a request waits for the store, or for a jobqd that is being restarted, "       \
	  "before it is answered 503")                                                             \
	X(SIZE, scene_cache_size, "64M", 1048576, 17179869184, "size of the scene cache")          \
	X(TIME, retention, "24h", 1, 3153600000000, "how long finished jobs are kept")             \
	X(TIME, cleanup_interval, "1h", 10, 86400000, "how often older ones are removed")          \
	X(TIME, job_timeout, "1h", 10, 86400000, "a job that runs longer is ended and failed")     \
	X(TIME, drain_timeout, "10s", 0, 3600000,                                                  \
	  "how long a stopping jobqd waits for running jobs")                                      \
	X(TEXT, tokens_file, "/etc/jobq/tokens.json", 0, 0,                                        \
	  "file with the hashes of clients' tokens, which nginx reads and jobqctl changes")        \
	X(TEXT, nginx_reload, "nginx -t -q && nginx -s reload", 0, 0,                              \
	  "command with which jobqctl has nginx read it again")                                    \
	X(TEXT, nginx_pid, "/run/nginx.pid", 0, 0,                                                 \
	  "file with the process id of that nginx: jobqctl waits for its new workers")             \
	X(LEVEL, log_level, "info", 0, 0, "least important messages that are logged")
