#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Description: the programs of the documents compile without a warning and print what the page
# says that they print. A program is a block of C, which must be whole; what it prints is the
# block of text after it. Control: a page that says something else is found.
# pages_test.sh TREE BUILD: the row readme of .ci/run.
set -u
export LC_ALL=C
src=$(cd "$1" && pwd) && build=$(cd "$2" && pwd) || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/cardmark-test-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
unset CARDMARK_BACKEND CARDMARK_CHUNK CARDMARK_VEC CARDMARK_THREADS CARDMARK_HUGE CARDMARK_VERIFY CARDMARK_BACKOFF
failed=0

# programs PAGE DIR: N.c and N.text of each.
programs()
{
	awk -v dir="$2" '
		/^```c$/ { n++; to = dir "/" n ".c"; printf "" >to; next }
		/^```text$/ && n { to = dir "/" n ".text"; printf "" >to; next }
		/^```/ { to = "" }
		to != "" { print >to }' "$1"
}

# check_page PAGE: a line for each of its programs.
check_page()
{
	local page=$1 dir source name status bad=0
	local -a libraries

	dir=$(mktemp -d "$work/page-XXXXXX")
	programs "$page" "$dir"
	for source in "$dir"/*.c; do
		[[ -e $source ]] || { echo "not ok - ${page##*/} has no program"; return 1; }
		name="${page##*/}: $(sed -nE '1s,^/\* (.*) \*/$,\1,p' "$source")"
		libraries=(-L"$build/lib/.libs" -lcardmark "-Wl,-rpath,$build/lib/.libs")
		if grep -q '<cardmark/jemalloc.h>' "$source"; then
			libraries=(-L"$build/gc-glue/jemalloc/.libs" -lcardmark-jemalloc
				"-Wl,-rpath,$build/gc-glue/jemalloc/.libs" "${libraries[@]}" -ljemalloc)
		fi
		# With warnings that users have.
		if ! gcc -O1 -g -Wall -Wextra -Wshadow -Werror -I"$src/include" -pthread -o "$dir/program" "$source" \
			"${libraries[@]}"; then
			echo "not ok - $name: does not compile"
			bad=1
			continue
		fi
		timeout 120 "$dir/program" >"$dir/output" 2>&1
		status=$?
		if [[ $status == 0 && -s ${source%.c}.text ]] && diff -u "${source%.c}.text" "$dir/output"; then
			echo "ok - $name"
		else
			echo "not ok - $name: status $status, or it prints something else"
			bad=1
		fi
	done
	return $bad
}

for page in integrate tutorial; do
	check_page "$src/docs/$page.md" || failed=1
done
sed 's/^50 pauses, 0/50 pauses, 1/' "$src/docs/integrate.md" >"$work/control.md"
if check_page "$work/control.md" >"$work/control" 2>&1; then
	echo "not ok - control: a page that says something else is not found"
	failed=1
elif [[ $(grep -c '^not ok' "$work/control") != 1 ]]; then
	cat "$work/control"
	echo "not ok - control: one program of the page must fail"
	failed=1
else
	echo "ok - control: a page that says something else is found"
fi
exit $failed
