# Tests. Unit tests use fakes and need cmocka. Live tests run on this kernel,
# once for each backend: tests/support/each-backend.sh, a TAP line for each case
# and backend. CARDMARK_REQUIRE=pagemap[,uffd...] fails what would be skipped.
TEST_EXTENSIONS = .sh .tap
TAP_LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
AM_TESTS_ENVIRONMENT = \
	CARDMARK_SRCDIR='$(abs_top_srcdir)'; export CARDMARK_SRCDIR; \
	CARDMARK_BUILDDIR='$(abs_top_builddir)'; export CARDMARK_BUILDDIR; \
	unset CARDMARK_BACKEND CARDMARK_CHUNK CARDMARK_VEC;

check_LTLIBRARIES = tests/libsupport.la
tests_libsupport_la_SOURCES = \
	tests/soundness/world.c tests/soundness/world.h \
	tests/soundness/world_state.h tests/soundness/world_writers.c \
	tests/support/broken_os.c tests/support/broken_os.h \
	tests/support/fake_kernel.c tests/support/fake_kernel.h \
	tests/support/live.c tests/support/live.h \
	tests/support/random.h \
	tests/support/tap.c tests/support/tap.h \
	tests/support/unit.h
tests_libsupport_la_LIBADD = lib/libcm.la
EXTRA_DIST += tests/support/each-backend.sh

# ---- Unit --------------------------------------------------------------------

if HAVE_CMOCKA
unit_tests = \
	tests/unit/cards_test \
	tests/unit/composed_test \
	tests/unit/options_test \
	tests/unit/pagemap_test \
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
tests_unit_softdirty_test_CPPFLAGS = $(unit_cppflags)
tests_unit_softdirty_test_LDADD = $(unit_ldadd)
tests_unit_options_test_CPPFLAGS = $(unit_cppflags)
tests_unit_options_test_LDADD = $(unit_ldadd)
tests_unit_pagemap_test_CPPFLAGS = $(unit_cppflags)
tests_unit_pagemap_test_LDADD = $(unit_ldadd)
tests_unit_selftest_CPPFLAGS = $(unit_cppflags)
tests_unit_selftest_LDADD = $(unit_ldadd)
tests_unit_ranges_test_CPPFLAGS = $(unit_cppflags)
tests_unit_ranges_test_LDADD = $(unit_ldadd)

# ---- Live ----------------------------------------------------------------------

live_tests = \
	tests/soundness/controls_test \
	tests/soundness/random_test \
	tests/live/chunks_test \
	tests/live/collect_test \
	tests/live/process_test \
	tests/live/query_test \
	tests/live/quiet_test \
	tests/live/remap_test \
	tests/live/table_test \
	tests/live/track_test
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
tests_soundness_random_test_LDADD = tests/libsupport.la
tests_live_chunks_test_LDADD = tests/libsupport.la
tests_live_collect_test_LDADD = tests/libsupport.la
tests_live_process_test_LDADD = tests/libsupport.la
tests_live_quiet_test_LDADD = tests/libsupport.la
tests_live_remap_test_LDADD = tests/libsupport.la
tests_live_query_test_LDADD = tests/libsupport.la
tests_live_table_test_LDADD = tests/libsupport.la
tests_live_track_test_LDADD = tests/libsupport.la

# ---- Installed tree, valgrind, and the long run -----------------------------------

TESTS += tests/install/install_test.sh
EXTRA_DIST += tests/install/install_test.sh tests/valgrind.sh

.PHONY: check-valgrind
check-valgrind: $(check_PROGRAMS)
	$(srcdir)/tests/valgrind.sh $(abs_builddir)

# The long property test, ten seeds of ten seconds for each backend.
EXTRA_DIST += tests/soundness/ten-seeds.sh
.PHONY: soak10
soak10: tests/soundness/random_test
	$(srcdir)/tests/soundness/ten-seeds.sh $(builddir)/tests/soundness/random_test

include tests/boehm/local.mk
include tests/tools/local.mk
