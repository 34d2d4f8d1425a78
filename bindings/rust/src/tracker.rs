// SPDX-License-Identifier: MIT
//! Trackers, and who asks them.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::{check, sys, Answer, Backend, Buffer, Error, Query, Region, Stats, Table};

/// A tracker of C, closed when nobody needs it any more.
pub(crate) struct Inner(NonNull<sys::cardmark>);

// cardmark.h: calls on one tracker may come from any thread; they take turns.
unsafe impl Send for Inner {}
unsafe impl Sync for Inner {}

impl Inner {
    pub(crate) fn raw(&self) -> *mut sys::cardmark {
        self.0.as_ptr()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut raw = self.0.as_ptr();
        unsafe { sys::cardmark_close(&mut raw) };
    }
}

/// How to open a tracker. What is not set has its default; the environment (`CARDMARK_BACKEND`
/// and others, see cardmark(7)) comes before it.
#[derive(Clone, Copy)]
pub struct Options(sys::cardmark_options);

impl Default for Options {
    fn default() -> Self {
        Options(sys::cardmark_options::init())
    }
}

impl Options {
    /// All as it is by default.
    pub fn new() -> Options {
        Options::default()
    }
    /// This backend or an error.
    pub fn backend(mut self, backend: Backend) -> Options {
        self.0.backend = backend.raw();
        self
    }
    /// `CARDMARK_OPEN_*` of [`sys`].
    pub fn flags(mut self, flags: u32) -> Options {
        self.0.flags = flags;
        self
    }
    /// The longest piece given to one kernel call.
    pub fn chunk_bytes(mut self, bytes: usize) -> Options {
        self.0.chunk_bytes = bytes;
        self
    }
    /// Regions fetched by one kernel call.
    pub fn vec_len(mut self, n: usize) -> Options {
        self.0.vec_len = n;
        self
    }
    /// Threads that take part in a collect.
    pub fn threads(mut self, n: u32) -> Options {
        self.0.threads = n;
        self
    }
    /// `CARDMARK_HUGE_*`.
    pub fn huge(mut self, huge: sys::cardmark_huge) -> Options {
        self.0.huge = huge;
        self
    }
    /// `CARDMARK_VERIFY_*`.
    pub fn verify(mut self, verify: sys::cardmark_verify) -> Options {
        self.0.verify = verify;
        self
    }
    /// For how many collects cards that are always dirty are not asked for.
    pub fn backoff(mut self, collects: u32) -> Options {
        self.0.backoff = collects;
        self
    }
    /// Opens it.
    pub fn open(&self) -> Result<Tracker, Error> {
        let mut raw = ptr::null_mut();
        check(unsafe { sys::cardmark_open(&mut raw, &self.0) })?;
        let inner = Inner(NonNull::new(raw).expect("cardmark_open() gives a tracker"));
        Ok(Tracker { inner: Arc::new(inner) })
    }
}

/// How exact the answer of a collect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    /// The backend reported every card that was added.
    Exact,
    /// Some ranges were added whole because a call failed.
    Guessed,
    /// The table is all dirty; nothing was harvested.
    AllDirty,
    /// The same, because the call was wrong: the table is another tracker's, for example.
    Refused,
}

impl Collected {
    fn from_raw(raw: sys::cardmark_collected) -> Collected {
        match raw {
            sys::CARDMARK_EXACT => Collected::Exact,
            sys::CARDMARK_GUESSED => Collected::Guessed,
            sys::CARDMARK_REFUSED => Collected::Refused,
            _ => Collected::AllDirty,
        }
    }
}

/// Which backend a tracker has, and why.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    /// In use.
    pub backend: Backend,
    /// The bits `CARDMARK_CAP_*` of [`sys`].
    pub capabilities: u32,
    /// Why no better one is in use; "" if this is the best.
    pub why_no_better: &'a str,
}

/// Watches ranges of this process's memory. A clone is the same tracker.
#[derive(Clone)]
pub struct Tracker {
    inner: Arc<Inner>,
}

impl Tracker {
    /// Opens one with the best backend that works here.
    pub fn open() -> Result<Tracker, Error> {
        Options::new().open()
    }

    /// For calls of C. It is closed with the last clone.
    pub fn as_raw(&self) -> *mut sys::cardmark {
        self.inner.raw()
    }

    /// A table for answers.
    pub fn table(&self) -> Result<Table, Error> {
        Table::new(&self.inner)
    }

    /// One who asks for itself.
    pub fn consumer(&self) -> Result<Consumer, Error> {
        let mut raw = ptr::null_mut();
        check(unsafe { sys::cardmark_consumer_new(&mut raw, self.as_raw()) })?;
        let raw = NonNull::new(raw).expect("cardmark_consumer_new() gives a consumer");
        Ok(Consumer { raw, _tracker: self.inner.clone() })
    }

    /// Zeroed memory of at least so many bytes, in whole cards, that is tracked as long as it
    /// lives.
    pub fn buffer(&self, bytes: usize) -> Result<Buffer, Error> {
        Buffer::new(self, bytes)
    }

    /// Tracks `len` bytes from `addr` on. `flags` are `CARDMARK_TRACK_*` of [`sys`], or 0.
    ///
    /// # Safety
    ///
    /// Until [`untrack`](Tracker::untrack) or the end of the tracker:
    /// - the whole range is memory that the caller owns, and stays mapped as it is;
    /// - `flags` say what is true of it;
    /// - it holds nothing that a signal handler or the library needs to write: no stack, and no
    ///   data of the allocator or of the C library, unless the backend has
    ///   `CARDMARK_CAP_NO_TRAP`;
    /// - nobody changes its protection, unless the backend has `CARDMARK_CAP_MPROTECT`.
    pub unsafe fn track(&self, addr: *mut u8, len: usize, flags: u32) -> Result<(), Error> {
        check(sys::cardmark_track(self.as_raw(), addr.cast(), len, flags))
    }

    /// Stops tracking what is tracked of the range.
    pub fn untrack(&self, addr: *mut u8, len: usize) -> Result<(), Error> {
        check(unsafe { sys::cardmark_untrack(self.as_raw(), addr.cast(), len) })
    }

    /// Is every card of the range tracked?
    pub fn is_tracked(&self, addr: *const u8, len: usize) -> Result<bool, Error> {
        let mut answer = false;
        let code =
            unsafe { sys::cardmark_is_tracked(self.as_raw(), addr.cast(), len, &mut answer) };
        check(code)?;
        Ok(answer)
    }

    /// Adds every card written since the last collect to `table`, and arms those cards again.
    pub fn collect(&self, table: &mut Table) -> Collected {
        Collected::from_raw(unsafe { sys::cardmark_collect(self.as_raw(), table.as_raw()) })
    }

    /// The same for the cards of a range of addresses.
    pub fn collect_range(&self, range: Range<usize>, table: &mut Table) -> Collected {
        let (addr, len) = parts(range);
        Collected::from_raw(unsafe {
            sys::cardmark_collect_range(self.as_raw(), addr as *const _, len, table.as_raw())
        })
    }

    /// Adds the cards that were emptied. Opened with `CARDMARK_OPEN_DISCARDS`.
    pub fn discarded(&self, table: &mut Table) -> Collected {
        Collected::from_raw(unsafe { sys::cardmark_discarded(self.as_raw(), table.as_raw()) })
    }

    /// Harvests early, while mutators run. `-ENOTSUP`: not with this backend; nothing is lost.
    pub fn preclean(&self) -> Result<(), Error> {
        check(unsafe { sys::cardmark_preclean(self.as_raw()) })
    }

    /// The cards of the range are in every answer until [`release`](Tracker::release).
    pub fn hold(&self, range: Range<usize>) -> Result<(), Error> {
        let (addr, len) = parts(range);
        check(unsafe { sys::cardmark_hold(self.as_raw(), addr as *const _, len) })
    }

    /// Ends one hold of exactly this range.
    pub fn release(&self, range: Range<usize>) -> Result<(), Error> {
        let (addr, len) = parts(range);
        check(unsafe { sys::cardmark_release(self.as_raw(), addr as *const _, len) })
    }

    /// The full query.
    pub fn scan<'a>(&self, query: &Query, into: &'a mut [Region]) -> Result<Answer<'a>, Error> {
        query.ask(into, |q| unsafe { sys::cardmark_scan(self.as_raw(), q) })
    }

    /// Gives up descriptors and handlers for a while.
    pub fn suspend(&self) -> Result<(), Error> {
        check(unsafe { sys::cardmark_suspend(self.as_raw()) })
    }

    /// Starts again, with everything dirty.
    pub fn resume(&self) -> Result<(), Error> {
        check(unsafe { sys::cardmark_resume(self.as_raw()) })
    }

    /// Which backend this is, and why.
    pub fn describe(&self) -> Result<Description<'_>, Error> {
        let mut d = sys::cardmark_description::init();
        check(unsafe { sys::cardmark_describe(self.as_raw(), &mut d) })?;
        // Lives as long as the tracker, and so as long as self.
        let why = unsafe { CStr::from_ptr(d.why_no_better) }.to_str().unwrap_or("");
        Ok(Description {
            backend: Backend::from_raw(d.backend),
            capabilities: d.capabilities,
            why_no_better: why,
        })
    }

    /// The counters.
    pub fn stats(&self) -> Result<Stats, Error> {
        let mut stats = Stats::init();
        check(unsafe { sys::cardmark_stats(self.as_raw(), &mut stats) })?;
        Ok(stats)
    }
}

/// An address and a length; a range that ends before it starts is empty.
pub(crate) fn parts(range: Range<usize>) -> (usize, usize) {
    (range.start, range.end.saturating_sub(range.start))
}

/// Answers what was written since *it* last asked, whatever others ask.
pub struct Consumer {
    raw: NonNull<sys::cardmark_consumer>,
    _tracker: Arc<Inner>,
}

// A consumer's calls are calls on its tracker. To change it needs it alone.
unsafe impl Send for Consumer {}

impl Consumer {
    /// As [`Tracker::collect`].
    pub fn collect(&mut self, table: &mut Table) -> Collected {
        Collected::from_raw(unsafe {
            sys::cardmark_consumer_collect(self.raw.as_ptr(), table.as_raw())
        })
    }

    /// As [`Tracker::collect_range`].
    pub fn collect_range(&mut self, range: Range<usize>, table: &mut Table) -> Collected {
        let (addr, len) = parts(range);
        Collected::from_raw(unsafe {
            sys::cardmark_consumer_collect_range(
                self.raw.as_ptr(),
                addr as *const _,
                len,
                table.as_raw(),
            )
        })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let mut raw = self.raw.as_ptr();
        unsafe { sys::cardmark_consumer_delete(&mut raw) };
    }
}

/// A handle that may go to another thread, and not be used by two at once.
pub(crate) type OneThread = PhantomData<*mut u8>;
