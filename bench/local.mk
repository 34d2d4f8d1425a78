# Programs that `cardmark bench` runs. Those in bench/boehm use the stock libgc
# and nothing of ours: they run under `cardmark run`.
if HAVE_BDWGC
pkglibexec_PROGRAMS += bench/boehm/trees bench/boehm/words bench/boehm/kv
dist_pkgdata_DATA += bench/boehm/words.scm
noinst_DATA += bench/share/words.scm
endif

bench_boehm_trees_SOURCES = bench/boehm/trees.c bench/boehm/util.c bench/boehm/util.h
bench_boehm_trees_CFLAGS = $(AM_CFLAGS) $(BDWGC_CFLAGS)
bench_boehm_trees_LDADD = $(BDWGC_LIBS)

bench_boehm_words_SOURCES = bench/boehm/words.c bench/boehm/corpus.c bench/boehm/corpus.h \
	bench/boehm/util.c bench/boehm/util.h
bench_boehm_words_CFLAGS = $(AM_CFLAGS) $(BDWGC_CFLAGS)
bench_boehm_words_LDADD = $(BDWGC_LIBS)

# The histograms are those of the command, which reads them.
bench_boehm_kv_SOURCES = bench/boehm/kv.c bench/boehm/store.c bench/boehm/store.h \
	bench/boehm/util.c bench/boehm/util.h tools/latency.c tools/latency.h \
	tools/histogram.c tools/histogram.h
bench_boehm_kv_CFLAGS = $(AM_CFLAGS) $(BDWGC_CFLAGS)
bench_boehm_kv_LDADD = $(BDWGC_LIBS) -lm

# A copy where the command finds it without being installed.
bench/share/words.scm: $(srcdir)/bench/boehm/words.scm
	$(AM_V_GEN)$(MKDIR_P) bench/share && cp $(srcdir)/bench/boehm/words.scm $@
CLEANFILES += bench/share/words.scm

pkglibexec_PROGRAMS += bench/cardmark-overhead
bench_cardmark_overhead_SOURCES = bench/overhead.c bench/bare.c bench/bare.h bench/measure.h
bench_cardmark_overhead_LDADD = lib/libcardmark.la -lm

pkglibexec_PROGRAMS += bench/cardmark-lockwait
bench_cardmark_lockwait_SOURCES = bench/lockwait.c bench/measure.h
bench_cardmark_lockwait_LDADD = lib/libcardmark.la $(PTHREAD_LIBS)

# Links jemalloc, and the adapter beside it.
if HAVE_JEMALLOC
pkglibexec_PROGRAMS += bench/cardmark-jemalloc
endif
bench_cardmark_jemalloc_SOURCES = bench/jemalloc.c bench/measure.h
bench_cardmark_jemalloc_CFLAGS = $(AM_CFLAGS) $(JEMALLOC_CFLAGS)
bench_cardmark_jemalloc_LDADD = gc-glue/jemalloc/libcardmark-jemalloc.la lib/libcardmark.la \
	$(JEMALLOC_LIBS) $(PTHREAD_LIBS)

# Google Benchmark for C. Programs with it are linked by the C++ compiler: automake chooses by the
# sources' names, and dummy.cc need not exist.
if HAVE_BENCHMARK
noinst_LTLIBRARIES += bench/shim/libgbench.la
endif
bench_shim_libgbench_la_SOURCES = bench/shim/gbench.cc bench/shim/gbench.h
bench_shim_libgbench_la_CXXFLAGS = $(AM_CXXFLAGS) $(BENCHMARK_CFLAGS)
bench_shim_libgbench_la_LIBADD = $(BENCHMARK_LIBS)

# C programs, linked by the C++ compiler as above.
if HAVE_BENCHMARK
pkglibexec_PROGRAMS += bench/cardmark-micro
endif
bench_cardmark_micro_SOURCES = \
	bench/micro/arm.c bench/micro/collect.c bench/micro/fault.c bench/micro/frame.c bench/micro/heap.c \
	bench/micro/main.c bench/micro/micro.c bench/micro/micro.h bench/micro/open.c bench/micro/options.c \
	bench/micro/cold.c bench/micro/consumer.c bench/micro/preclean.c bench/micro/ranges.c \
	bench/micro/samples.c bench/micro/subject.c \
	bench/bare.c bench/bare.h bench/measure.h
nodist_EXTRA_bench_cardmark_micro_SOURCES = dummy.cc
bench_cardmark_micro_LDADD = bench/shim/libgbench.la lib/libcardmark.la

# The micro benchmarks of the best backend here: make micro [MICRO=--benchmark_filter=fault]
MICRO =
.PHONY: micro
if HAVE_BENCHMARK
micro: bench/cardmark-micro
	bench/cardmark-micro $(MICRO)
else
micro:
	@echo "make micro: left out: configure found no C++ compiler with Google Benchmark" \
		"(libbenchmark-dev)" >&2; exit 1
endif
