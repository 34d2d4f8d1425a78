# The same programs on other kernels, in qemu: check-kernels.sh --help.
check_PROGRAMS += tests/kernels/guest_test
EXTRA_DIST += tests/kernels/check-kernels.sh tests/kernels/fetch.sh \
	tests/kernels/guest-init.sh tests/kernels/initramfs.sh tests/kernels/skips \
	tests/kernels/tap.awk tests/kernels/tap_test.sh
TESTS += tests/kernels/tap_test.sh

kernel_programs = tests/kernels/guest_test $(unit_tests) $(live_tests) $(soundness_tests)

.PHONY: check-kernels kernel-programs
kernel-programs: $(kernel_programs)

# A guest is too slow for those that count what they do in a second, or stop in many calls.
check-kernels: kernel-programs
	CARDMARK_PROGRAMS="$$(echo '$(kernel_programs)' | \
		sed -E 's,tests/(soundness/faults/stops|live/(limits|probe))_test,,g')" \
		$(srcdir)/tests/kernels/check-kernels.sh --build='$(abs_builddir)' $(KERNELS)
