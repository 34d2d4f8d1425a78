#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes the tables of docs/soundness.md from the output of tests/soundness/events/events_test and
# events_mappings_test: a table for each backend, a row for each event, a column for each kernel.
# Usage: table.sh LABEL=LOG...   (LOG: a .log or .tap file that has the lines; a LABEL may have several)
set -eu
[ $# -gt 0 ] || {
	echo "usage: $0 LABEL=LOG..." >&2
	exit 2
}
for pair in "$@"; do
	[ -r "${pair#*=}" ] || {
		echo "$0: cannot read ${pair#*=}" >&2
		exit 2
	}
	# label|backend|event|what|kind: the log may hold other tests, too.
	sed -nE -e 's/^(ok|not ok)( [0-9]+)? - (events_(mappings_)?test: )?/\1 - /' \
		-e 's/^# cell\|([^|]*)\|([^|]*)\|(.*)$/\2|\1|\3|event/p' \
		-e 's/^not ok - ([a-z]+): ([^#]*[^# ]).*$/\1|\2|**lost**/p' \
		-e 's/^ok - ([a-z]+): ([^#]*[^# ]) # SKIP [a-z]+ lacks the capability ([A-Z_]+)$/\1|\2|no (\3)/p' \
		"${pair#*=}" | sed "s/^/${pair%%=*}|/"
done | awk -F'|' '
	{
		if (!($1 in kernel)) { kernel[$1] = 1; label[++kernels] = $1 }
		if (!($2 in known)) { known[$2] = 1; backend[++backends] = $2 }
		cell[$1 SUBSEP $2 SUBSEP $3] = $4
		has[$1 SUBSEP $2] = 1
		if ($5 == "event" && !($3 in listed)) { listed[$3] = 1; event[++events] = $3 }
	}
	function header(b,   k, line, rule) {
		for (k = 1; k <= kernels; k++)
			if ((label[k] SUBSEP backend[b]) in has) {
				line = line " " label[k] " |"
				rule = rule "---|"
			}
		printf "### %s\n\n| event |%s\n|---|%s\n", backend[b], line, rule
	}
	function row(b, e,   k, i) {
		printf "| %s |", event[e]
		for (k = 1; k <= kernels; k++) {
			i = label[k] SUBSEP backend[b] SUBSEP event[e]
			if ((label[k] SUBSEP backend[b]) in has)
				printf " %s |", (i in cell) ? cell[i] : "not run"
		}
		print ""
	}
	END {
		for (b = 1; b <= backends; b++) {
			header(b)
			for (e = 1; e <= events; e++) row(b, e)
			print ""
		}
	}'
