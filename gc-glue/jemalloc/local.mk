# The jemalloc adapter. It needs no header of jemalloc, which is reached through
# the caller's pointer to mallctl().
if HAVE_JEMALLOC
include_cardmark_HEADERS += include/cardmark/jemalloc.h
pkgconfig_DATA += gc-glue/jemalloc/libcardmark-jemalloc.pc

noinst_LTLIBRARIES += gc-glue/jemalloc/libcmje.la
gc_glue_jemalloc_libcmje_la_SOURCES = \
	gc-glue/jemalloc/arena.c \
	gc-glue/jemalloc/defer.c \
	gc-glue/jemalloc/fork.c \
	gc-glue/jemalloc/glue.h \
	gc-glue/jemalloc/hooks.c \
	gc-glue/jemalloc/mallctl.c \
	gc-glue/jemalloc/map.c gc-glue/jemalloc/map.h \
	gc-glue/jemalloc/owner.c \
	gc-glue/jemalloc/query.c \
	gc-glue/jemalloc/replaced.c \
	gc-glue/jemalloc/tcache.c \
	gc-glue/jemalloc/util.c gc-glue/jemalloc/util.h \
	gc-glue/jemalloc/wait.c \
	gc-glue/jemalloc/watch.c
gc_glue_jemalloc_libcmje_la_CPPFLAGS = $(AM_CPPFLAGS) $(CM_PERTURB_CPPFLAGS)
gc_glue_jemalloc_libcmje_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden

lib_LTLIBRARIES += gc-glue/jemalloc/libcardmark-jemalloc.la
gc_glue_jemalloc_libcardmark_jemalloc_la_SOURCES =
gc_glue_jemalloc_libcardmark_jemalloc_la_LIBADD = gc-glue/jemalloc/libcmje.la lib/libcardmark.la \
	$(perturb_libs) $(PTHREAD_LIBS)
# nodelete: jemalloc's hooks point into it, as do atfork handlers.
gc_glue_jemalloc_libcardmark_jemalloc_la_LDFLAGS = $(AM_LDFLAGS) -version-info 1:0:0 -Wl,-z,nodelete -Wl,-z,now \
	-Wl,--version-script=$(srcdir)/gc-glue/jemalloc/libcardmark-jemalloc.map
EXTRA_gc_glue_jemalloc_libcardmark_jemalloc_la_DEPENDENCIES = \
	gc-glue/jemalloc/libcardmark-jemalloc.map
endif
EXTRA_DIST += gc-glue/jemalloc/libcardmark-jemalloc.map
