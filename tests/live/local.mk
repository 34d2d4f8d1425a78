# Tests on this kernel. Each tests/live/NAME_test.c has a line here.
live_tests = \
	tests/live/backoff_test \
	tests/live/cancel_test \
	tests/live/chunks_test \
	tests/live/collect_range_test \
	tests/live/collect_test \
	tests/live/consumer_test \
	tests/live/descriptors_taken_test \
	tests/live/descriptors_test \
	tests/live/discard_test \
	tests/live/filetable_test \
	tests/live/forkchild_test \
	tests/live/forkorder_test \
	tests/live/handover_test \
	tests/live/hold_test \
	tests/live/huge_test \
	tests/live/last_thread_test \
	tests/live/limits_test \
	tests/live/noproc_holes_test \
	tests/live/noproc_test \
	tests/live/noproc_traps_test \
	tests/live/pair_test \
	tests/live/preclean_test \
	tests/live/pressure_test \
	tests/live/probe_test \
	tests/live/process_test \
	tests/live/query_test \
	tests/live/quiet_test \
	tests/live/remap_test \
	tests/live/rest_test \
	tests/live/sigsegv_test \
	tests/live/sparse_test \
	tests/live/stack_test \
	tests/live/standstill_test \
	tests/live/suspect_test \
	tests/live/suspend_test \
	tests/live/table_test \
	tests/live/threads_test \
	tests/live/track_test \
	tests/live/verify_memory_test \
	tests/live/verify_test \
	tests/live/view_errors_test \
	tests/live/view_test \
	tests/live/watched_test
backend_tests += $(live_tests)
plain_programs += $(live_tests)
tests_libsupport_la_SOURCES += tests/live/descriptors.h tests/live/view.h
