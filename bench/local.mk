# Programs that `cardmark bench` runs. Those in bench/boehm use the stock libgc
# and nothing of ours: they run under `cardmark run`.
if HAVE_BDWGC
pkglibexec_PROGRAMS += bench/boehm/trees bench/boehm/words
dist_pkgdata_DATA += bench/boehm/words.scm
noinst_DATA = bench/share/words.scm
endif

bench_boehm_trees_SOURCES = bench/boehm/trees.c bench/boehm/util.c bench/boehm/util.h
bench_boehm_trees_CFLAGS = $(AM_CFLAGS) $(BDWGC_CFLAGS)
bench_boehm_trees_LDADD = $(BDWGC_LIBS)

bench_boehm_words_SOURCES = bench/boehm/words.c bench/boehm/corpus.c bench/boehm/corpus.h \
	bench/boehm/util.c bench/boehm/util.h
bench_boehm_words_CFLAGS = $(AM_CFLAGS) $(BDWGC_CFLAGS)
bench_boehm_words_LDADD = $(BDWGC_LIBS)

# A copy where the command finds it without being installed.
bench/share/words.scm: $(srcdir)/bench/boehm/words.scm
	$(AM_V_GEN)$(MKDIR_P) bench/share && cp $(srcdir)/bench/boehm/words.scm $@
CLEANFILES += bench/share/words.scm

pkglibexec_PROGRAMS += bench/cardmark-overhead
bench_cardmark_overhead_SOURCES = bench/overhead.c
bench_cardmark_overhead_LDADD = lib/libcardmark.la -lm
