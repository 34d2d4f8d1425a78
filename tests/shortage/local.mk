# Each room in processes that are short of something. under.la is preloaded into what runs:
# not for builds with a sanitizer, whose runtime must come first.
EXTRA_DIST += tests/shortage/shortage_test.tap
if !SANITIZED
TESTS += tests/shortage/shortage_test.tap
check_PROGRAMS += tests/shortage/core
check_LTLIBRARIES += tests/shortage/under.la
if HAVE_JEMALLOC
check_PROGRAMS += tests/shortage/je
endif
endif

tests_shortage_core_SOURCES = tests/shortage/core.c tests/shortage/client.h
tests_shortage_core_LDADD = lib/libcm.la $(PTHREAD_LIBS) -ldl

tests_shortage_je_SOURCES = tests/shortage/je.c tests/shortage/client.h
tests_shortage_je_LDADD = gc-glue/jemalloc/libcmje.la lib/libcm.la tests/jemalloc/libprefixed.a \
	-lstdc++ -lm -ldl $(PTHREAD_LIBS)

tests_shortage_under_la_SOURCES = tests/shortage/under.c
tests_shortage_under_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere
tests_shortage_under_la_LIBADD = $(PTHREAD_LIBS)
