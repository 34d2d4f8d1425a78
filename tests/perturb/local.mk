# The build that perturbs: docs/perturb.md. The runtime is part of each library that is
# compiled for it, and so of each program that has one inside.
if PERTURB
noinst_LTLIBRARIES += tests/perturb/libperturb.la
tests_perturb_libperturb_la_SOURCES = tests/perturb/perturb.c tests/perturb/perturb.h
tests_perturb_libperturb_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden
endif
EXTRA_DIST += docs/perturb.md tests/perturb/perturb.c tests/perturb/perturb.h tests/perturb/perturb.py \
	tests/perturb/perturb.sh tests/perturb/mutants

# Also without delays: make check.
backend_tests += tests/perturb/stress
plain_programs += tests/perturb/stress
tests_perturb_stress_SOURCES = tests/perturb/stress.c tests/perturb/run.h tests/perturb/watch.h
if HAVE_JEMALLOC
backend_tests += tests/perturb/stress_jemalloc
endif
tests_perturb_stress_jemalloc_SOURCES = tests/perturb/stress_jemalloc.c tests/perturb/run.h tests/perturb/watch.h \
	tests/jemalloc/je.h
tests_perturb_stress_jemalloc_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_perturb_stress_jemalloc_LDADD = $(jemalloc_prefixed)

# A sweep, in a build of its own in perturb/; and its controls. make perturb SECONDS=300 [SEED=7]
# make soak-perturb SECONDS=1800 goes on with other seeds.
.PHONY: perturb perturb-mutants soak-perturb
perturb:
	$(srcdir)/tests/perturb/perturb.sh '$(abs_top_srcdir)' '$(abs_builddir)/perturb' \
		--seconds=$(SECONDS) --seed=$(SEED)
perturb-mutants:
	$(srcdir)/tests/perturb/perturb.sh '$(abs_top_srcdir)' '$(abs_builddir)/perturb' \
		--seed=$(SEED) --mutants='$(abs_top_srcdir)'
soak-perturb:
	$(srcdir)/tests/perturb/perturb.sh '$(abs_top_srcdir)' '$(abs_builddir)/perturb' \
		--soak --seconds=$(SECONDS) --seed=$(SEED)
