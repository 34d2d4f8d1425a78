# Processes as container engines and service managers make them.
once_tests += tests/containers/refused_test
plain_programs += tests/containers/refused_test
tests_containers_refused_test_SOURCES = tests/containers/refused_test.c \
	tests/containers/worlds.c tests/containers/worlds.h
TESTS += tests/containers/words_test.sh
EXTRA_DIST += tests/containers/words_test.sh
