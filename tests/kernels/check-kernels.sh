#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
set -uo pipefail

usage()
{
	cat <<'END'
Usage: make check-kernels [KERNELS='NAME...']
       check-kernels.sh --build=BUILDDIR [NAME...]    with CARDMARK_PROGRAMS set
       check-kernels.sh --list | --help

Boots Debian 12's kernels in qemu, in software, and runs the live, soundness and
unit tests there, with swap on zram, KSM and huge TLB pages. The kernels come as
packages, are unpacked in BUILDDIR/kernels and never installed.
Results: BUILDDIR/kernels/NAME.tap; all that the guest said: NAME.log, from which
tests/soundness/events/table.sh makes the tables of docs/soundness.md.
Says of each program, as it ends, how long it took. A guest that does not boot, says
nothing for too long or runs nothing is a failure, and so is a skip that
tests/kernels/skips does not expect.

  CARDMARK_KERNEL_SECONDS   a guest that says nothing for longer hangs (300)
  CARDMARK_KERNEL_JOBS      guests at the same time (one for each CPU)
  CARDMARK_KERNEL_AGAIN     1: a guest that fails is booted once more, with nothing beside
                            it, and that counts; what failed first is shown (0)
  CARDMARK_TEST_SECONDS     of each random test and seed (1)
  CARDMARK_INJECT           faults for each scenario, or all (14)

Kernels:
END
	kernels | while read -r name arch suite package backends more refused; do
		printf '  %-18s %s of %s (%s): must have %s; %s%s\n' "$name" "$package" "$suite" \
			"$arch" "$backends" "$more" "${refused:+; must refuse $refused}"
	done
}

# NAME ARCHITECTURE SUITE PACKAGE BACKENDS MORE REFUSED. The last three: CARDMARK_REQUIRE
# without and with what is no backend, CARDMARK_REFUSE. The release's 6.1 lacks fixes that
# the security archive's has: mremap leaves protection bits behind.
kernels()
{
	local six_one=softdirty,uffd,mprotect,alldirty pressure=swap,ksm,hugetlb

	cat <<END
amd64-6.1 amd64 bookworm-security linux-image-cloud-amd64 $six_one $pressure pagemap
amd64-6.1-release amd64 bookworm linux-image-cloud-amd64 $six_one $pressure,stale-bits pagemap
amd64-6.12 amd64 bookworm-security linux-image-6.12-cloud-amd64 pagemap,$six_one $pressure
arm64-6.12 arm64 bookworm-security linux-image-6.12-cloud-arm64 pagemap,uffd,mprotect,alldirty $pressure softdirty
arm64-6.12-16k arm64 bookworm-security linux-image-6.12-arm64-16k pagemap,uffd,mprotect,alldirty $pressure softdirty
END
}

say()
{
	printf 'check-kernels: %s\n' "$*"
}

# Of NAME.tap: "PASSED FAILED SKIPPED".
count()
{
	awk '/^ok .* # SKIP / { s++; next } /^ok / { p++ } /^not ok / { f++ }
		END { print p + 0, f + 0, s + 0 }' "$1"
}

summary()
{
	local p f s

	read -r p f s < <(count "$work/$1.tap")
	echo "$p passed, $f failed, $s skipped, $((SECONDS / 60)) min after the start"
}

# ---- Programs ------------------------------------------------------------------

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
declare -A triplets=([amd64]=x86_64-linux-gnu [arm64]=aarch64-linux-gnu) prepared=()

fetch()
{
	"$here/fetch.sh" "$work" "$@"
}

# unpack DEB: where it is unpacked, with what is needed of it.
unpack()
{
	local to

	to=$work/unpacked/$(basename "$1" .deb)
	if [[ ! -e $to/complete ]]; then
		rm -rf "$to"
		mkdir -p "$to"
		dpkg-deb --fsys-tarfile "$1" | tar -x -C "$to" --wildcards --no-wildcards-match-slash \
			--exclude='./usr/share/doc' --exclude='./lib/modules/*/kernel/drivers/[ac-z]*' \
			--exclude='./lib/modules/*/kernel/[fns]*' || return 1
		: >"$to/complete"
	fi
	printf '%s\n' "$to"
}

# The build tree for an architecture: this one, or one made with a cross-compiler.
# Sets programs and compiler.
prepare_programs()
{
	local arch=$1 triplet=${triplets[$1]}

	if [[ $arch == "$(dpkg --print-architecture)" ]]; then
		programs=$build compiler=${CC:-cc}
		return
	fi
	programs=$work/$arch-build compiler=$triplet-gcc
	if [[ -z ${prepared[$arch]:-} ]]; then
		prepared[$arch]=1
		mkdir -p "$programs"
		[[ -x $programs/config.status && $programs/config.status -nt $here/../../configure ]] ||
			(cd "$programs" && "$here/../../configure" -q --host="$triplet" \
				--without-boehm --disable-shared PKG_CONFIG=false) || return 1
		make -C "$programs" -j "$(nproc)" kernel-programs || return 1
	fi
}

# ---- Guests ----------------------------------------------------------------------

# prepare NAME and the rest of its line in the table: makes NAME.cpio and NAME.kernel.
prepare()
{
	local name=$1 arch=$2 deb kernel busybox environment

	if ! deb=$(fetch "$arch" "$3" "$4") || ! kernel=$(unpack "$deb"); then
		echo "$name: no kernel: $4 of $3 for $arch"
		return 1
	fi
	if ! deb=$(fetch "$arch" bookworm busybox-static) || ! busybox=$(unpack "$deb"); then
		echo "$name: no busybox-static for $arch"
		return 1
	fi
	if ! prepare_programs "$arch"; then
		echo "$name: the programs cannot be built for $arch"
		return 1
	fi
	environment="CARDMARK_TEST_BACKENDS=$5 CARDMARK_REQUIRE=$5,$6 CARDMARK_REFUSE=${7:-}"
	environment+=" CARDMARK_TEST_SECONDS=$seconds CARDMARK_INJECT=$faults CARDMARK_TEST_SMALL=1"
	ln -sf "$(echo "$kernel"/boot/vmlinuz-*)" "$work/$name.kernel"
	CC=$compiler CARDMARK_ENVIRONMENT=$environment "$here/initramfs.sh" "$work/$name.cpio" \
		"$arch" "$kernel" "$busybox/bin/busybox" "$programs" &&
		[[ -e $work/$name.kernel && -s $work/$name.cpio ]] && return
	echo "$name: no initramfs"
	return 1
}

# progress NAME: copies what the guest says of programs that end, with their time.
progress()
{
	local mark what program status at last=0 n=0 count

	count=$(($(wc -w <<<"$CARDMARK_PROGRAMS") + 2)) # two run again as nobody
	while read -r mark what program status at; do
		at=${at%%.*}
		case $mark-$what in
		*@@-booted) last=${status%%.*} ;;
		@@-end)
			((n += 1))
			say "$1: $n of $count: ${program##*/}, $((at - last)) s"
			last=$at
			;;
		esac
	done
}

# watch PID LOG: ends it when the log has not grown for too long. Counts what is said,
# not time: a slow machine is no failure. Prints the seconds of silence if it did.
watch()
{
	local size=-1 since=$SECONDS now

	while kill -0 "$1" 2>/dev/null; do
		sleep 1
		now=$(stat -c %s "$2")
		if ((now != size)); then
			size=$now since=$SECONDS
		elif ((SECONDS - since >= quiet)); then
			kill -KILL "$1"
			echo $((SECONDS - since))
			return
		fi
	done
}

# pauth-impdef: the architecture's own pointer authentication takes most of the time.
# Without mitigations and a fifth level of page tables it is a tenth faster.
boot()
{
	local name=$1 arch=$2 log=$work/$1.log qemu=() pid reader hung status
	local append='quiet panic=-1 mitigations=off'

	case $arch in
	amd64) qemu=(qemu-system-x86_64 -cpu max -append "console=ttyS0 no5lvl $append") ;;
	arm64) qemu=(qemu-system-aarch64 -M virt -cpu 'max,pauth-impdef=on'
		-append "console=ttyAMA0 $append") ;;
	esac
	"${qemu[@]}" -accel tcg -m 1024 -smp 2 -display none -monitor none -serial stdio \
		-no-reboot -nic none -kernel "$work/$name.kernel" -initrd "$work/$name.cpio" \
		</dev/null >"$log" 2>&1 &
	pid=$!
	tail -n +1 -f --pid=$pid "$log" 2>/dev/null | progress "$name" &
	reader=$!
	hung=$(watch $pid "$log")
	wait $pid
	status=$?
	wait $reader
	sed -i 's/\r//g' "$log"
	awk -v expected="$CARDMARK_PROGRAMS" -v status=$status -v hung="$hung" -v kernel="$name" \
		-v skips="$here/skips" -f "$here/tap.awk" "$log" >"$work/$name.tap"
	rm -f "$work/$name.cpio" "$work/$name.kernel"
	say "$name: $(summary "$name")"
}

# ----------------------------------------------------------------------------------

build='' wanted=()
for argument in "$@"; do
	case $argument in
	-h | --help)
		usage
		exit 0
		;;
	--list)
		kernels | cut -d' ' -f1
		exit 0
		;;
	--build=*) build=${argument#--build=} ;;
	-*)
		echo "check-kernels.sh: unknown option $argument (see --help)" >&2
		exit 2
		;;
	*) wanted+=("$argument") ;;
	esac
done
((${#wanted[@]} > 0)) || mapfile -t wanted < <(kernels | cut -d' ' -f1)
if [[ -z $build || -z ${CARDMARK_PROGRAMS:-} ]]; then
	echo "check-kernels.sh: run it by make check-kernels (see --help)" >&2
	exit 2
fi

work=$build/kernels
mkdir -p "$work"
work=$(cd "$work" && pwd)
seconds=${CARDMARK_TEST_SECONDS:-1} faults=${CARDMARK_INJECT:-14}
quiet=${CARDMARK_KERNEL_SECONDS:-300}
export CARDMARK_FETCH_RUN=$$
jobs=${CARDMARK_KERNEL_JOBS:-$(nproc)}
passed=0 failed=0 skipped=0 running=0

for name in "${wanted[@]}"; do
	read -r -a kernel < <(kernels | grep "^$name ")
	rm -f "$work/$name.tap" "$work/$name.log"
	if ((${#kernel[@]} == 0)); then
		echo "not ok 1 - there is a kernel $name: see --list" >"$work/$name.tap"
		continue
	fi
	if ! prepare "${kernel[@]}" >"$work/$name.log" 2>&1; then
		{
			sed 's/^/# /' "$work/$name.log"
			echo "not ok 1 - $(tail -n 1 "$work/$name.log")"
		} >"$work/$name.tap"
		continue
	fi
	if ((running >= jobs)); then
		wait -n
		((running -= 1))
	fi
	say "booting $name"
	boot "${kernel[@]}" &
	((running += 1))
done
wait

# A guest is slow, and what else this machine does may make it slower yet.
for name in "${wanted[@]}"; do
	[[ ${CARDMARK_KERNEL_AGAIN:-0} == 1 ]] || continue
	read -r p f s < <(count "$work/$name.tap")
	((f > 0 || p == 0)) || continue
	read -r -a kernel < <(kernels | grep "^$name ")
	((${#kernel[@]} > 0)) || continue
	mv "$work/$name.tap" "$work/$name.first.tap"
	mv "$work/$name.log" "$work/$name.first.log"
	say "$name: $f failed, booting it again"
	grep '^not ok' "$work/$name.first.tap" | sed "s/^/failed at first: $name: /"
	prepare "${kernel[@]}" >"$work/$name.log" 2>&1 && boot "${kernel[@]}"
	[[ -e $work/$name.tap ]] || mv "$work/$name.first.tap" "$work/$name.tap"
done
rm -f "$work"/apt-*/updated-*

for name in "${wanted[@]}"; do
	read -r p f s < <(count "$work/$name.tap")
	grep '^not ok' "$work/$name.tap" | sed "s/^/FAIL: $name: /"
	grep '^ok .* # SKIP ' "$work/$name.tap" | sed "s/^ok [0-9]* - /SKIP: $name: /"
	if ((p + f == 0)); then
		echo "FAIL: $name: no test ran"
		((f += 1))
	fi
	echo "$name: $p passed, $f failed, $s skipped"
	((passed += p, failed += f, skipped += s))
done
say "the results are in $work/*.tap"
echo "kernels: $passed passed, $failed failed, $skipped skipped"
((failed == 0))
