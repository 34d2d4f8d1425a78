# Sparse memory as sanitizers make it. The programs are compiled by the test.
check_PROGRAMS += tests/sparse/look
tests_sparse_look_SOURCES = tests/sparse/look.c
tests_sparse_look_LDADD = tests/libsupport.la
if !SANITIZED
TESTS += tests/sparse/sanitizers.tap
endif
EXTRA_DIST += tests/sparse/sanitizers.tap tests/sparse/target.c
