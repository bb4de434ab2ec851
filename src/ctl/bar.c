#include "config.h"

#include <string.h>

#include "ctl/view.h"

#define SECOND 1000000.0
#define BAR_LEAST 8 /* columns of a bar that is worth it */
#define BAR_MOST 40
#define RIGHT 30 /* columns of what stands right of a bar: "  100%  1234/s  23:59:59 left" */
#define PERCENT 5

/* ---- how fast ------------------------------------------------------------------- */

void ctl_pace_add(struct ctl_pace *pace, int64_t at, unsigned hundredths)
{
	pace->samples[pace->next].at = at;
	pace->samples[pace->next].hundredths = hundredths;
	pace->next = (pace->next + 1) % CTL_PACE_SAMPLES;
	if (pace->count < CTL_PACE_SAMPLES)
		pace->count++;
}

/*
 * Up to now, not up to the last sample: a job that stands still gets slower
 * before people's eyes.
 */
double ctl_pace_rate(const struct ctl_pace *pace, int64_t now)
{
	const unsigned last = (pace->next + CTL_PACE_SAMPLES - 1) % CTL_PACE_SAMPLES;
	const unsigned first = (pace->next + CTL_PACE_SAMPLES - pace->count) % CTL_PACE_SAMPLES;

	if (pace->count < 2 || now <= pace->samples[first].at ||
	    pace->samples[last].hundredths <= pace->samples[first].hundredths)
		return 0;
	return (pace->samples[last].hundredths - pace->samples[first].hundredths) /
	       ((double)(now - pace->samples[first].at) / SECOND);
}

double ctl_pace_left(const struct ctl_pace *pace, int64_t now)
{
	const unsigned last = (pace->next + CTL_PACE_SAMPLES - 1) % CTL_PACE_SAMPLES;
	const double rate = ctl_pace_rate(pace, now);

	if (rate <= 0)
		return -1;
	double left = (100 - pace->samples[last].hundredths) / rate -
		      (double)(now - pace->samples[last].at) / SECOND;
	return left > 0 ? left : 0;
}

/* ---- pieces --------------------------------------------------------------------- */

void ctl_bar_duration(struct jobq_buf *out, double seconds)
{
	if (!(seconds >= 0) || seconds > 1e9) {
		jobq_buf_adds(out, "?");
		return;
	}
	unsigned long long s = (unsigned long long)seconds;
	if (s < 3600)
		jobq_buf_addf(out, "%llu:%02llu", s / 60, s % 60);
	else if (s < 86400)
		jobq_buf_addf(out, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
	else
		jobq_buf_addf(out, "%llud %lluh", s / 86400, s / 3600 % 24);
}

void ctl_bar_draw(struct jobq_buf *out, unsigned hundredths, unsigned width)
{
	if (width < 2)
		return;
	if (hundredths > 100)
		hundredths = 100;
	const unsigned inner = width - 2, full = inner * hundredths / 100;
	jobq_buf_adds(out, "[");
	for (unsigned i = 0; i < inner; i++)
		jobq_buf_adds(out, i < full ? "#" : "-");
	jobq_buf_adds(out, "]");
}

const char *ctl_bar_colour(const char *status, bool colour)
{
	static const struct {
		const char *status, *sequence;
	} colours[] = {
		{"queued", "\033[2m"},	 {"running", "\033[36m"},   {"completed", "\033[32m"},
		{"failed", "\033[31m"}, {"cancelled", "\033[33m"},
	};

	for (size_t i = 0; colour && i < JOBQ_LENGTH(colours); i++) {
		if (strcmp(colours[i].status, status) == 0)
			return colours[i].sequence;
	}
	return "";
}

/* ---- a line ----------------------------------------------------------------------- */

static void add_rate(struct jobq_buf *out, const struct ctl_bar *bar)
{
	if (bar->rate <= 0)
		return;
	double rate = bar->total > 0 ? bar->rate * (double)bar->total / 100 : bar->rate;
	jobq_buf_addf(out, rate < 10 ? "%.1f" : "%.0f", rate);
	jobq_buf_adds(out, bar->total > 0 ? "/s" : "%/s");
}

/* The pieces right of the bar: as much as there are columns for. */
static void add_right(struct jobq_buf *out, const struct ctl_bar *bar, unsigned columns)
{
	struct jobq_buf rate = {0}, left = {0};

	jobq_buf_addf(out, "%3u%%", bar->hundredths);
	add_rate(&rate, bar);
	if (bar->left >= 0) {
		ctl_bar_duration(&left, bar->left);
		jobq_buf_adds(&left, " left");
	}
	if (columns >= RIGHT && rate.len > 0)
		jobq_buf_addf(out, "  %7s", rate.data);
	if (columns >= RIGHT && left.len > 0)
		jobq_buf_addf(out, "  %s", left.data);
	if (bar->note != NULL && bar->note[0] != '\0') {
		jobq_buf_adds(out, "  ");
		ctl_add(out, bar->note);
	}
	jobq_buf_free(&rate);
	jobq_buf_free(&left);
}

/* Adds what has room in so many columns, cut between characters; returns how many it took. */
static unsigned add_cut(struct jobq_buf *out, const struct jobq_buf *text, unsigned columns)
{
	unsigned width = 0;
	size_t at = 0;

	while (at < text->len && width < columns) {
		at++;
		while (at < text->len && ((unsigned char)text->data[at] & 0xc0) == 0x80)
			at++;
		width++;
	}
	if (at > 0)
		jobq_buf_add(out, text->data, at);
	return width;
}

/* As much of a bar as there are columns for, which may be none. */
static unsigned bar_width(const struct ctl_bar *bar, unsigned rest)
{
	if (!bar->running || rest < PERCENT + BAR_LEAST)
		return 0;
	unsigned width = rest - (rest >= RIGHT + BAR_LEAST ? RIGHT : PERCENT);
	return width < BAR_MOST ? width : BAR_MOST;
}

unsigned ctl_bar_line(struct jobq_buf *out, const struct ctl_bar *bar, unsigned columns)
{
	const char *colour = ctl_bar_colour(bar->status, bar->colour);
	struct jobq_buf head = {0}, right = {0};

	jobq_buf_addf(&head, "%4s  ", bar->id);
	if (columns >= 56)
		jobq_buf_addf(&head, "%-16s  ", bar->type);
	jobq_buf_addf(&head, "%-9s  ", bar->status);
	jobq_buf_adds(out, colour);
	unsigned used = add_cut(out, &head, columns);
	const unsigned width = bar_width(bar, columns - used);
	ctl_bar_draw(out, bar->hundredths, width);
	used += width;
	jobq_buf_adds(&right, width > 0 ? " " : "");
	if (columns - used >= PERCENT - 1) /* half a number would be another one */
		add_right(&right, bar, columns - used);
	used += add_cut(out, &right, columns - used);
	if (*colour != '\0')
		jobq_buf_adds(out, CTL_PLAIN);
	jobq_buf_free(&head);
	jobq_buf_free(&right);
	return used;
}
