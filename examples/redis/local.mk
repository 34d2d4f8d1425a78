# The jemalloc adapter inside redis-server: an object to preload (in .libs).
if HAVE_JEMALLOC
check_LTLIBRARIES += examples/redis/preload.la
examples_redis_preload_la_SOURCES = \
	examples/redis/preload.c \
	examples/redis/world.c examples/redis/world.h
examples_redis_preload_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden
examples_redis_preload_la_LIBADD = gc-glue/jemalloc/libcardmark-jemalloc.la lib/libcardmark.la \
	$(PTHREAD_LIBS) -ldl
# -rpath makes it a shared object though nothing is installed.
examples_redis_preload_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared \
	-rpath $(abs_builddir)/examples/redis
endif
EXTRA_DIST += examples/redis/README.md examples/redis/common.sh examples/redis/throughput.sh
