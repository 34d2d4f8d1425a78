# Programs that nobody rebuilt, under cardmark run: check-programs.sh --help.
EXTRA_DIST += tests/programs/check-programs.sh tests/programs/asymptote.asy tests/programs/ecl.lisp \
	tests/programs/guile.scm tests/programs/neko.neko tests/programs/w3m.awk

# Which, if not all: make check-programs RUN='neko w3m'
RUN =
.PHONY: check-programs
check-programs: all $(boehm_hooks)
	$(srcdir)/tests/programs/check-programs.sh --build='$(abs_builddir)' $(RUN)
