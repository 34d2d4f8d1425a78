# The cardmark command. Needs jansson for its reports.
if HAVE_JANSSON
bin_PROGRAMS += tools/cardmark
endif

tools_cardmark_SOURCES = \
	tools/main.c tools/tool.h tools/probe.c tools/run.c tools/locate.c tools/elfcheck.c \
	tools/stats.c tools/stats.h tools/histogram.c tools/histogram.h tools/latency.c tools/latency.h tools/pauses.c \
	tools/pauses.h tools/bench.c tools/bench.h tools/bench_plan.c \
	tools/bench_schedule.c tools/bench_child.c tools/bench_latency.c tools/bench_report.c tools/bench_env.c \
	tools/bench_summary.c tools/bench_table.c tools/bench_goals.c tools/bench_json.c \
	tools/bench_record.c tools/bench_load.c tools/bench_journal.c tools/bench_compare.c tools/bench_micro.c \
	tools/bench_barriers.c tools/bench_barriers.h tools/bench_barriers_plan.c \
	tools/bench_barriers_child.c tools/bench_barriers_schedule.c \
	tools/bench_barriers_json.c tools/bench_barriers_load.c tools/bench_barriers_summary.c \
	tools/report.c tools/report.h tools/report_style.c tools/report_tables.c \
	tools/report_losses.c tools/report_charts.c tools/report_pauses.c tools/report_latency.c tools/report_micro.c \
	tools/report_markdown.c \
	tools/report_barriers.c tools/report_barriers.h tools/report_barriers_charts.c \
	tools/report_barriers_map.c tools/report_barriers_pauses.c tools/report_barriers_text.c \
	tools/html.c tools/html.h tools/svg.c tools/svg.h
tools_cardmark_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE \
	-DCM_PKGLIBDIR='"$(pkglibdir)"' \
	-DCM_PKGLIBEXECDIR='"$(pkglibexecdir)"' \
	-DCM_PKGDATADIR='"$(pkgdatadir)"'
tools_cardmark_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tools_cardmark_LDADD = lib/libcardmark.la $(JANSSON_LIBS) -lm

dist_man_MANS += man/cardmark.1
