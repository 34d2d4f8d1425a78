// SPDX-License-Identifier: MIT
//! Which pages of a heap were written since I last asked?
//!
//! This crate is [libcardmark](sys) for Rust. A [`Tracker`] watches memory of this process. A
//! [`Table`] holds dirty cards (a card is a page, [`card_size()`] bytes), and
//! [`Table::runs`] goes through them. [`Consumer`] is for a second one who asks, and [`Process`]
//! looks at another process.
//!
#![doc = "```"]
#![doc = include_str!("../examples/written.rs")]
#![doc = "```"]
//!
//! # What is unsafe
//!
//! [`Tracker::track`] alone, because the library changes how the kernel protects that memory. A
//! [`Buffer`] is memory that is tracked as long as it lives, and safe. Reports are complete, or
//! too large; they are never too small, and a failure means "all dirty".
//!
//! # Threads
//!
//! A tracker may be used from any thread; the calls take turns. A table belongs to one thread at
//! a time: it is [`Send`] and not [`Sync`], and who changes it needs it alone. A tracker is closed
//! when the last of its clones, tables, consumers and buffers is gone.
//!
//! # While the world is stopped
//!
//! A collector may call us while other threads are stopped anywhere, perhaps in malloc. These
//! calls then allocate nothing and wait for a bounded time: all of [`Tracker`] but `open`,
//! `table`, `consumer`, `buffer`, `preclean`, `suspend` and `resume`; all of [`Table`] and
//! [`Consumer`]; [`Process::scan`]. Drop nothing of this crate then, and do not call
//! [`last_error()`] or [`probe()`].
//!
//! # Fork
//!
//! A child's copy of a tracker is the child's; everything in it counts as dirty at first.
#![warn(missing_docs)]

pub mod sys;

mod buffer;
mod process;
mod table;
mod tracker;

use std::ffi::{CStr, CString};
use std::fmt;
use std::os::raw::c_int;

pub use buffer::Buffer;
pub use process::Process;
pub use sys::cardmark_region as Region;
pub use sys::cardmark_stats as Stats;
pub use table::{Runs, Table};
pub use tracker::{Collected, Consumer, Description, Options, Tracker};

/// Why a call failed: a negative errno value of the closed list in `cardmark.h`. It holds no
/// text, so that a failure allocates nothing; [`last_error()`] has the cause in words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(c_int);

impl Error {
    /// `-EINVAL`, `-ENOMEM`, ...: below 0.
    pub fn code(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Static storage, never null.
        f.write_str(text(unsafe { sys::cardmark_strerror(self.0) }))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {})", self.0, self)
    }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        std::io::Error::from_raw_os_error(-error.0)
    }
}

fn check(code: c_int) -> Result<(), Error> {
    if code < 0 {
        Err(Error(code))
    } else {
        Ok(())
    }
}

/// The text at a pointer to static storage; "" if it is null or no UTF-8.
fn text(at: *const std::os::raw::c_char) -> &'static str {
    if at.is_null() {
        return "";
    }
    unsafe { CStr::from_ptr(at) }.to_str().unwrap_or("")
}

/// What was wrong in this thread's last failing call, in words; "" if none has failed.
pub fn last_error() -> String {
    unsafe { CStr::from_ptr(sys::cardmark_last_error()) }.to_string_lossy().into_owned()
}

/// The version of the library in use, such as "0.2.0".
pub fn version() -> &'static str {
    text(unsafe { sys::cardmark_version() })
}

/// Bytes in a card: the page size of this process.
pub fn card_size() -> usize {
    unsafe { sys::cardmark_card_size() }
}

/// A way to track writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backend(sys::cardmark_backend);

#[allow(missing_docs)]
impl Backend {
    pub const AUTO: Backend = Backend(sys::CARDMARK_BACKEND_AUTO);
    pub const PAGEMAP: Backend = Backend(sys::CARDMARK_BACKEND_PAGEMAP);
    pub const SOFTDIRTY: Backend = Backend(sys::CARDMARK_BACKEND_SOFTDIRTY);
    pub const UFFD: Backend = Backend(sys::CARDMARK_BACKEND_UFFD);
    pub const MPROTECT: Backend = Backend(sys::CARDMARK_BACKEND_MPROTECT);
    pub const ALLDIRTY: Backend = Backend(sys::CARDMARK_BACKEND_ALLDIRTY);

    /// "pagemap"; "" for one that this library does not know.
    pub fn name(self) -> &'static str {
        text(unsafe { sys::cardmark_backend_name(self.0) })
    }

    pub(crate) fn raw(self) -> sys::cardmark_backend {
        self.0
    }

    pub(crate) fn from_raw(raw: sys::cardmark_backend) -> Backend {
        Backend(raw)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({} {})", self.0, self.name())
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Backend {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let mut raw = 0;
        // A name with a zero byte is no backend's.
        let name = CString::new(name).unwrap_or_default();
        check(unsafe { sys::cardmark_backend_parse(name.as_ptr(), &mut raw) })?;
        Ok(Backend(raw))
    }
}

/// What trying a backend showed.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Which one.
    pub backend: Backend,
    /// Whether it works here.
    pub usable: bool,
    /// Whether this kernel is known to lose writes with it: used only if asked for by name.
    pub suspect: bool,
    /// 0 unusable, to 5: see `cardmark.h`.
    pub level: u32,
    /// The bits `CARDMARK_CAP_*` of [`sys`].
    pub capabilities: u32,
    /// The bits `CARDMARK_PAGE_*` that a scan can answer.
    pub categories: u64,
    /// Why it does not work, or what to know about it.
    pub reason: String,
}

/// All backends, the best first. Each is tried once in a process.
pub fn probe() -> impl Iterator<Item = Probe> {
    (0..).map_while(|index| {
        let mut p = sys::cardmark_probe::init();
        check(unsafe { sys::cardmark_probe(index, &mut p) }).ok()?;
        Some(Probe {
            backend: Backend(p.backend),
            usable: p.usable,
            suspect: p.suspect,
            level: p.level,
            capabilities: p.capabilities,
            categories: p.categories,
            // Ends with a zero: the library filled it in.
            reason: unsafe { CStr::from_ptr(p.reason.as_ptr()) }.to_string_lossy().into_owned(),
        })
    })
}

/// The full query. Its fields are those of `struct cardmark_query` in `cardmark.h`.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// The first address, card-aligned.
    pub start: usize,
    /// Bytes.
    pub len: usize,
    /// `CARDMARK_SCAN_GET`, `_CLEAR` or `_GET_AND_CLEAR` of [`sys`].
    pub op: sys::cardmark_scan_op,
    /// 0, or `CARDMARK_SCAN_IGNORE_NEW`.
    pub flags: u32,
    /// Pages with all of these categories ...
    pub required: u64,
    /// ... and, if not 0, at least one of these ...
    pub any_of: u64,
    /// ... and none of these.
    pub excluded: u64,
    /// Categories that split and label regions.
    pub returned: u64,
    /// Stop after so many cards; 0: no limit.
    pub max_pages: usize,
}

impl Query {
    /// What was written in a range of addresses, looked at only.
    pub fn written(range: std::ops::Range<usize>) -> Query {
        Query {
            start: range.start,
            len: range.end.saturating_sub(range.start),
            op: sys::CARDMARK_SCAN_GET,
            flags: 0,
            required: sys::CARDMARK_PAGE_WRITTEN,
            any_of: 0,
            excluded: 0,
            returned: sys::CARDMARK_PAGE_WRITTEN,
            max_pages: 0,
        }
    }

    /// Asks by `call`, with the answer in `into`.
    fn ask<'a>(
        &self,
        into: &'a mut [Region],
        call: impl FnOnce(*mut sys::cardmark_query) -> c_int,
    ) -> Result<Answer<'a>, Error> {
        let mut q = sys::cardmark_query::init();
        q.start = self.start as *mut _;
        q.len = self.len;
        q.op = self.op;
        q.flags = self.flags;
        q.required = self.required;
        q.any_of = self.any_of;
        q.excluded = self.excluded;
        q.returned = self.returned;
        q.max_pages = self.max_pages;
        q.regions = into.as_mut_ptr();
        q.capacity = into.len();
        check(call(&mut q))?;
        Ok(Answer {
            regions: &into[..q.count],
            pages: q.pages,
            resume: q.resume,
            guessed: q.guessed,
        })
    }
}

/// What a scan found.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Ascending, and none touches one like it.
    pub regions: &'a [Region],
    /// Matching cards: too many where guessed.
    pub pages: usize,
    /// Where to go on; the end of the range when complete.
    pub resume: usize,
    /// Whether some of it was reported because a call failed.
    pub guessed: bool,
}
