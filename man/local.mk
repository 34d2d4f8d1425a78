# The manual: a page for each group of functions. The other functions of a page have a link to it,
# which is made here from the NAME line. man/check-man.sh compares the manual with the code.
dist_man_MANS += \
	man/cardmark.7 \
	man/cardmark_collect.3 \
	man/cardmark_consumer_new.3 \
	man/cardmark_discarded.3 \
	man/cardmark_hold.3 \
	man/cardmark_hpp.3 \
	man/cardmark_open.3 \
	man/cardmark_preclean.3 \
	man/cardmark_probe.3 \
	man/cardmark_process_scan.3 \
	man/cardmark_scan.3 \
	man/cardmark_sigaction.3 \
	man/cardmark_stats.3 \
	man/cardmark_strerror.3 \
	man/cardmark_suspend.3 \
	man/cardmark_table_new.3 \
	man/cardmark_track.3 \
	man/cardmark_version.3
man_links = \
	man/cardmark_backend_name.3 \
	man/cardmark_backend_parse.3 \
	man/cardmark_card_size.3 \
	man/cardmark_close.3 \
	man/cardmark_collect_range.3 \
	man/cardmark_consumer_collect.3 \
	man/cardmark_consumer_collect_range.3 \
	man/cardmark_consumer_delete.3 \
	man/cardmark_describe.3 \
	man/cardmark_is_tracked.3 \
	man/cardmark_last_error.3 \
	man/cardmark_process_categories.3 \
	man/cardmark_process_close.3 \
	man/cardmark_process_open.3 \
	man/cardmark_release.3 \
	man/cardmark_resume.3 \
	man/cardmark_table_all_dirty.3 \
	man/cardmark_table_clear.3 \
	man/cardmark_table_clear_range.3 \
	man/cardmark_table_count.3 \
	man/cardmark_table_delete.3 \
	man/cardmark_table_is_dirty.3 \
	man/cardmark_table_next.3 \
	man/cardmark_table_set_range.3 \
	man/cardmark_table_union.3 \
	man/cardmark_untrack.3

if HAVE_BDWGC
dist_man_MANS += \
	man/cardmark_gc_enable.3
man_links += \
	man/cardmark_gc_info.3 \
	man/cardmark_gc_write_stats.3
endif

if HAVE_JEMALLOC
dist_man_MANS += \
	man/cardmark_jemalloc_collect.3 \
	man/cardmark_jemalloc_create.3 \
	man/cardmark_jemalloc_flags.3 \
	man/cardmark_jemalloc_stats.3
man_links += \
	man/cardmark_jemalloc_adopt.3 \
	man/cardmark_jemalloc_arena.3 \
	man/cardmark_jemalloc_check.3 \
	man/cardmark_jemalloc_collect_arena.3 \
	man/cardmark_jemalloc_contains.3 \
	man/cardmark_jemalloc_destroy.3 \
	man/cardmark_jemalloc_detach.3 \
	man/cardmark_jemalloc_discarded.3 \
	man/cardmark_jemalloc_is_dirty.3 \
	man/cardmark_jemalloc_next_dirty.3 \
	man/cardmark_jemalloc_next_range.3 \
	man/cardmark_jemalloc_reset.3
endif

nodist_man_MANS = $(man_links)
CLEANFILES += $(man_links)
$(man_links): Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && name=$$(basename $@ .3) && \
	page=$$(cd $(srcdir)/man && grep -lE "^(cardmark_.*, )?$$name(, .*)? \\\\- " *.3) && \
	echo ".so man3/$$page" >$@

TESTS += man/check-man.sh man/check-docs.tap
EXTRA_DIST += man/check-man.sh man/check-docs.tap
