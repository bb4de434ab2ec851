/*
 * base: what every room stands on. Knows no other room.
 *
 * All functions may be called in any process and, unless one says otherwise,
 * in any thread.
 */
#ifndef JOBQ_BASE_H
#define JOBQ_BASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOBQ_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define JOBQ_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* ---- streams --------------------------------------------------------------- */

/*
 * Opens those of the three standard streams that are closed (`2>&-`) as ones that fail.
 * Else the first file or connection to be opened, which may be the store, would get
 * their number, and what is printed or logged. The first thing that a program does.
 */
void jobq_streams_keep(void);

/* ---- log: one line an event, to standard error ---------------------------- */

enum jobq_log_level { JOBQ_LOG_ERROR, JOBQ_LOG_WARNING, JOBQ_LOG_INFO, JOBQ_LOG_DEBUG };

/*
 * Names the program and sets the least important level that is written.
 * Called before threads start. Lines carry a time unless standard error is the
 * journal: when $JOURNAL_STREAM names it by device and inode. Then they go to the
 * journal's own socket as entries with the fields JOBQ_EVENT and JOBQ_JOB. Errors, and what
 * that socket does not take, go to standard error behind the priority `<N>` (sd-daemon(3)):
 * the journal looks up an entry's sender when it reads the entry, and has no unit for one
 * that is gone by then, while it knows whose standard error is whose.
 */
void jobq_log_open(const char *program, enum jobq_log_level level);

/* The process ends soon: all that it logs from now on goes to standard error. Any thread. */
void jobq_log_leave(void);

/*
 * Writes `event=NAME` and the fields made from `fmt`, which reads
 * `key=value key="text"`. One write(2) a line, so that lines of several
 * processes never mix. Control bytes in the fields become `?`: what a client
 * sent cannot forge a line. Keeps errno.
 */
void jobq_log(enum jobq_log_level level, const char *event, const char *fmt, ...)
	JOBQ_PRINTF(3, 4);

/*
 * Copies a text that others have chosen for use between quotation marks: `"` and
 * `\` get a backslash, so that it stays one field. What finds no room is cut.
 * Returns `into`.
 */
const char *jobq_log_quote(char *into, size_t room, const char *text);

/* ---- clock ---------------------------------------------------------------- */

/* Microseconds since 1970 (CLOCK_REALTIME): for what people see. */
int64_t jobq_clock_wall(void);
/* Microseconds of CLOCK_MONOTONIC: for deadlines. */
int64_t jobq_clock_mono(void);

/* ---- buf: bytes that grow ------------------------------------------------- */

/*
 * A zeroed struct is an empty buffer. An addition that runs out of memory
 * sets `failed` and later additions do nothing, so that a caller checks once,
 * at the end. There is always a NUL behind the last byte when data != NULL.
 */
struct jobq_buf {
	char *data; /* owned */
	size_t len;
	size_t room;
	bool failed;
};

void jobq_buf_free(struct jobq_buf *buf);
/* Makes room for `more` bytes behind the last one; false: out of memory. */
bool jobq_buf_reserve(struct jobq_buf *buf, size_t more);
void jobq_buf_add(struct jobq_buf *buf, const void *bytes, size_t len);
void jobq_buf_adds(struct jobq_buf *buf, const char *text);
void jobq_buf_addf(struct jobq_buf *buf, const char *fmt, ...) JOBQ_PRINTF(2, 3);
void jobq_buf_addu(struct jobq_buf *buf, uint64_t number);
/* Adds a JSON string with its quotes (RFC 8259 section 7); `text` is UTF-8. */
void jobq_buf_addjson(struct jobq_buf *buf, const char *text, size_t len);

/* ---- text ----------------------------------------------------------------- */

/*
 * Reads a decimal number that fills `len` bytes: digits only, no sign, no
 * leading zero but in "0". False when it is none or exceeds `max`.
 */
bool jobq_text_u64(const char *text, size_t len, uint64_t max, uint64_t *out);

/* Writes words, one at least, as a sentence has them: `a, b or c`. What finds no room is cut. */
void jobq_text_choice(char *into, size_t room, const char *const words[], size_t count);

/* ---- networks -------------------------------------------------------------- */

/* A network of either family; IPv4 as mapped into IPv6 (RFC 4291 section 2.5.5.2). */
struct jobq_net {
	uint8_t address[16];
	unsigned prefix; /* bits that count */
};
/* Reads CIDR form (RFC 4632), or one address; false when it is neither. */
bool jobq_net_parse(const char *text, struct jobq_net *out);
/* The mapped form of 4 bytes in network order. */
void jobq_net_map_v4(const void *v4, uint8_t into[16]);
bool jobq_net_has(const struct jobq_net *net, const uint8_t address[16]);

/* ---- notify: what the service manager hears of us (sd_notify(3)) ------------ */

/*
 * Takes $NOTIFY_SOCKET and the watchdog's variables out of the environment: no
 * child speaks in this process's name. Without them the others do nothing.
 * Called once, before threads start.
 */
void jobq_notify_open(void);

/* Sends `NAME=VALUE` lines, such as "READY=1\nSTATUS=serving". Keeps errno. */
void jobq_notify(const char *lines);

/* Says that the configuration is being read again, until READY=1 is sent. */
void jobq_notify_reloading(void);

/*
 * Gives a sign of life when one is due. Returns when the next one will be
 * (jobq_clock_mono(); INT64_MAX: never, no watchdog has been set). For one thread.
 */
int64_t jobq_notify_alive(int64_t now);

/* ---- passed: sockets that the service manager has opened (sd_listen_fds(3)) -- */

/*
 * Takes the sockets that were passed to this process: UNIX sockets of a type,
 * one a name. They are told apart by $LISTEN_FDNAMES, or by their order where
 * it has none of the names. Stream sockets are made to block, datagram sockets not to.
 * Returns 1, 0 when none were passed, or -1 when they are others, as `why` says.
 * Once, before threads start: the variables are taken out of the environment.
 */
int jobq_passed_sockets(const char *const names[], int fds[], size_t count, int type,
			struct jobq_buf *why);

/* ---- futex (futex(2)), shared between processes --------------------------- */

/*
 * Sleeps while *word is `seen`, until `deadline` (jobq_clock_mono(); negative:
 * none). Returns 0 when woken or when the word has changed, -ETIMEDOUT, or
 * -EINTR. Wake-ups may be spurious.
 */
int jobq_futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t deadline);

/*
 * The same for two words at once (futex_waitv, Linux 5.16): sleeps while both
 * have the values seen. Where the kernel lacks the call it sleeps on the
 * first alone; the second is then noticed late, at the deadline.
 */
int jobq_futex_wait2(_Atomic uint32_t *word, uint32_t seen, _Atomic uint32_t *other,
		     uint32_t other_seen, int64_t deadline);

void jobq_futex_wake(_Atomic uint32_t *word, int count);

#endif
