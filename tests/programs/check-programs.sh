#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
set -uo pipefail

usage()
{
	cat <<'END'
Usage: make check-programs [RUN='NAME...']
       check-programs.sh --build=BUILDDIR [NAME...] | --help

Runs programs that were not rebuilt under `cardmark run`: guile, neko, asymptote, w3m,
ecl, poke, Macaulay2, gnucash's reports and lepton-netlist as Debian packages them, each
with a workload of ours (programs.sh), and the test programs of libgc (libgc), whose
source is fetched into BUILDDIR/programs and built against the system's libgc. Each runs
as it is and then in every mode:

  stop-the-world, libgc-mprotect       libgc's own
  pagemap, softdirty, uffd, mprotect, alldirty    ours, by backend
  verify                               ours, and every page compared
  control                              ours with half of what is dirty called clean

In our modes and in stop-the-world each must exit with 0 and print what it prints as
it is; verify must find changes and miss none. The control must fail (libgc's tests
have no control: they pass even if the collector gets no dirty pages). What libgc's
own mprotect mode does is shown, and is never a failure. Where our mprotect backend
is known to fail, that failure and no other is accepted. A program that is not
installed, or a backend that cannot work here, is a skip; named in CARDMARK_REQUIRE
(programs, pagemap...) a failure.

The table is printed at the end and kept in BUILDDIR/programs/table.md. All that a run
printed: BUILDDIR/programs/NAME.MODE/.
END
}

say()
{
	printf 'check-programs: %s\n' "$*"
}

modes=(plain stop-the-world libgc-mprotect pagemap softdirty uffd mprotect alldirty verify control)
run_seconds=120 # nothing takes a tenth of it on an idle machine
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build='' programs=()
# shellcheck source-path=SCRIPTDIR
. "$here/programs.sh"
all_programs+=(libgc)
for arg; do
	case $arg in
	--build=*) build=${arg#*=} ;;
	--help)
		usage
		exit 0
		;;
	-*)
		say "unknown option \"$arg\", see --help" >&2
		exit 2
		;;
	*)
		[[ " ${all_programs[*]} " == *" $arg "* ]] || {
			say "no program \"$arg\": one of ${all_programs[*]}" >&2
			exit 2
		}
		programs+=("$arg")
		;;
	esac
done
[[ -d $build ]] || {
	usage >&2
	exit 2
}
((${#programs[@]} > 0)) || programs=("${all_programs[@]}")
build=$(cd "$build" && pwd)
work=$build/programs
cardmark=$build/tools/cardmark
hooks=$build/tests/boehm/.libs/hooks.so # for the control
passed=0 failed=0 skipped=0 rows=()
TIMEFORMAT='%R %U %S'
export LC_ALL=C.UTF-8
ulimit -c 0
unset "${!CARDMARK_GC@}" CARDMARK_BACKEND CARDMARK_VERIFY CARDMARK_STATS CARDMARK_PAUSE_TARGET "${!GC_@}"

required()
{
	[[ ,${CARDMARK_REQUIRE:-}, == *,"$1",* ]]
}

fail()
{
	say "FAIL $*"
	((failed += 1))
}

skip()
{
	say "skip $*"
	((skipped += 1))
}

# ---- Judging -------------------------------------------------------------------

# What a run is judged by; of libgc's tests what is said at the end, for they count
# what depends on the time.
result()
{
	case $1 in
	libgc-gctest | libgc-cpp) grep -E 'appears to (work|have succeeded)' "$2/out" ;;
	libgc-*) ;;
	*)
		cat "$2/out"
		[[ ! -e $2/picture.eps ]] || grep -v '^%%CreationDate' "$2/picture.eps"
		[[ ! -e $2/report.html ]] || cat "$2/report.html"
		[[ ! -e $2/netlist ]] || cat "$2/netlist"
		;;
	esac
}

# ---- libgc's tests -------------------------------------------------------------

# TEST of the source, NAME here, LIBRARIES. Left out: what tests no collecting
# (atomic_ops), the benchmark, and what needs a build of libgc that Debian's is not.
libgc_tests()
{
	cat <<'END'
test.c gctest -lgc
test_cpp.cc cpp -lgccpp -lgc
disclaim_weakmap_test.c weakmap -lgc
disclaim_test.c disclaim -lgc
huge_test.c huge -lgc
initsecondarythread.c secondary -lgc
leak_test.c leak -lgc
middle.c middle -lgc
realloc_test.c realloc -lgc
smash_test.c smash -lgc
staticrootstest.c staticroots -lgc
subthread_create.c subthread -lgc
thread_leak_test.c threadleak -lgc
threadkey_test.c threadkey -lgc
END
}

# The source package of the libgc that is installed, into $work/libgc.
fetch_libgc()
{
	local version
	version=$(dpkg-query -W -f '${source:Upstream-Version}' libgc1 2>/dev/null) || { why="libgc1 is not installed"; return 1; }
	[[ -d $work/libgc ]] && [[ $(cat "$work/libgc.version" 2>/dev/null) == "$version" ]] && return
	"$here/../../gc-glue/boehm/libgc/fetch.sh" "$work/cache" "$version" "$work/libgc" >"$work/fetch.log" 2>&1 ||
		{ why="the source of libgc $version cannot be fetched, see $work/fetch.log"; return 1; }
	echo "$version" >"$work/libgc.version"
}

# Headers of the source, as Debian installs only some; the library is the system's.
compile_libgc()
{
	local flags=(-O1 -g -w -DGC_THREADS -DGC_BUILTIN_ATOMIC -I"$work/libgc/include")
	local dir=$work/libgc/built source name libraries n
	mkdir -p "$dir"
	for n in 1 2; do
		"${CC:-cc}" "${flags[@]}" -DSTATICROOTSLIB$n -shared -fPIC -o "$dir/libroots$n.so" \
			"$work/libgc/tests/staticrootslib.c" -lgc || return
	done
	while read -r source name libraries; do
		local compiler=${CC:-cc} more=()
		[[ $source != *.cc ]] || compiler=${CXX:-c++}
		[[ $name != staticroots ]] || more=(-DSTATICROOTSLIB2 -L"$dir" -lroots1 -lroots2 "-Wl,-rpath,$dir")
		# shellcheck disable=SC2086
		"$compiler" "${flags[@]}" -o "$dir/$name" "$work/libgc/tests/$source" "${more[@]}" $libraries \
			-lpthread -ldl || return
	done < <(libgc_tests)
}

# ---- Running -------------------------------------------------------------------

# A number, or a name, of a run's report.
reported()
{
	sed -nE "s/^  \"$2\": \"?([^\",]*)\"?,?\$/\1/p" "$1/stats" 2>/dev/null
}

max_stop_ns()
{
	sed -nE 's/^  "stops": .*"max_ns": ([0-9]+) .*/\1/p' "$1/stats" 2>/dev/null
}

# Runs $command; sets status, seconds and cpu, and dir, where it left what it wrote.
run()
{
	local name=$1 mode=$2 as=() limit=$run_seconds user system
	# What lost its objects may run for ever.
	[[ $mode != control ]] || limit=20
	dir=$work/$name.$mode
	rm -rf "$dir"
	mkdir -p "$dir"
	case $mode in
	plain) ;;
	# With libgc's rules of when to collect: otherwise a small heap is always marked whole.
	control) as=(env GC_FREE_SPACE_DIVISOR=3 CARDMARK_GC_TEST_DROP=50 CARDMARK_PRELOAD="$hooks" "$cardmark" run --stats="$dir/stats" --) ;;
	verify) as=(env GC_FREE_SPACE_DIVISOR=3 "$cardmark" run --verify --stats="$dir/stats" --) ;;
	*) as=("$cardmark" run --backend="$mode" --stats="$dir/stats" --) ;;
	esac
	# The shell says there too which signal a program died of.
	{
		time (
			cd "$dir" && timeout -k 5 "$limit" "${as[@]}" "${command[@]}" >out 2>err </dev/null
			echo $? >status
		)
	} 2>"$dir/shell"
	status=$(cat "$dir/status")
	read -r seconds user system < <(tail -n 1 "$dir/shell")
	cpu=$(awk "BEGIN { printf \"%.2f\", $user + $system }")
	result "$name" "$dir" >"$dir/result"
}

# A failure that is known, and why. Nothing else than that is accepted.
known_limit()
{
	case $1.$2 in
	guile.mprotect | guile-compile.mprotect | lepton.mprotect)
		((status == 1)) && grep -q 'fport_read: Bad address' "$dir/err" && why='EFAULT: read(2) into a buffer of the heap'
		;;
	asymptote.mprotect)
		((status == 134)) && grep -q 'Segmentation fault' "$dir/err" && why='its alternate signal stack is gone when our handler runs on it'
		;;
	*) false ;;
	esac
}

# What is wrong with a run; nothing if nothing is.
wrong()
{
	local name=$1 mode=$2 backend
	((status == 0)) || { echo "exit status $status"; return; }
	cmp -s "$dir/result" "$work/$name.plain/result" || { echo "another result than as it is"; return; }
	[[ $mode != plain ]] || return
	[[ -s $dir/stats ]] || { echo "no report"; return; }
	backend=$(reported "$dir" backend)
	[[ $mode == verify || $mode == control || $backend == "$mode" ]] || { echo "ran on $backend"; return; }
	[[ $mode == stop-the-world ]] || [[ $(reported "$dir" way) == [AB] ]] || { echo "not tracked"; return; }
	[[ $name == libgc-* ]] || (($(reported "$dir" collections) > 0)) || { echo "it never collected"; return; }
	[[ $mode == verify ]] || return
	[[ $(reported "$dir" verify_missed) == 0 ]] || { echo "verify missed $(reported "$dir" verify_missed)"; return; }
	! grep -q '^cardmark: verify:' "$dir/err" || { echo "verify: $(grep -m 1 '^cardmark: verify:' "$dir/err")"; return; }
	[[ $name == libgc-* ]] || (($(reported "$dir" verify_changed) > 0)) || echo "verify saw no change"
}

# Runs and judges; sets says, the word for the table.
judge()
{
	local name=$1 mode=$2 bad
	run "$name" "$mode"
	bad=$(wrong "$name" "$mode")
	says=ok
	if [[ $mode == libgc-mprotect ]]; then
		if ((status != 0)); then
			says="fails: exit status $status"
			((status <= 128)) || says="crashes: signal $((status - 128))"
		elif ! cmp -s "$dir/result" "$work/$name.plain/result"; then
			says="fails: another result"
		fi
	elif [[ $mode == control && $bad != '' ]]; then
		says="loses: $bad"
		((passed += 1))
	elif [[ $mode == control ]]; then
		says="**FAILS**: nothing was lost"
		fail "$name, $mode: nothing was lost"
	elif [[ $bad == '' ]]; then
		((passed += 1))
	elif known_limit "$name" "$mode"; then
		says="known limit: $why"
		((passed += 1))
	else
		says="**FAILS**: $bad"
		fail "$name, $mode: $bad: see $dir"
		tail -n 5 "$dir/err"
	fi
	[[ $mode != verify ]] || says+=", $(reported "$dir" verify_changed) changed, $(reported "$dir" verify_missed) missed"
}

# NAME MODE SAYS COLLECTIONS SECONDS CPU STOP_NS VMAS
row()
{
	local stop=-
	[[ $7 == - || $7 == '' ]] || stop=$(awk "BEGIN { printf \"%.1f\", $7 / 1e6 }")
	rows+=("| $1 | $2 | $3 | ${4:--} | $5 | $6 | $stop | ${8:--} |")
	say "$1, $2: $3; $5 s"
}

# Whether the backend can work; says so if not.
can_work()
{
	case $1 in plain | stop-the-world | libgc-mprotect | verify | control) return ;; esac
	local words
	words=$("$cardmark" run --backend="$1" -- true 2>&1) && return
	if required "$1"; then
		fail "${words#cardmark run: }"
	else
		skip "${words#cardmark run: }"
	fi
	return 1
}

one_program()
{
	local name=$1 mode
	for mode in "${usable[@]}"; do
		[[ $name.$mode != libgc-*.control ]] || continue
		judge "$name" "$mode"
		row "$name" "$mode" "$says" "$(reported "$dir" collections)" "$seconds" "$cpu" "$(max_stop_ns "$dir")" \
			"$(reported "$dir" vmas_at_exit)"
		[[ $mode != plain || $says == ok ]] || return
	done
}

# gctest has a row of its own; of the others the sums and the largest.
libgc_programs()
{
	local mode name source libraries others total_s total_cpu stop vmas n bad words collections
	command=("$work/libgc/built/gctest")
	one_program libgc-gctest
	for mode in "${usable[@]}"; do
		[[ $mode != control ]] || continue
		others='' total_s=0 total_cpu=0 stop=- vmas=- n=0 bad='' collections=-
		while read -r source name libraries; do
			[[ $name != gctest ]] || continue
			command=("$work/libgc/built/$name")
			judge "libgc-$name" "$mode"
			((n += 1))
			[[ $says == ok* ]] || bad+="; $name $says"
			total_s=$(awk "BEGIN { printf \"%.3f\", $total_s + $seconds }")
			total_cpu=$(awk "BEGIN { printf \"%.2f\", $total_cpu + $cpu }")
			[[ $mode != plain && -s $dir/stats ]] || continue
			others+="$(max_stop_ns "$dir") $(reported "$dir" vmas_at_exit) $(reported "$dir" collections)"$'\n'
		done < <(libgc_tests)
		[[ $others == '' ]] || read -r stop vmas collections < <(awk 'NF == 3 { if ($1 > s) s = $1; if ($2 > v) v = $2; c += $3 }
			END { printf "%d %d %d\n", s, v, c }' <<<"$others")
		words=${bad#; }
		row "libgc, $n others" "$mode" "${words:-ok}" "$collections" "$total_s" "$total_cpu" "$stop" "$vmas"
	done
}

table()
{
	printf 'Linux %s, %s, %d CPUs, libgc %s, %s; `make check-programs`\n\n' "$(uname -r)" \
		"$(sed -nE 's/^(model name|Model)\s*: (.*)/\2/p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
		"$(dpkg-query -W -f '${Version}' libgc1 2>/dev/null)" "$(date -u +%F)"
	echo '| program | mode | result | collections | total s | CPU s | longest stop ms | VMAs at exit |'
	echo '|---|---|---|---:|---:|---:|---:|---:|'
	printf '%s\n' "${rows[@]}"
}

mkdir -p "$work"
usable=()
for mode in "${modes[@]}"; do
	can_work "$mode" && usable+=("$mode")
done
for program in "${programs[@]}"; do
	why=''
	if [[ $program == libgc ]]; then
		if fetch_libgc && { compile_libgc >"$work/compile.log" 2>&1 || { why="its tests cannot be built, see $work/compile.log"; false; }; }; then
			libgc_programs
			continue
		fi
	elif "program_$program"; then
		one_program "$program"
		continue
	fi
	if required programs; then
		fail "$program: $why"
	else
		skip "$program: $why"
	fi
done
((${#rows[@]} == 0)) || table | tee "$work/table.md"
echo "programs: $passed passed, $failed failed, $skipped skipped"
((failed == 0)) || exit 1
((passed > 0)) || exit 77
