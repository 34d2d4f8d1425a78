# The core: a convenience library that tests link, so that internals can be
# reached, and the installed one around it.
include_cardmarkdir = $(includedir)/cardmark
include_cardmark_HEADERS = include/cardmark/cardmark.h include/cardmark/cardmark.hpp \
	include/cardmark/process.h include/cardmark/status.hpp

noinst_LTLIBRARIES += lib/libcm.la
lib_libcm_la_SOURCES = \
	lib/backend/alldirty.c \
	lib/backend/backend.h \
	lib/backend/composed.c \
	lib/backend/crew.c lib/backend/crew.h \
	lib/backend/entries.h \
	lib/backend/files.h \
	lib/backend/holes.h \
	lib/backend/monitor.c lib/backend/monitor.h \
	lib/backend/mprotect.c \
	lib/backend/owed.c lib/backend/owed.h \
	lib/backend/pagemap.c lib/backend/pagemap.h \
	lib/backend/pagemap_files.c \
	lib/backend/pagemap_harvest.c \
	lib/backend/pagescan.h \
	lib/backend/protection.c lib/backend/protection.h \
	lib/backend/sigsegv.c lib/backend/sigsegv.h \
	lib/backend/unregister.c lib/backend/unregister.h \
	lib/backend/softdirty.c \
	lib/backend/uffd.c \
	lib/backend/userfaultfd.c lib/backend/userfaultfd.h \
	lib/answer.c \
	lib/backoff.c lib/backoff.h \
	lib/cards.c lib/cards.h \
	lib/collect.c \
	lib/consumer.c lib/consumer.h \
	lib/discard.c \
	lib/errors.c lib/errors.h \
	lib/export.h \
	lib/fork.c lib/fork.h \
	lib/hashes.c lib/hashes.h \
	lib/hold.c \
	lib/holds.c lib/holds.h \
	lib/huge.c lib/huge.h \
	lib/lock.c \
	lib/mappings.c \
	lib/options.c \
	lib/os/linux.c lib/os/maps.c lib/os/maps.h lib/os/os.h lib/os/own.c lib/os/own.h \
	lib/os/release.h lib/os/uapi.h lib/os/valgrind.h \
	lib/probe.c \
	lib/process.c \
	lib/query.c lib/query.h \
	lib/ranges.c lib/ranges.h \
	lib/scan.c \
	lib/sized.c lib/sized.h \
	lib/table.c \
	lib/tracker.c lib/tracker.h \
	lib/verify.c lib/verify.h \
	lib/zeropage.c lib/zeropage.h \
	lib/waits.h
lib_libcm_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden
lib_libcm_la_CPPFLAGS = $(AM_CPPFLAGS) $(CM_PERTURB_CPPFLAGS)
lib_libcm_la_LIBADD = $(perturb_libs) $(PTHREAD_LIBS)

lib_LTLIBRARIES += lib/libcardmark.la
lib_libcardmark_la_SOURCES =
lib_libcardmark_la_LIBADD = lib/libcm.la
# nodelete: a SIGSEGV handler and atfork handlers may outlive a dlclose(). now: that handler, and
# calls while the world is stopped, are not the first to look a symbol up.
lib_libcardmark_la_LDFLAGS = $(AM_LDFLAGS) -version-info 1:0:0 -Wl,-z,nodelete -Wl,-z,now \
	-Wl,--version-script=$(srcdir)/lib/libcardmark.map
EXTRA_lib_libcardmark_la_DEPENDENCIES = lib/libcardmark.map
EXTRA_DIST += lib/libcardmark.map

EXTRA_DIST += lib/refresh-loader.sh
# Not for a tree that is only being put together.
install-exec-hook:
	@test -n '$(DESTDIR)' || $(SHELL) $(srcdir)/lib/refresh-loader.sh '$(libdir)'

pkgconfig_DATA += lib/libcardmark.pc
# For CMake's find_package(cardmark), the adapters too.
cmakedir = $(libdir)/cmake/cardmark
cmake_DATA = lib/cmake/cardmarkConfig.cmake lib/cmake/cardmarkConfigVersion.cmake
