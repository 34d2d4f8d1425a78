// SPDX-License-Identifier: MIT
//! The memory of another process.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::tracker::OneThread;
use crate::{check, sys, Answer, Error, Query, Region};

/// The full query on another process, to look only. Nothing in it stops or changes.
pub struct Process {
    raw: NonNull<sys::cardmark_process>,
    _one_thread: OneThread,
}

// process.h: any thread, but two may not use one handle at once.
unsafe impl Send for Process {}

impl Process {
    /// Needs what reading by ptrace(2) needs.
    pub fn open(pid: i32) -> Result<Process, Error> {
        let mut raw = ptr::null_mut();
        check(unsafe { sys::cardmark_process_open(&mut raw, pid) })?;
        Ok(Process {
            raw: NonNull::new(raw).expect("cardmark_process_open() gives a process"),
            _one_thread: PhantomData,
        })
    }

    /// The bits `CARDMARK_PAGE_*` that this kernel can answer.
    pub fn categories(&self) -> u64 {
        unsafe { sys::cardmark_process_categories(self.raw.as_ptr()) }
    }

    /// Nothing is guessed: a failure is an error.
    pub fn scan<'a>(&mut self, query: &Query, into: &'a mut [Region]) -> Result<Answer<'a>, Error> {
        query.ask(into, |q| unsafe { sys::cardmark_process_scan(self.raw.as_ptr(), q) })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut raw = self.raw.as_ptr();
        unsafe { sys::cardmark_process_close(&mut raw) };
    }
}
