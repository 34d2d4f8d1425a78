# Tests of the cardmark command and the benchmark programs: exit 0, 1 or 77.
tools_tests = \
	tests/tools/usage_test.sh \
	tests/tools/completion_test.sh \
	tests/tools/zsh_test.sh \
	tests/tools/bench_usage_test.sh \
	tests/tools/run_test.sh \
	tests/tools/hash_test.sh \
	tests/tools/jemalloc_test.sh \
	tests/tools/lockwait_test.sh \
	tests/tools/probes_test.sh \
	tests/tools/micro_test.sh \
	tests/tools/barriers_test.sh \
	tests/tools/bench_test.sh \
	tests/tools/schema_test.sh \
	tests/tools/resume_test.sh \
	tests/tools/goals_test.sh \
	tests/tools/report_test.sh \
	tests/tools/page_test.sh \
	tests/tools/browser_test.sh
TESTS += $(tools_tests)
EXTRA_DIST += $(tools_tests) tests/tools/lib.sh tests/tools/schema.py docs/bench.schema.json docs/barriers.schema.json \
	tests/tools/results.json tests/tools/latency.py

# Only statistics: needs neither jansson nor libgc.
once_tests += tests/tools/ratio_test tests/tools/histogram_test tests/tools/latency_test
plain_programs += tests/tools/ratio_test tests/tools/histogram_test tests/tools/latency_test
tests_tools_ratio_test_SOURCES = tests/tools/ratio_test.c tools/ratio.c tools/ratio.h
tests_tools_ratio_test_LDADD = $(LDADD) -lm
tests_tools_histogram_test_SOURCES = tests/tools/histogram_test.c tools/histogram.c tools/histogram.h \
	tools/pauses.c tools/pauses.h tools/ratio.c tools/ratio.h
tests_tools_histogram_test_LDADD = $(LDADD) -lm
tests_tools_latency_test_SOURCES = tests/tools/latency_test.c tools/latency.c tools/latency.h \
	tools/histogram.c tools/histogram.h
tests_tools_latency_test_LDADD = $(LDADD) -lm
# Exits 0 or 1.
check_PROGRAMS += tests/tools/coverage_test
TESTS += tests/tools/coverage_test
tests_tools_coverage_test_SOURCES = tests/tools/coverage_test.c tools/ratio.c tools/ratio.h
tests_tools_coverage_test_LDADD = -lm

# Linked with the core, whose static probes gdb then finds in it.
check_PROGRAMS += tests/tools/usdt
plain_programs += tests/tools/usdt
