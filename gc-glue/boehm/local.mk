# The Boehm GC adapter. Both objects are built from the same files and need no
# header of libgc: it is looked up at run time. The preload object has the core
# inside, so that it is one file and adds no library to the program.
if HAVE_BDWGC
include_cardmark_HEADERS += include/cardmark/gc.h
pkgconfig_DATA += gc-glue/boehm/libcardmark-gc.pc

gc_glue_cppflags = $(AM_CPPFLAGS) -D_GNU_SOURCE
gc_glue_cflags = $(AM_CFLAGS) -fvisibility=hidden
gc_glue_sources = \
	gc-glue/boehm/cadence.c gc-glue/boehm/cadence.h \
	gc-glue/boehm/calls.c \
	gc-glue/boehm/chain.c \
	gc-glue/boehm/collectionlog.c \
	gc-glue/boehm/config.c \
	gc-glue/boehm/cycle.c \
	gc-glue/boehm/dest.c \
	gc-glue/boehm/enable.c \
	gc-glue/boehm/ending.c \
	gc-glue/boehm/events.c \
	gc-glue/boehm/gcapi.c \
	gc-glue/boehm/glue.h \
	gc-glue/boehm/growth.c \
	gc-glue/boehm/heapmap.c \
	gc-glue/boehm/finish.c \
	gc-glue/boehm/large.c \
	gc-glue/boehm/maps.c \
	gc-glue/boehm/markstack.c \
	gc-glue/boehm/out.c gc-glue/boehm/out.h \
	gc-glue/boehm/pause_target.c \
	gc-glue/boehm/plt.c \
	gc-glue/boehm/putfile.c \
	gc-glue/boehm/ranges.c \
	gc-glue/boehm/record.c \
	gc-glue/boehm/report.c \
	gc-glue/boehm/reporter.c \
	gc-glue/boehm/roots.c \
	gc-glue/boehm/rootset.c \
	gc-glue/boehm/signals.c \
	gc-glue/boehm/slots.c \
	gc-glue/boehm/stall.c \
	gc-glue/boehm/statsfile.c \
	gc-glue/boehm/summary.c \
	gc-glue/boehm/tell.h \
	gc-glue/boehm/testhooks.h \
	gc-glue/boehm/trace.c \
	gc-glue/boehm/tracefile.c \
	gc-glue/boehm/walk.c gc-glue/boehm/walk.h \
	gc-glue/boehm/walk_proof.c \
	gc-glue/boehm/waya.c \
	gc-glue/boehm/wayb.c \
	gc-glue/boehm/wipe.c

noinst_LTLIBRARIES += gc-glue/boehm/libcmgc.la
gc_glue_boehm_libcmgc_la_SOURCES = $(gc_glue_sources)
gc_glue_boehm_libcmgc_la_CPPFLAGS = $(gc_glue_cppflags) $(CM_PERTURB_CPPFLAGS)
gc_glue_boehm_libcmgc_la_CFLAGS = $(gc_glue_cflags)

lib_LTLIBRARIES += gc-glue/boehm/libcardmark-gc.la
gc_glue_boehm_libcardmark_gc_la_SOURCES =
gc_glue_boehm_libcardmark_gc_la_LIBADD = gc-glue/boehm/libcmgc.la lib/libcardmark.la \
	$(perturb_libs) $(PTHREAD_LIBS)
# nodelete: libgc's slots and callbacks point into it.
gc_glue_boehm_libcardmark_gc_la_LDFLAGS = $(AM_LDFLAGS) -version-info 1:0:0 -Wl,-z,nodelete -Wl,-z,now \
	-Wl,--version-script=$(srcdir)/gc-glue/boehm/libcardmark-gc.map
EXTRA_gc_glue_boehm_libcardmark_gc_la_DEPENDENCIES = gc-glue/boehm/libcardmark-gc.map

pkglib_LTLIBRARIES += gc-glue/boehm/libcardmark-preload.la
gc_glue_boehm_libcardmark_preload_la_SOURCES = gc-glue/boehm/preload.c
gc_glue_boehm_libcardmark_preload_la_CPPFLAGS = $(gc_glue_cppflags)
gc_glue_boehm_libcardmark_preload_la_CFLAGS = $(gc_glue_cflags)
gc_glue_boehm_libcardmark_preload_la_LIBADD = gc-glue/boehm/libcmgc.la lib/libcm.la $(PTHREAD_LIBS)
gc_glue_boehm_libcardmark_preload_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,now \
	-Wl,--version-script=$(srcdir)/gc-glue/boehm/libcardmark-gc.map
EXTRA_gc_glue_boehm_libcardmark_preload_la_DEPENDENCIES = gc-glue/boehm/libcardmark-gc.map
endif
EXTRA_DIST += gc-glue/boehm/libcardmark-gc.map gc-glue/boehm/libgc
