# A tarball is the repository: the documents, and what maintains it. The row distcheck of .ci/run
# compares the two. Documents that a room needs are in its own list.
EXTRA_DIST += \
	.ci/cppcheck-suppressions \
	.ci/run \
	.clang-format \
	.clang-tidy \
	.editorconfig \
	.gitignore \
	LICENSE \
	quickstart \
	docs/bench.md \
	docs/boehm.md \
	docs/choosing.md \
	docs/coverage.md \
	docs/design.md \
	docs/hacking.md \
	docs/jemalloc.md \
	docs/limits.md \
	docs/migrating.md \
	docs/overview.md \
	docs/real-programs.md \
	docs/soundness.md \
	docs/tutorial.md \
	docs/report/README.md \
	docs/report/barriers.json.xz \
	docs/report/report.html \
	docs/report/standard.json.xz
