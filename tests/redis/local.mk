# redis-server with the jemalloc adapter preloaded.
if HAVE_JEMALLOC
if !SANITIZED
TESTS += tests/redis/redis_test.tap
endif
endif
EXTRA_DIST += tests/redis/redis_test.tap
