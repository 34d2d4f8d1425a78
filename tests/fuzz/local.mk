# Fuzz targets. Built by any compiler they replay the corpus and show their controls;
# with clang, make fuzz SECONDS=30 lets libFuzzer look for more.
once_tests += \
	tests/fuzz/cards_fuzz \
	tests/fuzz/query_fuzz \
	tests/fuzz/ranges_fuzz
plain_programs += tests/fuzz/cards_fuzz tests/fuzz/query_fuzz tests/fuzz/ranges_fuzz
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz.sh tests/fuzz/fuzzer.c

tests_fuzz_cards_fuzz_SOURCES = tests/fuzz/cards_fuzz.c tests/fuzz/fuzz.h tests/fuzz/replay.c
tests_fuzz_query_fuzz_SOURCES = \
	tests/fuzz/query_fuzz.c tests/fuzz/query_kernel.c tests/fuzz/query_scan.c \
	tests/fuzz/fuzz.h tests/fuzz/query.h tests/fuzz/replay.c
tests_fuzz_ranges_fuzz_SOURCES = tests/fuzz/ranges_fuzz.c tests/fuzz/fuzz.h tests/fuzz/replay.c

# Inputs that find something new stay in fuzz/ of the build tree; those that fail, too.
.PHONY: fuzz
fuzz:
	$(srcdir)/tests/fuzz/fuzz.sh '$(abs_top_srcdir)' '$(abs_builddir)/fuzz' $(SECONDS)
