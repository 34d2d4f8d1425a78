#!/bin/bash
# perturb.sh SOURCES DIRECTORY [OPTIONS OF perturb.py...], with absolute paths. Makes a build
# that perturbs in DIRECTORY, unless it is there, and runs perturb.py in it.
set -euo pipefail
sources=$1 directory=$2
shift 2

mkdir -p "$directory"
if [[ ! -f $directory/Makefile ]]; then
	(cd "$directory" && "$sources/configure" -q --enable-perturb --disable-static CFLAGS='-O1 -g') >"$directory/configure.log" 2>&1 || {
		tail -n 20 "$directory/configure.log"
		exit 1
	}
fi
exec python3 "$sources/tests/perturb/perturb.py" "$directory" "$@"
