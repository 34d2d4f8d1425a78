# cardmark bench.
if HAVE_JANSSON
tools_cardmark_SOURCES += \
	tools/bench/backends.c tools/bench/barriers.c tools/bench/barriers.h \
	tools/bench/barriers_child.c tools/bench/barriers_file.c \
	tools/bench/barriers_plan.c tools/bench/barriers_schedule.c \
	tools/bench/barriers_summary.c tools/bench/bench.c tools/bench/bench.h \
	tools/bench/child.c tools/bench/compare.c tools/bench/env.c tools/bench/journal.c \
	tools/bench/latency.c tools/bench/latency_table.c tools/bench/micro.c tools/bench/options.c \
	tools/bench/programs.c tools/bench/programs.h tools/bench/programs_child.c \
	tools/bench/programs_file.c tools/bench/programs_plan.c \
	tools/bench/programs_schedule.c tools/bench/programs_screen.c \
	tools/bench/programs_summary.c \
	tools/bench/programs_table.c tools/bench/progress.c tools/bench/results.c \
	tools/bench/run_json.c tools/bench/run_statistics.c
endif
