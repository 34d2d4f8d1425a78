# The snapshot example on a program that does everything to its memory.
check_PROGRAMS += tests/snapshot/churn
tests_snapshot_churn_SOURCES = tests/snapshot/churn.c
tests_snapshot_churn_LDADD = $(PTHREAD_LIBS)
if !SANITIZED
TESTS += tests/snapshot/snapshot_test.sh
endif
EXTRA_DIST += tests/snapshot/snapshot_test.sh
