# Tests. Unit tests use fakes and need cmocka. Live tests run on this kernel,
# once for each backend: tests/support/each-backend.sh, a TAP line for each case
# and backend. CARDMARK_REQUIRE=pagemap[,uffd...] fails what would be skipped.
TEST_EXTENSIONS = .sh .tap
TAP_LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
AM_TESTS_ENVIRONMENT = \
	CARDMARK_SRCDIR='$(abs_top_srcdir)'; export CARDMARK_SRCDIR; \
	CARDMARK_BUILDDIR='$(abs_top_builddir)'; export CARDMARK_BUILDDIR; \
	unset CARDMARK_BACKEND CARDMARK_CHUNK CARDMARK_VEC CARDMARK_THREADS CARDMARK_HUGE \
		CARDMARK_VERIFY CARDMARK_BACKOFF;

check_LTLIBRARIES = tests/libsupport.la
tests_libsupport_la_SOURCES = \
	tests/soundness/attempt.c tests/soundness/attempt.h \
	tests/soundness/duel.c tests/soundness/duel.h \
	tests/soundness/program.h tests/soundness/program_state.h \
	tests/soundness/program_make.c tests/soundness/program_memory.c \
	tests/soundness/program_oracle.c tests/soundness/program_run.c \
	tests/soundness/program_scan.c tests/soundness/program_shrink.c \
	tests/soundness/program_text.c tests/soundness/program_writes.c \
	tests/soundness/scenarios.c tests/soundness/scenarios.h \
	tests/soundness/trial.c tests/soundness/trial.h \
	tests/soundness/world.c tests/soundness/world.h \
	tests/soundness/world_state.h tests/soundness/world_writers.c \
	tests/support/broken_os.c tests/support/broken_os.h \
	tests/support/fixture.h \
	tests/support/fake_kernel.c tests/support/fake_kernel.h \
	tests/support/gate.h \
	tests/support/inject_os.c tests/support/inject_os.h \
	tests/support/live.c tests/support/live.h tests/support/live_heap.h \
	tests/support/smaps.c tests/support/smaps.h \
	tests/support/page_hash.h tests/support/random.h \
	tests/support/tap.c tests/support/tap.h \
	tests/support/unit.h \
	tests/support/verifying.h
tests_libsupport_la_LIBADD = lib/libcm.la
EXTRA_DIST += tests/support/each-backend.sh

# ---- Unit --------------------------------------------------------------------

if HAVE_CMOCKA
unit_tests = \
	tests/unit/cards_test \
	tests/unit/composed_test \
	tests/unit/crew_test \
	tests/unit/hashes_test \
	tests/unit/maps_test \
	tests/unit/options_test \
	tests/unit/own_test \
	tests/unit/pace_test \
	tests/unit/pagemap_test \
	tests/unit/process_test \
	tests/unit/ranges_test \
	tests/unit/selftest \
	tests/unit/softdirty_test
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif

unit_cppflags = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
unit_ldadd = tests/libsupport.la $(CMOCKA_LIBS)

tests_unit_cards_test_CPPFLAGS = $(unit_cppflags)
tests_unit_cards_test_LDADD = $(unit_ldadd)
tests_unit_composed_test_CPPFLAGS = $(unit_cppflags)
tests_unit_composed_test_LDADD = $(unit_ldadd)
tests_unit_crew_test_CPPFLAGS = $(unit_cppflags)
tests_unit_crew_test_LDADD = $(unit_ldadd) $(PTHREAD_LIBS)
tests_unit_hashes_test_CPPFLAGS = $(unit_cppflags)
tests_unit_hashes_test_LDADD = $(unit_ldadd)
tests_unit_maps_test_CPPFLAGS = $(unit_cppflags)
tests_unit_maps_test_LDADD = $(unit_ldadd)
tests_unit_softdirty_test_CPPFLAGS = $(unit_cppflags)
tests_unit_softdirty_test_LDADD = $(unit_ldadd)
tests_unit_pace_test_CPPFLAGS = $(unit_cppflags) -D_GNU_SOURCE
tests_unit_pace_test_LDADD = $(unit_ldadd)
tests_unit_options_test_CPPFLAGS = $(unit_cppflags)
tests_unit_options_test_LDADD = $(unit_ldadd)
tests_unit_own_test_CPPFLAGS = $(unit_cppflags)
tests_unit_own_test_LDADD = $(unit_ldadd) $(PTHREAD_LIBS)
tests_unit_pagemap_test_CPPFLAGS = $(unit_cppflags)
tests_unit_pagemap_test_LDADD = $(unit_ldadd)
tests_unit_process_test_CPPFLAGS = $(unit_cppflags)
tests_unit_process_test_LDADD = $(unit_ldadd)
tests_unit_selftest_CPPFLAGS = $(unit_cppflags)
tests_unit_selftest_LDADD = $(unit_ldadd)
tests_unit_ranges_test_CPPFLAGS = $(unit_cppflags)
tests_unit_ranges_test_LDADD = $(unit_ldadd)

# ---- Live ----------------------------------------------------------------------

live_tests = \
	tests/soundness/controls_test \
	tests/soundness/events_test \
	tests/soundness/program_controls_test \
	tests/soundness/program_test \
	tests/soundness/inject_test \
	tests/soundness/random_test \
	tests/soundness/stops_test \
	tests/soundness/verify_controls_test \
	tests/live/cancel_test \
	tests/live/chunks_test \
	tests/live/collect_test \
	tests/live/descriptors_test \
	tests/live/discard_test \
	tests/live/backoff_test \
	tests/live/forkchild_test \
	tests/live/handover_test \
	tests/live/hold_test \
	tests/live/huge_test \
	tests/live/limits_test \
	tests/live/noproc_test \
	tests/live/pair_test \
	tests/live/preclean_test \
	tests/live/pressure_test \
	tests/live/probe_test \
	tests/live/process_test \
	tests/live/query_test \
	tests/live/quiet_test \
	tests/live/remap_test \
	tests/live/rest_test \
	tests/live/sigsegv_test \
	tests/live/sparse_test \
	tests/live/suspect_test \
	tests/live/suspend_test \
	tests/live/table_test \
	tests/live/threads_test \
	tests/live/track_test \
	tests/live/verify_test \
	tests/live/view_test \
	tests/live/watched_test
check_PROGRAMS += $(live_tests)
live_scripts = $(live_tests:=.tap)
TESTS += $(live_scripts)
check_SCRIPTS += $(live_scripts)
CLEANFILES += $(live_scripts)

# One line of shell for each program: the driver wants a file to run.
$(live_scripts): Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	printf '#!/bin/sh\nexec "%s" "%s"\n' \
		'$(abs_top_srcdir)/tests/support/each-backend.sh' \
		"$(abs_builddir)/$$(echo $@ | sed 's/\.tap$$//')" >$@ && chmod +x $@

tests_soundness_controls_test_LDADD = tests/libsupport.la
tests_soundness_events_test_LDADD = tests/libsupport.la
tests_soundness_program_controls_test_LDADD = tests/libsupport.la
tests_soundness_program_test_LDADD = tests/libsupport.la
tests_soundness_inject_test_LDADD = tests/libsupport.la
tests_soundness_random_test_LDADD = tests/libsupport.la
tests_soundness_stops_test_LDADD = tests/libsupport.la $(PTHREAD_LIBS)
tests_soundness_verify_controls_test_LDADD = tests/libsupport.la
tests_live_cancel_test_LDADD = tests/libsupport.la $(PTHREAD_LIBS)
tests_live_chunks_test_LDADD = tests/libsupport.la
tests_live_collect_test_LDADD = tests/libsupport.la
tests_live_descriptors_test_LDADD = tests/libsupport.la
tests_live_discard_test_LDADD = tests/libsupport.la
tests_live_backoff_test_LDADD = tests/libsupport.la
tests_live_forkchild_test_LDADD = tests/libsupport.la $(PTHREAD_LIBS)
tests_live_handover_test_LDADD = tests/libsupport.la $(PTHREAD_LIBS)
tests_live_hold_test_LDADD = tests/libsupport.la
tests_live_huge_test_LDADD = tests/libsupport.la
tests_live_limits_test_LDADD = tests/libsupport.la
tests_live_noproc_test_LDADD = tests/libsupport.la $(PTHREAD_LIBS)
tests_live_pair_test_LDADD = tests/libsupport.la
tests_live_preclean_test_LDADD = tests/libsupport.la
tests_live_pressure_test_LDADD = tests/libsupport.la
tests_live_probe_test_LDADD = tests/libsupport.la $(PTHREAD_LIBS)
tests_live_process_test_LDADD = tests/libsupport.la
tests_live_sigsegv_test_LDADD = tests/libsupport.la
tests_live_query_test_LDADD = tests/libsupport.la
tests_live_quiet_test_LDADD = tests/libsupport.la
tests_live_remap_test_LDADD = tests/libsupport.la
tests_live_rest_test_LDADD = tests/libsupport.la
tests_live_sparse_test_LDADD = tests/libsupport.la
tests_live_suspect_test_LDADD = tests/libsupport.la
tests_live_suspend_test_LDADD = tests/libsupport.la
tests_live_table_test_LDADD = tests/libsupport.la
tests_live_threads_test_LDADD = tests/libsupport.la
tests_live_track_test_LDADD = tests/libsupport.la
tests_live_verify_test_LDADD = tests/libsupport.la
tests_live_view_test_LDADD = tests/libsupport.la
tests_live_watched_test_LDADD = tests/libsupport.la

# ---- Installed tree, valgrind, and the long run -----------------------------------

TESTS += tests/install/install_test.sh
EXTRA_DIST += tests/install/install_test.sh tests/valgrind.sh

.PHONY: check-valgrind
check-valgrind: $(check_PROGRAMS)
	$(srcdir)/tests/valgrind.sh $(abs_builddir)

# The long property test, ten seeds of ten seconds for each backend.
EXTRA_DIST += tests/soundness/ten-seeds.sh tests/soundness/table.sh
.PHONY: soak10
soak10: tests/soundness/random_test
	$(srcdir)/tests/soundness/ten-seeds.sh $(builddir)/tests/soundness/random_test

# Random programs on every backend in turn: make soak SECONDS=1800 [SEED=7]
SECONDS = 300
SEED = clock
.PHONY: soak
soak: tests/soundness/program_test
	$(builddir)/tests/soundness/program_test --soak --seconds=$(SECONDS) --seed=$(SEED)
EXTRA_DIST += tests/soundness/programs

include tests/bench/local.mk
include tests/boehm/local.mk
include tests/fuzz/local.mk
include tests/jemalloc/local.mk
include tests/model/local.mk
include tests/perturb/local.mk
include tests/tools/local.mk
include tests/shortage/local.mk
include tests/snapshot/local.mk
include tests/redis/local.mk
include tests/sparse/local.mk
include tests/kernels/local.mk
include tests/programs/local.mk
