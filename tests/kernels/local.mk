# The same programs on other kernels, in qemu: check-kernels.sh --help.
check_PROGRAMS += tests/kernels/guest_test
tests_kernels_guest_test_SOURCES = tests/kernels/guest_test.c
tests_kernels_guest_test_LDADD = tests/libsupport.la
EXTRA_DIST += tests/kernels/check-kernels.sh tests/kernels/fetch.sh \
	tests/kernels/guest-init.sh tests/kernels/initramfs.sh tests/kernels/skips \
	tests/kernels/tap.awk tests/kernels/tap_test.sh
TESTS += tests/kernels/tap_test.sh

# A guest is too slow for those that count how much they do in a second, or wait for many calls.
kernel_programs = tests/kernels/guest_test $(unit_tests) \
	$(filter-out tests/soundness/stops_test tests/live/limits_test tests/live/probe_test,$(live_tests))

.PHONY: check-kernels kernel-programs
kernel-programs: $(kernel_programs)

check-kernels: kernel-programs
	CARDMARK_PROGRAMS='$(kernel_programs)' \
		$(srcdir)/tests/kernels/check-kernels.sh --build='$(abs_builddir)' $(KERNELS)
