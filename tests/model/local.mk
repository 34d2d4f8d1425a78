# The models of the protocol and of what has no lock, for spin: docs/model.md.
model_script = tests/model/model.tap
TESTS += $(model_script)
check_SCRIPTS += $(model_script)
CLEANFILES += $(model_script)
EXTRA_DIST += docs/model.md tests/model/model_test.sh \
	tests/model/cardmark.pml tests/model/kernel.pml tests/model/library.pml \
	tests/model/crew.pml tests/model/fork.pml tests/model/notes.pml \
	tests/model/own.pml tests/model/reached.pml tests/model/seqlock.pml tests/model/told.pml

$(model_script): Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	printf '#!/bin/sh\nexec "%s"\n' '$(abs_top_srcdir)/tests/model/model_test.sh' >$@ && chmod +x $@
