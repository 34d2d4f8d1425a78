# Sparse memory as sanitizers make it. The programs are compiled by the test.
check_PROGRAMS += tests/sparse/look
if !SANITIZED
TESTS += tests/sparse/sanitizers.tap
endif
EXTRA_DIST += tests/sparse/sanitizers.tap tests/sparse/target.c
