#include "config.h"

#include "fixture.h"

/* Lexes one token of `text`, which gets no NUL behind it. */
static struct scene_token first(const char *text, size_t len, bool godot3,
				struct scene_lexer *lexer)
{
	struct scene_token token;

	*lexer = (struct scene_lexer){.data = text, .len = len, .godot3 = godot3};
	scene_lexer_next(lexer, &token);
	return token;
}

static void expect_kind(const char *text, bool godot3, enum scene_token_kind kind, size_t len)
{
	struct scene_lexer lexer;
	struct scene_token token = first(text, strlen(text), godot3, &lexer);

	if (token.kind != kind || (kind != SCENE_TOKEN_ERROR && token.len != len))
		print_error("on: %s\n", text);
	assert_int_equal(token.kind, kind);
	if (kind != SCENE_TOKEN_ERROR)
		assert_int_equal(token.len, len);
}

static void numbers_end_where_they_must(void **state)
{
	(void)state;
	expect_kind("12 ", false, SCENE_TOKEN_NUMBER, 2);
	expect_kind("-1.5e+3x", false, SCENE_TOKEN_NUMBER, 7);
	expect_kind("1.", false, SCENE_TOKEN_NUMBER, 2);
	expect_kind("1E5", false, SCENE_TOKEN_NUMBER, 3);
	expect_kind("1E5", true, SCENE_TOKEN_NUMBER, 1);
	expect_kind("0x1F", false, SCENE_TOKEN_NUMBER, 1);
	expect_kind("--5", true, SCENE_TOKEN_NUMBER, 1);
	expect_kind("--5", false, SCENE_TOKEN_ERROR, 0);
	expect_kind("-inf", false, SCENE_TOKEN_WORD, 4);
	expect_kind("+5", false, SCENE_TOKEN_ERROR, 0);
}

static void names_and_colours(void **state)
{
	(void)state;
	expect_kind("&\"a\"", false, SCENE_TOKEN_NAME_STRING, 1);
	expect_kind("@\"a\"", false, SCENE_TOKEN_NAME_STRING, 1);
	expect_kind("&\"a\"", true, SCENE_TOKEN_ERROR, 0);
	expect_kind("& \"a\"", false, SCENE_TOKEN_ERROR, 0);
	expect_kind("#ff00ff ", false, SCENE_TOKEN_COLOUR, 7);
	expect_kind("#ff00ff", false, SCENE_TOKEN_END, 7);
	expect_kind("; only a comment", false, SCENE_TOKEN_END, 0);
	expect_kind("'a'", false, SCENE_TOKEN_ERROR, 0);
}

static void expect_text(const char *text, bool godot3, const char *wanted)
{
	struct scene_lexer lexer;
	struct scene_arena arena = {0};
	struct scene_token token = first(text, strlen(text), godot3, &lexer);

	assert_int_equal(token.kind, SCENE_TOKEN_STRING);
	assert_string_equal(scene_lexer_text(&token, &arena), wanted);
	scene_arena_free(&arena);
}

static void strings_are_decoded(void **state)
{
	(void)state;
	expect_text("\"\"", false, "");
	expect_text("\"a[b]\\\"c\\\\\"", false, "a[b]\"c\\");
	expect_text("\"\\t\\n\\q\"", false, "\t\nq");
	expect_text("\"\\u00e9\\ud83d\\ude00\\U01f600\"", false, "\xc3\xa9\xf0\x9f\x98\x80\xf0\x9f\x98\x80");
	expect_text("\"\\ud83d\"", true, "\xef\xbf\xbd");
	expect_text("\"a\xff\xc3\"", false, "a\xef\xbf\xbd\xef\xbf\xbd");
	expect_text("\"\xed\xa0\x80\"", false, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	/* Godot 3: as Latin-1, but cut to the characters that the first bytes promise. */
	expect_text("\"a\xff\xc3\"", true, "a\xc3\xbf\xc3\x83");
	expect_text("\"a\xe9z\"", true, "a\xc3\xa9z");
	expect_text("\"He\xe7lth\"", true, "He\xc3\xa7l");
	expect_text("\"\xc3\xa9\xd7zz\"", true, "\xc3\xa9\xc2\xa9\xc3\x97");
	expect_text("\"\\u0000\"", false, "\xef\xbf\xbd");
	expect_text("\"two\r\nlines\"", false, "two\r\nlines");
}

static void bad_strings(void **state)
{
	struct scene_lexer lexer;

	(void)state;
	expect_kind("\"open", false, SCENE_TOKEN_ERROR, 0);
	expect_kind("\"open\\", false, SCENE_TOKEN_ERROR, 0);
	expect_kind("\"\\u12g4\"", false, SCENE_TOKEN_ERROR, 0);
	expect_kind("\"\\ud83d\"", false, SCENE_TOKEN_ERROR, 0);
	expect_kind("\"\\ude00\"", false, SCENE_TOKEN_ERROR, 0);
	expect_kind("\"\\ud83dx\"", false, SCENE_TOKEN_ERROR, 0);
	assert_int_equal(first("\"a\0b\"", 5, false, &lexer).kind, SCENE_TOKEN_ERROR);
	assert_int_equal(first("\0[", 2, false, &lexer).kind, SCENE_TOKEN_END);
	assert_int_equal(first("", 0, false, &lexer).kind, SCENE_TOKEN_END);
}

static void places(void **state)
{
	struct scene_lexer lexer = {.data = "a\r\nbc\nd", .len = 7};
	uint32_t line, column;

	(void)state;
	scene_lexer_place(&lexer, 4, &line, &column);
	assert_int_equal(line, 2);
	assert_int_equal(column, 2);
	scene_lexer_place(&lexer, 99, &line, &column);
	assert_int_equal(line, 3);
	assert_int_equal(column, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_end_where_they_must),
		cmocka_unit_test(names_and_colours),
		cmocka_unit_test(strings_are_decoded),
		cmocka_unit_test(bad_strings),
		cmocka_unit_test(places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
