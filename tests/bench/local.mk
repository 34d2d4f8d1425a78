# Tests of what the benchmarks stand on.
if HAVE_BENCHMARK
if HAVE_JANSSON
once_tests += tests/bench/shim_test
endif
endif

tests_bench_shim_test_SOURCES = tests/bench/shim_test.c
nodist_EXTRA_tests_bench_shim_test_SOURCES = dummy.cc
tests_bench_shim_test_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_bench_shim_test_LDADD = bench/shim/libgbench.la tests/libsupport.la $(JANSSON_LIBS) -lm

# What calls cost, in numbers.
backend_tests += tests/bench/counters_test
if HAVE_JEMALLOC
backend_tests += tests/bench/counters_jemalloc_test
endif
EXTRA_DIST += tests/bench/counters.txt

tests_bench_counters_test_SOURCES = tests/bench/counters_test.c tests/bench/counters.c \
	tests/bench/counters.h

tests_bench_counters_jemalloc_test_SOURCES = tests/bench/counters_jemalloc_test.c \
	tests/bench/counters.c tests/bench/counters.h tests/jemalloc/je.h
tests_bench_counters_jemalloc_test_CPPFLAGS = $(AM_CPPFLAGS) -DJE_PREFIXED
tests_bench_counters_jemalloc_test_LDADD = gc-glue/jemalloc/libcmje.la tests/libsupport.la \
	tests/jemalloc/libprefixed.a -lstdc++ -lm -ldl $(PTHREAD_LIBS)

# Our own goals: make check-goals [RESULTS=cardmark-bench.json]
RESULTS = cardmark-bench.json
EXTRA_DIST += tests/bench/goals tests/bench/telling
.PHONY: check-goals
check-goals:
	$(srcdir)/tests/bench/goals '$(RESULTS)'
