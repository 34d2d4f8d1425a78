# Random programs, failing calls and stopped threads, against oracles.
# tests/soundness/NAME_test.c is a line here.
soundness_tests = \
	tests/soundness/controls_test \
	tests/soundness/events_mappings_test \
	tests/soundness/events_test \
	tests/soundness/inject_test \
	tests/soundness/program_controls_test \
	tests/soundness/program_test \
	tests/soundness/random_test \
	tests/soundness/stops_test \
	tests/soundness/verify_controls_test
backend_tests += $(soundness_tests)
EXTRA_DIST += tests/soundness/programs
tests_libsupport_la_SOURCES += \
	tests/soundness/attempt.c tests/soundness/attempt.h \
	tests/soundness/duel.c tests/soundness/duel.h tests/soundness/duel_sides.c \
	tests/soundness/duel_stage.h \
	tests/soundness/events.h \
	tests/soundness/program.h tests/soundness/program_state.h \
	tests/soundness/program_consumer.c \
	tests/soundness/program_make.c tests/soundness/program_memory.c \
	tests/soundness/program_oracle.c tests/soundness/program_run.c \
	tests/soundness/program_scan.c tests/soundness/program_shrink.c \
	tests/soundness/program_text.c tests/soundness/program_writes.c \
	tests/soundness/scenarios.c tests/soundness/scenarios.h \
	tests/soundness/sweep.c tests/soundness/sweep.h \
	tests/soundness/trial.c tests/soundness/trial.h tests/soundness/trial_consumers.c \
	tests/soundness/trial_questions.c \
	tests/soundness/trial_state.h \
	tests/soundness/world.c tests/soundness/world.h \
	tests/soundness/world_state.h tests/soundness/world_writers.c

# The long property test, ten seeds of ten seconds for each backend.
EXTRA_DIST += tests/soundness/ten-seeds.sh tests/soundness/table.sh
.PHONY: soak10
soak10: tests/soundness/random_test
	$(srcdir)/tests/soundness/ten-seeds.sh $(builddir)/tests/soundness/random_test

# Random programs on every backend in turn: make soak SECONDS=1800 [SEED=7]
.PHONY: soak
soak: tests/soundness/program_test
	$(builddir)/tests/soundness/program_test --soak --seconds=$(SECONDS) --seed=$(SEED)
