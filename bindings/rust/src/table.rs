// SPDX-License-Identifier: MIT
//! Tables of dirty cards.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::tracker::{parts, Inner, OneThread};
use crate::{check, sys, Error};

/// Dirty cards, a bit each.
pub struct Table {
    raw: NonNull<sys::cardmark_table>,
    tracker: Arc<Inner>,
    _one_thread: OneThread,
}

// cardmark.h: it must not be used by two threads at once, nor while a tracker call runs that
// changes it; a track or an untrack may run. So it may go to another thread, calls that change
// it take it by &mut, and it is not Sync.
unsafe impl Send for Table {}

impl Table {
    pub(crate) fn new(tracker: &Arc<Inner>) -> Result<Table, Error> {
        let mut raw = ptr::null_mut();
        check(unsafe { sys::cardmark_table_new(&mut raw, tracker.raw()) })?;
        Ok(Table {
            raw: NonNull::new(raw).expect("cardmark_table_new() gives a table"),
            tracker: tracker.clone(),
            _one_thread: PhantomData,
        })
    }

    /// For calls of C. It is deleted with this.
    pub fn as_raw(&mut self) -> *mut sys::cardmark_table {
        self.raw.as_ptr()
    }

    /// Is the card dirty that holds this address?
    pub fn is_dirty(&self, addr: *const u8) -> bool {
        unsafe { sys::cardmark_table_is_dirty(self.raw.as_ptr(), addr.cast()) }
    }

    /// The runs of dirty cards in a range of addresses, ascending. Of an all-dirty table that is
    /// all of it. The table cannot change before the iterator is gone:
    ///
    /// ```compile_fail,E0502
    /// # let mut table = cardmark::Tracker::open().unwrap().table().unwrap();
    /// for run in table.runs(0..4096) {
    ///     table.clear();
    /// }
    /// ```
    pub fn runs(&self, range: Range<usize>) -> Runs<'_> {
        Runs { table: self, at: range.start, end: range.end }
    }

    /// Whether a collect could not find out what was written.
    pub fn all_dirty(&self) -> bool {
        unsafe { sys::cardmark_table_all_dirty(self.raw.as_ptr()) }
    }

    /// Dirty cards; `usize::MAX` when all dirty.
    pub fn count(&self) -> usize {
        unsafe { sys::cardmark_table_count(self.raw.as_ptr()) }
    }

    /// Adds the dirty cards of another table of the same tracker.
    pub fn union(&mut self, other: &Table) -> Result<(), Error> {
        check(unsafe { sys::cardmark_table_union(self.raw.as_ptr(), other.raw.as_ptr()) })
    }

    /// Makes the cards of a range dirty. `-ENOENT`: not all of it is tracked.
    pub fn set_range(&mut self, range: Range<usize>) -> Result<(), Error> {
        let (addr, len) = parts(range);
        check(unsafe { sys::cardmark_table_set_range(self.raw.as_ptr(), addr as *const _, len) })
    }

    /// Makes all cards clean.
    pub fn clear(&mut self) {
        unsafe { sys::cardmark_table_clear(self.raw.as_ptr()) }
    }

    /// Makes the cards of a range clean, in whole cards.
    pub fn clear_range(&mut self, range: Range<usize>) -> Result<(), Error> {
        let (addr, len) = parts(range);
        check(unsafe { sys::cardmark_table_clear_range(self.raw.as_ptr(), addr as *const _, len) })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let mut raw = self.raw.as_ptr();
        // The tracker is still open: it goes after this.
        let _ = &self.tracker;
        unsafe { sys::cardmark_table_delete(&mut raw) };
    }
}

/// Runs of dirty cards: addresses, card-aligned, end not included.
pub struct Runs<'a> {
    table: &'a Table,
    at: usize,
    end: usize,
}

impl Iterator for Runs<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let mut run = sys::cardmark_run { start: 0, end: 0 };
        let table = self.table.raw.as_ptr();
        if self.at >= self.end
            || !unsafe { sys::cardmark_table_next(table, self.at, self.end, &mut run) }
        {
            self.at = self.end;
            return None;
        }
        self.at = run.end;
        Some(run.start..run.end)
    }
}

impl std::iter::FusedIterator for Runs<'_> {}
