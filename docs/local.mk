# A tarball is the repository: the documents, and what maintains it. The row distcheck of .ci/run
# compares the two. Documents that a room needs are in its own list.
EXTRA_DIST += \
	.ci/cppcheck-suppressions \
	.ci/run \
	.clang-format \
	.clang-tidy \
	.editorconfig \
	.gitignore \
	quickstart
EXTRA_DIST += \
	debian/cardmark-bench.install \
	debian/cardmark.install \
	debian/changelog \
	debian/control \
	debian/copyright \
	debian/libcardmark-dev.install \
	debian/libcardmark-doc.install \
	debian/libcardmark-gc1.install \
	debian/libcardmark-gc1.symbols \
	debian/libcardmark-jemalloc1.install \
	debian/libcardmark-jemalloc1.symbols \
	debian/libcardmark1.install \
	debian/libcardmark1.symbols \
	debian/rules \
	debian/source/format \
	debian/source/lintian-overrides \
	debian/tests/command \
	debian/tests/control \
	debian/tests/library
# Installed in the folders they have here, so that their links to each other lead somewhere.
nobase_dist_doc_DATA = \
	CONTRIBUTING.md \
	LICENSE \
	NEWS \
	README.md \
	SECURITY.md \
	docs/README.md \
	docs/bench.md \
	docs/boehm.md \
	docs/choosing.md \
	docs/containers.md \
	docs/coverage.md \
	docs/design.md \
	docs/hacking.md \
	docs/integrate.md \
	docs/jemalloc.md \
	docs/limits.md \
	docs/migrating.md \
	docs/model.md \
	docs/overview.md \
	docs/perturb.md \
	docs/probes.md \
	docs/real-programs.md \
	docs/release.md \
	docs/run-report.md \
	docs/run.schema.json \
	docs/watch.md \
	docs/watch.schema.json \
	docs/watch.svg \
	docs/soundness.md \
	docs/tutorial.md \
	docs/upstream.md \
	docs/report/README.md \
	docs/report/report.html
EXTRA_DIST += docs/pages_test.sh docs/report/barriers.json.xz docs/report/standard.json.xz
