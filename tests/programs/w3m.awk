# SPDX-License-Identifier: MIT
#
# Writes a long HTML page for w3m: tables in tables, lists, entities, forms, and
# paragraphs to be filled. awk -v n=SECTIONS -f w3m.awk
function next_number(m) {
	state = (state * 1103 + 12347) % 1000003
	return state % m
}
function word(   w, i) {
	w = ""
	for (i = next_number(7) + 2; i > 0; i--)
		w = w substr("aeioubcdfglmnprst", next_number(17) + 1, 1)
	return w
}
function words(m,   s) {
	for (s = word(); m > 1; m--)
		s = s " " word()
	return s
}
BEGIN {
	state = 12345
	print "<html><head><title>A page</title></head><body>"
	for (i = 0; i < n; i++) {
		printf "<h2>%d. %s</h2>\n<p>%s &amp; %s &eacute;&mdash;<b>%s</b> <a href=\"#s%d\">%s</a>.</p>\n", i, words(3),
			words(80), words(40), words(3), next_number(n), words(2)
		print "<table border=1>"
		for (r = 0; r < 12; r++) {
			print "<tr>"
			for (c = 0; c < 5; c++)
				if (r == 4 && c == 2)
					printf "<td><table border=1><tr><td>%s<td>%s</table>\n", words(2), words(3)
				else
					printf "<td%s>%s</td>\n", next_number(9) ? "" : " align=right", words(1 + next_number(6))
			print "</tr>"
		}
		print "</table><ul>"
		for (r = 0; r < 8; r++)
			printf "<li>%s<ol><li>%s<li>%s</ol>\n", words(6), words(12), words(5)
		printf "</ul><form><input name=a value=\"%s\"><select><option>%s<option>%s</select></form><hr>\n", word(), word(), word()
	}
	print "</body></html>"
}
