#include "config.h"

#include <errno.h>
#include <string.h>

#include "api/stream.h"

#define MESSAGE_ENOUGH 16384 /* bytes, then the next event is another message's */
#define WINDOW 128
#define MADE 64

/* The part of the feed that was read last: nearly always all listeners are at one place. */
static struct {
	bool read;
	uint64_t after;
	int count;
	struct jobq_feed_entry entries[WINDOW];
} window;

/* What a message was made from, what it says up to where, and the message (NULL: nothing). */
struct made {
	bool used;
	bool state;
	uint64_t job, after, upto;
	uint32_t version, version_then;
	bool ends;
	struct api_message *message;
};
static struct made mades[MADE];

void api_news_forget(void)
{
	window.read = false;
	for (size_t i = 0; i < MADE; i++) {
		if (mades[i].used)
			api_message_drop(mades[i].message);
		mades[i].used = false;
	}
}

/* Changes behind `after`, as many as there are or fit; -ESTALE. */
static int look(const struct api_news *news, uint64_t after)
{
	uint64_t at = after;

	if (!window.read || window.after != after) {
		window.count = jobq_table_feed_read(news->table, &at, window.entries, WINDOW);
		window.after = after;
		window.read = true;
	}
	return window.count;
}

/* The end of a job is told with its result, unless it has expired meanwhile. */
static void add_job(const struct api_news *news, struct jobq_buf *text, uint64_t seq,
		    const struct jobq_job *told)
{
	struct jobq_buf bytes = {0};
	size_t error_len = 0, result_len = 0;
	struct jobq_job job;

	if (!jobq_job_finished(told->status) ||
	    jobq_table_get(news->table, told->id, &job, &bytes, &error_len, &result_len) < 0)
		error_len = result_len = 0;
	api_sse_job(text, news->generation, seq, told,
		    bytes.data != NULL ? bytes.data + error_len : "", result_len, bytes.data,
		    error_len);
	jobq_buf_free(&bytes);
}

static bool is_news(const struct made *made, const struct jobq_job *job)
{
	if (made->job == 0)
		return true;
	return job->id == made->job &&
	       (made->version == 0 || (int32_t)(job->version - made->version) > 0);
}

/* What came behind `after`; 0 or -ESTALE. */
static int make_changes(const struct api_news *news, struct made *made, struct jobq_buf *text)
{
	int n = WINDOW;

	while (n == WINDOW && text->len < MESSAGE_ENOUGH && !made->ends) {
		n = look(news, made->upto);
		for (int i = 0; i < n && text->len < MESSAGE_ENOUGH && !made->ends; i++) {
			const struct jobq_feed_entry *entry = &window.entries[i];
			made->upto = entry->seq;
			if (!is_news(made, &entry->job))
				continue;
			add_job(news, text, entry->seq, &entry->job);
			made->ends = made->job != 0 && jobq_job_finished(entry->job.status);
		}
	}
	return n < 0 && text->len == 0 ? n : 0;
}

/* How the job is now; what the feed says of it from here on is news if it is newer. */
static void make_state(const struct api_news *news, struct made *made, struct jobq_buf *text)
{
	struct jobq_job job;

	if (jobq_table_get(news->table, made->job, &job, NULL, NULL, NULL) < 0) {
		made->ends = true; /* it has expired */
		return;
	}
	add_job(news, text, made->after, &job);
	made->version_then = job.version;
	made->ends = jobq_job_finished(job.status);
}

/* The message that the listener needs next, made or found. -ESTALE; -ENOMEM. */
static int find(const struct api_news *news, const struct api_listener *listener,
		struct made **out)
{
	uint64_t key = (listener->job * 31 + listener->after) * 2 + listener->state;
	struct made *made = &mades[(key ^ listener->version) % MADE];
	struct jobq_buf text = {0};
	int rc = 0;

	*out = made;
	if (made->used && made->state == listener->state && made->job == listener->job &&
	    made->after == listener->after && made->version == listener->version)
		return 0;
	if (made->used)
		api_message_drop(made->message);
	*made = (struct made){
		.state = listener->state,
		.job = listener->job,
		.after = listener->after,
		.upto = listener->after,
		.version = listener->version,
	};
	if (made->state)
		make_state(news, made, &text);
	else
		rc = make_changes(news, made, &text);
	if (rc == 0 && text.failed)
		rc = -ENOMEM;
	if (rc < 0) {
		jobq_buf_free(&text);
		return rc;
	}
	bool some = text.len > 0;
	made->message = api_message_make(&text);
	made->used = made->message != NULL || !some;
	return made->used ? 0 : -ENOMEM;
}

/* The head, and where it begins. */
static struct api_message *open_stream(const struct api_news *news, struct api_listener *listener)
{
	struct jobq_buf text = {0};

	if (listener->now)
		listener->after = jobq_table_feed_last(news->table);
	jobq_buf_adds(&text, api_sse_head);
	api_sse_open(&text);
	if (listener->reset)
		api_sse_reset(&text);
	if (!listener->state)
		api_sse_place(&text, news->generation, listener->after);
	struct api_message *message = api_message_make(&text);
	listener->opened = message != NULL;
	return message;
}

/* The feed has gone on without it. */
static struct api_message *begin_again(const struct api_news *news, struct api_listener *listener)
{
	struct jobq_buf text = {0};

	listener->after = jobq_table_feed_last(news->table);
	listener->version = 0;
	listener->state = listener->job != 0;
	api_sse_reset(&text);
	if (!listener->state)
		api_sse_place(&text, news->generation, listener->after);
	return api_message_make(&text);
}

struct api_message *api_news_next(const struct api_news *news, struct api_listener *listener)
{
	struct made *made;

	if (!listener->opened)
		return open_stream(news, listener);
	if (listener->state) /* first the place, then the job: nothing is missed */
		listener->after = jobq_table_feed_last(news->table);
	int rc = find(news, listener, &made);
	if (rc == -ESTALE)
		return begin_again(news, listener);
	if (rc < 0)
		return NULL; /* out of memory: the next time */
	listener->after = made->upto;
	listener->ends = listener->ends || made->ends;
	if (made->message == NULL)
		return NULL;
	listener->version = listener->state ? made->version_then : 0;
	listener->state = false;
	made->message->refs++;
	return made->message;
}
