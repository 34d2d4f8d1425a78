# SPDX-License-Identifier: MIT
#
# awk -v file=mark.c -f apply.awk PATCH... SOURCE prints SOURCE with what the patches (diff -U0)
# change in that file. All patches are made against SOURCE as it was released, none against what
# another one leaves: so any of them can be left out. Status 1, with a message: a patch removes a line
# that is not there, or two patches remove the same line.

function fail(text)
{
	print "apply.awk: " text >"/dev/stderr"
	failed = 1
	exit 1
}

# "-12,0" or "-12": sets first and count
function old_range(text, parts)
{
	sub(/^-/, "", text)
	first = count = 1
	if (split(text, parts, ",") == 2)
		count = parts[2] + 0
	first = parts[1] + 0
}

FNR == 1 { n_file++; wanted = 0; where = 0 }
n_file == ARGC - 1 { line[FNR] = $0; lines = FNR; next }
/^\+\+\+ / { wanted = $2 == file; where = 0; next }
/^--- / { next }
!wanted { next }
/^@@ / {
	old_range($2)
	where = count ? first : first + 1
	before = !count
	next
}
where && /^-/ {
	if (where in removed)
		fail(FILENAME ": line " where " of " file " is removed by another patch, too")
	removed[where] = substr($0, 2)
	where++
	next
}
where && /^\+/ {
	# What replaces lines comes where the last of them was, what is inserted before the next.
	at = before ? where : where - 1
	if (before)
		inserted[at] = inserted[at] substr($0, 2) "\n"
	else
		instead[at] = instead[at] substr($0, 2) "\n"
}

END {
	if (failed)
		exit 1
	for (i = 1; i <= lines + 1; i++) {
		printf "%s", inserted[i]
		if (i in removed && removed[i] != line[i])
			fail("line " i " of " file " is \"" line[i] "\", not \"" removed[i] "\"")
		if (i <= lines && !(i in removed))
			print line[i]
		printf "%s", instead[i]
	}
}
