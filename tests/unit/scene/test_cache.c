#include "config.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fixture.h"
#include "scene/region.h"

#define LARGE (16u << 20)
#define SMALL (64u << 10)

static void *region;
static struct jobq_scene_cache *cache;
static struct scene_arena arena;

static void begin(size_t size)
{
	assert_int_equal(jobq_scene_cache_init(region, size), 0);
	cache = jobq_scene_cache_attach(region, size);
	assert_non_null(cache);
}

static int make(void **state)
{
	(void)state;
	region = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return region == MAP_FAILED ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	return munmap(region, LARGE);
}

static int forget(void **state)
{
	(void)state;
	jobq_scene_cache_detach(cache);
	cache = NULL;
	scene_arena_free(&arena);
	arena = (struct scene_arena){0};
	return 0;
}

/* Facts with so many dependencies; `number` tells them from others. */
static struct jobq_scene_facts facts_of(uint64_t number, size_t dependencies)
{
	struct jobq_scene_facts facts = {.format = 3, .node_count = number, .root_type = "Node",
					 .root_name = "Root",
					 .dependency_count = dependencies};

	facts.dependencies = scene_arena_get(&arena, dependencies * sizeof(facts.dependencies[0]));
	for (size_t i = 0; i < dependencies; i++)
		facts.dependencies[i] = (struct jobq_scene_dependency){
			.path = scene_arena_print(&arena, "res://some/where/file%zu.gd", i),
			.uid = i % 2 == 0 ? "uid://abc" : NULL,
			.type = "Script",
			.line = (uint32_t)i};
	return facts;
}

static bool put(const char *path, uint64_t number, size_t dependencies)
{
	struct jobq_scene_stamp stamp = {number, 5, 6};
	struct jobq_scene_facts facts = facts_of(number, dependencies);

	return scene_cache_put(cache, path, &stamp, &facts);
}

static enum scene_cache_found get(const char *path, uint64_t number, struct jobq_scene_facts *facts)
{
	struct jobq_scene_stamp stamp = {number, 5, 6};

	return scene_cache_get(cache, path, &stamp, &arena, facts);
}

static void gives_back_what_was_put(void **state)
{
	struct jobq_scene_facts facts = {0};

	(void)state;
	begin(LARGE);
	assert_int_equal(get("res://a.tscn", 7, &facts), SCENE_CACHE_MISS);
	assert_true(put("res://a.tscn", 7, 500));
	assert_false(put("res://a.tscn", 7, 500));
	assert_int_equal(get("res://a.tscn", 7, &facts), SCENE_CACHE_HIT);
	assert_int_equal(facts.node_count, 7);
	assert_null(facts.uid);
	assert_string_equal(facts.root_name, "Root");
	assert_int_equal(facts.dependency_count, 500);
	assert_string_equal(facts.dependencies[499].path, "res://some/where/file499.gd");
	assert_int_equal(facts.dependencies[499].line, 499);
	assert_int_equal(get("res://a.tscn", 8, &facts), SCENE_CACHE_STALE);
	assert_true(put("res://a.tscn", 8, 0));
	assert_int_equal(get("res://a.tscn", 7, &facts), SCENE_CACHE_STALE);
	assert_true(jobq_scene_cache_remove(cache, "res://a.tscn"));
	assert_false(jobq_scene_cache_remove(cache, "res://a.tscn"));
	struct jobq_scene_cache_stats stats;
	jobq_scene_cache_stats(cache, &stats);
	assert_int_equal(stats.entries, 0);
	assert_int_equal(stats.bytes, 0);
	assert_int_equal(stats.hits, 1);
}

static void holds_many(void **state)
{
	struct jobq_scene_facts facts;
	struct jobq_scene_cache_stats stats;
	char path[64];

	(void)state;
	begin(LARGE);
	for (uint64_t i = 0; i < 12000; i++) {
		snprintf(path, sizeof(path), "res://level/%llu.tscn", (unsigned long long)i);
		assert_true(put(path, i, 5));
	}
	for (uint64_t i = 0; i < 12000; i++) {
		snprintf(path, sizeof(path), "res://level/%llu.tscn", (unsigned long long)i);
		assert_int_equal(get(path, i, &facts), SCENE_CACHE_HIT);
	}
	jobq_scene_cache_stats(cache, &stats);
	assert_int_equal(stats.entries, 12000);
	assert_int_equal(stats.evictions, 0);
}

static void oldest_go_first(void **state)
{
	struct jobq_scene_facts facts;
	struct jobq_scene_cache_stats stats;
	char path[64];

	(void)state;
	begin(SMALL);
	for (uint64_t i = 0; i < 2000; i++) {
		snprintf(path, sizeof(path), "res://%llu.tscn", (unsigned long long)i);
		assert_true(put(path, i, i % 7));
		/* What is used stays. */
		assert_int_equal(get("res://0.tscn", 0, &facts), SCENE_CACHE_HIT);
	}
	assert_int_equal(get("res://1.tscn", 1, &facts), SCENE_CACHE_MISS);
	assert_int_equal(get("res://1999.tscn", 1999, &facts), SCENE_CACHE_HIT);
	assert_false(put("res://huge.tscn", 1, 5000));
	jobq_scene_cache_stats(cache, &stats);
	assert_true(stats.bytes <= stats.room && stats.room < SMALL);
	assert_true(stats.evictions > 1500);
	assert_int_equal(stats.resets, 0);
}

static void dead_holder_leaves_it_empty(void **state)
{
	struct jobq_scene_facts facts;
	struct jobq_scene_cache_stats stats;
	int status;

	(void)state;
	begin(LARGE);
	assert_true(put("res://a.tscn", 1, 3));
	pid_t child = fork();
	if (child == 0) {
		region_lock(cache);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(get("res://a.tscn", 1, &facts), SCENE_CACHE_MISS);
	assert_true(put("res://a.tscn", 1, 3));
	assert_int_equal(get("res://a.tscn", 1, &facts), SCENE_CACHE_HIT);
	jobq_scene_cache_stats(cache, &stats);
	assert_int_equal(stats.resets, 1);
}

/* Everything but the mutex is overwritten, a little or wholly: no crash, no hang. */
static void damage_is_survived(void **state)
{
	struct jobq_scene_facts facts;
	size_t from = offsetof(struct region_header, fresh);
	char path[64];

	(void)state;
	srand(1);
	for (int round = 0; round < 300; round++) {
		begin(SMALL);
		for (uint64_t i = 0; i < 60; i++) {
			snprintf(path, sizeof(path), "res://%llu.tscn", (unsigned long long)i);
			put(path, i, i % 9);
		}
		int flips = round % 3 == 0 ? (int)SMALL : 1 + round;
		for (int i = 0; i < flips; i++)
			((unsigned char *)region)[from + (size_t)rand() % (SMALL - from)] =
				(unsigned char)rand();
		for (uint64_t i = 0; i < 300; i++) {
			snprintf(path, sizeof(path), "res://%llu.tscn", (unsigned long long)i % 120);
			get(path, i % 120, &facts);
			put(path, i % 120, i % 9);
			if (i % 11 == 0)
				jobq_scene_cache_remove(cache, path);
		}
		forget(NULL);
	}
}

static void attaches_only_to_its_own(void **state)
{
	(void)state;
	assert_int_equal(jobq_scene_cache_init(region, SMALL - 1), -ENOSPC);
	begin(SMALL);
	assert_null(jobq_scene_cache_attach(region, SMALL + 4096));
	assert_null(jobq_scene_cache_attach(region, 0));
	((struct region_header *)region)->version++;
	assert_null(jobq_scene_cache_attach(region, SMALL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(gives_back_what_was_put, forget),
		cmocka_unit_test_teardown(holds_many, forget),
		cmocka_unit_test_teardown(oldest_go_first, forget),
		cmocka_unit_test_teardown(dead_holder_leaves_it_empty, forget),
		cmocka_unit_test_teardown(damage_is_survived, forget),
		cmocka_unit_test_teardown(attaches_only_to_its_own, forget),
	};

	return cmocka_run_group_tests(tests, make, end);
}
