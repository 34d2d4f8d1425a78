// SPDX-License-Identifier: MIT
//! The calls and structs of `<cardmark/cardmark.h>` and `<cardmark/process.h>` as they are in C.
//! The header explains each. `tests/layout.rs` compares sizes, offsets, constants and names with
//! the headers.
#![allow(non_camel_case_types, missing_docs)]

use std::os::raw::{c_char, c_int, c_uint, c_void};

/// Opaque structs.
macro_rules! opaque {
    ($($name:ident)*) => {$(
        #[repr(C)]
        pub struct $name {
            _bytes: [u8; 0],
            // Neither Send nor Sync nor Unpin: C has the last word.
            _marker: std::marker::PhantomData<(*mut u8, std::marker::PhantomPinned)>,
        }
    )*};
}

opaque!(cardmark cardmark_table cardmark_consumer cardmark_process sigaction);

/// A C enum: an int as wide as that of C, so that a number of a newer library is no undefined
/// behaviour.
pub type cardmark_backend = c_uint;
pub type cardmark_collected = c_uint;
pub type cardmark_scan_op = c_uint;
pub type cardmark_huge = c_uint;
pub type cardmark_verify = c_uint;

/// The constants, and a list of their names and values for the test.
macro_rules! constants {
    ($($name:ident: $type:ty = $value:expr;)*) => {
        $(pub const $name: $type = $value;)*
        #[doc(hidden)]
        pub const CONSTANTS: &[(&str, u64)] = &[$((stringify!($name), $value as u64)),*];
    };
}

constants! {
    CARDMARK_VERSION_MAJOR: c_int = 0;
    CARDMARK_VERSION_MINOR: c_int = 2;
    CARDMARK_VERSION_PATCH: c_int = 0;

    CARDMARK_BACKEND_AUTO: cardmark_backend = 0;
    CARDMARK_BACKEND_PAGEMAP: cardmark_backend = 1;
    CARDMARK_BACKEND_SOFTDIRTY: cardmark_backend = 2;
    CARDMARK_BACKEND_UFFD: cardmark_backend = 3;
    CARDMARK_BACKEND_MPROTECT: cardmark_backend = 4;
    CARDMARK_BACKEND_ALLDIRTY: cardmark_backend = 5;

    CARDMARK_CAP_PRECISE: c_uint = 1 << 0;
    CARDMARK_CAP_CONCURRENT: c_uint = 1 << 1;
    CARDMARK_CAP_KERNEL_WRITES: c_uint = 1 << 2;
    CARDMARK_CAP_REMAP: c_uint = 1 << 3;
    CARDMARK_CAP_MPROTECT: c_uint = 1 << 4;
    CARDMARK_CAP_NO_TRAP: c_uint = 1 << 5;
    CARDMARK_CAP_SHARED: c_uint = 1 << 6;
    CARDMARK_CAP_CATEGORIES: c_uint = 1 << 7;

    CARDMARK_PAGE_WPALLOWED: u64 = 1 << 0;
    CARDMARK_PAGE_WRITTEN: u64 = 1 << 1;
    CARDMARK_PAGE_FILE: u64 = 1 << 2;
    CARDMARK_PAGE_PRESENT: u64 = 1 << 3;
    CARDMARK_PAGE_SWAPPED: u64 = 1 << 4;
    CARDMARK_PAGE_PFNZERO: u64 = 1 << 5;
    CARDMARK_PAGE_HUGE: u64 = 1 << 6;
    CARDMARK_PAGE_SOFT_DIRTY: u64 = 1 << 7;
    CARDMARK_PAGE_GUARD: u64 = 1 << 8;
    CARDMARK_PAGE_ALL: u64 = 0x1ff;

    CARDMARK_OPEN_CONCURRENT: c_uint = 1 << 0;
    CARDMARK_OPEN_NO_ENV: c_uint = 1 << 1;
    CARDMARK_OPEN_DISCARDS: c_uint = 1 << 2;
    CARDMARK_OPEN_DISCARD_IS_WRITE: c_uint = 1 << 3;

    CARDMARK_HUGE_KEEP: cardmark_huge = 0;
    CARDMARK_HUGE_SPLIT: cardmark_huge = 1;
    CARDMARK_HUGE_NEVER: cardmark_huge = 2;

    CARDMARK_VERIFY_DEFAULT: cardmark_verify = 0;
    CARDMARK_VERIFY_OFF: cardmark_verify = 1;
    CARDMARK_VERIFY_HASH: cardmark_verify = 2;

    CARDMARK_TRACK_PRIVATE: c_uint = 1 << 0;
    CARDMARK_TRACK_FILE: c_uint = 1 << 1;

    CARDMARK_EXACT: cardmark_collected = 0;
    CARDMARK_GUESSED: cardmark_collected = 1;
    CARDMARK_ALL_DIRTY: cardmark_collected = 2;
    CARDMARK_REFUSED: cardmark_collected = 3;

    CARDMARK_SCAN_GET: cardmark_scan_op = 1;
    CARDMARK_SCAN_CLEAR: cardmark_scan_op = 2;
    CARDMARK_SCAN_GET_AND_CLEAR: cardmark_scan_op = 3;
    CARDMARK_SCAN_IGNORE_NEW: c_uint = 1 << 0;
}

/// A struct of C, and a list of its fields with their offsets and sizes for the test.
macro_rules! structs {
    ($($(#[$attr:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$attr])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug)]
            pub struct $name { $(pub $field: $type,)* }
        )*
        /// `STRUCT` and its size, `STRUCT.FIELD` and its offset, `STRUCT.FIELD size`.
        #[doc(hidden)]
        pub fn layout() -> Vec<(String, u64)> {
            let mut all = Vec::new();
            $(
                let it = std::mem::MaybeUninit::<$name>::uninit();
                let base = it.as_ptr();
                all.push((stringify!($name).to_string(), std::mem::size_of::<$name>() as u64));
                $(
                    // Only addresses are taken: nothing is read.
                    let field = unsafe { std::ptr::addr_of!((*base).$field) };
                    let name = concat!(stringify!($name), ".", stringify!($field));
                    all.push((name.to_string(), field as u64 - base as u64));
                    all.push((format!("{} size", name), size_of_pointee(field)));
                )*
            )*
            all
        }
    };
}

fn size_of_pointee<T>(_: *const T) -> u64 {
    std::mem::size_of::<T>() as u64
}

structs! {
    cardmark_probe {
        size: usize,
        backend: cardmark_backend,
        usable: bool,
        suspect: bool,
        level: c_uint,
        capabilities: c_uint,
        categories: u64,
        reason: [c_char; 256],
    }
    cardmark_options {
        size: usize,
        backend: cardmark_backend,
        flags: c_uint,
        chunk_bytes: usize,
        vec_len: usize,
        threads: c_uint,
        huge: cardmark_huge,
        verify: cardmark_verify,
        backoff: c_uint,
    }
    cardmark_description {
        size: usize,
        backend: cardmark_backend,
        capabilities: c_uint,
        why_no_better: *const c_char,
    }
    cardmark_run {
        start: usize,
        end: usize,
    }
    cardmark_region {
        start: usize,
        end: usize,
        categories: u64,
    }
    cardmark_query {
        size: usize,
        start: *mut c_void,
        len: usize,
        op: cardmark_scan_op,
        flags: c_uint,
        required: u64,
        any_of: u64,
        excluded: u64,
        returned: u64,
        max_pages: usize,
        regions: *mut cardmark_region,
        capacity: usize,
        count: usize,
        pages: usize,
        resume: usize,
        guessed: bool,
    }
    cardmark_stats {
        size: usize,
        backend: cardmark_backend,
        ranges: u64,
        tracked_bytes: u64,
        table_bytes: u64,
        collects: u64,
        dirty_cards: u64,
        kernel_calls: u64,
        faults: u64,
        guessed_ranges: u64,
        rearmed_ranges: u64,
        all_dirty: u64,
        forks: u64,
        collect_ns: u64,
        collect_max_ns: u64,
        last_errno: c_int,
        holds: c_uint,
        precleans: u64,
        precleaned_cards: u64,
        preclean_ns: u64,
        discarded_cards: u64,
        suspends: u64,
        reopened: u64,
        threads: u64,
        verify_checked: u64,
        verify_changed: u64,
        verify_missed: u64,
        verify_false: u64,
        verify_first_missed: u64,
        backoff_cards: u64,
    }
}

/// What `_INIT` of C does: the size, and zeros.
macro_rules! init {
    ($($name:ident)*) => {$(
        impl $name {
            pub fn init() -> Self {
                // All fields are numbers, pointers that may be null, or bools that are false.
                let mut it: Self = unsafe { std::mem::zeroed() };
                it.size = std::mem::size_of::<Self>();
                it
            }
        }
    )*};
}

init!(cardmark_probe cardmark_options cardmark_description cardmark_stats);

impl cardmark_query {
    pub fn init() -> Self {
        let mut it: Self = unsafe { std::mem::zeroed() };
        it.size = std::mem::size_of::<Self>();
        it.op = CARDMARK_SCAN_GET;
        it
    }
}

/// The functions, and a list of their names for the test.
macro_rules! functions {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)?;)*) => {
        extern "C" { $(pub fn $name($($arg: $type),*) $(-> $ret)?;)* }
        #[doc(hidden)]
        pub const FUNCTIONS: &[&str] = &[$(stringify!($name)),*];
    };
}

functions! {
    fn cardmark_version() -> *const c_char;
    fn cardmark_card_size() -> usize;
    fn cardmark_strerror(error: c_int) -> *const c_char;
    fn cardmark_last_error() -> *const c_char;
    fn cardmark_backend_name(backend: cardmark_backend) -> *const c_char;
    fn cardmark_backend_parse(name: *const c_char, out: *mut cardmark_backend) -> c_int;
    fn cardmark_probe(index: c_uint, out: *mut cardmark_probe) -> c_int;
    fn cardmark_open(out: *mut *mut cardmark, options: *const cardmark_options) -> c_int;
    fn cardmark_close(cm: *mut *mut cardmark);
    fn cardmark_describe(cm: *const cardmark, out: *mut cardmark_description) -> c_int;
    fn cardmark_track(cm: *mut cardmark, addr: *mut c_void, len: usize, flags: c_uint) -> c_int;
    fn cardmark_untrack(cm: *mut cardmark, addr: *mut c_void, len: usize) -> c_int;
    fn cardmark_is_tracked(cm: *mut cardmark, addr: *const c_void, len: usize, out: *mut bool) -> c_int;
    fn cardmark_table_new(out: *mut *mut cardmark_table, cm: *mut cardmark) -> c_int;
    fn cardmark_table_delete(table: *mut *mut cardmark_table);
    fn cardmark_table_is_dirty(table: *const cardmark_table, addr: *const c_void) -> bool;
    fn cardmark_table_next(table: *const cardmark_table, from: usize, to: usize, out: *mut cardmark_run) -> bool;
    fn cardmark_table_all_dirty(table: *const cardmark_table) -> bool;
    fn cardmark_table_count(table: *const cardmark_table) -> usize;
    fn cardmark_table_union(dst: *mut cardmark_table, src: *const cardmark_table) -> c_int;
    fn cardmark_table_set_range(table: *mut cardmark_table, addr: *const c_void, len: usize) -> c_int;
    fn cardmark_table_clear(table: *mut cardmark_table);
    fn cardmark_table_clear_range(table: *mut cardmark_table, addr: *const c_void, len: usize) -> c_int;
    fn cardmark_collect(cm: *mut cardmark, table: *mut cardmark_table) -> cardmark_collected;
    fn cardmark_collect_range(cm: *mut cardmark, addr: *const c_void, len: usize, table: *mut cardmark_table) -> cardmark_collected;
    fn cardmark_consumer_new(out: *mut *mut cardmark_consumer, cm: *mut cardmark) -> c_int;
    fn cardmark_consumer_delete(consumer: *mut *mut cardmark_consumer);
    fn cardmark_consumer_collect(consumer: *mut cardmark_consumer, table: *mut cardmark_table) -> cardmark_collected;
    fn cardmark_consumer_collect_range(consumer: *mut cardmark_consumer, addr: *const c_void, len: usize, table: *mut cardmark_table) -> cardmark_collected;
    fn cardmark_preclean(cm: *mut cardmark) -> c_int;
    fn cardmark_hold(cm: *mut cardmark, addr: *const c_void, len: usize) -> c_int;
    fn cardmark_release(cm: *mut cardmark, addr: *const c_void, len: usize) -> c_int;
    fn cardmark_discarded(cm: *mut cardmark, table: *mut cardmark_table) -> cardmark_collected;
    fn cardmark_suspend(cm: *mut cardmark) -> c_int;
    fn cardmark_resume(cm: *mut cardmark) -> c_int;
    fn cardmark_sigaction(sig: c_int, act: *const sigaction, old: *mut sigaction) -> c_int;
    fn cardmark_scan(cm: *mut cardmark, query: *mut cardmark_query) -> c_int;
    fn cardmark_stats(cm: *mut cardmark, stats: *mut cardmark_stats) -> c_int;
    fn cardmark_process_open(out: *mut *mut cardmark_process, pid: c_int) -> c_int;
    fn cardmark_process_close(process: *mut *mut cardmark_process);
    fn cardmark_process_categories(process: *const cardmark_process) -> u64;
    fn cardmark_process_scan(process: *mut cardmark_process, query: *mut cardmark_query) -> c_int;
}
