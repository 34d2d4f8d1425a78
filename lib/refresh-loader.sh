#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lib/refresh-loader.sh LIBDIR: after libraries were installed in LIBDIR. The loader knows the
# libraries in its directories by a cache, which libtool leaves as it was: without ldconfig a
# program that was just installed does not start.
# With --searched it only says, by its status, whether the loader looks in LIBDIR.
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

is_searched()
{
	ldconfig -N -X -v 2>/dev/null | sed -n 's,^\(/[^:]*\):.*,\1,p' |
		while read -r dir; do
			[ "$(cd "$dir" 2>/dev/null && pwd -P)" = "$(cd "$1" && pwd -P)" ] && echo yes
		done | grep -q yes
}

if [ "$1" = --searched ]; then
	is_searched "$2"
	exit
fi
command -v ldconfig >/dev/null || exit 0
is_searched "$1" || exit 0
if ldconfig 2>/dev/null; then
	exit 0
fi
echo "The loader does not know the new libraries in $1 yet. As root, type: ldconfig"
