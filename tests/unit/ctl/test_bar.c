/* ctl: progress bars, rates and estimates. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/view.h"

#define SECOND INT64_C(1000000)

static struct jobq_buf out;

static void clear(void)
{
	out.len = 0;
	jobq_buf_adds(&out, "");
}

static void durations_read_like_clocks(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} rows[] = {
		{0, "0:00"},	      {7.9, "0:07"},	  {65, "1:05"},	    {3599, "59:59"},
		{3600, "1:00:00"}, {86399, "23:59:59"}, {90000, "1d 1h"}, {-1, "?"},
		{1e300, "?"},	      {0.0 / 0.0, "?"},
	};

	(void)state;
	for (size_t i = 0; i < JOBQ_LENGTH(rows); i++) {
		clear();
		ctl_bar_duration(&out, rows[i].seconds);
		assert_string_equal(out.data, rows[i].text);
	}
}

static void bars_are_as_wide_as_asked(void **state)
{
	(void)state;
	for (unsigned width = 0; width < 50; width++) {
		for (unsigned hundredths = 0; hundredths <= 120; hundredths++) {
			clear();
			ctl_bar_draw(&out, hundredths, width);
			assert_int_equal(out.len, width < 2 ? 0 : width);
			assert_int_equal(memchr(out.data, '-', out.len) == NULL,
					 width <= 2 || hundredths >= 100);
		}
	}
	clear();
	ctl_bar_draw(&out, 50, 10);
	assert_string_equal(out.data, "[####----]");
}

static void rates_are_of_the_last_samples(void **state)
{
	struct ctl_pace pace = {0};

	(void)state;
	assert_true(ctl_pace_rate(&pace, SECOND) == 0);
	assert_true(ctl_pace_left(&pace, SECOND) < 0);
	ctl_pace_add(&pace, SECOND, 10);
	assert_true(ctl_pace_left(&pace, 2 * SECOND) < 0);
	ctl_pace_add(&pace, 3 * SECOND, 30);
	assert_float_equal(ctl_pace_rate(&pace, 3 * SECOND), 10, 0.001);
	assert_float_equal(ctl_pace_left(&pace, 3 * SECOND), 7, 0.001);
	/* Faster now: the first ones are forgotten. */
	for (unsigned i = 0; i < 20; i++)
		ctl_pace_add(&pace, (4 + i) * SECOND / 2 + SECOND, 32 + i);
	assert_float_equal(ctl_pace_rate(&pace, 23 * SECOND / 2 + SECOND), 2, 0.001);
}

static void who_stands_still_gets_slower(void **state)
{
	struct ctl_pace pace = {0};

	(void)state;
	ctl_pace_add(&pace, 0, 0);
	ctl_pace_add(&pace, 10 * SECOND, 50);
	double before = ctl_pace_left(&pace, 10 * SECOND);
	assert_float_equal(before, 10, 0.001);
	assert_true(ctl_pace_rate(&pace, 100 * SECOND) < 1);
	assert_true(ctl_pace_left(&pace, 100 * SECOND) >= 0);
	/* The clock does not go back, but if it did. */
	assert_true(ctl_pace_rate(&pace, -SECOND) == 0);
	ctl_pace_add(&pace, 11 * SECOND, 0);
	assert_true(ctl_pace_left(&pace, 12 * SECOND) < 0);
}

static void lines_are_never_too_wide(void **state)
{
	static const char *const statuses[] = {"queued", "running", "completed"};
	struct ctl_bar bar = {.id = "1234567", .type = "batch_operations", .hundredths = 100,
			      .rate = 1234.5, .left = 86399, .total = 10000,
			      .note = "\xc3\xa4\xe2\x82\xac\033[2J"};

	(void)state;
	for (size_t i = 0; i < 2 * JOBQ_LENGTH(statuses); i++) {
		bar.status = statuses[i / 2];
		bar.running = i / 2 == 1;
		for (unsigned columns = 0; columns < 200; columns++) {
			clear();
			bar.colour = false;
			unsigned width = ctl_bar_line(&out, &bar, columns);
			assert_true(width <= columns);
			unsigned characters = 0;
			for (size_t at = 0; at < out.len; at++)
				characters += ((unsigned char)out.data[at] & 0xc0) != 0x80;
			assert_int_equal(characters, width);
			assert_null(memchr(out.data, '\033', out.len));
			bar.colour = true;
			assert_int_equal(ctl_bar_line(&out, &bar, columns), width);
			assert_true(out.len >= strlen(CTL_PLAIN));
		}
	}
}

static void lines_tell_what_there_is_room_for(void **state)
{
	struct ctl_bar bar = {.id = "7", .type = "scene_preload", .status = "running",
			      .hundredths = 57, .rate = 2, .left = 21, .running = true};

	(void)state;
	clear();
	ctl_bar_line(&out, &bar, 79);
	assert_string_equal(out.data, "   7  scene_preload     running    [######------]  57%   "
				      "2.0%/s  0:21 left");
	clear();
	bar.total = 1000;
	ctl_bar_line(&out, &bar, 100);
	assert_non_null(strstr(out.data, " 57%     20/s  0:21 left"));
	clear();
	ctl_bar_line(&out, &bar, 40);
	assert_string_equal(out.data, "   7  running    [#########-------]  57%");
	clear();
	bar.status = "queued";
	bar.running = false;
	bar.rate = 0;
	bar.left = -1;
	bar.hundredths = 0;
	ctl_bar_line(&out, &bar, 79);
	assert_string_equal(out.data, "   7  scene_preload     queued       0%");
}

static void colours_are_for_terminals(void **state)
{
	(void)state;
	assert_string_equal(ctl_bar_colour("failed", false), "");
	assert_string_equal(ctl_bar_colour("failed", true), "\033[31m");
	assert_string_equal(ctl_bar_colour("other", true), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_read_like_clocks),
		cmocka_unit_test(bars_are_as_wide_as_asked),
		cmocka_unit_test(rates_are_of_the_last_samples),
		cmocka_unit_test(who_stands_still_gets_slower),
		cmocka_unit_test(lines_are_never_too_wide),
		cmocka_unit_test(lines_tell_what_there_is_room_for),
		cmocka_unit_test(colours_are_for_terminals),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	jobq_buf_free(&out);
	return failed;
}
