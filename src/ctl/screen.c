/*
 * The terminal. Live lines are at the bottom of what has been printed, and drawn
 * over; whatever is printed for good goes above them.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/view.h"

#define COLUMNS 80 /* of a terminal that does not say */
#define ROWS 24

static volatile sig_atomic_t interrupted, resized;
static int wake[2] = {-1, -1};

static bool is_plain_terminal(void)
{
	const char *term = getenv("TERM");

	return term == NULL || *term == '\0' || strcmp(term, "dumb") == 0;
}

bool ctl_screen_colours(FILE *out)
{
	const char *when = ctl_given()->color, *no = getenv("NO_COLOR");

	if (when != NULL && strcmp(when, "auto") != 0)
		return strcmp(when, "always") == 0;
	return (no == NULL || *no == '\0') && isatty(fileno(out)) && !is_plain_terminal();
}

void ctl_screen_open(struct ctl_screen *screen, bool json)
{
	*screen = (struct ctl_screen){
		.live = !json && isatty(STDOUT_FILENO) && !is_plain_terminal(),
		.colour = !json && ctl_screen_colours(stdout),
	};
	ctl_screen_measure(screen);
}

void ctl_screen_measure(struct ctl_screen *screen)
{
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		size = (struct winsize){0};
	screen->columns = size.ws_col > 0 ? size.ws_col : COLUMNS;
	screen->rows = size.ws_row > 0 ? size.ws_row : ROWS;
}

/* A terminal that has become narrower has wrapped what stood there. */
void ctl_screen_clear(struct ctl_screen *screen)
{
	size_t up = 0;

	for (size_t i = 0; i < screen->drawn; i++)
		up += screen->widths[i] == 0 ? 1
					     : (screen->widths[i] + screen->columns - 1) / screen->columns;
	if (up > 0)
		printf("\033[%zuA\r\033[J", up);
	screen->drawn = 0;
}

void ctl_screen_draw(struct ctl_screen *screen, const char *line, unsigned width)
{
	if (screen->drawn == CTL_ROWS_MAX)
		return;
	screen->widths[screen->drawn++] = width;
	printf("%s\n", line);
}

/* ---- signals ------------------------------------------------------------------------ */

static void on_signal(int number)
{
	int error = errno;

	if (number == SIGWINCH)
		resized = 1;
	else
		interrupted = 1;
	/* A full pipe wakes as well. */
	if (write(wake[1], "", 1) < 0)
		errno = error;
	errno = error;
}

int ctl_signals_open(void)
{
	const struct sigaction action = {.sa_handler = on_signal};

	if (wake[0] < 0 && pipe2(wake, O_NONBLOCK | O_CLOEXEC) < 0)
		return -1;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGWINCH, &action, NULL);
	return wake[0];
}

bool ctl_signals_resized(void)
{
	char bytes[64];
	bool was = resized != 0;

	while (wake[0] >= 0 && read(wake[0], bytes, sizeof(bytes)) > 0)
		continue;
	resized = 0;
	return was;
}

bool ctl_signals_interrupted(void)
{
	return interrupted != 0;
}
