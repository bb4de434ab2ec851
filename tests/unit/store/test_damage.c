/*
 * A damaged store gives back jobs as they were put, or an error: never a job
 * that was not, and it ends nobody's process. The log beside it gives back the
 * state after one of the transactions.
 *
 * JOBQ_DAMAGE_ALL=1 tries every bit and every length instead of a sample.
 */
#include "config.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fixture.h"
#include "jobq/store_hooks.h"

#define PAGE 4096
#define PAGE_HEAD 12  /* bytes that say what is in a page, */
#define FILE_HEAD 112 /* also in the first, behind what the file is */
#define NUMBERS 220   /* bytes at the end of the second page: its few rows */
#define LOG_HEAD 32   /* bytes before the first frame of a log, */
#define FRAME_HEAD 24 /* and before the page in each frame */
#define TRANSACTIONS 7
#define SECONDS_MOST 300 /* for one sweep; what hangs is killed then */

/* The store, whole, and its log with TRANSACTIONS transactions, of which [0] is none. */
static struct jobq_buf main_bytes, log_bytes;
static struct shelf states[TRANSACTIONS];
static struct jobq_store_meta numbers; /* as they are in the main file */
static struct jobq_webhook webhook = {
	.created = SOME_DAY,
	.enabled = true,
	.has_secret = true,
	.url = "https://example.org/hook",
	.events = "[\"job.*\"]",
	.secret = "nobody else's",
};
#define EVENTS 12
#define GENERATION 7 /* of the messages, and */
#define POSITION 123456

/* How far a sweep has come, in memory that is shared with the child that does it. */
struct sweep {
	size_t at;
	char wrong[256];
	unsigned refused, whole, fewer;
};
static struct sweep *sweep;

static size_t sample(size_t one_in)
{
	return getenv("JOBQ_DAMAGE_ALL") != NULL ? 1 : one_in;
}

/* ---- what is damaged ------------------------------------------------------- */

/* A few jobs of every kind: some fill a page, one has pages of its own. */
static void fill(struct jobq_store *store)
{
	struct jobq_store_meta meta = {.seq = 0, .next_id = 100};

	assert_int_equal(jobq_store_set_meta(store, &meta), 0);
	for (uint64_t id = 1; id <= 14; id++) {
		struct jobq_entry job = id % 4 == 0   ? queued_job(id)
					: id % 4 == 1 ? running_job(id)
						      : completed_job(id);
		if (id % 3 == 0)
			job.key = text_of("an idempotency key");
		if (job.completed > 0)
			job.result = long_text(id == 7 ? 6000 : id * 60);
		put(store, &states[0], job);
	}
}

/* And a webhook with deliveries, of which some have ended. */
static void fill_hooks(struct jobq_store *store)
{
	struct jobq_outcome outcome = {.attempts = 1, .at = SOME_DAY, .message = "200"};
	enum jobq_event_kind kind;

	webhook.id = 0;
	assert_int_equal(jobq_store_put_webhook(store, &webhook), 0);
	for (uint64_t i = 1; i <= EVENTS; i++) {
		struct jobq_event event = {.job = i, .data = long_text(i == 5 ? 6000 : i * 20)};
		assert_int_equal(jobq_store_add_event(store, &event, &webhook.id, 1), 0);
		assert_int_equal(event.seq, i);
		outcome.webhook = webhook.id;
		outcome.event = i;
		if (i % 2 == 0)
			assert_int_equal(jobq_store_settle(store, &outcome, &kind), 0);
	}
	assert_int_equal(jobq_store_set_messages(store, GENERATION, POSITION), 0);
}

/* One transaction; its number is `seq` afterwards. */
static void change(struct jobq_store *store, uint64_t number)
{
	struct jobq_store_meta meta = {.seq = number, .next_id = 100 + number};
	struct shelf *now = &states[number];
	size_t removed;

	*now = states[number - 1];
	assert_int_equal(jobq_store_begin(store), 0);
	put(store, now, queued_job(20 + number));
	put(store, now, completed_job(19 + number));
	if (number == 2) {
		assert_int_equal(jobq_store_remove(store, 4), 0);
		shelf_remove(now, 4);
	}
	if (number == 4) { /* one with a page of its own goes */
		assert_int_equal(jobq_store_remove(store, 7), 0);
		shelf_remove(now, 7);
	}
	if (number == 5) {
		assert_int_equal(jobq_store_expire(store, INT64_MAX, 1, &removed), 0);
		assert_int_equal(removed, 1);
		shelf_remove(now, 2); /* the oldest */
	}
	assert_int_equal(jobq_store_set_meta(store, &meta), 0);
	assert_int_equal(jobq_store_commit(store, false), 0);
	assert_holds(store, now);
}

static int set_up(void **state)
{
	(void)state;
	if (fixture_make("/dev/shm") < 0) /* files are opened and closed thousands of times */
		return -1;
	const char *path = fixture_path("store.db");
	struct jobq_store *store = open_store(path, JOBQ_STORE_WRITE);
	assert_int_equal(jobq_store_begin(store), 0);
	fill(store);
	fill_hooks(store);
	assert_int_equal(jobq_store_commit(store, false), 0);
	assert_int_equal(jobq_store_meta(store, &numbers), 0);
	jobq_store_close(store);
	main_bytes = fixture_read(path);

	store = open_store(path, JOBQ_STORE_WRITE);
	for (uint64_t number = 1; number < TRANSACTIONS; number++)
		change(store, number);
	log_bytes = fixture_read(fixture_path("store.db-wal"));
	jobq_store_close(store);
	sweep = mmap(NULL, sizeof(*sweep), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_true(main_bytes.len >= 5 * PAGE && main_bytes.len % PAGE == 0);
	assert_true(log_bytes.len > LOG_HEAD + TRANSACTIONS * PAGE);
	return sweep == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	munmap(sweep, sizeof(*sweep));
	jobq_buf_free(&main_bytes);
	jobq_buf_free(&log_bytes);
	return fixture_remove();
}

/* ---- looking at it (in the child) ------------------------------------------ */

static void find_wrong(const char *what)
{
	if (sweep->wrong[0] == '\0')
		snprintf(sweep->wrong, sizeof(sweep->wrong), "%s", what);
}

/* Damage is called damage, or it makes the file look like none of ours. */
static void judge(int rc)
{
	char text[128];

	snprintf(text, sizeof(text), "damage is called \"%s\"", strerror(-rc));
	if (rc < 0 && rc != -EUCLEAN && rc != -EPROTO)
		find_wrong(text);
}

/* Whether the store can be read; what it gives is on the shelf, or wrong. */
static bool look(struct jobq_store *store, const struct shelf *shelf, size_t *seen)
{
	struct look look = {.shelf = shelf};
	int rc = jobq_store_each(store, 0, look_at, &look);

	if (look.wrong[0] != '\0')
		find_wrong(look.wrong);
	judge(rc);
	*seen = look.seen;
	return rc == 0;
}

static int see_webhook(void *arg, const struct jobq_webhook *seen)
{
	(void)arg;
	if (seen->id != webhook.id || !seen->enabled || seen->kinds != webhook.kinds ||
	    strcmp(seen->url, webhook.url) != 0 || strcmp(seen->secret, webhook.secret) != 0)
		find_wrong("the webhook is not as it was put");
	return 0;
}

static int see_pending(void *arg, const struct jobq_pending *pending)
{
	uint64_t *last = arg;

	if (pending->event <= *last)
		find_wrong("a delivery comes out of turn");
	*last = pending->event;
	return 0;
}

static int see_delivery(void *arg, const struct jobq_delivery *delivery)
{
	size_t *left = arg;

	(void)delivery;
	if ((*left)-- == 0)
		find_wrong("more deliveries than there were");
	return 0;
}

static bool goes_well(int rc)
{
	judge(rc);
	return rc == 0;
}

/* Whether all of it can be read; what the webhook is to be told is as it was put, or wrong. */
static bool look_at_hooks(struct jobq_store *store)
{
	struct jobq_buf bytes = {0};
	struct jobq_event event;
	uint64_t last = 0, count;
	size_t left = EVENTS;

	bool good = goes_well(jobq_store_each_webhook(store, see_webhook, NULL));
	good &= goes_well(jobq_store_each_pending(store, webhook.id, 0, SIZE_MAX, see_pending,
						  &last));
	good &= goes_well(jobq_store_each_delivery(store, webhook.id, see_delivery, &left));
	good &= goes_well(jobq_store_count_pending(store, webhook.id, &count));
	for (uint64_t i = 1; i <= EVENTS; i++) {
		struct jobq_text data = long_text(i == 5 ? 6000 : i * 20);
		int rc = jobq_store_event(store, i, &event, &bytes);
		if (rc == 0 && (event.job != i || !same_text(&event.data, &data)))
			find_wrong("an event is not as it was put");
		good &= rc == -ENOENT ? false : goes_well(rc);
	}
	jobq_buf_free(&bytes);
	return good;
}

/* Settles, and removes the webhook: an error or none, but the process goes on. */
static int change_hooks(struct jobq_store *store)
{
	struct jobq_outcome outcome = {.webhook = webhook.id, .event = 3, .message = "200"};
	enum jobq_event_kind kind;
	int rc = jobq_store_settle(store, &outcome, &kind);

	rc = rc == -ENOENT ? 0 : rc;
	if (rc == 0)
		rc = jobq_store_redeliver(store, webhook.id, 4);
	rc = rc == -ENOENT ? 0 : rc;
	if (rc == 0)
		rc = jobq_store_remove_webhook(store, webhook.id);
	return rc == -ENOENT ? 0 : rc;
}

/* Goes on with a store that has been opened: puts a job, and looks again. */
static bool live_on(struct jobq_store *store)
{
	struct jobq_entry job = completed_job(50);
	struct shelf shelf = states[0];
	size_t seen, removed;

	shelf_put(&shelf, &job);
	int rc = jobq_store_begin(store);
	if (rc == 0)
		rc = jobq_store_put(store, &job);
	if (rc == 0)
		rc = jobq_store_expire(store, states[0].jobs[2].completed, 1, &removed);
	if (rc == 0)
		rc = change_hooks(store);
	if (rc == 0)
		rc = jobq_store_commit(store, false);
	if (rc < 0)
		jobq_store_rollback(store);
	return look(store, &shelf, &seen) && rc == 0;
}

/* Opens the damaged main file as it lies there. */
static void try_main(enum jobq_store_mode mode)
{
	struct jobq_store *store = NULL;
	struct jobq_buf why = {0};
	size_t seen = 0;
	int rc = jobq_store_open(fixture_path("store.db"), mode, JOBQ_DURABILITY_OFF, &store, &why);

	judge(rc);
	if (rc < 0 && why.len == 0)
		find_wrong("no reason is given");
	bool read = rc == 0 && look(store, &states[0], &seen);
	if (rc == 0)
		read = look_at_hooks(store) && read;
	if (!read || (mode == JOBQ_STORE_WRITE && !live_on(store)))
		sweep->refused++;
	else if (seen == states[0].count)
		sweep->whole++;
	else
		sweep->fewer++;
	jobq_store_close(store);
	jobq_buf_free(&why);
}

/* Opens the whole main file with the damaged log: it shows one of the states. */
static void try_log(void)
{
	struct jobq_store *store = NULL;
	struct jobq_store_meta meta;
	struct jobq_buf why = {0};
	size_t seen = 0;
	int rc = jobq_store_open(fixture_path("store.db"), JOBQ_STORE_WRITE, JOBQ_DURABILITY_OFF,
				 &store, &why);

	if (rc == 0)
		rc = jobq_store_meta(store, &meta);
	if (rc == 0 && meta.seq >= TRANSACTIONS)
		find_wrong("a transaction that never was");
	else if (rc == 0 && !look(store, &states[meta.seq], &seen))
		rc = -EUCLEAN;
	else if (rc == 0 && seen != states[meta.seq].count)
		find_wrong("a part of a transaction");
	if (rc < 0)
		sweep->refused++;
	else if (meta.seq == TRANSACTIONS - 1)
		sweep->whole++;
	else
		sweep->fewer++;
	jobq_store_close(store);
	jobq_buf_free(&why);
}

static void lay_out(const char *name, const struct jobq_buf *bytes, size_t len)
{
	if (!fixture_write(fixture_path(name), bytes->data, len))
		find_wrong("the test cannot write its files");
}

static void flip(struct jobq_buf *bytes, size_t bit)
{
	bytes->data[bit / 8] = (char)(bytes->data[bit / 8] ^ 1 << bit % 8);
}

static void forget_log(void)
{
	unlink(fixture_path("store.db-wal"));
	unlink(fixture_path("store.db-shm"));
}

/* ---- the sweeps ------------------------------------------------------------ */

/*
 * Does something for the numbers below `count`, in a child: when it dies, the
 * number is known.
 */
static void sweep_through(const char *name, void (*step)(size_t at), size_t count)
{
	int status;

	memset(sweep, 0, sizeof(*sweep));
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (sample(SECONDS_MOST) > 1)
			alarm(SECONDS_MOST);
		for (; sweep->at < count && sweep->wrong[0] == '\0'; sweep->at++)
			step(sweep->at);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	printf("# %s: %zu tries, %u refused, %u whole, %u with less\n", name, sweep->at,
	       sweep->refused, sweep->whole, sweep->fewer);
	if (sweep->wrong[0] != '\0')
		fail_msg("%s, before try %zu: %s", name, sweep->at, sweep->wrong);
	if (status != 0)
		fail_msg("%s, try %zu: ended by signal %d, status %d", name, sweep->at,
			 WTERMSIG(status), WEXITSTATUS(status));
}

static void flip_main(size_t at)
{
	size_t bit = at * sample(97);

	flip(&main_bytes, bit);
	forget_log();
	lay_out("store.db", &main_bytes, main_bytes.len);
	try_main(at % 4 == 3 ? JOBQ_STORE_READ : JOBQ_STORE_WRITE);
	flip(&main_bytes, bit);
}

static void flipped_bits_are_noticed(void **state)
{
	(void)state;
	sweep_through("flips", flip_main, main_bytes.len * 8 / sample(97));
	assert_true(sweep->refused > sweep->at / 10);
}

/* The bits that say what all others mean: of the file, and of each page. */
static void flip_heads(size_t at)
{
	size_t later = at - FILE_HEAD * 8; /* counted from the second page on */
	size_t bit = at < FILE_HEAD * 8
			     ? at
			     : (1 + later / (PAGE_HEAD * 8)) * PAGE * 8 + later % (PAGE_HEAD * 8);

	flip(&main_bytes, bit);
	for (int mode = JOBQ_STORE_READ; mode <= JOBQ_STORE_WRITE; mode++) {
		forget_log();
		lay_out("store.db", &main_bytes, main_bytes.len);
		try_main((enum jobq_store_mode)mode);
	}
	flip(&main_bytes, bit);
}

static void flipped_bits_of_heads_are_noticed(void **state)
{
	(void)state;
	sweep_through("flips in heads", flip_heads,
		      (FILE_HEAD + (main_bytes.len / PAGE - 1) * PAGE_HEAD) * 8);
	assert_true(sweep->refused > sweep->at / 10);
}

/* The second page holds what a store keeps beside the jobs, at its end. */
static void flip_numbers(size_t at)
{
	size_t bit = (2 * PAGE - NUMBERS) * 8 + at;
	struct jobq_store *store = NULL;
	struct jobq_store_meta meta;
	struct jobq_buf why = {0};
	uint32_t generation;
	uint64_t position;

	flip(&main_bytes, bit);
	forget_log();
	lay_out("store.db", &main_bytes, main_bytes.len);
	int rc = jobq_store_open(fixture_path("store.db"), JOBQ_STORE_READ, JOBQ_DURABILITY_OFF,
				 &store, &why);
	if (rc == 0)
		rc = jobq_store_meta(store, &meta);
	if (rc == 0)
		rc = jobq_store_messages(store, &generation, &position);
	if (rc < 0)
		sweep->refused++;
	else if (memcmp(&meta, &numbers, sizeof(meta)) == 0 && generation == GENERATION &&
		 position == POSITION)
		sweep->whole++;
	else
		find_wrong("a number is not as it was put");
	jobq_store_close(store);
	jobq_buf_free(&why);
	flip(&main_bytes, bit);
}

static void flipped_numbers_are_noticed(void **state)
{
	(void)state;
	sweep_through("flips in numbers", flip_numbers, NUMBERS * 8);
	assert_true(sweep->refused > sweep->at / 4);
}

static void cut_main(size_t at)
{
	forget_log();
	lay_out("store.db", &main_bytes, at * sample(41));
	try_main(at % 2 == 0 ? JOBQ_STORE_READ : JOBQ_STORE_WRITE);
}

static void cut_file_is_noticed(void **state)
{
	(void)state;
	sweep_through("cuts", cut_main, main_bytes.len / sample(41));
	assert_true(sweep->refused > sweep->at / 2);
}

static void flip_log(size_t at)
{
	size_t bit = at < LOG_HEAD * 8 ? at : at * sample(331);

	flip(&log_bytes, bit);
	forget_log();
	lay_out("store.db", &main_bytes, main_bytes.len);
	lay_out("store.db-wal", &log_bytes, log_bytes.len);
	try_log();
	flip(&log_bytes, bit);
}

static void flipped_log_is_a_shorter_log(void **state)
{
	(void)state;
	sweep_through("flips in the log", flip_log, log_bytes.len * 8 / sample(331));
	assert_true(sweep->fewer > sweep->at / 2);
}

static void flip_frame_head(size_t at)
{
	size_t one_in = sample(5), bit = at * one_in;
	size_t frame = bit / (FRAME_HEAD * 8);
	size_t begin = LOG_HEAD + frame * (FRAME_HEAD + PAGE);

	flip(&log_bytes, begin * 8 + bit % (FRAME_HEAD * 8));
	forget_log();
	lay_out("store.db", &main_bytes, main_bytes.len);
	lay_out("store.db-wal", &log_bytes, log_bytes.len);
	try_log();
	flip(&log_bytes, begin * 8 + bit % (FRAME_HEAD * 8));
}

static void flipped_frame_is_the_end_of_the_log(void **state)
{
	size_t frames = (log_bytes.len - LOG_HEAD) / (FRAME_HEAD + PAGE);
	(void)state;
	sweep_through("flips in frame heads", flip_frame_head, frames * FRAME_HEAD * 8 / sample(5));
	assert_true(sweep->fewer > sweep->at / 2);
}

static void cut_log(size_t at)
{
	size_t len = at * sample(103);

	forget_log();
	lay_out("store.db", &main_bytes, main_bytes.len);
	lay_out("store.db-wal", &log_bytes, len < log_bytes.len ? len : log_bytes.len);
	try_log();
}

static void cut_log_is_a_shorter_log(void **state)
{
	(void)state;
	sweep_through("cuts of the log", cut_log, log_bytes.len / sample(103) + 2);
	assert_int_equal(sweep->whole + sweep->fewer, sweep->at);
	assert_true(sweep->whole >= 1); /* the last is the whole log */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(flipped_bits_are_noticed),
		TEST(flipped_bits_of_heads_are_noticed),
		TEST(flipped_numbers_are_noticed),
		TEST(cut_file_is_noticed),
		TEST(flipped_log_is_a_shorter_log),
		TEST(flipped_frame_is_the_end_of_the_log),
		TEST(cut_log_is_a_shorter_log),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
