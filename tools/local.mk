# The cardmark command. Needs jansson for its reports.
if HAVE_JANSSON
bin_PROGRAMS += tools/cardmark
endif

# tools/bench/ and tools/report/ add theirs.
tools_cardmark_SOURCES = \
	tools/main.c tools/tool.h tools/probe.c tools/run.c tools/locate.c tools/elfcheck.c \
	tools/stats.c tools/stats.h tools/histogram.c tools/histogram.h tools/latency.c tools/latency.h \
	tools/pauses.c tools/pauses.h
tools_cardmark_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE \
	-DCM_PKGLIBDIR='"$(pkglibdir)"' \
	-DCM_PKGLIBEXECDIR='"$(pkglibexecdir)"' \
	-DCM_PKGDATADIR='"$(pkgdatadir)"'
tools_cardmark_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tools_cardmark_LDADD = lib/libcardmark.la $(JANSSON_LIBS) -lm

dist_man_MANS += man/cardmark.1
