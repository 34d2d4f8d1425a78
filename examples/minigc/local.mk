# A collector to learn from, and to measure with: docs/tutorial.md. Under a sanitizer
# with the jemalloc that tests/jemalloc/local.mk gives a prefix.
if HAVE_JEMALLOC
once_tests += examples/minigc/side_test
check_PROGRAMS += examples/minigc/minigc-plain
# `cardmark bench barriers` runs it, with these.
if SANITIZED
check_PROGRAMS += examples/minigc/minigc
else
pkglibexec_PROGRAMS += examples/minigc/minigc
endif
dist_pkgdata_DATA += $(minigc_lisp)
noinst_DATA += $(minigc_lisp_copies)
TESTS += examples/minigc/minigc.tap
check_SCRIPTS += examples/minigc/minigc.tap
CLEANFILES += examples/minigc/minigc.tap

# Not minigc_test.tap: make would take its log for the log of minigc_test.sh.
examples/minigc/minigc.tap: Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	printf '#!/bin/sh\nexec "%s"\n' '$(abs_top_srcdir)/examples/minigc/minigc_test.sh' >$@ && \
	chmod +x $@
endif
minigc_lisp = \
	examples/minigc/scatter.lisp \
	examples/minigc/sparse.lisp \
	examples/minigc/stores.lisp \
	examples/minigc/trees.lisp \
	examples/minigc/updates.lisp
EXTRA_DIST += \
	$(minigc_lisp) \
	examples/minigc/compare.sh \
	examples/minigc/minigc_test.sh \
	examples/minigc/words.lisp

# Where the command finds them without being installed.
minigc_lisp_copies = \
	bench/share/scatter.lisp \
	bench/share/sparse.lisp \
	bench/share/stores.lisp \
	bench/share/trees.lisp \
	bench/share/updates.lisp
$(minigc_lisp_copies): $(minigc_lisp)
	$(AM_V_GEN)$(MKDIR_P) bench/share && cp $(srcdir)/examples/minigc/$(@F) $@
CLEANFILES += $(minigc_lisp_copies)

minigc_sources = \
	examples/minigc/barrier.c examples/minigc/barrier.h \
	examples/minigc/builtins.c \
	examples/minigc/collect.c examples/minigc/collect.h \
	examples/minigc/config.c examples/minigc/config.h \
	examples/minigc/eval.c \
	examples/minigc/heap.c examples/minigc/heap.h \
	examples/minigc/lisp.h \
	examples/minigc/main.c \
	examples/minigc/print.c \
	examples/minigc/read.c \
	examples/minigc/side.c examples/minigc/side.h \
	examples/minigc/stats.c examples/minigc/stats.h \
	examples/minigc/symbols.c \
	examples/minigc/table.c \
	examples/minigc/text.c \
	examples/minigc/value.h \
	examples/minigc/verify.c examples/minigc/verify.h \
	examples/minigc/world.c examples/minigc/world.h

if SANITIZED
minigc_cppflags = $(AM_CPPFLAGS) -DMINIGC_PREFIXED
minigc_ldadd = $(jemalloc_prefixed)
else
minigc_cppflags = $(AM_CPPFLAGS)
minigc_ldadd = $(jemalloc_shared)
endif

examples_minigc_minigc_SOURCES = $(minigc_sources)
examples_minigc_minigc_CPPFLAGS = $(minigc_cppflags)
examples_minigc_minigc_CFLAGS = $(AM_CFLAGS) $(JEMALLOC_CFLAGS)
examples_minigc_minigc_LDADD = $(minigc_ldadd)

# store() is only a store here.
examples_minigc_minigc_plain_SOURCES = $(minigc_sources)
examples_minigc_minigc_plain_CPPFLAGS = $(minigc_cppflags) -DMINIGC_NO_SOFTWARE_BARRIER
examples_minigc_minigc_plain_CFLAGS = $(AM_CFLAGS) $(JEMALLOC_CFLAGS)
examples_minigc_minigc_plain_LDADD = $(minigc_ldadd)

examples_minigc_side_test_SOURCES = examples/minigc/side_test.c examples/minigc/side.c \
	examples/minigc/side.h
