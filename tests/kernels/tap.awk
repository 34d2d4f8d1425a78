# SPDX-License-Identifier: MIT
#
# Makes one TAP stream of a guest's console. -v expected='PROGRAM ...': each must
# have reported all that it announced; -v status=N: qemu's exit status; -v hung=N: it
# was stopped because it had said nothing for N seconds; -v skips=FILE -v kernel=NAME:
# the skips that are expected of a kernel. Any other is a failure.

BEGIN {
	while (skips != "" && (getline line <skips) > 0) {
		at = index(line, " ")
		if (line ~ /^[^#]/ && kernel ~ "^(" substr(line, 1, at - 1) ")$")
			expect[++n_expect] = substr(line, at + 1)
	}
}

# test: "PROGRAM: NAME # SKIP WHY"
function expected_skip(test,   i)
{
	for (i = 1; i <= n_expect; i++)
		if (test ~ "^(" expect[i] ")$")
			return 1
	return skips == ""
}

function name(program)
{
	sub(/.*\//, "", program)
	return program
}

function result(ok, text)
{
	printf "%sok %d - %s\n", ok ? "" : "not ", ++n, text
}

function close_program()
{
	if (program == "")
		return
	if (!finished && hung != "" && !(program in ended))
		result(0, name(program) as ": the guest hung in it: nothing said for " hung " s")
	else if (seen == 0)
		result(0, name(program) ": it reported nothing")
	else if (plan != "" && plan != seen)
		result(0, name(program) ": it announced " plan " results, " seen " arrived")
	program = ""
}

# After what the firmware left on the line.
/@@ booted / {
	booted = 1
	sub(/.*@@ /, "")
	print "# " $0
	next
}

/^@@ begin / {
	close_program()
	program = $3
	as = $4 == "" ? "" : " as " $4
	seen = 0
	plan = ""
	delete ended[program]
	next
}

/^@@ end / {
	if (program ~ /^tests\/(unit|live|soundness)\// && plan == "")
		result(0, name(program) ": it ended before its plan")
	ended[program] = 1
	close_program()
	printf "# %s%s ended with status %s at %s s\n", name($3), as, $4, $5
	next
}

/^@@ done/ {
	finished = 1
	next
}

program != "" && /^(not )?ok / {
	text = $0
	sub(/^(not )?ok [0-9]*( - )?(- )?/, "", text)
	text = name(program) as ": " text
	if ($1 == "ok" && text ~ / # SKIP / && !expected_skip(text)) {
		sub(/ # SKIP /, ": skipped, but it can run here: ", text)
		result(0, text)
	} else {
		result($1 == "ok", text)
	}
	seen++
	next
}

program != "" && /^1\.\.[0-9]+$/ {
	plan = substr($0, 4)
	next
}

booted && /^#/ { print }

END {
	close_program()
	if (!booted)
		result(0, "the guest boots: it did not")
	count = split(expected, programs, " ")
	for (i = 1; booted && i <= count; i++)
		if (!(programs[i] in ended))
			result(0, name(programs[i]) ": it did not run to its end")
	if (!finished)
		result(0, "the guest powers off: " (hung != "" ? "it hung" : "it did not") \
			" (qemu ended with status " status ")")
	print "1.." n + 0
}
