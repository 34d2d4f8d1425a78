# Incremental dumps: a command, and an object to preload (in .libs).
check_PROGRAMS += examples/snapshot/snapshot
examples_snapshot_snapshot_SOURCES = \
	examples/snapshot/dump.c examples/snapshot/dump.h \
	examples/snapshot/format.h \
	examples/snapshot/image.c examples/snapshot/image.h \
	examples/snapshot/maps.c \
	examples/snapshot/snapshot.c
examples_snapshot_snapshot_LDADD = lib/libcardmark.la

check_LTLIBRARIES += examples/snapshot/preload.la
examples_snapshot_preload_la_SOURCES = \
	examples/snapshot/dump.c examples/snapshot/dump.h \
	examples/snapshot/format.h \
	examples/snapshot/maps.c \
	examples/snapshot/preload.c \
	examples/snapshot/tracking.c examples/snapshot/tracking.h
examples_snapshot_preload_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden
examples_snapshot_preload_la_LIBADD = lib/libcardmark.la $(PTHREAD_LIBS)
# -rpath makes it a shared object though nothing is installed. now: a child that
# bound a symbol late would write to the memory it dumps.
examples_snapshot_preload_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared \
	-rpath $(abs_builddir)/examples/snapshot -Wl,-z,now

EXTRA_DIST += examples/snapshot/README.md examples/snapshot/common.sh examples/snapshot/demo.sh
