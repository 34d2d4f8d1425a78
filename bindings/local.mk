# The library in other languages. What is installed of C++ is in include/.
TESTS += bindings/cpp/cpp_test.tap
EXTRA_DIST += bindings/cpp/cpp_test.tap bindings/cpp/live.cc

EXTRA_DIST += bindings/check-bindings.sh \
	bindings/rust/Cargo.lock bindings/rust/Cargo.toml bindings/rust/README.md \
	bindings/rust/build.rs bindings/rust/rustfmt.toml \
	bindings/rust/examples/written.rs \
	bindings/rust/src/buffer.rs bindings/rust/src/lib.rs bindings/rust/src/process.rs \
	bindings/rust/src/sys.rs bindings/rust/src/table.rs bindings/rust/src/tracker.rs \
	bindings/rust/tests/layout.rs bindings/rust/tests/live.rs

# C++ and Rust, with cargo where it is installed.
.PHONY: check-bindings
check-bindings: lib/libcardmark.la
	$(srcdir)/bindings/check-bindings.sh $(srcdir) $(abs_builddir)
