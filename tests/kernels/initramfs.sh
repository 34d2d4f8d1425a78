#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Packs a guest: initramfs.sh OUTPUT ARCHITECTURE KERNEL BUSYBOX BUILD
#   KERNEL   an unpacked kernel package
#   BUSYBOX  a static busybox of that architecture
#   BUILD    the build tree to take the programs from
# and in the environment CARDMARK_PROGRAMS, those programs, CARDMARK_ENVIRONMENT,
# what they find in theirs, and CC, a compiler that knows where libraries are.
set -euo pipefail

output=$1 arch=$2 kernel=$3 busybox=$4 build=$5
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
root=$output.root

# ---- Programs and their libraries --------------------------------------------

library()
{
	local path

	path=$($CC -print-file-name="$1")
	if [[ $path == /* && -e $path ]]; then
		printf '%s\n' "$path"
		return
	fi
	echo "initramfs.sh: $1 ($arch) is not found" >&2
	return 1
}

# What a file needs, and what that needs. The first call names the loader, too.
add_libraries()
{
	local name path

	while read -r name; do
		[[ ! -e $root/lib/$name ]] || continue
		path=$(library "$name")
		cp -L "$path" "$root/lib/$name"
		add_libraries "$path"
	done < <(readelf -d "$1" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p')
}

add_loader()
{
	local loader

	loader=$(readelf -l "$1" | sed -nE 's/.*program interpreter: (.*)\]/\1/p')
	[[ -n $loader && ! -e $root$loader ]] || return 0
	mkdir -p "$root$(dirname "$loader")"
	cp -L "$(library "$(basename "$loader")")" "$root$loader"
}

add_program()
{
	mkdir -p "$root/cardmark/$(dirname "$1")"
	cp "$build/$1" "$root/cardmark/$1"
	add_loader "$build/$1"
	add_libraries "$build/$1"
	echo "$1" >>"$root/cardmark/list"
}

# ---- Modules -------------------------------------------------------------------

modules=0

plain_module()
{
	case $1 in
	*.xz) xz -dc "$1" ;;
	*.zst) zstd -dc "$1" ;;
	*) cat "$1" ;;
	esac
}

# A module after what it depends on. One that is built in needs no file.
add_module()
{
	local file plain name

	file=$(find "$kernel/lib/modules" -name "${1//[-_]/[-_]}.ko*" | head -n 1)
	[[ -n $file ]] || return 0
	name=$(basename "$file")
	plain=$(mktemp "$root.XXXXXX")
	plain_module "$file" >"$plain"
	while read -r dependency; do
		[[ -z $dependency ]] || add_module "$dependency"
	done < <(tr '\0' '\n' <"$plain" | sed -n 's/^depends=//p' | tr ',' '\n')
	if compgen -G "$root/cardmark/modules/*-${name%%.ko*}.ko" >/dev/null; then
		rm -f "$plain"
		return 0
	fi
	modules=$((modules + 1))
	mv "$plain" "$(printf '%s/cardmark/modules/%02d-%s.ko' "$root" $modules "${name%%.ko*}")"
}

# ----------------------------------------------------------------------------------

rm -rf "$root" "$root".*
mkdir -p "$root/bin" "$root/lib" "$root/cardmark/modules" "$root/cardmark/tests/support"
cp "$busybox" "$root/bin/busybox"
cp "$source/tests/kernels/guest-init.sh" "$root/init"
chmod +x "$root/init"
cp "$source/tests/support/each-backend.sh" "$root/cardmark/tests/support/"
mkdir -p "$root/cardmark/tests/soundness/random"
cp -r "$source/tests/soundness/random/programs" "$root/cardmark/tests/soundness/random/"
for assignment in $CARDMARK_ENVIRONMENT; do
	echo "export '$assignment'"
done >"$root/cardmark/environment"
for program in $CARDMARK_PROGRAMS; do
	add_program "$program"
done
cp -L "$(library libgcc_s.so.1)" "$root/lib/" # pthread_cancel() loads it
add_module lzo-rle # zram's compression, which it asks for by name where it is a module
add_module zram
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$output"
rm -rf "$root"
