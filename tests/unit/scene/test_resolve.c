#include "config.h"

#include <sys/mman.h>

#include "fixture.h"

#define REGION (1u << 20)

static struct jobq_scene_project *project;
static struct jobq_scene_cache *cache;
static void *region;
static struct jobq_scene_load load;

/* A scene that needs the given files, each a line of ext_resource fields. */
static void write_scene(const char *name, const char *needs)
{
	char text[2048];

	snprintf(text, sizeof(text), "[gd_scene format=2]\n%s[node name=\"R\" type=\"Node\"]\n", needs);
	fixture_write(name, text);
}

#define NEED(path, type) "[ext_resource path=\"" path "\" type=\"" type "\" id=1]\n"

static const char *load_scene(const char *path, struct jobq_scene_cache *with, unsigned how)
{
	jobq_scene_load_free(&load);
	assert_int_equal(jobq_scene_load(project, with, path, how, &load), 0);
	return load.error;
}

static int make(void **state)
{
	static char *items[] = {(char *)"res://secret/"};
	static const struct jobq_list blacklist = {items, 1};

	if (fixture_make(state) != 0)
		return -1;
	region = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (region == MAP_FAILED || jobq_scene_cache_init(region, REGION) != 0)
		return -1;
	cache = jobq_scene_cache_attach(region, REGION);
	return jobq_scene_project_open(&project, fixture_root, &blacklist);
}

static int end(void **state)
{
	jobq_scene_load_free(&load);
	jobq_scene_cache_detach(cache);
	munmap(region, REGION);
	jobq_scene_project_close(project);
	return fixture_remove(state);
}

static void follows_everything_once(void **state)
{
	(void)state;
	fixture_write("d/script.gd", "extends Node\n");
	fixture_write("d/r.tres", "[gd_resource type=\"Curve\" format=2]\n" NEED("script.gd", "Script")
				  "[resource]\n");
	write_scene("d/child.tscn", NEED("script.gd", "Script") NEED("r.tres", "Resource"));
	write_scene("top.tscn", NEED("res://d/child.tscn", "PackedScene")
				NEED("res://d/child.tscn", "PackedScene") NEED("d/r.tres", "A"));
	assert_null(load_scene("res://top.tscn", NULL, JOBQ_SCENE_PRELOAD));
	assert_int_equal(load.file_count, 4);
	assert_string_equal(load.files[0].path, "res://top.tscn");
	uint64_t bytes = 0;
	for (size_t i = 0; i < load.file_count; i++)
		bytes += load.files[i].bytes;
	assert_int_equal(load.bytes, bytes);
	assert_int_equal(load.facts->dependency_count, 3);
}

static void names_all_that_is_missing(void **state)
{
	(void)state;
	fixture_write("secret/s.gd", "");
	fixture_write("broken.tres", "[gd_resource type=\"Curve\" format=2]\n[resource]\nx = \n");
	write_scene("m.tscn", NEED("none.gd", "Script") NEED("broken.tres", "A")
			      NEED("secret/s.gd", "Script") NEED("/etc/passwd", "Script")
			      NEED("uid://abc", "Script") NEED("m2.tscn", "PackedScene")
			      NEED("../../etc/passwd", "Script"));
	write_scene("m2.tscn", NEED("None.gd", "Script"));
	assert_non_null(load_scene("res://m.tscn", cache, 0));
	assert_int_equal(load.missing_count, 7);
	assert_string_equal(load.missing[0].path, "res://none.gd");
	assert_string_equal(load.missing[0].needed_by, "res://m.tscn");
	assert_string_equal(load.missing[2].why, "it is blacklisted");
	assert_string_equal(load.missing[3].why, "it is outside the project");
	assert_string_equal(load.missing[5].needed_by, "res://m2.tscn");
	assert_string_equal(load.missing[6].path, "res://etc/passwd"); /* the root is its own parent */
	assert_string_equal(load.missing[6].why, "it does not exist");
	assert_int_equal(load.kept.count, 0);
	assert_non_null(load_scene("res://nowhere.tscn", cache, 0));
	assert_int_equal(load.reason, -ENOENT);
	assert_null(load.facts);
}

/* A project of Godot 4, opened anew: what is known of uids is known by the handle. */
static struct jobq_scene_project *open_godot4(const char *more)
{
	struct jobq_scene_project *opened;
	char text[256];

	snprintf(text, sizeof(text), "config_version=5\n[application]\n%s\n", more);
	fixture_write("project.godot", text);
	assert_int_equal(jobq_scene_project_open(&opened, fixture_root, NULL), 0);
	return opened;
}

static const char *load_in(struct jobq_scene_project *in, const char *path, unsigned how)
{
	jobq_scene_load_free(&load);
	assert_int_equal(jobq_scene_load(in, NULL, path, how, &load), 0);
	return load.error;
}

#define NEED4(uid, path)                                                                           \
	"[ext_resource type=\"Script\" uid=\"" uid "\" path=\"" path "\" id=\"1\"]\n"
#define SCENE4(needs) "[gd_scene format=3]\n" needs "[node name=\"R\" type=\"Node\"]\n"

static void finds_files_by_uid(void **state)
{
	(void)state;
	fixture_write("moved/script.gd", "extends Node\n");
	fixture_write("moved/script.gd.uid", "uid://bx2c\n");
	fixture_write("other.gd", "extends Node\n");
	fixture_write("u.tscn", SCENE4(NEED4("uid://bx2c", "res://script.gd")));
	fixture_write("o.tscn", SCENE4(NEED4("uid://none", "res://other.gd")));
	fixture_write("n.tscn", SCENE4(NEED4("uid://none", "res://none.gd")));
	fixture_write("only.tscn",
		      SCENE4("[ext_resource type=\"Script\" path=\"uid://bx2c\" id=\"1\"]\n"));
	struct jobq_scene_project *in = open_godot4("");
	assert_null(load_in(in, "res://u.tscn", 0));
	assert_string_equal(load.files[1].path, "res://moved/script.gd");
	assert_null(load_in(in, "res://o.tscn", 0));
	assert_non_null(load_in(in, "res://n.tscn", 0));
	assert_string_equal(load.missing[0].path, "res://none.gd");
	assert_null(load_in(in, "res://only.tscn", 0));
	assert_string_equal(load.files[1].path, "res://moved/script.gd");
	jobq_scene_project_close(in);
}

/* The editor's cache file counts before the path, but not before the files that are there. */
static void believes_the_uid_cache(void **state)
{
	/* uid://bx2c is ((1 * 34 + 23) * 34 + 27) * 34 + 2 = 66812 = 0x104fc. */
	static const char bytes[] = "\2\0\0\0"
				    "\xfc\x04\1\0\0\0\0\0" "\xe\0\0\0" "res://there.gd"
				    "\1\0\0\0\0\0\0\0" "\xff\0\0\0" "cut short";
	(void)state;
	fixture_write("script.gd", "extends Node\n");
	fixture_write("u.tscn", SCENE4(NEED4("uid://bx2c", "res://script.gd")));
	struct jobq_scene_project *in = open_godot4("");
	assert_null(load_in(in, "res://u.tscn", 0));
	assert_string_equal(load.files[1].path, "res://script.gd");
	fixture_write_bytes(".godot/uid_cache.bin", bytes, sizeof(bytes) - 1);
	assert_null(load_in(in, "res://u.tscn", 0));
	assert_string_equal(load.files[1].path, "res://script.gd"); /* no other.gd is there */
	fixture_write("there.gd", "extends Node\n");
	assert_null(load_in(in, "res://u.tscn", 0));
	assert_string_equal(load.files[1].path, "res://there.gd");
	jobq_scene_project_close(in);
}

static void knows_classes(void **state)
{
#define SUB4(class) SCENE4("[sub_resource type=\"" class "\" id=\"1\"]\n")
	(void)state;
	fixture_write("good.tscn", SUB4("BoxShape3D"));
	fixture_write("node.tscn", SUB4("Node"));
	fixture_write("abstract.tscn", SUB4("Material"));
	fixture_write("strange.tscn", SUB4("NoSuchClass"));
	fixture_write("case.tscn", SUB4("boxShape3D"));
	fixture_write("r.tres", "[gd_resource type=\"NoSuchClass\" format=3]\n[resource]\n");
	fixture_write("needs.tscn", SCENE4("[ext_resource type=\"\" path=\"r.tres\" id=\"1\"]\n"));
	struct jobq_scene_project *in = open_godot4("config/features=PackedStringArray(\"4.4\")");
	assert_null(load_in(in, "res://good.tscn", 0));
	assert_non_null(strstr(load_in(in, "res://node.tscn", 0), "is no resource"));
	assert_non_null(strstr(load_in(in, "res://abstract.tscn", 0), "is abstract"));
	assert_non_null(strstr(load_in(in, "res://strange.tscn", 0), "no class NoSuchClass"));
	assert_non_null(strstr(load.error, "line 2, column 1"));
	assert_non_null(load_in(in, "res://case.tscn", 0));
	assert_non_null(strstr(load_in(in, "res://needs.tscn", 0), "no class NoSuchClass"));
	jobq_scene_project_close(in);
	/* A newer engine may have it, ... */
	in = open_godot4("config/features=PackedStringArray(\"4.99\")");
	assert_null(load_in(in, "res://strange.tscn", JOBQ_SCENE_VALIDATE));
	assert_int_equal(load.warnings.count, 2); /* it is not used, either */
	assert_non_null(load_in(in, "res://node.tscn", 0));
	jobq_scene_project_close(in);
	/* ... or an extension. */
	fixture_write("addons/x/x.gdextension", "[configuration]\n");
	in = open_godot4("config/features=PackedStringArray(\"4.4\")");
	assert_null(load_in(in, "res://strange.tscn", 0));
	assert_null(load_in(in, "res://needs.tscn", 0));
	jobq_scene_project_close(in);
}

static void finds_cycles(void **state)
{
	(void)state;
	write_scene("a.tscn", NEED("b.tscn", "PackedScene"));
	write_scene("b.tscn", NEED("c.tscn", "PackedScene"));
	write_scene("c.tscn", NEED("a.tscn", "PackedScene"));
	assert_non_null(load_scene("res://a.tscn", NULL, 0));
	assert_non_null(strstr(load.error,
			       "res://a.tscn -> res://b.tscn -> res://c.tscn -> res://a.tscn"));
	write_scene("self.tscn", NEED("self.tscn", "PackedScene"));
	assert_non_null(strstr(load_scene("res://self.tscn", NULL, 0),
			       "res://self.tscn -> res://self.tscn"));
}

static void takes_what_stands_in(void **state)
{
	(void)state;
	/* The picture itself need not be there; its import output must be. */
	fixture_write("p.png.import", "[remap]\nimporter=\"texture\"\npath=\"res://.import/p.stex\"\n");
	write_scene("i.tscn", NEED("p.png", "Texture"));
	assert_non_null(load_scene("res://i.tscn", NULL, 0));
	assert_string_equal(load.missing[0].path, "res://.import/p.stex");
	fixture_write(".import/p.stex", "x");
	assert_null(load_scene("res://i.tscn", NULL, 0));
	assert_int_equal(load.file_count, 3);
	fixture_write("k.txt.import", "[remap]\nimporter=\"keep\"\n");
	write_scene("k.tscn", NEED("k.txt", ""));
	assert_non_null(load_scene("res://k.tscn", NULL, 0));
	fixture_write("k.txt", "kept");
	assert_null(load_scene("res://k.tscn", NULL, 0));
	/* An exported project: the text scene gave way to a binary one. */
	fixture_write("gone.tscn.remap", "[remap]\npath=\"res://.import/gone.scn\"\n");
	fixture_write(".import/gone.scn", "x");
	write_scene("g.tscn", NEED("gone.tscn", "PackedScene"));
	assert_null(load_scene("res://g.tscn", NULL, 0));
	assert_string_equal(load.files[load.file_count - 1].path, "res://.import/gone.scn");
}

/* Whether a scene loads that asks for the file as this type. */
static bool taken(struct jobq_scene_project *in, const char *path, const char *type)
{
	char text[256];

	fixture_write(path, "[gd_resource type=\"Curve\"]\n[resource]\n");
	snprintf(text, sizeof(text), "[gd_scene]\n[ext_resource path=\"%s\" type=\"%s\" id=1]\n"
		 "[node name=\"R\" type=\"Node\"]\n", path, type);
	fixture_write("asks.tscn", text);
	return load_in(in, "res://asks.tscn", 0) == NULL;
}

static void types_choose_the_loader(void **state)
{
	(void)state;
	struct jobq_scene_project *in = open_godot4("");
	assert_true(taken(in, "s.gd", "Script"));
	assert_true(taken(in, "s.gd", ""));
	assert_false(taken(in, "s.gd", "Resource"));
	assert_true(taken(in, "s.gdshader", "Shader"));
	assert_false(taken(in, "s.gdshader", "PackedScene"));
	assert_true(taken(in, "s.res", "PackedScene"));
	assert_false(taken(in, "s.material", "PackedScene"));
	assert_true(taken(in, "s.tres", "Nonsense"));
	assert_false(taken(in, "s.tres", "PackedScene"));
	assert_true(taken(in, "s.tscn", "Resource"));
	assert_false(taken(in, "s.tscn", "Texture"));
	/* What the editor has to import first is loaded as nothing. */
	assert_false(taken(in, "s.glb", "PackedScene"));
	assert_non_null(strstr(load.error, "it has to be imported"));
	fixture_write("s.glb.import", "[remap]\npath=\"res://s.res\"\n");
	assert_true(taken(in, "s.glb", "PackedScene"));
	assert_true(taken(in, "s.strange", ""));
	/* Of what is loaded already the type does not matter. */
	fixture_write("twice.tscn", SCENE4(NEED4("uid://none", "res://s.gd")
		      "[ext_resource type=\"Texture\" path=\"res://s.gd\" id=\"2\"]\n"));
	assert_null(load_in(in, "res://twice.tscn", 0));
	jobq_scene_project_close(in);
}

static void finds_resources_within_files(void **state)
{
	(void)state;
	fixture_write("has.tscn", "[gd_scene format=2]\n[sub_resource type=\"Curve\" id=3]\n"
				  "[node name=\"R\" type=\"Node\"]\n");
	write_scene("after.tscn", NEED("has.tscn", "PackedScene") NEED("has.tscn::3", "Curve"));
	write_scene("before.tscn", NEED("has.tscn::3", "Curve") NEED("has.tscn", "PackedScene"));
	write_scene("own.tscn", NEED("own.tscn::3", "Curve"));
	assert_null(load_scene("res://after.tscn", NULL, 0));
	assert_int_equal(load.file_count, 2);
	assert_non_null(load_scene("res://before.tscn", NULL, 0));
	assert_int_equal(load.missing_count, 1);
	assert_string_equal(load.missing[0].path, "res://has.tscn::3");
	assert_non_null(load_scene("res://own.tscn", NULL, 0));
	fixture_write("m.dae.import", "[remap]\npath=\"res://.import/m.scn\"\n");
	fixture_write(".import/m.scn", "x");
	write_scene("model.tscn", NEED("m.dae", "PackedScene") NEED("m.dae::3", "Material"));
	assert_null(load_scene("res://model.tscn", NULL, 0));
}

static void second_load_parses_nothing(void **state)
{
	struct jobq_scene_cache_stats before, after;

	(void)state;
	follows_everything_once(state);
	assert_null(load_scene("res://top.tscn", cache, 0));
	assert_false(load.cached);
	assert_int_equal(load.kept.count, 3);
	jobq_scene_cache_stats(cache, &before);
	assert_null(load_scene("res://top.tscn", cache, 0));
	jobq_scene_cache_stats(cache, &after);
	assert_true(load.cached);
	assert_int_equal(load.kept.count, 0);
	assert_int_equal(load.file_count, 4);
	assert_int_equal(after.hits - before.hits, 3);
	assert_int_equal(after.misses, before.misses);
	/* Its dependencies are looked at nevertheless. */
	assert_int_equal(unlink(fixture_path("d/script.gd")), 0);
	assert_non_null(load_scene("res://top.tscn", cache, 0));
	fixture_write("d/script.gd", "");
	write_scene("top.tscn", NEED("d/script.gd", "Script"));
	assert_null(load_scene("res://top.tscn", cache, 0));
	assert_true(load.reloaded);
	assert_int_equal(load.file_count, 2);
	jobq_scene_load_free(&load);
	assert_int_equal(jobq_scene_look(project, cache, "res://top.tscn", &load), 0);
	assert_true(load.cached);
}

/* Twelve scenes that each need the next ten times, and a long chain. */
static void follows_a_scene_that_moved(void **state)
{
	(void)state;
	write_scene("new_place.tscn", "");
	fixture_write("old_place.tscn.remap", "[remap]\npath=\"res://new_place.tscn\"\n");
	assert_null(load_scene("res://old_place.tscn", cache, 0));
	assert_int_equal(load.facts->node_count, 1);
	assert_int_equal(load.file_count, 2);
	fixture_write("old_place.tscn.remap", "[remap]\npath=\"res://nowhere.tscn\"\n");
	assert_non_null(load_scene("res://old_place.tscn", cache, 0));
	assert_int_equal(load.reason, -ENOENT);
	fixture_write("old_place.tscn.remap", "[remap]\nx = \n");
	assert_non_null(load_scene("res://old_place.tscn", cache, 0));
	assert_int_equal(load.reason, -ENOENT);
}

/* It may change again within the same step of the clock of file times. */
static void fresh_files_are_not_kept(void **state)
{
	struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};

	(void)state;
	write_scene("fresh.tscn", "");
	assert_int_equal(utimensat(AT_FDCWD, fixture_path("fresh.tscn"), now, 0), 0);
	assert_null(load_scene("res://fresh.tscn", cache, 0));
	assert_int_equal(load.kept.count, 0);
	write_scene("fresh.tscn", "");
	assert_null(load_scene("res://fresh.tscn", cache, 0));
	assert_int_equal(load.kept.count, 1);
}

static void bombs_and_chains(void **state)
{
	char name[32], need[128], needs[1400];

	(void)state;
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "n%d.tscn", i);
		snprintf(need, sizeof(need), "[ext_resource path=\"n%d.tscn\" type=\"PackedScene\" id=1]\n",
			 i + 1);
		needs[0] = '\0';
		for (int j = 0; j < (i < 12 ? 10 : 1); j++)
			strcat(needs, need);
		write_scene(name, i == 1999 ? "" : needs);
	}
	assert_null(load_scene("res://n0.tscn", cache, 0));
	assert_int_equal(load.file_count, 2000);
	write_scene("n1999.tscn", NEED("n0.tscn", "PackedScene"));
	assert_non_null(strstr(load_scene("res://n0.tscn", cache, 0), "... ->"));
}

static void files_have_a_limit(void **state)
{
	static const char line[] = "[ext_resource path=\"f%07u\" type=\"\" id=1]\n";
	char *text = malloc(64 * (size_t)JOBQ_SCENE_FILES_MAX), *at;

	(void)state;
	assert_non_null(text);
	/* The scene itself is one of them. */
	for (unsigned more = 0; more < 2; more++) {
		at = stpcpy(text, "[gd_scene format=2]\n");
		for (unsigned i = 1; i < JOBQ_SCENE_FILES_MAX + more; i++)
			at += sprintf(at, line, i);
		strcpy(at, "[node name=\"R\" type=\"Node\"]\n");
		fixture_write("needy.tscn", text);
		assert_non_null(load_scene("res://needy.tscn", NULL, JOBQ_SCENE_VALIDATE));
		assert_int_equal(strstr(load.error, "more than 100000 files") != NULL, more);
		assert_int_equal(strcmp(load.errors.items[0], load.error) == 0, more);
		assert_int_equal(load.errors.count, JOBQ_SCENE_FILES_MAX - 1 + more);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_everything_once),
		cmocka_unit_test(names_all_that_is_missing),
		cmocka_unit_test(finds_cycles),
		cmocka_unit_test(finds_files_by_uid),
		cmocka_unit_test(believes_the_uid_cache),
		cmocka_unit_test(knows_classes),
		cmocka_unit_test(takes_what_stands_in),
		cmocka_unit_test(types_choose_the_loader),
		cmocka_unit_test(finds_resources_within_files),
		cmocka_unit_test(second_load_parses_nothing),
		cmocka_unit_test(follows_a_scene_that_moved),
		cmocka_unit_test(fresh_files_are_not_kept),
		cmocka_unit_test(bombs_and_chains),
		cmocka_unit_test(files_have_a_limit),
	};

	return cmocka_run_group_tests(tests, make, end);
}
