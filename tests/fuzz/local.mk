# Fuzz targets. Built by any compiler they replay the corpus and show their controls;
# with clang, make fuzz SECONDS=30 lets libFuzzer look for more.
fuzz_tests = \
	tests/fuzz/cards_fuzz \
	tests/fuzz/query_fuzz \
	tests/fuzz/ranges_fuzz
fuzz_scripts = $(fuzz_tests:=.tap)
check_PROGRAMS += $(fuzz_tests)
check_SCRIPTS += $(fuzz_scripts)
TESTS += $(fuzz_scripts)
CLEANFILES += $(fuzz_scripts)
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz.sh tests/fuzz/fuzzer.c

tests_fuzz_cards_fuzz_SOURCES = tests/fuzz/cards_fuzz.c tests/fuzz/fuzz.h tests/fuzz/replay.c
tests_fuzz_cards_fuzz_LDADD = tests/libsupport.la
tests_fuzz_query_fuzz_SOURCES = \
	tests/fuzz/query_fuzz.c tests/fuzz/query_kernel.c tests/fuzz/query_scan.c \
	tests/fuzz/fuzz.h tests/fuzz/query.h tests/fuzz/replay.c
tests_fuzz_query_fuzz_LDADD = tests/libsupport.la $(PTHREAD_LIBS)
tests_fuzz_ranges_fuzz_SOURCES = tests/fuzz/ranges_fuzz.c tests/fuzz/fuzz.h tests/fuzz/replay.c
tests_fuzz_ranges_fuzz_LDADD = tests/libsupport.la

$(fuzz_scripts): Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	printf '#!/bin/sh\nexec "%s"\n' "$(abs_builddir)/$$(echo $@ | sed 's/\.tap$$//')" >$@ && \
	chmod +x $@

# Inputs that find something new stay in fuzz/ of the build tree; those that fail, too.
.PHONY: fuzz
fuzz:
	$(srcdir)/tests/fuzz/fuzz.sh '$(abs_top_srcdir)' '$(abs_builddir)/fuzz' $(SECONDS)
