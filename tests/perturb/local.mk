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
perturb_tests = tests/perturb/stress
tests_perturb_stress_SOURCES = tests/perturb/stress.c tests/perturb/watch.h
tests_perturb_stress_LDADD = tests/libsupport.la $(PTHREAD_LIBS)
if HAVE_JEMALLOC
perturb_tests += tests/perturb/stress_jemalloc
endif
tests_perturb_stress_jemalloc_SOURCES = tests/perturb/stress_jemalloc.c tests/perturb/watch.h \
	tests/jemalloc/je.h
tests_perturb_stress_jemalloc_CPPFLAGS = $(jemalloc_prefixed_cppflags)
tests_perturb_stress_jemalloc_LDADD = $(jemalloc_prefixed)

perturb_scripts = $(perturb_tests:=.tap)
check_PROGRAMS += $(perturb_tests)
check_SCRIPTS += $(perturb_scripts)
TESTS += $(perturb_scripts)
CLEANFILES += $(perturb_scripts)
$(perturb_scripts): Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	printf '#!/bin/sh\nexec "%s" "%s"\n' \
		'$(abs_top_srcdir)/tests/support/each-backend.sh' \
		"$(abs_builddir)/$$(echo $@ | sed 's/\.tap$$//')" >$@ && chmod +x $@

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
