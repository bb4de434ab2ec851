# Every source of the product, room by room. The daemons and the tests link
# the one convenience library; the mains stay out of it.

noinst_LIBRARIES += libjobq.a
libjobq_a_SOURCES = \
	include/jobq/base.h include/jobq/conf.h include/jobq/conf_options.h \
	include/jobq/event.h include/jobq/job.h include/jobq/paths.h include/jobq/table.h \
	include/jobq/table_counters.h include/jobq/table_feed.h include/jobq/table_hooks.h \
	include/jobq/store_hooks.h \
	include/jobq/scene.h include/jobq/slot.h include/jobq/store.h \
	%D%/base/buf.c %D%/base/clock.c %D%/base/futex.c %D%/base/journal.h \
	%D%/base/journal.c %D%/base/log.c %D%/base/net.c \
	%D%/base/notify.c %D%/base/passed.c %D%/base/streams.c %D%/base/text.c \
	%D%/conf/conf.h %D%/conf/conf.c %D%/conf/value.c \
	%D%/ctl/tokens.h %D%/ctl/tokens.c %D%/ctl/tokens_file.c \
	%D%/job/body.h %D%/job/body.c %D%/job/event.c %D%/job/job.c %D%/job/json.c \
	%D%/job/paths.c %D%/job/rules.c %D%/job/webhook_rules.c \
	%D%/table/table.h %D%/table/blob.c %D%/table/check.c \
	%D%/table/counters.h %D%/table/counters.c %D%/table/durable.c \
	%D%/table/expire.c %D%/table/feed.c %D%/table/hooks.h %D%/table/idem.c \
	%D%/table/lock.c %D%/table/messages.c \
	%D%/table/move.c %D%/table/queue.c %D%/table/read.c %D%/table/record.c \
	%D%/table/repair.c %D%/table/segment.c %D%/table/span.c \
	%D%/table/wait.c %D%/table/webhooks.c \
	%D%/store/store_ops.h %D%/store/store.c %D%/store/hooks.c \
	%D%/store/store_mem.h %D%/store/store_mem.c %D%/store/store_mem_hooks.c \
	%D%/store/store_sqlite.h %D%/store/store_sqlite.c %D%/store/store_sqlite_copy.c \
	%D%/store/store_sqlite_hooks.c %D%/store/store_sqlite_open.c \
	%D%/scene/region.h %D%/scene/scene.h %D%/scene/arena.c \
	%D%/scene/cache.c %D%/scene/classes.c %D%/scene/expect.c %D%/scene/import.c \
	%D%/scene/kind.c %D%/scene/lexer.c %D%/scene/map.c \
	%D%/scene/project.c %D%/scene/uid.c %D%/scene/reader.c %D%/scene/region.c \
	%D%/scene/resolve.c %D%/scene/stand_in.c %D%/scene/tag.c %D%/scene/text.c \
	%D%/scene/validate.c %D%/scene/value.c \
	%D%/api/api.h %D%/api/accept.c %D%/api/body.c %D%/api/cancel.c %D%/api/command.c \
	%D%/api/deliveries.c %D%/api/events.c %D%/api/gone.c %D%/api/health.c \
	%D%/api/joblog.c %D%/api/list.c %D%/api/listen.c %D%/api/listener.c %D%/api/metrics.c %D%/api/news.c \
	%D%/api/pool.c %D%/api/prefork.c %D%/api/query.c %D%/api/queue.c \
	%D%/api/reply.c %D%/api/retry.c %D%/api/route.c %D%/api/show.c %D%/api/sse.c %D%/api/stop.c \
	%D%/api/stream.h %D%/api/stream.c %D%/api/stored.c %D%/api/submit.c \
	%D%/api/table.c %D%/api/webhooks.c \
	%D%/super/super.h %D%/super/child.c %D%/super/loop.c %D%/super/outbox.h \
	%D%/super/outbox.c %D%/super/outbox_load.c \
	%D%/super/recover.c %D%/super/reload.c %D%/super/writer.c \
	%D%/hook/hook.h %D%/hook/guard.c %D%/hook/judge.c %D%/hook/listen.c \
	%D%/hook/loop.c %D%/hook/notice.c %D%/hook/outbox.c %D%/hook/post.c \
	%D%/hook/schedule.c %D%/hook/send.c %D%/hook/sign.c \
	%D%/slot/room.h %D%/slot/slot.h %D%/slot/batch_operations.c %D%/slot/cache_warming.c \
	%D%/slot/confine.c %D%/slot/job.c %D%/slot/log.c %D%/slot/scene_preload.c %D%/slot/scenes.h \
	%D%/slot/slot.c %D%/slot/tell.c \
	%D%/ctl/ctl.h %D%/ctl/board.h %D%/ctl/client.h %D%/ctl/doctor.h %D%/ctl/jobs.h %D%/ctl/scenes.h \
	%D%/ctl/view.h %D%/ctl/backup.c %D%/ctl/bar.c %D%/ctl/board.c %D%/ctl/cache.c %D%/ctl/cancel.c \
	%D%/ctl/client.c %D%/ctl/common.c %D%/ctl/doctor.c %D%/ctl/doctor_local.c %D%/ctl/follow.c %D%/ctl/fsck.c \
	%D%/ctl/installed.c %D%/ctl/jobs.c %D%/ctl/list.c %D%/ctl/log.c %D%/ctl/nginx.c \
	%D%/ctl/options.c %D%/ctl/queue.c %D%/ctl/result.c %D%/ctl/retry.c %D%/ctl/scene.c \
	%D%/ctl/scenes.c %D%/ctl/screen.c %D%/ctl/settings.c %D%/ctl/sse.c %D%/ctl/status.c \
	%D%/ctl/stop.c %D%/ctl/stream.c %D%/ctl/submit.c %D%/ctl/token.c %D%/ctl/top.c \
	%D%/ctl/watch.c %D%/ctl/webhook.c

sbin_PROGRAMS += jobqd jobq-api jobq-hook
jobqd_SOURCES = %D%/super/main.c
jobqd_LDADD = $(LDADD) $(SECCOMP_LIBS)
jobq_api_SOURCES = %D%/api/main.c
jobq_api_LDADD = $(LDADD) $(FCGI_LIBS)
jobq_hook_SOURCES = %D%/hook/main.c
jobq_hook_LDADD = $(LDADD) $(LIBCURL_LIBS) $(CRYPTO_LIBS)

bin_PROGRAMS += jobqctl
jobqctl_SOURCES = %D%/ctl/main.c
jobqctl_LDADD = $(LDADD) $(LIBCURL_LIBS) $(CRYPTO_LIBS)
