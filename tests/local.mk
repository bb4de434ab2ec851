# Unit tests: one program a file, mirroring src/. `make check` runs them; all
# other tests are run by tests/run.

AM_TESTS_ENVIRONMENT = CMOCKA_MESSAGE_OUTPUT=TAP; export CMOCKA_MESSAGE_OUTPUT;
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) \
	$(top_srcdir)/packaging/build-aux/tap-driver.sh

unit_tests = \
	tests/unit/base/test_log tests/unit/base/test_net tests/unit/base/test_notify \
	tests/unit/base/test_passed tests/unit/base/test_text \
	tests/unit/conf/test_conf \
	tests/unit/ctl/test_bar tests/unit/ctl/test_sse tests/unit/ctl/test_tokens \
	tests/unit/hook/test_guard tests/unit/hook/test_notice \
	tests/unit/hook/test_schedule tests/unit/hook/test_sign \
	tests/unit/job/test_event tests/unit/job/test_job tests/unit/job/test_paths \
	tests/unit/job/test_rules tests/unit/job/test_webhook_rules \
	tests/unit/scene/test_cache tests/unit/scene/test_lexer \
	tests/unit/scene/test_project tests/unit/scene/test_reader \
	tests/unit/scene/test_resolve \
	tests/unit/slot/test_confine \
	tests/unit/store/test_contract tests/unit/store/test_damage \
	tests/unit/store/test_hooks tests/unit/store/test_sqlite \
	tests/unit/super/test_outbox \
	tests/unit/table/test_counters tests/unit/table/test_durable \
	tests/unit/table/test_feed tests/unit/table/test_hooks tests/unit/table/test_import \
	tests/unit/table/test_kill tests/unit/table/test_queue tests/unit/table/test_share \
	tests/unit/table/test_table

if HAVE_CMOCKA
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif

UNIT_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
UNIT_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_FIXTURES = -DFIXTURES='"$(abs_top_srcdir)/tests/fixtures"'

tests_unit_base_test_log_SOURCES = tests/unit/base/test_log.c
tests_unit_base_test_log_CFLAGS = $(UNIT_CFLAGS)
tests_unit_base_test_log_LDADD = $(UNIT_LDADD)
tests_unit_base_test_net_SOURCES = tests/unit/base/test_net.c
tests_unit_base_test_net_CFLAGS = $(UNIT_CFLAGS)
tests_unit_base_test_net_LDADD = $(UNIT_LDADD)
tests_unit_base_test_notify_SOURCES = tests/unit/base/test_notify.c
tests_unit_base_test_notify_CFLAGS = $(UNIT_CFLAGS)
tests_unit_base_test_notify_LDADD = $(UNIT_LDADD)
tests_unit_base_test_passed_SOURCES = tests/unit/base/test_passed.c
tests_unit_base_test_passed_CFLAGS = $(UNIT_CFLAGS)
tests_unit_base_test_passed_LDADD = $(UNIT_LDADD)
tests_unit_base_test_text_SOURCES = tests/unit/base/test_text.c
tests_unit_base_test_text_CFLAGS = $(UNIT_CFLAGS)
tests_unit_base_test_text_LDADD = $(UNIT_LDADD)
tests_unit_conf_test_conf_SOURCES = tests/unit/conf/test_conf.c
tests_unit_conf_test_conf_CFLAGS = $(UNIT_CFLAGS)
tests_unit_conf_test_conf_LDADD = $(UNIT_LDADD)
tests_unit_ctl_test_tokens_SOURCES = tests/unit/ctl/test_tokens.c
tests_unit_ctl_test_tokens_CFLAGS = $(UNIT_CFLAGS)
tests_unit_ctl_test_tokens_LDADD = $(UNIT_LDADD) $(CRYPTO_LIBS)
tests_unit_ctl_test_bar_SOURCES = tests/unit/ctl/test_bar.c
tests_unit_ctl_test_bar_CFLAGS = $(UNIT_CFLAGS)
tests_unit_ctl_test_bar_LDADD = $(UNIT_LDADD)
tests_unit_ctl_test_sse_SOURCES = tests/unit/ctl/test_sse.c
tests_unit_ctl_test_sse_CFLAGS = $(UNIT_CFLAGS)
tests_unit_ctl_test_sse_LDADD = $(UNIT_LDADD)
tests_unit_hook_test_guard_SOURCES = tests/unit/hook/test_guard.c
tests_unit_hook_test_guard_CFLAGS = $(UNIT_CFLAGS)
tests_unit_hook_test_guard_LDADD = $(UNIT_LDADD)
tests_unit_hook_test_notice_SOURCES = tests/unit/hook/test_notice.c
tests_unit_hook_test_notice_CFLAGS = $(UNIT_CFLAGS)
tests_unit_hook_test_notice_LDADD = $(UNIT_LDADD)
tests_unit_hook_test_schedule_SOURCES = tests/unit/hook/test_schedule.c
tests_unit_hook_test_schedule_CFLAGS = $(UNIT_CFLAGS)
tests_unit_hook_test_schedule_LDADD = $(UNIT_LDADD)
tests_unit_hook_test_sign_SOURCES = tests/unit/hook/test_sign.c
tests_unit_hook_test_sign_CFLAGS = $(UNIT_CFLAGS)
tests_unit_hook_test_sign_LDADD = $(UNIT_LDADD) $(CRYPTO_LIBS)
tests_unit_job_test_event_SOURCES = tests/unit/job/test_event.c
tests_unit_job_test_event_CFLAGS = $(UNIT_CFLAGS)
tests_unit_job_test_event_LDADD = $(UNIT_LDADD)
tests_unit_job_test_job_SOURCES = tests/unit/job/test_job.c
tests_unit_job_test_job_CFLAGS = $(UNIT_CFLAGS)
tests_unit_job_test_job_LDADD = $(UNIT_LDADD)
tests_unit_job_test_paths_SOURCES = tests/unit/job/test_paths.c
tests_unit_job_test_paths_CFLAGS = $(UNIT_CFLAGS)
tests_unit_job_test_paths_LDADD = $(UNIT_LDADD)
tests_unit_job_test_rules_SOURCES = tests/unit/job/test_rules.c
tests_unit_job_test_rules_CFLAGS = $(UNIT_CFLAGS)
tests_unit_job_test_rules_LDADD = $(UNIT_LDADD)
tests_unit_job_test_webhook_rules_SOURCES = tests/unit/job/test_webhook_rules.c
tests_unit_job_test_webhook_rules_CFLAGS = $(UNIT_CFLAGS)
tests_unit_job_test_webhook_rules_LDADD = $(UNIT_LDADD)
tests_unit_scene_test_cache_SOURCES = tests/unit/scene/test_cache.c tests/unit/scene/fixture.h
tests_unit_scene_test_cache_CFLAGS = $(UNIT_CFLAGS)
tests_unit_scene_test_cache_LDADD = $(UNIT_LDADD)
tests_unit_scene_test_lexer_SOURCES = tests/unit/scene/test_lexer.c tests/unit/scene/fixture.h
tests_unit_scene_test_lexer_CFLAGS = $(UNIT_CFLAGS)
tests_unit_scene_test_lexer_LDADD = $(UNIT_LDADD)
tests_unit_scene_test_project_SOURCES = tests/unit/scene/test_project.c tests/unit/scene/fixture.h
tests_unit_scene_test_project_CFLAGS = $(UNIT_CFLAGS)
tests_unit_scene_test_project_LDADD = $(UNIT_LDADD)
tests_unit_scene_test_reader_SOURCES = tests/unit/scene/test_reader.c tests/unit/scene/fixture.h
tests_unit_scene_test_reader_CFLAGS = $(UNIT_CFLAGS)
tests_unit_scene_test_reader_LDADD = $(UNIT_LDADD)
tests_unit_scene_test_resolve_SOURCES = tests/unit/scene/test_resolve.c tests/unit/scene/fixture.h
tests_unit_scene_test_resolve_CFLAGS = $(UNIT_CFLAGS)
tests_unit_scene_test_resolve_LDADD = $(UNIT_LDADD)
tests_unit_slot_test_confine_SOURCES = tests/unit/slot/test_confine.c
tests_unit_slot_test_confine_CFLAGS = $(UNIT_CFLAGS)
tests_unit_slot_test_confine_LDADD = $(UNIT_LDADD) $(SECCOMP_LIBS)
tests_unit_store_test_contract_SOURCES = tests/unit/store/test_contract.c tests/unit/store/fixture.h
tests_unit_store_test_contract_CFLAGS = $(UNIT_CFLAGS)
tests_unit_store_test_contract_LDADD = $(UNIT_LDADD)
tests_unit_store_test_damage_SOURCES = tests/unit/store/test_damage.c tests/unit/store/fixture.h
tests_unit_store_test_damage_CFLAGS = $(UNIT_CFLAGS)
tests_unit_store_test_damage_LDADD = $(UNIT_LDADD)
tests_unit_store_test_hooks_SOURCES = tests/unit/store/test_hooks.c tests/unit/store/fixture.h
tests_unit_store_test_hooks_CFLAGS = $(UNIT_CFLAGS)
tests_unit_store_test_hooks_LDADD = $(UNIT_LDADD)
tests_unit_store_test_sqlite_SOURCES = tests/unit/store/test_sqlite.c tests/unit/store/fixture.h
tests_unit_store_test_sqlite_CFLAGS = $(UNIT_CFLAGS) $(UNIT_FIXTURES)
tests_unit_store_test_sqlite_LDADD = $(UNIT_LDADD)
tests_unit_super_test_outbox_SOURCES = tests/unit/super/test_outbox.c tests/unit/table/fixture.h
tests_unit_super_test_outbox_CFLAGS = $(UNIT_CFLAGS)
tests_unit_super_test_outbox_LDADD = $(UNIT_LDADD)
tests_unit_table_test_durable_SOURCES = tests/unit/table/test_durable.c tests/unit/table/fixture.h
tests_unit_table_test_durable_CFLAGS = $(UNIT_CFLAGS)
tests_unit_table_test_durable_LDADD = $(UNIT_LDADD)
tests_unit_table_test_counters_SOURCES = tests/unit/table/test_counters.c \
	tests/unit/table/fixture.h
tests_unit_table_test_counters_CFLAGS = $(UNIT_CFLAGS)
tests_unit_table_test_counters_LDADD = $(UNIT_LDADD)
tests_unit_table_test_feed_SOURCES = tests/unit/table/test_feed.c tests/unit/table/fixture.h
tests_unit_table_test_feed_CFLAGS = $(UNIT_CFLAGS)
tests_unit_table_test_feed_LDADD = $(UNIT_LDADD)
tests_unit_table_test_hooks_SOURCES = tests/unit/table/test_hooks.c tests/unit/table/fixture.h
tests_unit_table_test_hooks_CFLAGS = $(UNIT_CFLAGS)
tests_unit_table_test_hooks_LDADD = $(UNIT_LDADD)
tests_unit_table_test_import_SOURCES = tests/unit/table/test_import.c tests/unit/table/fixture.h
tests_unit_table_test_import_CFLAGS = $(UNIT_CFLAGS)
tests_unit_table_test_import_LDADD = $(UNIT_LDADD)
tests_unit_table_test_kill_SOURCES = tests/unit/table/test_kill.c
tests_unit_table_test_kill_CFLAGS = $(UNIT_CFLAGS)
tests_unit_table_test_kill_LDADD = $(UNIT_LDADD)
tests_unit_table_test_queue_SOURCES = tests/unit/table/test_queue.c tests/unit/table/fixture.h
tests_unit_table_test_queue_CFLAGS = $(UNIT_CFLAGS)
tests_unit_table_test_queue_LDADD = $(UNIT_LDADD)
tests_unit_table_test_share_SOURCES = tests/unit/table/test_share.c
tests_unit_table_test_share_CFLAGS = $(UNIT_CFLAGS)
tests_unit_table_test_share_LDADD = $(UNIT_LDADD)
tests_unit_table_test_table_SOURCES = tests/unit/table/test_table.c
tests_unit_table_test_table_CFLAGS = $(UNIT_CFLAGS)
tests_unit_table_test_table_LDADD = $(UNIT_LDADD)

# The fuzz targets, which tests/run builds and drives (clang;
# --enable-sanitizer=fuzzer-no-link,...).

fuzz_targets = \
	tests/fuzz/fuzz_conf tests/fuzz/fuzz_notice tests/fuzz/fuzz_request \
	tests/fuzz/fuzz_rules tests/fuzz/fuzz_scene tests/fuzz/fuzz_sse tests/fuzz/fuzz_tokens \
	tests/fuzz/fuzz_uid tests/fuzz/fuzz_webhook
EXTRA_PROGRAMS += $(fuzz_targets)
FUZZ_FLAGS = -fsanitize=fuzzer
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c
tests_fuzz_fuzz_conf_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_notice_SOURCES = tests/fuzz/fuzz_notice.c
tests_fuzz_fuzz_notice_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_request_SOURCES = tests/fuzz/fuzz_request.c
tests_fuzz_fuzz_request_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_request_LDADD = $(LDADD) $(FCGI_LIBS)
tests_fuzz_fuzz_rules_SOURCES = tests/fuzz/fuzz_rules.c
tests_fuzz_fuzz_rules_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_scene_SOURCES = tests/fuzz/fuzz_scene.c
tests_fuzz_fuzz_scene_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_tokens_SOURCES = tests/fuzz/fuzz_tokens.c
tests_fuzz_fuzz_tokens_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_tokens_LDADD = $(LDADD) $(CRYPTO_LIBS)
tests_fuzz_fuzz_sse_SOURCES = tests/fuzz/fuzz_sse.c
tests_fuzz_fuzz_sse_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_uid_SOURCES = tests/fuzz/fuzz_uid.c
tests_fuzz_fuzz_uid_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_webhook_SOURCES = tests/fuzz/fuzz_webhook.c
tests_fuzz_fuzz_webhook_LDFLAGS = $(FUZZ_FLAGS)

.PHONY: fuzz-targets
fuzz-targets: $(fuzz_targets)

# The crash tests' shim and tracer; tests/crash makes them when it needs them.
EXTRA_PROGRAMS += tests/crash/killat tests/crash/powercut.so
tests_crash_killat_SOURCES = tests/crash/killat.c
tests_crash_killat_LDADD =
tests_crash_powercut_so_SOURCES = tests/crash/powercut.c
tests_crash_powercut_so_CFLAGS = $(AM_CFLAGS) -fPIC
tests_crash_powercut_so_LDFLAGS = -shared
tests_crash_powercut_so_LDADD =

EXTRA_DIST += \
	%D%/run %D%/api %D%/crash %D%/fixtures %D%/fuzz/notice.dict %D%/fuzz/scene.dict %D%/fuzz/sse.dict \
	%D%/fuzz/tokens.dict \
	%D%/fuzz/webhook.dict %D%/scene/corpus.py %D%/scene/differential.py %D%/scene/grammar.py %D%/scene/tree_sitter.c \
	%D%/package %D%/support %D%/tree \
	%D%/web/bridge.mjs %D%/web/browser.py %D%/web/conftest.py %D%/web/package-lock.json %D%/web/package.json \
	%D%/web/steps.py %D%/web/test_control.py %D%/web/test_dashboard.py %D%/web/test_load.py \
	%D%/web/test_newcomer.py
CLEANFILES += $(EXTRA_PROGRAMS)

dist-hook:
	find $(distdir) -name __pycache__ -exec rm -rf {} +

# Programs of tests/bench/run, which builds them: what it compares with, and
# what it does to the table directly.

EXTRA_PROGRAMS += \
	tests/bench/empty tests/bench/fill tests/bench/latency tests/bench/peers \
	tests/bench/scenes
tests_bench_empty_SOURCES = tests/bench/empty.c
tests_bench_empty_LDADD = $(FCGI_LIBS)
tests_bench_fill_SOURCES = tests/bench/fill.c
tests_bench_latency_SOURCES = tests/bench/latency.c
tests_bench_peers_SOURCES = tests/bench/peers.c
tests_bench_scenes_SOURCES = tests/bench/scenes.c
tests_bench_scenes_LDFLAGS = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
# File by file: a folder is also copied from the build directory, with programs.
EXTRA_DIST += \
	%D%/bench/durable.py %D%/bench/harness.py %D%/bench/hooks.py %D%/bench/load.lua %D%/bench/receiver.py %D%/bench/run \
	%D%/bench/scenes.py %D%/bench/sections.py
