#include "config.h"

#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

#include "super/super.h"

/* The name of an option that differs and that only a restart can change, or NULL. */
static const char *needs_restart(const struct jobq_conf *now, const struct jobq_conf *fresh)
{
	if (strcmp(now->table_name, fresh->table_name) != 0)
		return "table_name";
	if (strcmp(now->store, fresh->store) != 0)
		return "store";
	if (now->scene_cache_size != fresh->scene_cache_size)
		return "scene_cache_size";
	return NULL;
}

/* Before it is ready the service manager hears nothing: READY=1 would say that it is. */
static void tell(const struct super *super, const char *lines)
{
	if (super->ready)
		jobq_notify(lines);
}

static void refuse(const struct super *super, const char *why)
{
	jobq_log(JOBQ_LOG_ERROR, "reload_refused", "msg=\"%s\"", why);
	tell(super, "READY=1\nSTATUS=running; the last reload was refused, the log says why");
}

static void adopt(struct super *super, struct jobq_conf *fresh)
{
	bool moved = super->conf->retention != fresh->retention;

	jobq_conf_free(super->conf);
	*super->conf = *fresh;
	jobq_log_open("jobqd", fresh->log_level);
	if (moved)
		jobq_table_set_retention(super->table, fresh->retention);
	super->next_cleanup = jobq_clock_mono();
	/* They end when they are done with what they have; their successors read the file. */
	for (unsigned i = 0; i < SUPER_CHILDREN; i++)
		if (super->children[i].pidfd >= 0)
			pidfd_send_signal(super->children[i].pidfd, SIGTERM, NULL, 0);
	jobq_table_kick(super->table);
	jobq_log(JOBQ_LOG_INFO, "reloaded", "file=\"%s\"", super->args->file);
	tell(super, "READY=1\nSTATUS=running");
}

void super_reload(struct super *super)
{
	const struct jobq_conf_args *args = super->args;
	struct jobq_conf fresh;
	struct jobq_buf errors = {0};
	const char *option = NULL;

	if (super->stopping)
		return;
	if (super->ready)
		jobq_notify_reloading();
	bool good = jobq_conf_load(&fresh, args->file, args->settings, args->setting_count,
				   &errors) &&
		    jobq_conf_check_project(&fresh, &errors);
	if (good)
		option = needs_restart(super->conf, &fresh);
	if (option != NULL)
		jobq_buf_addf(&errors, "%s needs a restart of jobqd to change", option);
	if (good && option == NULL) {
		adopt(super, &fresh);
	} else {
		refuse(super, jobq_conf_one_line(&errors));
		jobq_conf_free(&fresh);
	}
	jobq_buf_free(&errors);
}
