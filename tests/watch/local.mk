# cardmark watch on programs that know what they wrote.
check_PROGRAMS += tests/watch/leave tests/watch/odd tests/watch/pattern tests/watch/taken
tests_watch_leave_SOURCES = tests/watch/leave.c
tests_watch_odd_SOURCES = tests/watch/odd.c
tests_watch_odd_LDADD = $(PTHREAD_LIBS)
tests_watch_pattern_SOURCES = tests/watch/pattern.c
tests_watch_pattern_LDADD = $(PTHREAD_LIBS)
tests_watch_taken_SOURCES = tests/watch/taken.c
tests_watch_taken_LDADD = lib/libcm.la $(PTHREAD_LIBS)

# The control: it does not report one page of eight.
check_LTLIBRARIES += tests/watch/loses.la
tests_watch_loses_la_SOURCES = $(watch_object_sources)
tests_watch_loses_la_CPPFLAGS = $(AM_CPPFLAGS) -DCM_WATCH_LOSES
tests_watch_loses_la_CFLAGS = $(watch_object_cflags)
tests_watch_loses_la_LDFLAGS = $(watch_object_ldflags) -rpath /nowhere
tests_watch_loses_la_LIBADD = $(tools_watch_libcardmark_watch_la_LIBADD)

if !SANITIZED
TESTS += tests/watch/odd_test.sh tests/watch/watch_test.sh
endif
EXTRA_DIST += tests/watch/odd_test.sh tests/watch/watch_test.sh tests/watch/truth.py tests/watch/leave.py tests/watch/cost.py
