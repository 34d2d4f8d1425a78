# SPDX-License-Identifier: MIT
#
# Draws a circuit for lepton-netlist: rows of resistors, joined from one to the next
# and, at places, from row to row. awk -v n=ROWS -f lepton.awk
BEGIN {
	state = 12345
	print "v 20210407 2"
	for (row = 0; row < n; row++)
		for (i = 0; i < 30; i++) {
			x = 1000 + 1400 * i
			y = 1000 + 800 * row
			state = (state * 1103 + 12347) % 1000003
			printf "C %d %d 1 0 0 resistor-1.sym\n{\nT %d %d 5 10 1 1 0 0 1\nrefdes=R%d\nT %d %d 5 10 1 1 0 0 1\nvalue=%d\n}\n",
				x, y, x + 200, y + 300, row * 30 + i + 1, x + 200, y + 500, state % 1000 + 1
			printf "N %d %d %d %d 4\n", x + 900, y + 100, x + 1400, y + 100
			if (row > 0 && state % 5 == 0)
				printf "N %d %d %d %d 4\n", x + 1100, y + 100, x + 1100, y - 700
		}
}
