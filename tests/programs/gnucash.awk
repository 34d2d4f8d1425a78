# SPDX-License-Identifier: MIT
#
# Writes a book for gnucash: accounts, and transactions between them over three
# years. awk -v n=TRANSACTIONS -f gnucash.awk
function next_number(m) {
	state = (state * 1103 + 12347) % 1000003
	return state % m
}
function id(kind, i) {
	return sprintf("%08x%024x", kind, i)
}
function account(i, name, type, parent) {
	print "<gnc:account version=\"2.0.0\">"
	print "<act:name>" name "</act:name><act:id type=\"guid\">" id(1, i) "</act:id><act:type>" type "</act:type>"
	if (type != "ROOT")
		print "<act:commodity><cmdty:space>CURRENCY</cmdty:space><cmdty:id>EUR</cmdty:id></act:commodity>" \
			"<act:commodity-scu>100</act:commodity-scu><act:parent type=\"guid\">" id(1, parent) "</act:parent>"
	print "</gnc:account>"
}
function one_split(i, to, value) {
	print "<trn:split><split:id type=\"guid\">" id(3, i) "</split:id><split:reconciled-state>n</split:reconciled-state>" \
		"<split:value>" value "/100</split:value><split:quantity>" value "/100</split:quantity>" \
		"<split:account type=\"guid\">" id(1, to) "</split:account></trn:split>"
}
BEGIN {
	state = 12345
	n_accounts = 60
	print "<?xml version=\"1.0\" encoding=\"utf-8\" ?>"
	print "<gnc-v2 xmlns:gnc=\"http://www.gnucash.org/XML/gnc\" xmlns:act=\"http://www.gnucash.org/XML/act\"" \
		" xmlns:book=\"http://www.gnucash.org/XML/book\" xmlns:cd=\"http://www.gnucash.org/XML/cd\"" \
		" xmlns:cmdty=\"http://www.gnucash.org/XML/cmdty\" xmlns:split=\"http://www.gnucash.org/XML/split\"" \
		" xmlns:trn=\"http://www.gnucash.org/XML/trn\" xmlns:ts=\"http://www.gnucash.org/XML/ts\">"
	print "<gnc:count-data cd:type=\"book\">1</gnc:count-data>"
	print "<gnc:book version=\"2.0.0\"><book:id type=\"guid\">" id(9, 1) "</book:id>"
	print "<gnc:commodity version=\"2.0.0\"><cmdty:space>CURRENCY</cmdty:space><cmdty:id>EUR</cmdty:id></gnc:commodity>"
	account(0, "Root Account", "ROOT")
	for (i = 1; i <= n_accounts; i++)
		account(i, (i % 3 == 0 ? "Income " : i % 3 == 1 ? "Bank " : "Expense ") i,
			i % 3 == 0 ? "INCOME" : i % 3 == 1 ? "BANK" : "EXPENSE", 0)
	for (i = 0; i < n; i++) {
		day = sprintf("%d-%02d-%02d 10:59:00 +0000", 2022 + next_number(3), next_number(12) + 1, next_number(28) + 1)
		value = next_number(90000) + 100
		print "<gnc:transaction version=\"2.0.0\"><trn:id type=\"guid\">" id(2, i) "</trn:id>" \
			"<trn:currency><cmdty:space>CURRENCY</cmdty:space><cmdty:id>EUR</cmdty:id></trn:currency>" \
			"<trn:date-posted><ts:date>" day "</ts:date></trn:date-posted>" \
			"<trn:date-entered><ts:date>" day "</ts:date></trn:date-entered>" \
			"<trn:description>Paid " next_number(500) "</trn:description><trn:splits>"
		one_split(2 * i, next_number(n_accounts) + 1, value)
		one_split(2 * i + 1, next_number(n_accounts) + 1, -value)
		print "</trn:splits></gnc:transaction>"
	}
	print "</gnc:book></gnc-v2>"
}
