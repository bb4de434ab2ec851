/*
 * Times the scene engine, each part in turns with what it is compared with:
 *
 *   scenes read ROUNDS GRAMMAR <FILES      the reader alone, in memory; GRAMMAR is
 *                                          grammar.py's shared object, or `-`
 *   scenes files ROUNDS <ROOT-TAB-PATHS    one file at a time, with opening it
 *   scenes large ROUNDS ROOT PATH          one load with validation, and its memory
 *   scenes warm ROUNDS ROOT hot|cold <PATHS
 *                                          many loads with a cache, as cache_warming does
 *
 * Prints `name value` lines. What waits for nothing is measured in processor time,
 * which others who work on this machine disturb less.
 */
#include "config.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "scene/scene.h"

#define ROUNDS_MAX 1000
#define WAYS_MAX 4
#define CACHE_BYTES (256u << 20)

/* ---- allocations are counted: the linker puts these in between ------------------- */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static uint64_t allocations;

void *__wrap_malloc(size_t bytes)
{
	allocations++;
	return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	allocations++;
	return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	allocations++;
	return __real_realloc(old, bytes);
}

/* ---- turns and medians ------------------------------------------------------------ */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Microseconds of a clock. */
static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts the values. */
static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), ascending);
	return count == 0 ? 0 : (values[count / 2] + values[(count - 1) / 2]) / 2;
}

/* One of the ways compared. */
struct way {
	const char *name; /* NULL: none */
	void (*before)(void *context); /* not timed; may be NULL */
	void (*run)(void *context);
};

struct turns {
	const struct way *ways;
	size_t count;
	int rounds;
	double times[WAYS_MAX][ROUNDS_MAX]; /* microseconds */
};

/* Every way in every round, in an order that turns from round to round. */
static void take_turns(struct turns *turns, clockid_t clock, void *context)
{
	/* The first round only warms, and is written over. */
	for (int round = -1; round < turns->rounds; round++) {
		for (size_t i = 0; i < turns->count; i++) {
			size_t which = (i + (size_t)(round + 1)) % turns->count;
			const struct way *way = &turns->ways[which];
			if (way->before != NULL)
				way->before(context);
			double began = now(clock);
			way->run(context);
			turns->times[which][round < 0 ? 0 : round] = now(clock) - began;
		}
	}
}

/* Prints each way's median, and the median of the rounds' ratios over the first way. */
static void show(struct turns *turns)
{
	double ratios[ROUNDS_MAX];

	for (size_t i = 1; i < turns->count; i++) {
		for (int round = 0; round < turns->rounds; round++)
			ratios[round] = turns->times[i][round] / turns->times[0][round];
		printf("%s_ratio %.4f\n", turns->ways[i].name, median(ratios, (size_t)turns->rounds));
	}
	for (size_t i = 0; i < turns->count; i++)
		printf("%s_us %.3f\n", turns->ways[i].name,
		       median(turns->times[i], (size_t)turns->rounds));
}

/* ---- files ------------------------------------------------------------------------ */

struct file {
	char *root, *path; /* a project and a path beneath it; or root NULL */
	char *data;
	size_t len;
};

static struct file *files;
static size_t file_count;
static char *buffer; /* as large as the largest file */
static size_t buffer_len;

static void read_lines(void)
{
	char line[8192];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		char *tab = strchr(line, '\t');
		files = realloc(files, (file_count + 1) * sizeof(files[0]));
		if (files == NULL)
			die("memory");
		if (tab != NULL)
			*tab = '\0';
		files[file_count++] = (struct file){.root = tab == NULL ? NULL : strdup(line),
						    .path = strdup(tab == NULL ? line : tab + 1)};
	}
}

static void need_buffer(size_t len)
{
	if (len > buffer_len)
		buffer = realloc(buffer, buffer_len = len);
	if (buffer == NULL)
		die("memory");
}

/* What every reader of a file has to do: open, fstat, read, close. */
static size_t plain_read(int dir, const char *path)
{
	struct stat st;
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);
	need_buffer((size_t)st.st_size + 1);
	ssize_t got = read(fd, buffer, (size_t)st.st_size + 1);
	if (got != st.st_size)
		die(path);
	close(fd);
	return (size_t)got;
}

/* ---- read: in memory ---------------------------------------------------------------- */

static int (*peer_parse)(void *parser, const char *data, uint32_t len);
static void *peer;
static uint64_t broken;

static void copy_all(void *context)
{
	(void)context;
	for (size_t i = 0; i < file_count; i++) {
		memcpy(buffer, files[i].data, files[i].len);
		/* So that the copy is made: somebody could look at it. */
		__asm__ volatile("" : : "r"(buffer) : "memory");
	}
}

static void validate_all(void *context)
{
	(void)context;
	broken = 0;
	for (size_t i = 0; i < file_count; i++) {
		struct scene_arena arena = {0};
		struct scene_reading reading;
		if (scene_read(&arena, files[i].data, files[i].len, SCENE_ENGINE_BY_FORMAT, true,
			       &reading) < 0)
			die("scene_read");
		broken += reading.error != NULL;
		scene_arena_free(&arena);
	}
}

static void peer_all(void *context)
{
	(void)context;
	for (size_t i = 0; i < file_count; i++)
		peer_parse(peer, files[i].data, (uint32_t)files[i].len);
}

static void load_peer(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);
	void *(*make)(void);

	if (library == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	*(void **)&make = dlsym(library, "peer_new");
	*(void **)&peer_parse = dlsym(library, "peer_parse");
	peer = make();
	if (peer == NULL || peer_parse == NULL)
		die("the grammar");
}

static int measure_read(int rounds, const char *grammar)
{
	static const struct way ways[] = {{"ours", NULL, validate_all}, {"memcpy", NULL, copy_all},
					  {"peer", NULL, peer_all}};
	static struct turns turns = {.ways = ways, .count = 2};
	size_t bytes = 0;

	if (strcmp(grammar, "-") != 0) {
		load_peer(grammar);
		turns.count = 3;
	}
	read_lines();
	for (size_t i = 0; i < file_count; i++) {
		files[i].len = plain_read(AT_FDCWD, files[i].path);
		files[i].data = malloc(files[i].len + 1);
		if (files[i].data == NULL)
			die("memory");
		memcpy(files[i].data, buffer, files[i].len);
		bytes += files[i].len;
	}
	uint64_t before = allocations;
	validate_all(NULL);
	printf("files %zu\nbytes %zu\nbroken %llu\nallocations %llu\n", file_count, bytes,
	       (unsigned long long)broken, (unsigned long long)(allocations - before));
	turns.rounds = rounds;
	take_turns(&turns, CLOCK_THREAD_CPUTIME_ID, NULL);
	show(&turns);
	return 0;
}

/* ---- files: one at a time ------------------------------------------------------------- */

struct one {
	struct jobq_scene_project *project;
	const char *path;
	size_t files; /* of its load; 0 when it does not load */
};

static void one_plain(void *context)
{
	struct one *one = context;

	plain_read(jobq_scene_project_root(one->project), one->path + strlen("res://"));
}

static void one_look(void *context)
{
	struct one *one = context;
	struct jobq_scene_load load;

	if (jobq_scene_look(one->project, NULL, one->path, &load) < 0)
		die(one->path);
	jobq_scene_load_free(&load);
}

static void one_load(void *context)
{
	struct one *one = context;
	struct jobq_scene_load load;

	if (jobq_scene_load(one->project, NULL, one->path, JOBQ_SCENE_VALIDATE, &load) < 0)
		die(one->path);
	one->files = load.error == NULL ? load.file_count : 0;
	jobq_scene_load_free(&load);
}

/* Of the differences between what each file takes and what reading it takes, the medians. */
static int measure_files(int rounds)
{
	static const struct way ways[] = {{"plain", NULL, one_plain}, {"look", NULL, one_look},
					  {"load", NULL, one_load}};
	static struct turns turns = {.ways = ways, .count = 3};
	size_t count = 0, alone = 0;

	read_lines();
	double *plain = calloc(file_count + 1, sizeof(*plain));
	double *look = calloc(file_count + 1, sizeof(*look));
	double *load = calloc(file_count + 1, sizeof(*load));
	turns.rounds = rounds;
	for (size_t i = 0; i < file_count; i++) {
		struct one one = {.path = files[i].path};
		if (jobq_scene_project_open(&one.project, files[i].root, NULL) < 0)
			die(files[i].root);
		take_turns(&turns, CLOCK_MONOTONIC, &one);
		double base = median(turns.times[0], (size_t)rounds);
		look[count] = median(turns.times[1], (size_t)rounds) - base;
		plain[count++] = base;
		if (one.files == 1)
			load[alone++] = median(turns.times[2], (size_t)rounds) - base;
		jobq_scene_project_close(one.project);
	}
	printf("files %zu\nalone %zu\nplain_us %.3f\nlook_us %.3f\nload_us %.3f\n", count, alone,
	       median(plain, count), median(look, count), median(load, alone));
	free(plain);
	free(look);
	free(load);
	return 0;
}

/* ---- large: one scene -------------------------------------------------------------------- */

/* KiB that this program has had at most; getrusage() would count what started it, too. */
static long peak(void)
{
	char line[256];
	long most = 0;
	FILE *status = fopen("/proc/self/status", "r");

	if (status == NULL)
		die("/proc/self/status");
	while (fgets(line, sizeof(line), status) != NULL) {
		if (strncmp(line, "VmHWM:", 6) == 0)
			most = strtol(line + 6, NULL, 10);
	}
	fclose(status);
	return most;
}

static int measure_large(int rounds, const char *root, const char *path)
{
	static const struct way ways[] = {{"plain", NULL, one_plain}, {"load", NULL, one_load}};
	static struct turns turns = {.ways = ways, .count = 2};
	struct one one = {.path = path};
	struct jobq_scene_load load;
	struct stat st;

	if (jobq_scene_project_open(&one.project, root, NULL) < 0 ||
	    fstatat(jobq_scene_project_root(one.project), path + strlen("res://"), &st, 0) < 0)
		die(path);
	long before = peak();
	if (jobq_scene_load(one.project, NULL, path, JOBQ_SCENE_VALIDATE, &load) < 0)
		die(path);
	long most = peak();
	if (load.error != NULL) {
		fprintf(stderr, "%s: %s\n", path, load.error);
		return 1;
	}
	printf("nodes %llu\nbytes %lld\npeak_bytes %ld\n",
	       (unsigned long long)load.facts->node_count, (long long)st.st_size,
	       (most - before) * 1024);
	jobq_scene_load_free(&load);
	turns.rounds = rounds;
	take_turns(&turns, CLOCK_THREAD_CPUTIME_ID, &one);
	show(&turns);
	jobq_scene_project_close(one.project);
	return 0;
}

/* ---- warm: many small scenes ---------------------------------------------------------------- */

struct many {
	struct jobq_scene_project *project;
	struct jobq_scene_cache *cache;
	void *region;
	bool cold;
};

/* Drops the files' pages, with `cold`; their names and inodes stay known. */
static void drop(struct many *many)
{
	for (size_t i = 0; many->cold && i < file_count; i++) {
		int fd = openat(jobq_scene_project_root(many->project),
				files[i].path + strlen("res://"), O_RDONLY | O_CLOEXEC);
		if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
			die(files[i].path);
		close(fd);
	}
}

static void before_reads(void *context)
{
	drop(context);
}

static void before_first(void *context)
{
	struct many *many = context;

	drop(many);
	jobq_scene_cache_detach(many->cache);
	if (jobq_scene_cache_init(many->region, CACHE_BYTES) < 0)
		die("the cache");
	many->cache = jobq_scene_cache_attach(many->region, CACHE_BYTES);
	if (many->cache == NULL)
		die("the cache");
}

static void load_all(void *context)
{
	struct many *many = context;

	for (size_t i = 0; i < file_count; i++) {
		struct jobq_scene_load load;
		if (jobq_scene_load(many->project, many->cache, files[i].path, JOBQ_SCENE_PRELOAD,
				    &load) < 0 || load.error != NULL)
			die(files[i].path);
		jobq_scene_load_free(&load);
	}
}

/* So that the second pass hits, whoever's turn was before. */
static void before_second(void *context)
{
	before_first(context);
	load_all(context);
	drop(context);
}

static void read_all(void *context)
{
	struct many *many = context;

	for (size_t i = 0; i < file_count; i++)
		plain_read(jobq_scene_project_root(many->project), files[i].path + strlen("res://"));
}

static int measure_warm(int rounds, const char *root, bool cold)
{
	static const struct way ways[] = {{"plain", before_reads, read_all},
					  {"first", before_first, load_all},
					  {"again", before_second, load_all}};
	static struct turns turns = {.ways = ways, .count = 3};
	struct many many = {.cold = cold};

	read_lines();
	many.region = mmap(NULL, CACHE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (many.region == MAP_FAILED || jobq_scene_cache_init(many.region, CACHE_BYTES) < 0 ||
	    jobq_scene_project_open(&many.project, root, NULL) < 0)
		die(root);
	many.cache = jobq_scene_cache_attach(many.region, CACHE_BYTES);
	turns.rounds = rounds;
	/* Nothing is waited for when all pages are there. */
	take_turns(&turns, cold ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &many);
	show(&turns);
	jobq_scene_cache_detach(many.cache);
	jobq_scene_project_close(many.project);
	return 0;
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 0;

	if (rounds > 0 && rounds <= ROUNDS_MAX) {
		if (argc == 4 && strcmp(argv[1], "read") == 0)
			return measure_read(rounds, argv[3]);
		if (argc == 3 && strcmp(argv[1], "files") == 0)
			return measure_files(rounds);
		if (argc == 5 && strcmp(argv[1], "large") == 0)
			return measure_large(rounds, argv[3], argv[4]);
		if (argc == 5 && strcmp(argv[1], "warm") == 0)
			return measure_warm(rounds, argv[3], strcmp(argv[4], "cold") == 0);
	}
	fprintf(stderr, "usage: scenes read|files|large|warm ROUNDS ...\n");
	return 2;
}
