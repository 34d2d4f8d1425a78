# SPDX-License-Identifier: MIT
# The programs of check-programs.sh and compare-programs.sh, and a workload for each, in files of
# $here. program_NAME sets command, which runs in a folder of its own beside $work's files; if the
# program cannot be had, it sets why and returns false.
all_programs=(w3m neko asymptote ecl guile guile-compile poke macaulay2 gnucash lepton)

# Sets command, with a home of its own: these programs keep files there, or would find older ones.
at_home()
{
	command=(env HOME="$work" XDG_CACHE_HOME="$work/cache-of-programs" GUILE_AUTO_COMPILE=0 "$@")
}

have()
{
	command -v "$1" >/dev/null || { why="$1 is not installed"; return 1; }
}

program_guile()
{
	have guile && command=(guile -q --no-auto-compile "$here/guile.scm" programs.scm 3)
}

# A thread that compiles, and children.
program_guile-compile()
{
	have guile && command=(guile -q --no-auto-compile "$here/guile-compile.scm" . 3 1)
}

program_neko()
{
	have neko && have nekoc || return
	nekoc -o "$work/" "$here/neko.neko" >"$work/nekoc.log" 2>&1 || { why="nekoc fails"; return 1; }
	command=(neko "$work/neko.n")
}

program_asymptote()
{
	have asy && command=(asy -noView -f eps -o picture "$here/asymptote.asy")
}

program_w3m()
{
	have w3m && awk -v n=400 -f "$here/w3m.awk" >"$work/page.html" &&
		command=(w3m -dump -T text/html -cols 100 "$work/page.html")
}

program_ecl()
{
	have ecl && command=(ecl --norc --load "$here/ecl.lisp" --eval '(quit)')
}

program_poke()
{
	have poke && command=(poke -q -L "$here/poke-records.pk")
}

program_macaulay2()
{
	have M2 && command=(M2 --script "$here/macaulay2.m2")
}

program_gnucash()
{
	have gnucash-cli && awk -v n=3000 -f "$here/gnucash.awk" >"$work/book.gnucash" || return
	at_home gnucash-cli --report run --name 'General Journal' --output-file report.html "$work/book.gnucash"
}

program_lepton()
{
	have lepton-netlist && awk -v n=8 -f "$here/lepton.awk" >"$work/circuit.sch" || return
	at_home lepton-netlist -g geda -o netlist "$work/circuit.sch"
}

