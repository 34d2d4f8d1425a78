# cardmark report. The pages are files here; pages.h has them as strings.
if HAVE_JANSSON
tools_cardmark_SOURCES += \
	tools/report/chart.c tools/report/chart.h tools/report/charts.c \
	tools/report/charts_barriers.c tools/report/charts_times.c tools/report/html.c \
	tools/report/html.h tools/report/model.c tools/report/model_barriers.c tools/report/model_cells.c \
	tools/report/model_losses.c tools/report/model_micro.c tools/report/report.c \
	tools/report/report.h tools/report/template.c tools/report/template.h
nodist_tools_cardmark_SOURCES = tools/report/pages.h
endif

report_pages = \
	tools/report/page.css tools/report/page.html tools/report/programs.html \
	tools/report/pauses.html tools/report/machine.html tools/report/barriers.html \
	tools/report/groups.html tools/report/sweep.html tools/report/micro.html \
	tools/report/summary.md
EXTRA_DIST += tools/report/embed.sh $(report_pages)
CLEANFILES += tools/report/pages.h

tools/report/pages.h: tools/report/embed.sh $(report_pages)
	$(AM_V_at)$(MKDIR_P) tools/report
	$(AM_V_GEN)cd $(srcdir) && $(SHELL) tools/report/embed.sh $(report_pages) >$(abs_builddir)/$@.part
	$(AM_V_at)mv $@.part $@

# The compiler records this dependency only in the first build.
tools/report/cardmark-template.$(OBJEXT): tools/report/pages.h
