# Tests of what the benchmarks stand on. TAP programs, which the driver wants as files of
# that name.
bench_tests =
if HAVE_BENCHMARK
if HAVE_JANSSON
bench_tests += tests/bench/shim_test
endif
endif
bench_scripts = $(bench_tests:=.tap)
check_PROGRAMS += $(bench_tests)
TESTS += $(bench_scripts)
check_SCRIPTS += $(bench_scripts)
CLEANFILES += $(bench_scripts)
$(bench_scripts): Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	printf '#!/bin/sh\nexec "%s"\n' \
		"$(abs_builddir)/$$(echo $@ | sed 's/\.tap$$//')" >$@ && chmod +x $@

tests_bench_shim_test_SOURCES = tests/bench/shim_test.c
nodist_EXTRA_tests_bench_shim_test_SOURCES = dummy.cc
tests_bench_shim_test_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_bench_shim_test_LDADD = bench/shim/libgbench.la tests/libsupport.la $(JANSSON_LIBS) -lm

# What calls cost, in numbers, once for each backend.
counters_tests = tests/bench/counters_test
if HAVE_JEMALLOC
counters_tests += tests/bench/counters_jemalloc_test
endif
counters_scripts = $(counters_tests:=.tap)
check_PROGRAMS += $(counters_tests)
TESTS += $(counters_scripts)
check_SCRIPTS += $(counters_scripts)
CLEANFILES += $(counters_scripts)
EXTRA_DIST += tests/bench/counters.txt
$(counters_scripts): Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	printf '#!/bin/sh\nexec "%s" "%s"\n' '$(abs_top_srcdir)/tests/support/each-backend.sh' \
		"$(abs_builddir)/$$(echo $@ | sed 's/\.tap$$//')" >$@ && chmod +x $@

tests_bench_counters_test_SOURCES = tests/bench/counters_test.c tests/bench/counters.c \
	tests/bench/counters.h
tests_bench_counters_test_LDADD = tests/libsupport.la

tests_bench_counters_jemalloc_test_SOURCES = tests/bench/counters_jemalloc_test.c \
	tests/bench/counters.c tests/bench/counters.h tests/jemalloc/je.h
tests_bench_counters_jemalloc_test_CPPFLAGS = $(AM_CPPFLAGS) -DJE_PREFIXED
tests_bench_counters_jemalloc_test_LDADD = gc-glue/jemalloc/libcmje.la tests/libsupport.la \
	tests/jemalloc/libprefixed.a -lstdc++ -lm -ldl $(PTHREAD_LIBS)
