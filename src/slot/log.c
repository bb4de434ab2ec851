#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "slot/scenes.h"

#define LINE 1024 /* bytes of a line at the most */

/* The time, to milliseconds, and a blank. */
static int stamp(char *into, size_t room)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t len = strftime(into, room, "%Y-%m-%dT%H:%M:%S", &tm);
	return (int)len + snprintf(into + len, room - len, ".%03ldZ ", now.tv_nsec / 1000000);
}

/* Control bytes would break the line; a cut may have left half a character. */
static size_t clean(char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	if (len < LINE - 1)
		return len;
	while (len > 0 && ((unsigned char)line[len - 1] & 0xc0) == 0x80)
		len--;
	return len > 0 ? len - 1 : 0;
}

void slot_log(struct slot_work *work, const char *fmt, ...)
{
	char line[LINE];
	va_list args;

	int len = stamp(line, sizeof(line));
	va_start(args, fmt);
	len += vsnprintf(line + len, sizeof(line) - (size_t)len, fmt, args);
	va_end(args);
	size_t cut = clean(line, len < LINE ? (size_t)len : LINE - 1);
	pthread_mutex_lock(&work->log_lock);
	if (work->log.len + cut + 1 > JOBQ_LOG_MAX - SLOT_LOG_END) {
		work->log_left_out++;
	} else {
		jobq_buf_add(&work->log, line, cut);
		jobq_buf_add(&work->log, "\n", 1);
	}
	pthread_mutex_unlock(&work->log_lock);
}

void slot_log_load(struct slot_work *work, const char *action, const char *path,
		   const struct jobq_scene_load *load)
{
	if (load->error != NULL)
		slot_log(work, "%s %s: failed: %s", action, path, slot_scenes_error(load));
	else
		slot_log(work, "%s %s: done, %" PRIu64 " nodes, %zu files, %" PRIu64 " bytes%s%s",
			 action, path, load->facts->node_count, load->file_count, load->bytes,
			 load->cached ? ", from the cache" : "",
			 load->reloaded ? ", read again as it had changed" : "");
}

struct jobq_text slot_log_end(struct slot_work *work)
{
	if (work->log_left_out > 0)
		jobq_buf_addf(&work->log, "... %zu more lines found no room\n", work->log_left_out);
	if (work->log.failed)
		jobq_buf_free(&work->log);
	return (struct jobq_text){work->log.data, work->log.len};
}
