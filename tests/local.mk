# Tests. Each room lists its own: in once_tests the programs that run once, in backend_tests
# those that run once for each backend (tests/support/each-backend.sh, a TAP line for each case
# and backend; CARDMARK_REQUIRE=pagemap[,uffd...] fails what would be skipped). A program NAME
# is NAME.c, linked with what follows, unless its room says otherwise.
LDADD = tests/.libs/libsupport.a $(PTHREAD_LIBS)
TEST_EXTENSIONS = .sh .tap
TAP_LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
AM_TESTS_ENVIRONMENT = \
	CARDMARK_SRCDIR='$(abs_top_srcdir)'; export CARDMARK_SRCDIR; \
	CARDMARK_BUILDDIR='$(abs_top_builddir)'; export CARDMARK_BUILDDIR; \
	unset CARDMARK_BACKEND CARDMARK_CHUNK CARDMARK_VEC CARDMARK_THREADS CARDMARK_HUGE \
		CARDMARK_VERIFY CARDMARK_BACKOFF;

check_LTLIBRARIES = tests/libsupport.la
tests_libsupport_la_SOURCES = \
	tests/support/backends.h \
	tests/support/broken_os.c tests/support/broken_os.h \
	tests/support/fixture.h \
	tests/support/fork_order.h \
	tests/support/fake_kernel.c tests/support/fake_kernel.h \
	tests/support/gate.h tests/support/gated_os.h \
	tests/support/inject_os.c tests/support/inject_os.h \
	tests/support/live.c tests/support/live.h \
	tests/support/sized.h \
	tests/support/smaps.c tests/support/smaps.h \
	tests/support/page_hash.h tests/support/random.h \
	tests/support/taken_away.h \
	tests/support/tap.c tests/support/tap.h \
	tests/support/unit.c tests/support/unit.h \
	tests/support/verifying.h
tests_libsupport_la_LIBADD = lib/libcm.la
tests/.libs/libsupport.a: tests/libsupport.la
	@:
EXTRA_DIST += tests/support/each-backend.sh

once_tests =
backend_tests =
# Programs that need no library of this tree but that archive. They are linked without libtool,
# which takes ten times as long as the linker.
plain_programs =
# How long soaks, fuzzing and sweeps take, and what random tests begin with.
SECONDS = 300
SEED = clock

include tests/unit/local.mk
include tests/live/local.mk
include tests/soundness/local.mk
include tests/bench/local.mk
include tests/boehm/local.mk
include tests/containers/local.mk
include tests/fuzz/local.mk
include tests/jemalloc/local.mk
include tests/model/local.mk
include tests/perturb/local.mk
include tests/tools/local.mk
include tests/shortage/local.mk
include tests/snapshot/local.mk
include tests/watch/local.mk
include tests/redis/local.mk
include tests/sparse/local.mk
include tests/kernels/local.mk
include tests/programs/local.mk

# One line of shell for each program: the driver wants a file of that name to run.
once_scripts = $(once_tests:=.tap)
backend_scripts = $(backend_tests:=.tap)
$(once_scripts): runner =
$(backend_scripts): runner = '$(abs_top_srcdir)/tests/support/each-backend.sh'
check_PROGRAMS += $(once_tests) $(backend_tests)
$(plain_programs): private LINK = $(CCLD) $(AM_CFLAGS) $(CFLAGS) $(AM_LDFLAGS) $(LDFLAGS) -o $@
check_SCRIPTS += $(once_scripts) $(backend_scripts)
TESTS += $(once_scripts) $(backend_scripts)
CLEANFILES += $(once_scripts) $(backend_scripts)
$(once_scripts) $(backend_scripts): Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	printf '#!/bin/sh\nexec %s "%s"\n' "$(runner)" "$(abs_builddir)/$$(echo $@ | sed 's/\.tap$$//')" >$@ && chmod +x $@

# ---- Installed tree and valgrind ---------------------------------------------------

TESTS += tests/install/install_test.sh tests/rooms/circles_test.sh
EXTRA_DIST += tests/install/install_test.sh tests/install/lib.sh tests/install/packages.sh \
	tests/install/quickstart.sh tests/rooms/circles_test.sh tests/valgrind.sh

.PHONY: check-valgrind
check-valgrind: $(check_PROGRAMS)
	$(srcdir)/tests/valgrind.sh $(abs_builddir)
