#!/bin/sh
# SPDX-License-Identifier: MIT
# The library from C++ and from Rust, on each backend that works here: what make check-bindings
# runs. cargo needs no network. Debian's is taken where it is installed, because the crate must
# build with that version. The last line counts.
set -u
CARDMARK_SRCDIR=$(cd "$1" && pwd) CARDMARK_BUILDDIR=$(cd "$2" && pwd)
export CARDMARK_SRCDIR CARDMARK_BUILDDIR
log=$(mktemp "${TMPDIR:-/tmp}/cardmark-test-XXXXXX") || exit 1
trap 'rm -f "$log" "$log.cpp"' EXIT
unset CARDMARK_BACKEND CARDMARK_CHUNK CARDMARK_VEC CARDMARK_THREADS CARDMARK_HUGE CARDMARK_VERIFY CARDMARK_BACKOFF
status=0

"$CARDMARK_SRCDIR/bindings/cpp/cpp_test.tap" >"$log.cpp" 2>&1 & # compilers take most of the time
cpp=$!

rust()
{
	[ ! -x /usr/bin/cargo ] || PATH=/usr/bin:$PATH
	if ! command -v cargo >/dev/null; then
		echo "ok - rust # SKIP cargo is not installed"
		return
	fi
	CARDMARK_LIB_DIR=$CARDMARK_BUILDDIR/lib/.libs
	CARDMARK_INCLUDE_DIR=$CARDMARK_SRCDIR/include
	LD_LIBRARY_PATH=$CARDMARK_LIB_DIR # documentation tests are linked without a path
	CARGO_TARGET_DIR=$CARDMARK_BUILDDIR/bindings/rust
	RUSTFLAGS='-D warnings'
	export CARDMARK_LIB_DIR CARDMARK_INCLUDE_DIR LD_LIBRARY_PATH CARGO_TARGET_DIR RUSTFLAGS
	cargo --version
	cd "$CARDMARK_SRCDIR/bindings/rust" || return
	cargo test --offline --locked --no-fail-fast || return
	cargo run -q --offline --locked --example written | tee "$CARGO_TARGET_DIR/written" &&
		grep -qx 'written: 0x[0-9a-f]* to 0x[0-9a-f]*' "$CARGO_TARGET_DIR/written" &&
		echo "ok - rust: the example finds its page"
}
if [ -n "$(sed -n 's/^CM_LDFLAGS = .*-fsanitize.*/yes/p' "$CARDMARK_BUILDDIR/Makefile")" ]; then
	echo "ok - rust # SKIP the library is built with a sanitizer" >>"$log"
elif ! (rust) >>"$log" 2>&1; then
	echo "not ok - rust: cargo test, or the example" >>"$log"
	status=1
fi

wait $cpp || status=1
cat "$log.cpp" >>"$log"
cat "$log"
awk '/^ok.*# SKIP/ { skipped++; next }
	/^ok/ { passed++ }
	/^not ok/ { failed++ }
	/^test result:/ { passed += $4; failed += $6; skipped += $8 }
	END { printf "bindings: %d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$log"
exit $status
