# Random programs, failing calls and stopped threads, against oracles.
# events/: every event that writes. faults/: kernel calls that fail or stop. random/: random
# programs and writers. Each test NAME_test.c has a line here.
soundness_tests = \
	tests/soundness/events/events_mappings_test \
	tests/soundness/events/events_test \
	tests/soundness/faults/inject_test \
	tests/soundness/faults/stops_test \
	tests/soundness/random/controls_test \
	tests/soundness/random/program_controls_test \
	tests/soundness/random/program_test \
	tests/soundness/random/random_test \
	tests/soundness/random/verify_controls_test
backend_tests += $(soundness_tests)
plain_programs += $(soundness_tests)
EXTRA_DIST += tests/soundness/random/programs
tests_libsupport_la_SOURCES += \
	tests/soundness/events/events.h \
	tests/soundness/faults/attempt.c tests/soundness/faults/attempt.h \
	tests/soundness/faults/duel.c tests/soundness/faults/duel.h \
	tests/soundness/faults/duel_sides.c tests/soundness/faults/duel_stage.h \
	tests/soundness/faults/scenarios.c tests/soundness/faults/scenarios.h \
	tests/soundness/faults/sweep.c tests/soundness/faults/sweep.h \
	tests/soundness/faults/trial.c tests/soundness/faults/trial.h \
	tests/soundness/faults/trial_consumers.c tests/soundness/faults/trial_questions.c \
	tests/soundness/faults/trial_state.h \
	tests/soundness/random/program.h tests/soundness/random/program_state.h \
	tests/soundness/random/program_consumer.c \
	tests/soundness/random/program_make.c tests/soundness/random/program_memory.c \
	tests/soundness/random/program_oracle.c tests/soundness/random/program_run.c \
	tests/soundness/random/program_scan.c tests/soundness/random/program_shrink.c \
	tests/soundness/random/program_text.c tests/soundness/random/program_writes.c \
	tests/soundness/random/world.c tests/soundness/random/world.h \
	tests/soundness/random/world_state.h tests/soundness/random/world_writers.c

# The long property test, ten seeds of ten seconds for each backend.
EXTRA_DIST += tests/soundness/random/ten-seeds.sh tests/soundness/events/table.sh
.PHONY: soak10
soak10: tests/soundness/random/random_test
	$(srcdir)/tests/soundness/random/ten-seeds.sh $(builddir)/tests/soundness/random/random_test

# Random programs on every backend in turn: make soak SECONDS=1800 [SEED=7]
.PHONY: soak
soak: tests/soundness/random/program_test
	$(builddir)/tests/soundness/random/program_test --soak --seconds=$(SECONDS) --seed=$(SEED)
