# Programs that nobody rebuilt, under cardmark run: check-programs.sh --help.
EXTRA_DIST += tests/programs/check-programs.sh tests/programs/compare-programs tests/programs/programs.sh \
	tests/programs/asymptote.asy tests/programs/ecl.lisp tests/programs/gnucash.awk tests/programs/guile-compile.scm \
	tests/programs/guile.scm tests/programs/lepton.awk tests/programs/macaulay2.m2 tests/programs/neko.neko \
	tests/programs/poke-records.pk tests/programs/w3m.awk

# Which, if not all: make check-programs RUN='neko w3m'
RUN =
.PHONY: check-programs
check-programs: all $(boehm_hooks)
	$(srcdir)/tests/programs/check-programs.sh --build='$(abs_builddir)' $(RUN)

# Pauses and cost of the same programs: make compare-programs ROUNDS=9 RUN='guile poke'
ROUNDS = 5
.PHONY: compare-programs
compare-programs: all
	$(srcdir)/tests/programs/compare-programs '$(abs_builddir)' --rounds=$(ROUNDS) $(RUN)
