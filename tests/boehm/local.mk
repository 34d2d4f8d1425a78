# Tests of the Boehm GC adapter. They preload it into programs that know nothing
# of it: not for builds with a sanitizer, whose runtime must come first.
EXTRA_DIST += \
	tests/boehm/breakuffd.c \
	tests/boehm/check-async.sh \
	tests/boehm/check-libgc.sh \
	tests/boehm/lib.sh \
	tests/boehm/libgc/check-patches.sh \
	tests/boehm/libgc/dirtybits.c \
	tests/boehm/libgc/pieces.c \
	tests/boehm/libgc/uncollectable.c \
	tests/boehm/loadmod.c \
	tests/boehm/lostwrite.c \
	tests/boehm/objects.h \
	tests/boehm/statics.c \
	tests/boehm/torture.sh \
	tests/boehm/workers.h \
	$(boehm_tests)
boehm_tests = \
	tests/boehm/api_test.sh \
	tests/boehm/control_test.sh \
	tests/boehm/efault_test.sh \
	tests/boehm/ending_test.sh \
	tests/boehm/forking_test.sh \
	tests/boehm/growth_test.sh \
	tests/boehm/guests_test.sh \
	tests/boehm/large_test.sh \
	tests/boehm/loading_test.sh \
	tests/boehm/pace_test.sh \
	tests/boehm/places_test.sh \
	tests/boehm/preload_test.sh \
	tests/boehm/queue_test.sh \
	tests/boehm/rootchange_test.sh \
	tests/boehm/roots_test.sh \
	tests/boehm/stacks_test.sh \
	tests/boehm/surroundings_test.sh \
	tests/boehm/telling_test.sh \
	tests/boehm/torture_a.sh \
	tests/boehm/torture_b.sh \
	tests/boehm/verify_test.sh \
	tests/boehm/walk_test.sh

if HAVE_BDWGC
if !SANITIZED
TESTS += $(boehm_tests)
once_tests += tests/boehm/sized_test
check_PROGRAMS += tests/boehm/efault tests/boehm/forking tests/boehm/growth tests/boehm/guests tests/boehm/kinds tests/boehm/large tests/boehm/latelibgc \
	tests/boehm/loading tests/boehm/pace tests/boehm/queue \
	tests/boehm/rootchange tests/boehm/roots tests/boehm/stacks tests/boehm/surroundings tests/boehm/surroundings_api \
	tests/boehm/torture tests/boehm/torture_api
boehm_hooks = tests/boehm/hooks.la
check_LTLIBRARIES += tests/boehm/dropscan.la tests/boehm/guestmod.la tests/boehm/inmalloc.la $(boehm_hooks) tests/boehm/libcmgc-hooks.la \
	tests/boehm/rootlib.la tests/boehm/rootmod.la
endif
endif

# On another libgc: make check-libgc LIBGC='bullseye trixie sid'; check-libgc.sh --help.
LIBGC =
.PHONY: check-libgc
check-libgc:
	$(srcdir)/tests/boehm/check-libgc.sh --build='$(abs_builddir)' $(LIBGC)

# Patches 03 and 04 for libgc (gc-glue/boehm/libgc): check-async.sh --help.
LIBGC_PATCHED =
LIBGC_HEAD =
.PHONY: check-async
check-async:
	$(MAKE) tests/boehm/efault tests/boehm/rootchange tests/boehm/roots tests/boehm/torture \
		tests/boehm/dropscan.la tests/boehm/rootmod.la
	$(srcdir)/tests/boehm/check-async.sh --build='$(abs_builddir)' --prefix='$(LIBGC_PATCHED)' --head='$(LIBGC_HEAD)'

# With our patches (gc-glue/boehm/libgc): make check-patches; check-patches.sh --help.
OWN_TESTS =
.PHONY: check-patches
check-patches:
	$(srcdir)/tests/boehm/libgc/check-patches.sh --build='$(abs_builddir)' $(OWN_TESTS)

boehm_cflags = $(AM_CFLAGS) $(BDWGC_CFLAGS)

tests_boehm_efault_CFLAGS = $(boehm_cflags)
tests_boehm_efault_LDADD = $(BDWGC_LIBS)

tests_boehm_forking_CFLAGS = $(boehm_cflags)
tests_boehm_forking_LDADD = $(BDWGC_LIBS) $(PTHREAD_LIBS) -ldl

tests_boehm_growth_CFLAGS = $(boehm_cflags)
tests_boehm_growth_LDADD = $(BDWGC_LIBS)

tests_boehm_guests_CFLAGS = $(boehm_cflags)
tests_boehm_guests_LDADD = $(BDWGC_LIBS) -ldl

tests_boehm_guestmod_la_SOURCES = tests/boehm/guestmod.c
tests_boehm_guestmod_la_CFLAGS = $(boehm_cflags)
tests_boehm_guestmod_la_LIBADD = $(BDWGC_LIBS)
tests_boehm_guestmod_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere

tests_boehm_inmalloc_la_SOURCES = tests/boehm/inmalloc.c
tests_boehm_inmalloc_la_CFLAGS = $(AM_CFLAGS) -fno-builtin
tests_boehm_inmalloc_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere

tests_boehm_kinds_CFLAGS = $(boehm_cflags)
tests_boehm_kinds_LDADD = $(BDWGC_LIBS)

tests_boehm_large_CFLAGS = $(boehm_cflags)
tests_boehm_large_LDADD = $(BDWGC_LIBS) -ldl

tests_boehm_latelibgc_LDADD = -ldl

tests_boehm_loading_CFLAGS = $(boehm_cflags)
tests_boehm_loading_LDADD = $(BDWGC_LIBS) $(PTHREAD_LIBS) -ldl
# The module that it loads uses two of its variables.
tests_boehm_loading_LDFLAGS = $(AM_LDFLAGS) -rdynamic

tests_boehm_pace_CFLAGS = $(boehm_cflags)
tests_boehm_pace_LDADD = $(BDWGC_LIBS)

tests_boehm_queue_CFLAGS = $(boehm_cflags)
tests_boehm_queue_LDADD = $(BDWGC_LIBS)

tests_boehm_rootchange_CFLAGS = $(boehm_cflags)
tests_boehm_rootchange_LDADD = $(BDWGC_LIBS) $(PTHREAD_LIBS) -ldl

tests_boehm_roots_CFLAGS = $(boehm_cflags)
tests_boehm_roots_LDADD = $(BDWGC_LIBS) -ldl

tests_boehm_sized_test_CFLAGS = $(boehm_cflags)
tests_boehm_sized_test_LDADD = gc-glue/boehm/libcmgc.la tests/libsupport.la $(BDWGC_LIBS) $(PTHREAD_LIBS)

tests_boehm_stacks_CFLAGS = $(boehm_cflags)
tests_boehm_stacks_LDADD = $(BDWGC_LIBS)

tests_boehm_surroundings_CFLAGS = $(boehm_cflags)
tests_boehm_surroundings_LDADD = $(BDWGC_LIBS) $(PTHREAD_LIBS)

tests_boehm_surroundings_api_SOURCES = tests/boehm/surroundings.c
tests_boehm_surroundings_api_CPPFLAGS = $(AM_CPPFLAGS) -DSURROUNDINGS_API=2
tests_boehm_surroundings_api_CFLAGS = $(boehm_cflags)
tests_boehm_surroundings_api_LDADD = gc-glue/boehm/libcardmark-gc.la lib/libcardmark.la \
	$(BDWGC_LIBS) $(PTHREAD_LIBS)

tests_boehm_torture_CFLAGS = $(boehm_cflags)
tests_boehm_torture_LDADD = $(BDWGC_LIBS) $(PTHREAD_LIBS)

tests_boehm_torture_api_SOURCES = tests/boehm/torture.c
tests_boehm_torture_api_CPPFLAGS = $(AM_CPPFLAGS) -DTORTURE_API
tests_boehm_torture_api_CFLAGS = $(boehm_cflags)
tests_boehm_torture_api_LDADD = gc-glue/boehm/libcardmark-gc.la lib/libcardmark.la \
	$(BDWGC_LIBS) $(PTHREAD_LIBS)

# The adapter and the preload object with test hooks (testhooks.h): for controls, never installed.
tests_boehm_libcmgc_hooks_la_SOURCES = $(gc_glue_sources) gc-glue/boehm/testhooks.c
tests_boehm_libcmgc_hooks_la_CPPFLAGS = $(gc_glue_cppflags) -DCM_GC_TEST_HOOKS
tests_boehm_libcmgc_hooks_la_CFLAGS = $(gc_glue_cflags)

tests_boehm_hooks_la_SOURCES = gc-glue/boehm/preload.c
tests_boehm_hooks_la_CPPFLAGS = $(gc_glue_cppflags) -DCM_GC_TEST_HOOKS
tests_boehm_hooks_la_CFLAGS = $(gc_glue_cflags)
tests_boehm_hooks_la_LIBADD = tests/boehm/libcmgc-hooks.la lib/libcm.la $(PTHREAD_LIBS)
tests_boehm_hooks_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere \
	-Wl,--version-script=$(srcdir)/gc-glue/boehm/libcardmark-gc.map

# A data segment that begins in the middle of a page: no RELRO, and an address
# chosen so that its last page is used for less than its first (see roots.c).
tests_boehm_rootmod_la_SOURCES = tests/boehm/rootmod.c
tests_boehm_rootmod_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere \
	-XCClinker -nostartfiles -Wl,-z,norelro -Wl,--section-start=.dynamic=0x21e8

tests_boehm_rootlib_la_SOURCES = tests/boehm/rootmod.c
tests_boehm_rootlib_la_CPPFLAGS = $(AM_CPPFLAGS) -DROOT_BYTES=40960
tests_boehm_rootlib_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere

tests_boehm_dropscan_la_SOURCES = tests/boehm/dropscan.c
tests_boehm_dropscan_la_LIBADD = -ldl
tests_boehm_dropscan_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere
