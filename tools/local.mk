# The cardmark command. Without jansson it has no bench and no report.
bin_PROGRAMS += tools/cardmark

# tools/bench/ and tools/report/ add theirs.
tools_cardmark_SOURCES = \
	tools/main.c tools/tool.h tools/arguments.c tools/probe.c tools/run.c tools/start.c tools/outputs.c tools/ask.c tools/locate.c tools/elfcheck.c \
	tools/ratio.c tools/ratio.h tools/histogram.c tools/histogram.h tools/latency.c tools/latency.h \
	tools/pauses.c tools/pauses.h
tools_cardmark_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE $(tools_with_bench) \
	-DCM_PKGLIBDIR='"$(pkglibdir)"' \
	-DCM_PKGLIBEXECDIR='"$(pkglibexecdir)"' \
	-DCM_PKGDATADIR='"$(pkgdatadir)"'
tools_cardmark_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tools_cardmark_LDADD = lib/libcardmark.la $(JANSSON_LIBS) -lm

if HAVE_JANSSON
tools_with_bench = -DCM_WITH_BENCH
endif

# bash-completion looks here.
completionsdir = $(datadir)/bash-completion/completions
dist_completions_DATA = tools/completions/cardmark.bash
# zsh looks here, and for Debian's packages in vendor-completions: debian/cardmark.install.
zshdir = $(datadir)/zsh/site-functions
dist_zsh_DATA = tools/completions/_cardmark

dist_man_MANS += man/cardmark.1
