# cardmark bench.
tools_cardmark_SOURCES += \
	tools/bench/barriers.c tools/bench/barriers.h tools/bench/barriers_child.c \
	tools/bench/barriers_json.c tools/bench/barriers_load.c tools/bench/barriers_plan.c \
	tools/bench/barriers_schedule.c tools/bench/barriers_summary.c tools/bench/bench.c \
	tools/bench/bench.h tools/bench/child.c tools/bench/compare.c tools/bench/env.c \
	tools/bench/goals.c tools/bench/journal.c tools/bench/json.c tools/bench/latency.c \
	tools/bench/load.c tools/bench/micro.c tools/bench/plan.c tools/bench/record.c \
	tools/bench/schedule.c tools/bench/statistics.c tools/bench/summary.c \
	tools/bench/table.c
