#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
set -uo pipefail

usage()
{
	cat <<'END_OF_TEXT'
Usage: make check-patches
       check-patches.sh --build=BUILDDIR [--seeds=N] [--own-tests] | --help

Builds libgc 8.2.2 with our patches (gc-glue/boehm/libgc) and without, and tests each
patch: on counters, and with the torture of the adapter. Then patches are broken on
purpose, which the same tests must notice. All is built in BUILDDIR/libgc-patches;
nothing is installed. --own-tests (make check-patches OWN_TESTS=--own-tests) runs libgc's own
tests as well, without the patches and with them.
END_OF_TEXT
}

say()
{
	printf 'check-patches: %s\n' "$*"
}

build='' seeds=5 own=no
for arg; do
	case $arg in
	--build=*) build=${arg#*=} ;;
	--seeds=*) seeds=${arg#*=} ;;
	--own-tests) own=yes ;;
	--help)
		usage
		exit 0
		;;
	*)
		say "unknown argument \"$arg\", see --help" >&2
		exit 2
		;;
	esac
done
[[ -n $build ]] || {
	usage >&2
	exit 2
}
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
build=$(cd "$build" && pwd)
dir=$build/libgc-patches
first=${CARDMARK_TEST_SEED:-$((RANDOM + 1))}
passed=0 failed=0 skipped=0

pass()
{
	echo "PASS: $*"
	((passed += 1))
}

fail()
{
	echo "FAIL: $*"
	((failed += 1))
}

# have NAME OPTION...: a libgc of that name, and our programs on it
have()
{
	local name=$1 prefix=$dir/$1 program

	shift
	if "$source/gc-glue/boehm/libgc/build.sh" --cache="$dir/cache" "$@" "$prefix" >"$dir/$name.log" 2>&1; then
		for program in dirtybits uncollectable pieces; do
			"${CC:-gcc}" -O2 -I"$prefix/include" -o "$prefix/$program" "$source/tests/boehm/libgc/$program.c" \
				-L"$prefix/lib" -Wl,-rpath,"$prefix/lib" -lgc -ldl >>"$dir/$name.log" 2>&1 || break
		done && return
	fi
	fail "$name: no build, see $dir/$name.log"
	tail -n 10 "$dir/$name.log" | sed 's/^/    /'
	return 1
}

value()
{
	sed -n "s/^$1: //p" "$dir/out"
}

# run PROGRAM ARGUMENT...: sets lost and walked
run()
{
	lost='' walked=''
	# In a shell of its own: this one would report a crash. A broken patch may cause a crash,
	# or a list without an end.
	sh -c 'out=$1; shift; timeout 60 "$@" >"$out" 2>&1; exit $?' sh "$dir/out" "$@" 2>/dev/null || return 1
	lost=$(value lost) walked=$(value walked)
	[[ -n $lost && -n $walked ]]
}

# sound NAME: nothing is lost, with any seed; sets `most` and `least` of the headers walked
sound()
{
	local seed

	most=0 least=1000000000
	for ((seed = first; seed < first + seeds; seed++)); do
		if ! run "$dir/$1/dirtybits" $seed 6 || ((lost > 0)) ||
			! run "$dir/$1/dirtybits" $seed 400 || ((lost > 0)); then
			fail "$1: seed $seed: $(paste -sd' ' "$dir/out")"
			return 1
		fi
		((walked > most)) && most=$walked
		((walked < least)) && least=$walked
	done
	pass "$1: nothing lost, seeds $first to $((seed - 1)); $least to $most headers looked at, 400 stores"
}

# A control: this many were looked at, or more.
at_least()
{
	if ((least >= $2)); then
		pass "control: $1: $least headers or more"
	else
		fail "control: $1: $least headers only"
	fi
}

at_most()
{
	if ((most <= $2)); then
		pass "$1: $most headers at most"
	else
		fail "$1: $most headers, more than $2"
	fi
}

# loses WHAT PROGRAM ARGUMENT...: with at least one of five seeds; the seed is the first argument
loses()
{
	local seed

	for ((seed = first; seed < first + 5; seed++)); do
		if ! run "$2" $seed "${@:3}" || ((lost > 0)); then
			pass "control: $1: lost ${lost:-so much that it crashed} with seed $seed"
			return
		fi
	done
	fail "control: $1: nothing was lost"
}

# uncollectable NAME: sets `most` and `least` to the headers of the longest step
uncollectable()
{
	most=0 least=0
	if run "$dir/$1/uncollectable" && ((lost == 0)); then
		most=$walked least=$walked
		pass "$1: no object of an uncollectable one lost: $(paste -sd' ' "$dir/out")"
	else
		fail "$1: uncollectable: $(paste -sd' ' "$dir/out")"
	fi
}

# pieces NAME: sets `most` and `least` to the headers of the longest allocation of a run
pieces()
{
	local seed mode

	most=0 least=1000000000
	for ((seed = first; seed < first + 2; seed++)); do
		for mode in calm restless; do
			if ! run "$dir/$1/pieces" $seed 60000 $mode || ((lost > 0)); then
				fail "$1: pieces $seed 60000 $mode: $(paste -sd' ' "$dir/out")"
				return 1
			fi
			((walked > most)) && most=$walked
			((walked < least)) && least=$walked
		done
	done
	pass "$1: nothing lost in collections in pieces, seeds $first and $((first + 1)): $(paste -sd' ' "$dir/out")"
}

# rebuild CFLAGS: all of libgc is one object, which is compiled from extra/gc.c.
rebuild()
{
	touch "$dir/patched/unpacked/src/extra/gc.c"
	make -s -C "$dir/patched/unpacked/build" "CFLAGS=$1" install >"$dir/broken.log" 2>&1
}

# broken WHAT FILE SED-SCRIPT PROGRAM ARGUMENT...: as the libgc "patched", with one line of a patch changed
broken()
{
	local src=$dir/patched/unpacked/src/$2

	cp "$src" "$dir/whole"
	sed -i -E "$3" "$src"
	if cmp -s "$src" "$dir/whole"; then
		fail "control: $1: there is no such line in $2"
	elif ! rebuild -O1; then
		fail "control: $1: no build, see $dir/broken.log"
	else
		loses "$1" "$dir/patched/$4" "${@:5}"
	fi
	cp "$dir/whole" "$src"
}

# A dirty page that lies in a large object, one that is not the first of its word, bits behind clean
# ones, the next index after one, and those that are set when the table grows.
break_each()
{
	broken "01 passes over the later pages of large objects" mark.c \
		'/next_dirty_in_index\(/,/^  }/s/while (\(IS_FORWARDING_ADDR_OR_NIL\(hhdr\)\)) \{/if \1 { j++; goto again;/; /next_dirty_in_index\(/,/^  }/s/^    while \(j < BOTTOM_SZ\) \{/again: &/' \
		dirtybits 400
	broken "01 takes the bits of a word for those from the first on" mark.c \
		'/next_dirty_in_index\(/,/^  }/s/ >> modWORDSZ\(j\);/;/' dirtybits 400
	broken "01 ends after some clean indices" mark.c \
		's/\*pnext = NULL == bi \?.*/*pnext = (1) ? NULL : (struct hblk *)(bi -> key/' dirtybits 6
	broken "01 begins an index where it left the last" mark.c \
		'/ next_dirty_block\(/,/^  }/s/^( +)j = 0;/\1(void)0;/' dirtybits 400
	broken "02 forgets the bits when it grows" blacklst.c \
		's/^.*double_pht\(.*GC_dirty_pages\);//' dirtybits 400
	broken "05 ends after one piece" mark.c \
		'/\+\+n >= WALK_UNCOLLECTABLE_HDRS/,/return/s/return h;/return NULL;/' uncollectable
	broken "06 sweeps blocks that are newer than the collection" reclaim.c \
		's/^( +)if \(HDR\(hbp\) -> hb_last_reclaimed != .*/\1(void)0;/' pieces 60000 calm
	broken "06 clears marks while blocks wait to be swept" alloc.c \
		's/(!GC_reclaim_all\(enough_reclaimed, TRUE\))/\1 \&\& 0/' pieces 60000 calm
	broken "06 lets a collection start before the sweep" alloc.c \
		's/if \(!GC_reclaim_some\(\(word\)n\) \|\| /static int i; if (++i % 64 == 0) GC_reclaim_some(1); if (/' \
		pieces 60000 calm
	broken "06 leaves marks" alloc.c \
		's/(!GC_clear_marks_some\(.*)\)$/\1 \&\& 0)/' pieces 60000 calm
	rebuild "-O2 -g"
	sound patched
}

# A source file that does not fit a patch.
refuses()
{
	local copy=$dir/other

	rm -rf "$copy"
	cp -a "$dir/stock/unpacked/src" "$copy"
	echo '/* changed */' >>"$copy/mark.c"
	if "$source/gc-glue/boehm/libgc/build.sh" --source="$copy" --patches=01 "$dir/refused" >"$dir/refused.log" 2>&1; then
		fail "a source file that patch 01 was not made for was taken"
	elif grep -q 'was made for another mark.c' "$dir/refused.log"; then
		pass "a source file that patch 01 was not made for is refused"
	else
		fail "no reason for the refusal: $(tail -n 1 "$dir/refused.log")"
	fi
}

# The adapter's torture on the patched libgc, which walks by the adapter's dirty bits, and with its own
# mprotect mode. In the last one, a control, the adapter leaves out dirty cards.
torture()
{
	local mode program=$build/tests/boehm/torture hooks=$build/tests/boehm/.libs/hooks.so

	make -s -C "$build" tests/boehm/torture tests/boehm/hooks.la >"$dir/torture.log" 2>&1
	if [[ ! -x $program ]]; then
		echo "SKIP: torture: this build has no Boehm adapter"
		((skipped += 1))
		return
	fi
	export CARDMARK_GC_WALK=libgc GC_FREE_SPACE_DIVISOR=3
	for mode in "--way=A" "--way=A --pause-target=3" "--way=B" "--backend=libgc-mprotect"; do
		# shellcheck disable=SC2086
		if timeout 60 "$build/tools/cardmark" run "--libgc=$dir/patched" $mode \
			"$program" -s "$first" -t 2 -d 2 -f >"$dir/out" 2>&1; then
			pass "torture $mode: $(paste -sd' ' "$dir/out")"
		else
			fail "torture $mode: $(paste -sd' ' "$dir/out")"
		fi
	done
	if (CARDMARK_GC_TEST_DROP=20 LD_PRELOAD=$hooks LD_LIBRARY_PATH=$dir/patched/lib timeout 60 "$program" \
		-s "$first" -t 1 -d 3 >"$dir/out" 2>&1) 2>/dev/null; then
		fail "control: torture with dirty cards left out: nothing was lost"
	else
		pass "control: torture with dirty cards left out: $(tail -n 1 "$dir/out")"
	fi
}

own_tests()
{
	local name

	for name in stock patched; do
		if make -C "$dir/$name/unpacked/build" -j "$(nproc)" check >"$dir/$name-check.log" 2>&1; then
			pass "$name: libgc's own tests: $(sed -nE 's/^# PASS: +/passed /p' "$dir/$name-check.log")"
		else
			fail "$name: libgc's own tests, see $dir/$name-check.log"
		fi
	done
}

mkdir -p "$dir"
have stock --patches='01 05 06' --off --define=COUNT_WALKED_HDRS && sound stock &&
	at_least "without the patches" 8192 && uncollectable stock && at_least "without patch 05, in one step" 1500 &&
	pieces stock && at_least "without patch 06, in one allocation" 2000
# A small table, so that it grows in a small heap, and many steps of the walk.
small=(--define=COUNT_WALKED_HDRS --define=LOG_PHT_ENTRIES=12 --define=WALK_CLEAN_INDICES=2
	--define=HDRS_PER_PIECE=64)
have patched "${small[@]}" --patches='01 02 05 06' && sound patched && at_most "with the patches" 480 &&
	uncollectable patched && at_most "with patch 05, in one step" 64 &&
	pieces patched && at_most "with patch 06, in one allocation" 768
have aliased "${small[@]}" --patches=01 && sound aliased && at_least "without patch 02 in a small table" 800
((failed == 0)) && loses "no page is named as dirty" "$dir/patched/dirtybits" 400 quiet
((failed == 0)) && refuses
((failed == 0)) && break_each
((failed == 0)) && torture
[[ $own == no ]] || { ((failed == 0)) && own_tests; }
echo "libgc: $passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
