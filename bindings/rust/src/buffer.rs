// SPDX-License-Identifier: MIT
//! Memory that is tracked as long as it lives.

use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

use crate::{card_size, Error, Tracker};

/// Whole cards of memory of its own, tracked. It is a slice of bytes.
///
/// With a backend that lacks `CARDMARK_CAP_KERNEL_WRITES` a system call that writes into a clean
/// card, such as read(2), fails with `EFAULT`: let it write elsewhere, and copy.
pub struct Buffer {
    at: NonNull<u8>,
    layout: Layout,
    tracker: Tracker,
}

// As a boxed slice.
unsafe impl Send for Buffer {}
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(crate) fn new(tracker: &Tracker, bytes: usize) -> Result<Buffer, Error> {
        const ENOMEM: i32 = 12;
        let card = card_size();
        let layout = bytes
            .max(1)
            .checked_add(card - 1)
            .and_then(|n| Layout::from_size_align(n & !(card - 1), card).ok())
            .ok_or(Error(-ENOMEM))?;
        // Not of size 0.
        let at = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Error(-ENOMEM))?;
        // It is ours, in whole cards, and stays until drop() has untracked it.
        match unsafe { tracker.track(at.as_ptr(), layout.size(), 0) } {
            Ok(()) => Ok(Buffer { at, layout, tracker: tracker.clone() }),
            Err(error) => {
                unsafe { dealloc(at.as_ptr(), layout) };
                Err(error)
            }
        }
    }

    /// Where it is, for the calls that take addresses.
    pub fn addresses(&self) -> Range<usize> {
        let start = self.at.as_ptr() as usize;
        start..start + self.layout.size()
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.layout.size()) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let size = self.layout.size();
        let _ = self.tracker.untrack(self.at.as_ptr(), size);
        // What may still be tracked must stay mapped: a leak, and no write to what comes after.
        let gone = (0..size)
            .step_by(card_size())
            .all(|i| self.tracker.is_tracked(self.at.as_ptr().wrapping_add(i), 1) == Ok(false));
        if gone {
            unsafe { dealloc(self.at.as_ptr(), self.layout) };
        }
    }
}
