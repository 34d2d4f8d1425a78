# cardmark watch, and the object that it preloads, which has the core inside.
tools_cardmark_SOURCES += \
	tools/watch/json.c \
	tools/watch/report.h \
	tools/watch/shared.h tools/watch/stat.h \
	tools/watch/svg.c \
	tools/watch/tally.c tools/watch/tally.h \
	tools/watch/text.c \
	tools/watch/watch.c

watch_object_sources = \
	tools/watch/look.c \
	tools/watch/object.c tools/watch/object.h \
	tools/watch/shared.h
watch_object_cflags = $(AM_CFLAGS) -fvisibility=hidden
# now: our thread must not wait for the dynamic linker, which runs the program's start.
watch_object_ldflags = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,now -Wl,-z,nodelete \
	-Wl,--exclude-libs,ALL

pkglib_LTLIBRARIES += tools/watch/libcardmark-watch.la
tools_watch_libcardmark_watch_la_SOURCES = $(watch_object_sources)
tools_watch_libcardmark_watch_la_CFLAGS = $(watch_object_cflags)
tools_watch_libcardmark_watch_la_LDFLAGS = $(watch_object_ldflags)
tools_watch_libcardmark_watch_la_LIBADD = lib/libcm.la $(PTHREAD_LIBS)

dist_man_MANS += man/cardmark-watch.1
