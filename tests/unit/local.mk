# Tests with fakes in place of the kernel. Each tests/unit/NAME_test.c has a line here.
unit_tests = \
	tests/unit/cadence_test \
	tests/unit/cards_test \
	tests/unit/composed_test \
	tests/unit/crew_late_test \
	tests/unit/crew_test \
	tests/unit/errors_test \
	tests/unit/hashes_test \
	tests/unit/maps_test \
	tests/unit/options_test \
	tests/unit/own_test \
	tests/unit/pagemap_test \
	tests/unit/pause_target_test \
	tests/unit/process_test \
	tests/unit/ranges_test \
	tests/unit/selftest \
	tests/unit/sized_test \
	tests/unit/softdirty_test \
	tests/unit/userfaultfd_test
once_tests += $(unit_tests)
plain_programs += $(unit_tests)
tests_libsupport_la_SOURCES += tests/unit/crew.h
