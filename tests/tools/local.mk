# Tests of the cardmark command and the benchmark programs: exit 0, 1 or 77.
tools_tests = \
	tests/tools/usage_test.sh \
	tests/tools/run_test.sh \
	tests/tools/hash_test.sh \
	tests/tools/bench_test.sh
TESTS += $(tools_tests)
EXTRA_DIST += $(tools_tests) tests/tools/lib.sh

# Only statistics: needs neither jansson nor libgc.
check_PROGRAMS += tests/tools/stats_test
TESTS += tests/tools/stats_test
tests_tools_stats_test_SOURCES = tests/tools/stats_test.c tools/stats.c tools/stats.h
tests_tools_stats_test_LDADD = -lm
