#!/bin/sh
# SPDX-License-Identifier: MIT
# embed.sh FILE...: a C array of the files, each with its name and its text.
set -eu

echo 'static const struct { const char *name, *text; } pages[] = {'
for file; do
	echo "{ \"$(basename "$file")\","
	sed -e 's/[\\"]/\\&/g' -e 's/.*/"&\\n"/' "$file"
	echo '},'
done
echo '};'
