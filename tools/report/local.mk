# cardmark report: pages of results files.
tools_cardmark_SOURCES += \
	tools/report/barriers.c tools/report/barriers.h tools/report/barriers_charts.c \
	tools/report/barriers_map.c tools/report/barriers_pauses.c \
	tools/report/barriers_text.c tools/report/charts.c tools/report/html.c \
	tools/report/html.h tools/report/latency.c tools/report/losses.c \
	tools/report/markdown.c tools/report/micro.c tools/report/pauses.c \
	tools/report/report.c tools/report/report.h tools/report/style.c tools/report/svg.c \
	tools/report/svg.h tools/report/tables.c
