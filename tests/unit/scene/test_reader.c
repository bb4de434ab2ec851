#include "config.h"

#include "fixture.h"

#define HEAD "[gd_scene load_steps=1 format=3]\n"
#define ROOT "[node name=\"Root\" type=\"Node2D\"]\n"

static struct scene_arena arena;
static struct scene_reading reading;

static const char *read_bytes(const char *text, size_t len)
{
	scene_arena_free(&arena);
	arena = (struct scene_arena){0};
	/* An exact copy, so that a sanitizer sees a byte read too many. */
	char *copy = malloc(len + (len == 0));
	assert_non_null(copy);
	memcpy(copy, text, len);
	assert_int_equal(scene_read(&arena, copy, len, SCENE_ENGINE_BY_FORMAT, true, &reading), 0);
	free(copy);
	return reading.error;
}

static const char *read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

/* A scene whose root has the property `x` of this value. */
static bool takes(const char *format, const char *value)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "[gd_scene format=%s]\n[ext_resource path=\"res://a\" type=\"Script\" id=1]\n" ROOT
		 "x = %s\n", format, value);
	return read_text(text) == NULL;
}

static void facts_of_a_scene(void **state)
{
	(void)state;
	assert_null(read_text("[gd_scene load_steps=3 format=3 uid=\"uid://abc\"]\n"
			      "[ext_resource type=\"Script\" path=\"res://a.gd\" id=\"1_x\"]\n"
			      "[sub_resource type=\"Curve\" id=\"2\"]\nvalue = [1, \"]\"]\n" ROOT
			      "script = ExtResource(\"1_x\")\ncurve = SubResource(\"2\")\n"
			      "[node name=\"A\" type=\"Node\" parent=\".\" groups=[\"g\"]]\n"
			      "[connection signal=\"s\" from=\".\" to=\"A\" method=\"m\"]\n"
			      "[editable path=\"A\"]\n"));
	assert_int_equal(reading.facts.format, 3);
	assert_int_equal(reading.facts.node_count, 2);
	assert_string_equal(reading.facts.uid, "uid://abc");
	assert_string_equal(reading.facts.root_type, "Node2D");
	assert_string_equal(reading.facts.root_name, "Root");
	assert_int_equal(reading.facts.dependency_count, 1);
	assert_string_equal(reading.facts.dependencies[0].path, "res://a.gd");
	assert_int_equal(reading.facts.dependencies[0].line, 2);
	assert_int_equal(reading.errors.count, 0);
	assert_int_equal(reading.warnings.count, 0);
}

static void values(void **state)
{
	static const char *const good[] = {
		"true", "null", "inf", "-inf", "\"]\"", "[]", "[1, ]", "{}", "{1: [2], \"a\": {},}",
		"Vector2( 1 ,\n2 )", "Color(0, 0, 0, 1)", "PackedByteArray(\"AAEC\")",
		"PackedStringArray(\"a\", )", "PackedVector2Array(1, 2, 3)", "NodePath(\"a:b\")",
		"&\"n\"", "Array[int]([1])", "Dictionary[int, Resource]({})", "RID()",
		"Array[ExtResource(\"1\")]([])", "Object(Node,\"a\":[1],)", "ExtResource(1)",
		"Vector3(inf, -inf, nan)", "{[1]: 2}", "Array[Resource]([])",
	};
	static const char *const bad[] = {
		"tru", "[,1]", "[1,,2]", "{1, 2}", "{1:}", "Vector2(1)", "Vector2(1, 2,)",
		"Vector2(\"1\", 2)", "Color(\"red\")", "PackedByteArray(\"AAE\")", "[1", "{", "(1)",
		"NodePath(1)", "ExtResource(2)", "SubResource(1)", "Array[int](1)", "Array(1)",
		"PackedStringArray(1)", "^\"a\"", "Object(Node)", "Dictionary[int]({})", "",
		"Array[ExtResource]([])", "Signal(1)", "[1 2]",
	};

	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(good); i++) {
		if (!takes("3", good[i]))
			fail_msg("%s: %s", good[i], reading.error);
	}
	for (size_t i = 0; i < JOBQ_LENGTH(bad); i++) {
		if (takes("3", bad[i]))
			fail_msg("accepted: %s", bad[i]);
	}
	assert_false(takes("2", "&\"n\""));
	assert_false(takes("2", "Vector2(inf, 0)"));
	assert_false(takes("2", "ExtResource(\"1\")"));
	assert_true(takes("2", "ExtResource( 1 )"));
	assert_true(takes("2", "[ExtResource(1.7), ExtResource(01)]"));
	assert_false(takes("2", "ExtResource(2.1)"));
	assert_null(read_text("[gd_scene format=true]\n" ROOT));
	assert_int_equal(reading.facts.format, 1);
	assert_true(takes("2", "-"));
	assert_true(takes("2", "[-.5, -e5, -e]"));
	assert_false(takes("3", "-e5"));
}

static void structure(void **state)
{
	static const char *const bad[] = {
		"", "junk", "[node name=\"a\"]", "[gd_scene format=5]\n" ROOT, HEAD,
		"\xef\xbb\xbf" HEAD ROOT, HEAD "x = 1\n" ROOT, HEAD "[resource]\n",
		HEAD "[ext_resource type=\"A\" path=\"b\"]\n" ROOT, "[gd_resource format=3]\n[resource]\n",
		HEAD "[sub_resource type=\"A\" id=\"1\"]\nx = 1\n",
		HEAD "[sub_resource type=\"A\" id=\"1\"]\n"
		     "[ext_resource type=\"A\" path=\"b\" id=\"1\"]\n" ROOT,
		HEAD ROOT "[gd_scene]\n", HEAD ROOT "[connection from=\".\"]\n", HEAD ROOT "[editable]\n",
		HEAD "[node type=\"A\"]\n", HEAD ROOT "[node name=\"a\" parent=\"\"]\n",
		HEAD ROOT "[node name=\"a\" parent=5]\n",
		HEAD ROOT "[node name=\"a\" parent=\":\"]\n",
		HEAD ROOT "[node name=\"a\" parent=\"b::c\"]\n",
		HEAD "[node name=\"a\" instance_placeholder=\"b\"]\n",
		HEAD ROOT "[", HEAD ROOT "[node name=\"a\"", HEAD "[node name.x=\"a\"]\n",
		"[gd_resource type=\"Curve\"]\n[resource]\nx = 1\n[resource]\n",
		"[gd_resource type=\"Curve\"]\n[resource]\n= 1\n",
		"[gd_resource type=\"Curve\"]\n" ROOT,
		"[gd_resource type=\"Node\"]\n[resource]\n",
		"[gd_resource type=\"A\" format=2]\n[resource]\n",
	};

	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(bad); i++) {
		if (read_text(bad[i]) == NULL)
			fail_msg("accepted: %s", bad[i]);
		assert_true(reading.line > 0 && reading.column > 0);
	}
	assert_null(read_text("[gd_resource type=\"Curve\"]\n[resource]\nx = 1"));
	assert_null(read_text("[gd_resource type=\"Mesh\" format=2]\n[resource]\n"));
	assert_non_null(read_text("[gd_resource type=\"Mesh\" format=3]\n[resource]\n"));
	assert_null(read_text("; a comment\n[gd_scene format=3]\r\n[node name=\"R\" type=\"N\"]\r\n"));
	assert_non_null(read_text(HEAD ROOT "x = [1,\n 2,\n !]\n"));
	assert_int_equal(reading.line, 5);
	assert_int_equal(reading.column, 2);
}

static bool mentions(const struct jobq_scene_texts *texts, const char *word)
{
	for (size_t i = 0; i < texts->count; i++) {
		if (strstr(texts->items[i], word) != NULL)
			return true;
	}
	return false;
}

static void oddities_of_bodies(void **state)
{
	static const char nul[] = HEAD ROOT "\0[node name=\"a\" type=\"b\" parent=\".\"]\n";
	static const char pushed[] = HEAD ROOT "x = [#ff00ff\0, 1\0, true\0]\n";

	(void)state;
	assert_null(read_bytes(nul, sizeof(nul) - 1));
	assert_int_equal(reading.facts.node_count, 2);
	assert_null(read_bytes(pushed, sizeof(pushed) - 1));
	assert_null(read_text(HEAD "[node name=true type=\"Node\"]\n"));
	assert_string_equal(reading.facts.root_name, "True");
	assert_null(read_text("[gd_scene format=2]\n[node name={} type=[\"a\", [1]]]\n"));
	assert_string_equal(reading.facts.root_name, "{}");
	assert_string_equal(reading.facts.root_type, "[\"a\", [1]]");
	assert_true(mentions(&reading.errors, "which Godot 3 does not have"));
	assert_null(read_text(HEAD ROOT "a[0] = 1\na b = 2\ntail"));
	assert_int_equal(reading.facts.node_count, 1);
	/* A property without a name counts its node once more. */
	assert_null(read_text(HEAD ROOT "= 1\n"));
	assert_int_equal(reading.facts.node_count, 2);
	/* Text without `=` swallows the next tag. */
	assert_null(read_text(HEAD ROOT "x = 1 junk\n[node name=\"a\" parent=\".\"]\n"));
	assert_int_equal(reading.facts.node_count, 1);
	assert_int_equal(reading.warnings.count, 1);
}

/* Whether a value of so many containers in each other is taken. */
static bool nests(size_t depth, char open, char close)
{
	size_t head = strlen(HEAD ROOT "x = ");
	char *text = malloc(head + 2 * depth);

	assert_non_null(text);
	memcpy(text, HEAD ROOT "x = ", head);
	memset(text + head, open, depth);
	memset(text + head + depth, close, depth);
	bool good = read_bytes(text, head + 2 * depth) == NULL;
	free(text);
	return good;
}

static void nesting_has_a_limit(void **state)
{
	(void)state;
	assert_true(nests(8000, '[', ']'));
	assert_true(nests(JOBQ_SCENE_DEPTH_MAX, '[', ']'));
	assert_false(nests(JOBQ_SCENE_DEPTH_MAX + 1, '[', ']'));
	assert_false(nests(1000000, '{', '}'));
}

static void findings(void **state)
{
	(void)state;
	assert_null(read_text("[gd_scene load_steps=9 format=3]\n"
			      "[ext_resource type=\"A\" path=\"res://a \" id=\"1\"]\n"
			      "[sub_resource type=\"B\" id=\"1\"]\n" ROOT
			      "[node name=\"A\" type=\"N\" parent=\".\"]\n"
			      "[node name=\"A\" type=\"N\" parent=\"./\"]\n"
			      "[node name=\"B\" type=\"N\" parent=\"A\"]\n"
			      "[node name=\"C\" type=\"N\" parent=\"A/B\"]\n"
			      "[node name=\"D\" type=\"N\" parent=\"A/X\"]\n"
			      "[node name=\"E\" parent=\".\"]\n"));
	assert_int_equal(reading.errors.count, 0);
	assert_int_equal(reading.warnings.count, 7);
	assert_true(mentions(&reading.warnings, "load_steps is 9, but should be 3"));
	assert_true(mentions(&reading.warnings, "same name"));
	assert_true(mentions(&reading.warnings, "A/X"));
	assert_true(mentions(&reading.warnings, "neither a type nor an instance"));
	assert_true(mentions(&reading.warnings, "blank"));
	assert_null(read_text(HEAD ROOT "[node name=\"Second\" type=\"N\"]\n"));
	assert_true(mentions(&reading.errors, "Second"));
	assert_null(read_text(HEAD "[node name=\"R\" type=\"N\" parent=\".\"]\n"));
	assert_int_equal(reading.errors.count, 1);
	assert_null(read_text(HEAD "[node name=\"R\"]\n"));
	assert_int_equal(reading.errors.count, 1);
	assert_null(read_text(HEAD "[node name=\"R\" type=\"N\" owner=\".\"]\n"
			      "[node name=\"C\" type=\"N\" parent=\".\" owner=\".\"]\n"));
	assert_int_equal(reading.errors.count, 1);
	/* Without the root's class there is no scene in Godot 3, a placeholder in Godot 4. */
	assert_null(read_text("[gd_scene format=2]\n[node name=\"R\" type=\"Nothing\"]\n"));
	assert_true(mentions(&reading.errors, "a Nothing, which Godot 3 does not have"));
	assert_null(read_text("[gd_scene format=2]\n[node name=\"R\" type=\"Room\"]\n"));
	assert_int_equal(reading.errors.count, 0);
	assert_null(read_text(HEAD "[node name=\"R\" type=\"Nothing\"]\n"));
	assert_int_equal(reading.errors.count, 0);
}

/* Whether a scene with this as an instance, of the root or of a child, can be made. */
static bool instances(const char *value)
{
	static const char *const nodes[] = {"[node name=\"R\" type=\"N\" instance=%s]\n",
					    ROOT "[node name=\"C\" parent=\".\" instance=%s]\n"};
	bool made[2];

	for (size_t i = 0; i < 2; i++) {
		char text[1024];
		int len = snprintf(text, sizeof(text),
				   HEAD "[ext_resource path=\"a\" type=\"PackedScene\" id=\"1\"]\n"
				   "[ext_resource path=\"a\" type=\"Script\" id=\"2\"]\n"
				   "[ext_resource path=\"a\" type=\"\" id=\"3\"]\n"
				   "[sub_resource type=\"Curve\" id=\"1\"]\n");
		snprintf(text + len, sizeof(text) - (size_t)len, nodes[i], value);
		assert_null(read_text(text));
		assert_int_equal(mentions(&reading.errors, "no scene"), reading.errors.count);
		made[i] = reading.errors.count == 0;
	}
	assert_int_equal(made[0], made[1]);
	return made[0];
}

static void instances_are_scenes(void **state)
{
	(void)state;
	assert_true(instances("ExtResource(\"1\")"));
	assert_true(instances("ExtResource(\"3\")"));
	assert_true(instances("Resource(\"res://a\")"));
	assert_false(instances("ExtResource(\"2\")"));
	assert_false(instances("SubResource(\"1\")"));
	assert_false(instances("[ExtResource(\"1\")]"));
	assert_false(instances("null"));
	assert_false(instances("\"a\""));
}

static void imports(void **state)
{
	static const char good[] = "[remap]\n\nimporter=\"texture\"\npath.etc2=\"res://e\"\n"
				   "path.s3tc=\"res://s\"\n[deps]\npath=\"res://no\"\nx=!\n";
	static const char late[] = "[deps]\n[remap]\npath=\"res://s\"\n";
	static const char kept[] = "[remap]\nimporter=\"keep\"\n";
	static const char bad[] = "[remap]\nimporter=\"texture\"\nvalid=false\n";
	static const char project[] = "; Engine configuration\nconfig_version=4\n[application]\n";

	(void)state;
	assert_int_equal(scene_read_import(&arena, good, strlen(good), &reading), 0);
	assert_null(reading.error);
	assert_string_equal(reading.facts.dependencies[0].path, "res://s");
	assert_int_equal(scene_read_import(&arena, kept, strlen(kept), &reading), 0);
	assert_null(reading.error);
	assert_int_equal(reading.facts.dependency_count, 0);
	assert_int_equal(scene_read_import(&arena, bad, strlen(bad), &reading), 0);
	assert_non_null(reading.error);
	assert_int_equal(scene_read_import(&arena, late, strlen(late), &reading), 0);
	assert_non_null(reading.error);
	assert_int_equal(scene_read_import(&arena, "[remap", 6, &reading), 0);
	assert_non_null(reading.error);
	assert_int_equal(scene_read_engine(&arena, project, strlen(project)), SCENE_ENGINE_3);
	assert_int_equal(scene_read_engine(&arena, "config_version=5\n", 17), SCENE_ENGINE_4);
	assert_int_equal(scene_read_engine(&arena, "", 0), SCENE_ENGINE_BY_FORMAT);
}

static int forget(void **state)
{
	(void)state;
	scene_arena_free(&arena);
	return 0;
}

/* A scene with so many nodes, or a string of so many bytes: what the reader says of it. */
static const char *read_repeated(const char *head, const char *piece, size_t times, const char *tail)
{
	size_t len = strlen(piece), room = strlen(head) + times * len + strlen(tail) + 1;
	char *text = malloc(room), *at;

	assert_non_null(text);
	at = stpcpy(text, head);
	for (size_t i = 0; i < times; i++)
		at = stpcpy(at, piece);
	at = stpcpy(at, tail);
	const char *error = read_bytes(text, (size_t)(at - text));
	free(text);
	return error;
}

static void numbers_have_limits(void **state)
{
	static const char head[] = "[gd_scene format=3]\n", node[] = "[node name=\"a\"]\n";
	static const char string[] = "[gd_scene format=3]\n[node name=\"R\" type=\"Node\"]\nx = \"";

	(void)state;
	assert_null(read_repeated(head, node, JOBQ_SCENE_NODES_MAX, ""));
	assert_int_equal(reading.facts.node_count, JOBQ_SCENE_NODES_MAX);
	assert_non_null(strstr(read_repeated(head, node, JOBQ_SCENE_NODES_MAX + 1, ""),
			       "more than 2000000 nodes"));
	assert_null(read_repeated(string, "0123456789abcdef", JOBQ_SCENE_STRING_MAX / 16, "\"\n"));
	assert_non_null(strstr(read_repeated(string, "0123456789abcdef",
					     JOBQ_SCENE_STRING_MAX / 16, "x\"\n"), "64 MiB"));
}

/* How many findings are of a sort. */
static size_t count_of(const struct jobq_scene_texts *texts, const char *word)
{
	size_t count = 0;

	for (size_t i = 0; i < texts->count; i++)
		count += strstr(texts->items[i], word) != NULL;
	return count;
}

static void many_resources(void **state)
{
	enum { COUNT = 20000 };
	struct jobq_buf text = {0};
	char path[32];

	(void)state;
	jobq_buf_adds(&text, "[gd_scene format=3]\n");
	for (int i = 0; i < COUNT; i++)
		jobq_buf_addf(&text, "[ext_resource type=\"%s\" path=\"res://%d\" id=\"e%d\"]\n",
			      i % 3 == 0 ? "A" : "B", i / 2, i);
	for (int i = 0; i < COUNT; i++)
		jobq_buf_addf(&text, "[sub_resource type=\"Curve\" id=\"s%d\"]\n", i);
	jobq_buf_adds(&text, ROOT);
	for (int i = 0; i < COUNT; i++) {
		if (i != 12345)
			jobq_buf_addf(&text, "x = [ExtResource(\"e%d\"), SubResource(\"s%d\")]\n", i, i);
	}
	assert_null(read_bytes(text.data, text.len));
	assert_int_equal(reading.facts.dependency_count, COUNT);
	for (int i = 0; i < COUNT; i++) {
		const struct jobq_scene_dependency *dependency = &reading.facts.dependencies[i];
		snprintf(path, sizeof(path), "res://%d", i / 2);
		assert_string_equal(dependency->path, path);
		assert_string_equal(dependency->type, i % 3 == 0 ? "A" : "B");
		assert_null(dependency->uid);
		assert_int_equal(dependency->line, i + 2);
	}
	assert_int_equal(reading.warnings.count, 2);
	assert_true(mentions(&reading.warnings, "ext_resource e12345 (res://6172) is not used"));
	assert_true(mentions(&reading.warnings, "sub_resource s12345 (Curve) is not used"));
	jobq_buf_free(&text);
}

/* An id, a type and a path as they are shown, however they are written. */
static void texts_that_are_kept(void **state)
{
	(void)state;
	assert_null(read_text("[gd_scene format=3]\n"
			      "[ext_resource type=\"A\" path=\"res://\\u0061 b\" id=\"\\u0041\"]\n"
			      "[ext_resource type=null path=12 id=7]\n"
			      "[sub_resource type=\"\xc3\xa4\" id=\"\xff\"]\n"
			      "[sub_resource type=\"Curve\" id=\"twice\"]\n"
			      "[sub_resource type=\"Curve\" id=\"twice\"]\n"
			      "[sub_resource type=[] id=8]\n" ROOT
			      "x = [ExtResource(\"A\"), SubResource(\"twice\"), ExtResource(\"7\")]\n"));
	assert_string_equal(reading.facts.dependencies[0].path, "res://a b");
	assert_string_equal(reading.facts.dependencies[1].path, "12");
	assert_string_equal(reading.facts.dependencies[1].type, "Null");
	assert_true(mentions(&reading.warnings, "line 2: the path \"res://a b\" has a blank"));
	assert_int_equal(count_of(&reading.warnings, "is not used"), 3);
	assert_true(mentions(&reading.warnings, "line 4: sub_resource \xef\xbf\xbd (\xc3\xa4) is"));
	assert_true(mentions(&reading.warnings, "line 5: sub_resource twice (Curve) is not used"));
	assert_true(mentions(&reading.warnings, "line 7: sub_resource 8 ([]) is not used"));
	assert_string_equal(reading.unknown, "\xc3\xa4");
}

/* In Godot 3 ids are numbers, and shown as such. */
static void ids_of_godot_3(void **state)
{
	(void)state;
	assert_null(read_text("[gd_scene format=2]\n"
			      "[ext_resource type=\"A\" path=\"res://a\" id=010]\n"
			      "[ext_resource type=\"A\" path=\"res://b\" id=\"x9\"]\n"
			      "[sub_resource type=\"Curve\" id=5]\n" ROOT
			      "x = [ExtResource(10), SubResource(5)]\n"));
	assert_int_equal(count_of(&reading.warnings, "is not used"), 1);
	assert_true(mentions(&reading.warnings, "ext_resource 9 (res://b) is not used"));
	assert_true(mentions(&reading.warnings, "ext_resource 9 stands behind 10"));
}

static void arenas_grow(void **state)
{
	enum { COUNT = 5000 };
	struct scene_arena own = {0};
	uint64_t *numbers[3] = {NULL, NULL, NULL};

	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		for (size_t j = 0; j < 3; j++) {
			numbers[j] = scene_arena_grow(&own, numbers[j], i, sizeof(numbers[j][0]));
			assert_non_null(numbers[j]);
			numbers[j][i] = i * 3 + j;
		}
	}
	scene_arena_drop(numbers[1], 8192 * sizeof(numbers[1][0]));
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(numbers[0][i], i * 3);
		assert_int_equal(numbers[2][i], i * 3 + 2);
	}
	memset(scene_arena_get(&own, 100), 1, 100);
	scene_arena_clear(&own);
	const unsigned char *again = scene_arena_get(&own, 200);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(again[i], 0);
	assert_false(own.failed);
	scene_arena_free(&own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_limits),
		cmocka_unit_test(facts_of_a_scene),
		cmocka_unit_test(values),
		cmocka_unit_test(structure),
		cmocka_unit_test(oddities_of_bodies),
		cmocka_unit_test(nesting_has_a_limit),
		cmocka_unit_test(findings),
		cmocka_unit_test(instances_are_scenes),
		cmocka_unit_test(imports),
		cmocka_unit_test(many_resources),
		cmocka_unit_test(texts_that_are_kept),
		cmocka_unit_test(ids_of_godot_3),
		cmocka_unit_test(arenas_grow),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
