/*
 * hook: jobq-hook, which sends webhooks what waits for them in the store's outbox,
 * and tells the application of requests that nginx has refused. The only
 * program that may reach the network, and the only one that knows libcurl.
 *
 * It owns nothing: what waits is in the store, what became of it goes to the
 * store's writer as messages in the table. Killed at any time it goes on where
 * it was; an attempt whose outcome had not arrived is made again, with the same
 * `webhook-id`. One thread does it all, in curl_multi_poll(3), but for two: one sleeps
 * until the writer rings and wakes the first, and one takes what nginx tells.
 */
#ifndef JOBQ_HOOK_HOOK_H
#define JOBQ_HOOK_HOOK_H

#include <pthread.h>
#include <sys/types.h>

#include "jobq/conf.h"
#include "jobq/event.h"
#include "jobq/store_hooks.h"
#include "jobq/table_hooks.h"

#define HOOK_AT_ONCE 5	  /* requests at a time for one webhook */
#define HOOK_WINDOW 1000  /* waiting deliveries of one webhook that are known here */
#define HOOK_TIMEOUT 10	  /* seconds for a request, the connecting included */
#define HOOK_BATCH 20000  /* microseconds that outcomes may wait for others */
#define HOOK_OUTCOMES 1024 /* that find no room with the writer; no request starts beyond */
#define HOOK_NOTICES_A_SECOND 5 /* events of each kind */

/* ---- guard.c: which addresses may be reached; pure ------------------------- */

struct hook_guard {
	struct jobq_net *allow; /* though they are not public */
	size_t allow_count;
	uint16_t *ports; /* none: all */
	size_t port_count;
};

/* Takes what the configuration says in the place of what it had. False: no memory. */
bool hook_guard_set(struct hook_guard *guard, const struct jobq_conf *conf);
void hook_guard_free(struct hook_guard *guard);
/* Whether an address (IPv4 as mapped, jobq_net_map_v4()) is public, or allowed. */
bool hook_guard_allows(const struct hook_guard *guard, const uint8_t address[16]);
bool hook_guard_allows_port(const struct hook_guard *guard, unsigned port);

/* ---- sign.c: signatures of a body; pure ------------------------------------ */

#define HOOK_SIGN_HEX 65 /* bytes of each, NUL included */
#define HOOK_SIGN_V1 48

/* HMAC-SHA256 of the body under the secret's bytes, in lower hex. */
void hook_sign_hex(const char *secret, const char *body, size_t len, char into[HOOK_SIGN_HEX]);
/*
 * Standard Webhooks: `v1,` and base64 of the HMAC-SHA256 of `id.timestamp.body`. The key is
 * what stands behind `whsec_`, decoded, or the secret's bytes. False: no memory.
 */
bool hook_sign_v1(const char *secret, const char *id, int64_t timestamp, const char *body,
		  size_t len, char into[HOOK_SIGN_V1]);

/* ---- judge.c: what an answer means; pure ----------------------------------- */

/* What came of a request. */
struct hook_answer {
	uint64_t webhook, event;
	long status;	     /* of HTTP; 0: there was no whole answer */
	int64_t retry_after; /* seconds that the answer asks for; 0: none */
	uint32_t payload_size;
	char message[JOBQ_DELIVERY_MESSAGE];
};

/* Makes the outcome of an attempt, `attempts` being its number. */
void hook_judge(const struct hook_answer *answer, unsigned attempts, int64_t now,
		struct jobq_outcome *out);
/* Copies what may go into a message: printable ASCII, cut to its room. */
void hook_judge_text(char into[JOBQ_DELIVERY_MESSAGE], const char *text);

/* ---- schedule.c: what waits for one webhook, and what may be sent; pure ---- */

enum hook_entry_state {
	HOOK_WAITING,
	HOOK_RUNNING, /* a request of it is under way */
	HOOK_SETTLED, /* it has ended, but the store may not know that yet */
};

struct hook_entry {
	uint64_t event, job;
	int64_t due;	 /* microseconds since 1970 */
	uint64_t posted; /* SETTLED: the position of the message about it; 0: not posted yet */
	enum jobq_event_kind kind;
	enum hook_entry_state state;
	unsigned attempts;
	bool seen; /* by the reading that is going on */
};

/* A window onto the deliveries that wait, by rising event. A zeroed one is empty. */
struct hook_window {
	struct hook_entry *entries;
	size_t count, known; /* `known`: how many of them were there when a reading began */
	uint64_t last;	     /* event up to which the store has been read */
	bool more;	     /* there may be more behind that */
	bool anew;	     /* the store is to be read from its beginning */
	bool again;	     /* the store has some that are settled here: look again later */
	unsigned running;
};

bool hook_window_open(struct hook_window *window); /* false: no memory */
void hook_window_free(struct hook_window *window);
/* Forgets what waits; what is running or settled stays. */
void hook_window_clear(struct hook_window *window);
/* NULL: it is not in it. */
struct hook_entry *hook_window_find(struct hook_window *window, uint64_t event);

/* How many deliveries to read, and behind which event; 0: none just now. */
size_t hook_window_wants(struct hook_window *window, uint64_t *after);
/* Takes in one that was read. */
void hook_window_offer(struct hook_window *window, const struct jobq_pending *pending);
/* The reading has ended; `whole`: there were no more in the store. */
void hook_window_taken(struct hook_window *window, bool whole);

/*
 * Picks up to `max` that may be sent now, first come first served, but none
 * before all earlier ones of its job are settled. *next becomes when to look again (INT64_MAX:
 * not before something else has changed).
 */
size_t hook_window_pick(struct hook_window *window, int64_t now, struct hook_entry **out,
			size_t max, int64_t *next);
/* The request for an entry has ended so. */
void hook_window_ended(struct hook_window *window, struct hook_entry *entry,
		       const struct jobq_outcome *outcome);
/* Forgets those settled ones that the store knows of: messages up to `handled`. */
void hook_window_prune(struct hook_window *window, uint64_t handled);
/* What was posted may be lost: forgets those settled ones, and reads anew. */
void hook_window_restart(struct hook_window *window);

/* ---- send.c: requests ------------------------------------------------------ */

struct hook_sender;

/*
 * NULL: no memory. `guard` is looked at whenever a connection is made; `ca` is the
 * file with certificates, or "": the system's. Both are borrowed.
 */
struct hook_sender *hook_sender_open(const struct hook_guard *guard, const char *ca);
/* Ends the requests that still run, too. */
void hook_sender_close(struct hook_sender *sender);
/* What was looked at before, connections and certificates, is not used again. */
void hook_sender_renew(struct hook_sender *sender, const char *ca);
/* Starts an attempt. False: no memory. */
bool hook_sender_start(struct hook_sender *sender, const struct jobq_webhook *webhook,
		       const struct jobq_event *event, unsigned attempt);
/* Moves the requests on. */
void hook_sender_perform(struct hook_sender *sender);
/* True: `out` tells of one that has ended, and there may be more. */
bool hook_sender_ended(struct hook_sender *sender, struct hook_answer *out);
/* Sleeps until there is something to do for a request, or something to read from `fd` (-1: none). */
void hook_sender_wait(struct hook_sender *sender, int fd, int timeout_ms);
/* Ends that sleep. Any thread. */
void hook_sender_wake(struct hook_sender *sender);
size_t hook_sender_running(const struct hook_sender *sender);

/* ---- post.c: outcomes on their way to the writer ---------------------------- */

struct hook_post {
	struct jobq_outcome outcomes[HOOK_OUTCOMES + JOBQ_WEBHOOKS_MAX * HOOK_AT_ONCE];
	size_t count;
	int64_t since; /* when the first of them came, jobq_clock_mono() */
};

void hook_post_add(struct hook_post *post, const struct jobq_outcome *outcome);
/* Posts what there is room for and nudges the writer. Returns how many of the first are gone. */
size_t hook_post_flush(struct hook_post *post, struct jobq_table *table);
/* Those are gone: forgets them. */
void hook_post_drop(struct hook_post *post, size_t gone);

/* ---- outbox.c: the webhooks, their windows, and the store ------------------ */

struct hook_receiver {
	struct jobq_webhook webhook;
	struct hook_window window;
	int64_t next; /* when to look into the window, jobq_clock_wall() */
	bool listed;  /* in the store */
};

struct hook_outbox {
	struct jobq_store *store; /* NULL: not opened */
	int64_t open_at;	  /* when to try again, jobq_clock_mono() */
	int error;		  /* what the last try ended with */
	struct hook_receiver *receivers[2 * JOBQ_WEBHOOKS_MAX];
	size_t count;
	uint32_t added, changed; /* the table's counters as they were looked at */
	bool anew;		 /* webhooks are to be read, and all that waits */
	int64_t look_at;	 /* when to do so though nobody has rung, jobq_clock_mono() */
	struct hook_post post;
	struct jobq_buf bytes;
};

void hook_outbox_free(struct hook_outbox *outbox);
/* Another table: what was posted into the last one may be lost. */
void hook_outbox_restart(struct hook_outbox *outbox);
/* Reads what is new and starts what is due. Returns when to do so again (jobq_clock_wall()). */
int64_t hook_outbox_turn(struct hook_outbox *outbox, const struct jobq_conf *conf,
			 struct jobq_table *table, struct hook_sender *sender);
/* A request has ended. */
void hook_outbox_ended(struct hook_outbox *outbox, const struct hook_answer *answer);
/* Posts outcomes, when it is time or `now`. */
void hook_outbox_post(struct hook_outbox *outbox, struct jobq_table *table, bool now);

/* ---- notice.c: what nginx tells of refused requests; pure ------------------ */

#define HOOK_NOTICE_TEXT 256

struct hook_notice {
	enum jobq_event_kind kind;
	char client[64], request[HOOK_NOTICE_TEXT], token[HOOK_NOTICE_TEXT];
};

/* Reads a datagram: a syslog line (RFC 3164) whose message is a JSON object. */
bool hook_notice_read(const char *line, size_t len, struct hook_notice *out);
/* Adds the event's data. */
void hook_notice_data(struct jobq_buf *out, const struct hook_notice *notice, uint64_t suppressed);

/* Keeps events of one kind at HOOK_NOTICES_A_SECOND. A zeroed one is new. */
struct hook_tally {
	int64_t told[HOOK_NOTICES_A_SECOND]; /* when the last events were, a ring */
	unsigned at, known;
	uint64_t held;	 /* notices that no event has told of yet */
	int64_t last_at; /* when the last of them came */
	struct hook_notice last;
};

/* Takes a notice. True: an event is due that tells of it and of *suppressed others. */
bool hook_tally_take(struct hook_tally *tally, const struct hook_notice *notice, int64_t now,
		     uint64_t *suppressed);
/* The same for the last of those held back, once no more have come for a while. */
bool hook_tally_rest(struct hook_tally *tally, int64_t now, uint64_t *suppressed);
/* The event could not be told: it waits with the others. */
void hook_tally_hold(struct hook_tally *tally, uint64_t suppressed, int64_t now);

/* ---- listen.c: the socket on which nginx tells -------------------------------- */

/*
 * A thread of its own takes notices and posts the events about them: the kernel keeps few
 * datagrams, and a flood of them is to hold up no delivery.
 */
struct hook_listener {
	int fd;	    /* -1: none */
	int passed; /* the service manager's, which keeps it; -1: none */
	int wake;   /* eventfd(2) */
	ino_t inode; /* of the name, where it is ours */
	pthread_t thread;
	_Atomic bool ending;
	_Atomic uint64_t malformed; /* datagrams that were no notices */
	pthread_mutex_t lock;	    /* of `table` */
	struct jobq_table *table;   /* NULL: there is none, and notices are dropped */
	struct hook_tally refused, limited; /* 401, 429; the thread's */
};

/* Takes the socket that was passed to this process, if any; false: it is another. Logged. */
bool hook_listen_passed(struct hook_listener *listener);
/*
 * Begins, on the passed socket or on one of its own in the place of what is there; false: it
 * is said why. The struct has fd -1 and an initialised lock.
 */
bool hook_listen(struct hook_listener *listener, const char *path);
void hook_listen_end(struct hook_listener *listener, const char *path);
/* Where events go from now on; not into the last one any more. */
void hook_listen_set_table(struct hook_listener *listener, struct jobq_table *table);

/* ---- loop.c ------------------------------------------------------------------ */

/* The whole of jobq-hook after its configuration has been read; the exit status. */
int hook_main(struct jobq_conf *conf, const struct jobq_conf_args *args);

#endif
