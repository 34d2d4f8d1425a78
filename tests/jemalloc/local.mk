# Tests of the jemalloc adapter: with Debian's shared jemalloc, which is then the program's
# malloc as well, and the same programs with a static one whose names were given the prefix
# _rjem_, as builds for Rust have it. The adapter's and the core's inside is linked in.
# tests/jemalloc/NAME_test.c is a line in each list, and five at the end.
if HAVE_JEMALLOC
backend_tests += \
	tests/jemalloc/arena_prefixed_test \
	tests/jemalloc/cancel_prefixed_test \
	tests/jemalloc/collect_arena_prefixed_test \
	tests/jemalloc/fork_caches_prefixed_test \
	tests/jemalloc/fork_prefixed_test \
	tests/jemalloc/handover_prefixed_test \
	tests/jemalloc/hooks_prefixed_test \
	tests/jemalloc/replaced_prefixed_test \
	tests/jemalloc/rows_prefixed_test
once_tests += tests/jemalloc/sized_test
jemalloc_shared_tests = \
	tests/jemalloc/arena_test \
	tests/jemalloc/cancel_test \
	tests/jemalloc/collect_arena_test \
	tests/jemalloc/fork_caches_test \
	tests/jemalloc/fork_test \
	tests/jemalloc/handover_test \
	tests/jemalloc/hooks_test \
	tests/jemalloc/replaced_test \
	tests/jemalloc/rows_test
# A sanitizer's malloc would stand before the shared one's.
if SANITIZED
check_PROGRAMS += $(jemalloc_shared_tests)
else
backend_tests += $(jemalloc_shared_tests)
endif
# The same programs where jemalloc unmaps what it need not keep.
jemalloc_unmapping = \
	tests/jemalloc/arena_prefixed_test.unmapping.tap \
	tests/jemalloc/fork_prefixed_test.unmapping.tap \
	tests/jemalloc/hooks_prefixed_test.unmapping.tap \
	tests/jemalloc/replaced_prefixed_test.unmapping.tap
TESTS += $(jemalloc_unmapping)
check_SCRIPTS += $(jemalloc_unmapping)
CLEANFILES += $(jemalloc_unmapping) tests/jemalloc/prefixed.syms tests/jemalloc/libprefixed.a
$(jemalloc_unmapping): Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	printf '#!/bin/sh\nexec env MALLOC_CONF=retain:false "%s" "%s"\n' \
		'$(abs_top_srcdir)/tests/support/each-backend.sh' \
		"$(abs_builddir)/$$(echo $@ | sed 's/\..*$$//')" >$@ && chmod +x $@

# Every name that the archive defines gets the prefix, and no other.
tests/jemalloc/libprefixed.a: Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	archive="$$($(PKG_CONFIG) --variable=libdir jemalloc)/libjemalloc_pic.a" && \
	$(NM) -g --defined-only "$$archive" 2>/dev/null | \
		awk 'NF == 3 { print $$3, "_rjem_" $$3 }' | sort -u >tests/jemalloc/prefixed.syms && \
	$(OBJCOPY) --redefine-syms=tests/jemalloc/prefixed.syms "$$archive" $@
endif

jemalloc_ldadd = gc-glue/jemalloc/libcmje.la tests/libsupport.la
jemalloc_shared = $(jemalloc_ldadd) $(JEMALLOC_LIBS) $(PTHREAD_LIBS)
jemalloc_prefixed = $(jemalloc_ldadd) tests/jemalloc/libprefixed.a -lstdc++ -lm -ldl $(PTHREAD_LIBS)
jemalloc_prefixed_cppflags = $(AM_CPPFLAGS) -DJE_PREFIXED

watched = tests/jemalloc/locked.h tests/jemalloc/watched.h tests/jemalloc/je.h
tests_jemalloc_arena_test_SOURCES = tests/jemalloc/arena_test.c $(watched)
tests_jemalloc_arena_test_CFLAGS = $(AM_CFLAGS) $(JEMALLOC_CFLAGS)
tests_jemalloc_arena_test_LDADD = $(jemalloc_shared)

tests_jemalloc_arena_prefixed_test_SOURCES = tests/jemalloc/arena_test.c $(watched)
tests_jemalloc_arena_prefixed_test_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_jemalloc_arena_prefixed_test_LDADD = $(jemalloc_prefixed)

tests_jemalloc_cancel_test_SOURCES = tests/jemalloc/cancel_test.c $(watched)
tests_jemalloc_cancel_test_LDADD = $(jemalloc_shared)
tests_jemalloc_cancel_prefixed_test_SOURCES = tests/jemalloc/cancel_test.c $(watched)
tests_jemalloc_cancel_prefixed_test_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_jemalloc_cancel_prefixed_test_LDADD = $(jemalloc_prefixed)

tests_jemalloc_collect_arena_test_SOURCES = tests/jemalloc/collect_arena_test.c $(watched)
tests_jemalloc_collect_arena_test_LDADD = $(jemalloc_shared)
tests_jemalloc_collect_arena_prefixed_test_SOURCES = tests/jemalloc/collect_arena_test.c $(watched)
tests_jemalloc_collect_arena_prefixed_test_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_jemalloc_collect_arena_prefixed_test_LDADD = $(jemalloc_prefixed)

tests_jemalloc_fork_caches_test_SOURCES = tests/jemalloc/fork_caches_test.c tests/jemalloc/je.h
tests_jemalloc_fork_caches_test_LDADD = $(jemalloc_shared)
tests_jemalloc_fork_caches_prefixed_test_SOURCES = tests/jemalloc/fork_caches_test.c tests/jemalloc/je.h
tests_jemalloc_fork_caches_prefixed_test_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_jemalloc_fork_caches_prefixed_test_LDADD = $(jemalloc_prefixed)
tests_jemalloc_fork_test_SOURCES = tests/jemalloc/fork_test.c tests/jemalloc/je.h
tests_jemalloc_fork_test_LDADD = $(jemalloc_shared)
tests_jemalloc_fork_prefixed_test_SOURCES = tests/jemalloc/fork_test.c tests/jemalloc/je.h
tests_jemalloc_fork_prefixed_test_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_jemalloc_fork_prefixed_test_LDADD = $(jemalloc_prefixed)

tests_jemalloc_handover_test_SOURCES = tests/jemalloc/handover_test.c $(watched)
tests_jemalloc_handover_test_LDADD = $(jemalloc_shared)
tests_jemalloc_handover_prefixed_test_SOURCES = tests/jemalloc/handover_test.c $(watched)
tests_jemalloc_handover_prefixed_test_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_jemalloc_handover_prefixed_test_LDADD = $(jemalloc_prefixed)

tests_jemalloc_hooks_test_SOURCES = tests/jemalloc/hooks_test.c $(watched)
tests_jemalloc_hooks_test_LDADD = $(jemalloc_shared)
tests_jemalloc_hooks_prefixed_test_SOURCES = tests/jemalloc/hooks_test.c $(watched)
tests_jemalloc_hooks_prefixed_test_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_jemalloc_hooks_prefixed_test_LDADD = $(jemalloc_prefixed)

tests_jemalloc_replaced_test_SOURCES = tests/jemalloc/replaced_test.c $(watched)
tests_jemalloc_replaced_test_LDADD = $(jemalloc_shared)
tests_jemalloc_replaced_prefixed_test_SOURCES = tests/jemalloc/replaced_test.c $(watched)
tests_jemalloc_replaced_prefixed_test_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_jemalloc_replaced_prefixed_test_LDADD = $(jemalloc_prefixed)

oracle_sources = tests/jemalloc/oracle.c tests/jemalloc/oracle.h tests/jemalloc/je.h
tests_jemalloc_rows_test_SOURCES = tests/jemalloc/rows_test.c $(oracle_sources)
tests_jemalloc_rows_test_LDADD = $(jemalloc_shared)
tests_jemalloc_rows_prefixed_test_SOURCES = tests/jemalloc/rows_test.c $(oracle_sources)
tests_jemalloc_rows_prefixed_test_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_jemalloc_rows_prefixed_test_LDADD = $(jemalloc_prefixed)

tests_jemalloc_sized_test_SOURCES = tests/jemalloc/sized_test.c tests/jemalloc/je.h
tests_jemalloc_sized_test_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_jemalloc_sized_test_LDADD = $(jemalloc_prefixed)

# A million changed pages in each row: make soak-jemalloc [PAGES=1000000] [SEED=7]
PAGES = 1000000
.PHONY: soak-jemalloc
soak-jemalloc: tests/jemalloc/rows_test
	$(builddir)/tests/jemalloc/rows_test pagemap --pages=$(PAGES) --seed=$(SEED)
