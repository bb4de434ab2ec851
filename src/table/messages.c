#include "config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "table/hooks.h"

#define COMMAND_SLACK 5000000 /* microseconds that a command at hand is given beyond its deadline */

/* What stands behind an event's head; then its data. */
struct event_body {
	uint64_t job;
	int64_t at;
	uint32_t kind, data_len;
};

/* Two bytes runs: a message's own, and what follows it. */
struct piece {
	const void *bytes;
	size_t len;
};

static size_t padded(size_t len)
{
	return (len + 7) / 8 * 8;
}

/* ---- the ring (with the lock) --------------------------------------------- */

static void ring_write(struct hooks *hooks, uint64_t at, const void *bytes, size_t len)
{
	size_t from = (size_t)(at % MESSAGE_RING);
	size_t first = len < MESSAGE_RING - from ? len : (size_t)MESSAGE_RING - from;

	memcpy(hooks->ring + from, bytes, first);
	memcpy(hooks->ring, (const char *)bytes + first, len - first);
}

static void ring_read(const struct hooks *hooks, uint64_t at, void *bytes, size_t len)
{
	size_t from = (size_t)(at % MESSAGE_RING);
	size_t first = len < MESSAGE_RING - from ? len : (size_t)MESSAGE_RING - from;

	memcpy(bytes, hooks->ring + from, first);
	memcpy((char *)bytes + first, hooks->ring, len - first);
}

static void ring_wipe(struct hooks *hooks, uint64_t from, uint64_t to)
{
	size_t at = (size_t)(from % MESSAGE_RING), len = (size_t)(to - from);
	size_t first = len < MESSAGE_RING - at ? len : (size_t)MESSAGE_RING - at;

	memset(hooks->ring + at, 0, first);
	memset(hooks->ring, 0, len - first);
}

/* False: what lies there is no message. */
static bool read_head(const struct hooks *hooks, uint64_t at, struct message_head *head)
{
	uint64_t left = hooks->head - at;

	if (left < sizeof(*head) || left > MESSAGE_RING)
		return false;
	ring_read(hooks, at, head, sizeof(*head));
	return head->len >= sizeof(*head) && head->len % 8 == 0 && head->len <= left;
}

static void set_kind(struct hooks *hooks, uint64_t at, uint32_t kind)
{
	memcpy(hooks->ring + at % MESSAGE_RING + offsetof(struct message_head, kind), &kind,
	       sizeof(kind));
}

const char *messages_wrong(struct jobq_table *table)
{
	const struct hooks *hooks = table->hooks;
	struct message_head head;

	if (hooks->tail > hooks->head || hooks->head - hooks->tail > MESSAGE_RING)
		return "the messages' head and tail contradict each other";
	for (uint64_t at = hooks->tail; at < hooks->head; at += head.len)
		if (!read_head(hooks, at, &head))
			return "a message has no end";
	return NULL;
}

/* ---- posting -------------------------------------------------------------- */

static void wake_handled(struct jobq_table *table)
{
	atomic_fetch_add(&table->hooks->handled, 1);
	if (atomic_load(&table->hooks->sleepers) > 0)
		jobq_futex_wake(&table->hooks->handled, INT_MAX);
}

/* With the lock. False: no room, of which `reserve` bytes are not for this one. */
static bool post(struct jobq_table *table, enum jobq_message_kind kind,
		 const struct piece pieces[2], uint64_t reserve, uint64_t *position)
{
	struct hooks *hooks = table->hooks;
	struct message_head head = {
		.len = (uint32_t)padded(sizeof(head) + pieces[0].len + pieces[1].len),
		.kind = kind,
	};
	uint64_t at = hooks->head;

	if (head.len + reserve > MESSAGE_RING - (at - hooks->tail))
		return false;
	ring_write(hooks, at, &head, sizeof(head));
	ring_write(hooks, at + sizeof(head), pieces[0].bytes, pieces[0].len);
	ring_write(hooks, at + sizeof(head) + pieces[0].len, pieces[1].bytes, pieces[1].len);
	*position = at + head.len;
	atomic_store(&hooks->head, *position);
	return true;
}

static void tell_writer(struct jobq_table *table)
{
	atomic_fetch_add(&table->header->changes, 1);
	wake_writer(table);
}

/* Sleeps until something has been handled; false: the deadline has passed. */
static bool await_handled(struct jobq_table *table, uint32_t seen, int64_t deadline)
{
	if (jobq_clock_mono() >= deadline)
		return false;
	atomic_fetch_add(&table->hooks->sleepers, 1);
	int rc = jobq_futex_wait(&table->hooks->handled, seen, deadline);
	atomic_fetch_sub(&table->hooks->sleepers, 1);
	return rc != -ETIMEDOUT;
}

int jobq_table_post_event(struct jobq_table *table, enum jobq_event_kind kind, uint64_t job,
			  const char *data, size_t len, int64_t deadline)
{
	struct event_body body = {job, jobq_clock_wall(), kind, (uint32_t)len};
	const struct piece pieces[2] = {{&body, sizeof(body)}, {data, len}};
	uint64_t position;
	bool posted;

	if ((jobq_table_wanted(table) & JOBQ_EVENT_BIT(kind)) == 0)
		return 0;
	if (len > JOBQ_MESSAGE_MAX)
		return -E2BIG;
	for (;;) {
		uint32_t seen = atomic_load(&table->hooks->handled);
		table_lock(table);
		posted = post(table, JOBQ_MESSAGE_EVENT, pieces, MESSAGE_RESERVE, &position);
		table_unlock(table);
		if (posted)
			break;
		if (atomic_load(&table->header->store_error) != 0)
			return -EIO;
		tell_writer(table);
		if (!await_handled(table, seen, deadline))
			return -EAGAIN;
	}
	tell_writer(table);
	return 0;
}

size_t jobq_table_post_outcomes(struct jobq_table *table, const struct jobq_outcome *outcomes,
				size_t count)
{
	uint64_t position;
	size_t posted = 0;

	table_lock(table);
	while (posted < count) {
		const struct piece pieces[2] = {{&outcomes[posted], sizeof(*outcomes)}, {"", 0}};
		if (!post(table, JOBQ_MESSAGE_OUTCOME, pieces, 0, &position))
			break;
		posted++;
	}
	table_unlock(table);
	return posted;
}

uint64_t jobq_table_posted(const struct jobq_table *table)
{
	return atomic_load(&table->hooks->head);
}

uint64_t jobq_table_handled(const struct jobq_table *table)
{
	return atomic_load(&table->hooks->tail);
}

/* ---- commands ------------------------------------------------------------- */

/* With the lock: what became of the command that ends at `position`, or NULL. */
static const struct jobq_command_verdict *verdict_of(const struct hooks *hooks, uint64_t position)
{
	for (size_t i = 0; i < VERDICTS; i++)
		if (hooks->verdicts[i].position == position)
			return &hooks->verdicts[i];
	return NULL;
}

/*
 * One look. -EALREADY: not decided yet. `give_up`: it is taken back if nobody has it at
 * hand.
 */
static int look(struct jobq_table *table, uint64_t begins, uint64_t position, bool give_up,
		struct jobq_command_verdict *verdict)
{
	struct hooks *hooks = table->hooks;
	struct message_head head;
	int rc = -EALREADY;

	table_lock(table);
	const struct jobq_command_verdict *found = verdict_of(hooks, position);
	if (found != NULL) {
		*verdict = *found;
		rc = found->rc;
	} else if (hooks->tail >= position) {
		rc = -EINPROGRESS; /* a writer that was killed has stored it, and said nothing */
	} else if (give_up && read_head(hooks, begins, &head) && head.kind == JOBQ_MESSAGE_COMMAND) {
		set_kind(hooks, begins, JOBQ_MESSAGE_VOID);
		rc = -ETIMEDOUT;
	}
	table_unlock(table);
	return rc;
}

static int await_verdict(struct jobq_table *table, uint64_t begins, uint64_t position,
			 int64_t deadline, struct jobq_command_verdict *verdict)
{
	for (;;) {
		uint32_t seen = atomic_load(&table->hooks->handled);
		int rc = look(table, begins, position, false, verdict);
		if (rc != -EALREADY)
			return rc;
		if (await_handled(table, seen, deadline))
			continue;
		rc = look(table, begins, position, true, verdict);
		if (rc != -EALREADY)
			return rc;
		if (jobq_clock_mono() >= deadline + COMMAND_SLACK)
			return -EINPROGRESS;
		await_handled(table, seen, deadline + COMMAND_SLACK);
	}
}

int jobq_table_command(struct jobq_table *table, struct jobq_command *command, uint64_t *event,
		       int64_t deadline)
{
	const struct piece pieces[2] = {{command, sizeof(*command)}, {"", 0}};
	struct jobq_command_verdict verdict = {0};
	uint64_t position, begins;

	table_lock(table);
	begins = table->hooks->head;
	bool posted = post(table, JOBQ_MESSAGE_COMMAND, pieces, MESSAGE_RESERVE / 2, &position);
	table_unlock(table);
	if (!posted)
		return -EAGAIN;
	tell_writer(table);
	int rc = await_verdict(table, begins, position, deadline, &verdict);
	if (rc < 0)
		return rc;
	*event = verdict.event;
	if (command->verb == JOBQ_COMMAND_REMOVE || command->verb == JOBQ_COMMAND_QUEUE)
		return 0;
	rc = jobq_table_webhook(table, verdict.webhook, &command->webhook);
	return rc == -ENOENT && command->verb == JOBQ_COMMAND_CREATE ? -EINPROGRESS : rc;
}

/* ---- the writer's side ---------------------------------------------------- */

static bool end_texts(struct jobq_command *command)
{
	struct jobq_webhook *webhook = &command->webhook;

	return command->verb <= JOBQ_COMMAND_QUEUE && command->queue < JOBQ_QUEUE_ALL_STATES &&
	       memchr(webhook->url, '\0', sizeof(webhook->url)) != NULL &&
	       memchr(webhook->events, '\0', sizeof(webhook->events)) != NULL &&
	       memchr(webhook->secret, '\0', sizeof(webhook->secret)) != NULL;
}

/* Finds the parts of a message, which lies in `bytes`. False: it makes no sense. */
static bool part(struct jobq_message *out, struct jobq_buf *bytes)
{
	struct event_body body;

	switch (out->kind) {
	case JOBQ_MESSAGE_VOID:
		return true;
	case JOBQ_MESSAGE_EVENT:
		if (bytes->len < sizeof(body))
			return false;
		memcpy(&body, bytes->data, sizeof(body));
		out->event = (struct jobq_event){
			.kind = (enum jobq_event_kind)body.kind,
			.job = body.job,
			.at = body.at,
			.data = {bytes->data + sizeof(body), body.data_len},
		};
		return body.kind < JOBQ_EVENT_KINDS &&
		       body.data_len <= bytes->len - sizeof(body);
	case JOBQ_MESSAGE_OUTCOME:
		if (bytes->len < sizeof(out->outcome))
			return false;
		memcpy(&out->outcome, bytes->data, sizeof(out->outcome));
		out->outcome.message[JOBQ_DELIVERY_MESSAGE - 1] = '\0';
		return out->outcome.verdict <= JOBQ_OUTCOME_GONE;
	case JOBQ_MESSAGE_COMMAND:
		if (bytes->len < sizeof(*out->command))
			return false;
		out->command = (struct jobq_command *)(void *)bytes->data;
		return end_texts(out->command);
	}
	return false;
}

bool jobq_table_take_message(struct jobq_table *table, uint64_t *at, struct jobq_message *out,
			     struct jobq_buf *bytes, bool *damaged)
{
	struct hooks *hooks = table->hooks;
	struct message_head head;
	bool good = false;

	bytes->len = 0;
	*damaged = false;
	if (!jobq_buf_reserve(bytes, sizeof(struct jobq_command) + JOBQ_MESSAGE_MAX + 64))
		return false;
	table_lock(table);
	bool any = *at < hooks->head;
	if (any && read_head(hooks, *at, &head)) {
		size_t len = head.len - sizeof(head);
		bool command = head.kind == MESSAGE_TAKEN || head.kind == JOBQ_MESSAGE_COMMAND;
		good = len <= bytes->room;
		if (good)
			ring_read(hooks, *at + sizeof(head), bytes->data, len);
		bytes->len = good ? len : 0;
		if (command)
			set_kind(hooks, *at, MESSAGE_TAKEN);
		*out = (struct jobq_message){
			.kind = command ? JOBQ_MESSAGE_COMMAND : (enum jobq_message_kind)head.kind,
			.position = *at + head.len,
		};
	}
	uint64_t last = hooks->head;
	table_unlock(table);
	if (!any)
		return false;
	if (!good || !part(out, bytes)) {
		*damaged = true;
		*at = last;
		return false;
	}
	*at = out->position;
	return true;
}

/* With the lock. */
static void add_verdict(struct hooks *hooks, const struct jobq_command_verdict *verdict)
{
	hooks->verdicts[hooks->verdict_count % VERDICTS] = *verdict;
	hooks->verdict_count++;
}

void jobq_table_messages_handled(struct jobq_table *table, uint64_t position,
				 const struct jobq_command_verdict *verdicts, size_t count)
{
	struct hooks *hooks = table->hooks;

	table_lock(table);
	uint64_t from = hooks->tail;
	for (size_t i = 0; i < count; i++)
		add_verdict(hooks, &verdicts[i]);
	if (position > from && position <= hooks->head) {
		atomic_store(&hooks->tail, position);
		ring_wipe(hooks, from, position); /* secrets were in it */
	}
	table_unlock(table);
	wake_handled(table);
}

void jobq_table_refuse_commands(struct jobq_table *table)
{
	struct hooks *hooks = table->hooks;
	struct message_head head;

	table_lock(table);
	for (uint64_t at = hooks->tail; at < hooks->head && read_head(hooks, at, &head);
	     at += head.len) {
		if (head.kind != JOBQ_MESSAGE_COMMAND && head.kind != MESSAGE_TAKEN)
			continue;
		set_kind(hooks, at, JOBQ_MESSAGE_VOID);
		add_verdict(hooks, &(struct jobq_command_verdict){at + head.len, -ECANCELED, 0, 0});
	}
	table_unlock(table);
	wake_handled(table);
}

void jobq_table_skip_messages(struct jobq_table *table, uint64_t position)
{
	jobq_table_messages_handled(table, position, NULL, 0);
}
