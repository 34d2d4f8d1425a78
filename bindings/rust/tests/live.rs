// SPDX-License-Identifier: MIT
//! The safe layer against this kernel: a TAP line for each case and backend. A backend that cannot
//! work here is skipped, with the reason, or fails if CARDMARK_REQUIRE names it.

use cardmark::{
    card_size, last_error, probe, sys, version, Answer, Backend, Buffer, Collected, Consumer,
};
use cardmark::{Error, Options, Probe, Process, Query, Region, Table, Tracker};
use std::env;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{SystemTime, UNIX_EPOCH};

const CARDS: usize = 64;

fn is_send<T: Send>() {}
fn is_sync<T: Sync>() {}

/// Compiles if `T` is not Sync: else two impls fit.
macro_rules! not_sync {
    ($($type:ty)*) => {$({
        trait Ambiguous<A> { fn some() {} }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct IsSync;
        impl<T: ?Sized + Sync> Ambiguous<IsSync> for T {}
        let _ = <$type as Ambiguous<_>>::some;
    })*};
}

#[allow(dead_code)]
fn threads_may() {
    is_send::<(Tracker, Table, Consumer, Process, Buffer, Error)>();
    is_sync::<(Tracker, Buffer, Error)>();
    not_sync!(Table Process Consumer);
}

struct Fixture {
    tracker: Tracker,
    table: Table,
    heap: Buffer,
    backend: Probe,
}

/// Tracked, clean and armed.
fn fixture(backend: &Probe) -> Fixture {
    let tracker = Options::new()
        .backend(backend.backend)
        .flags(sys::CARDMARK_OPEN_NO_ENV)
        .open()
        .unwrap_or_else(|e| panic!("{}: {}", e, last_error()));
    let mut table = tracker.table().unwrap();
    let mut heap = tracker.buffer(CARDS * card_size()).unwrap();
    heap.fill(1);
    tracker.collect(&mut table);
    table.clear();
    Fixture { tracker, table, heap, backend: backend.clone() }
}

impl Fixture {
    fn can(&self, capability: u32) -> bool {
        self.backend.capabilities & capability == capability
    }

    fn write(&mut self, card: usize) {
        let at = &mut self.heap[card * card_size()];
        unsafe { std::ptr::write_volatile(at, at.wrapping_add(1)) };
    }

    /// The dirty cards by the iterator, which is_dirty() must say too.
    fn dirty(&self, table: &Table) -> Vec<usize> {
        let heap = self.heap.addresses();
        let by_runs: Vec<usize> = table
            .runs(heap.clone())
            .flat_map(|run| run.step_by(card_size()))
            .map(|at| (at - heap.start) / card_size())
            .collect();
        let one_by_one: Vec<usize> =
            (0..CARDS).filter(|i| table.is_dirty(&self.heap[i * card_size()])).collect();
        assert_eq!(by_runs, one_by_one);
        by_runs
    }

    fn expect(&self, table: &Table, want: &[usize]) {
        let got = self.dirty(table);
        assert!(want.iter().all(|i| got.contains(i)), "lost: {:?} of {:?}", got, want);
        assert!(!self.can(sys::CARDMARK_CAP_PRECISE) || got == want, "{:?}, not {:?}", got, want);
    }
}

fn written_cards_come_in_runs(backend: &Probe) {
    let mut f = fixture(backend);
    for card in [3, 4, 40] {
        f.write(card);
    }
    assert_eq!(f.tracker.collect(&mut f.table), Collected::Exact);
    f.expect(&f.table, &[3, 4, 40]);
    if f.can(sys::CARDMARK_CAP_PRECISE) {
        let start = f.heap.addresses().start;
        let first = f.table.runs(f.heap.addresses()).next().unwrap();
        assert_eq!(first, start + 3 * card_size()..start + 5 * card_size());
        assert_eq!((f.table.runs(f.heap.addresses()).count(), f.table.count()), (2, 3));
    }
    f.table.clear();
    assert_eq!((f.table.runs(f.heap.addresses()).count(), f.table.all_dirty()), (0, false));
    let card = f.heap.addresses().start..f.heap.addresses().start + card_size();
    f.table.set_range(card.clone()).unwrap();
    assert!(f.table.is_dirty(&f.heap[0]));
    f.table.clear_range(card.clone()).unwrap();
    assert!(!f.table.is_dirty(&f.heap[0]));
    f.write(0);
    f.write(1);
    assert_eq!(f.tracker.collect_range(card, &mut f.table), Collected::Exact);
    assert!(f.table.is_dirty(&f.heap[0]));
    f.tracker.collect(&mut f.table);
    assert!(f.table.is_dirty(&f.heap[card_size()]));
}

fn errors_are_answers(backend: &Probe) {
    let f = fixture(backend);
    let heap = f.heap.addresses();
    // Not card-aligned: refused before anything is done.
    let error = unsafe { f.tracker.track((heap.start + 1) as *mut u8, 8, 0) }.unwrap_err();
    assert_eq!(error.code(), -22);
    assert!(!last_error().is_empty() && !error.to_string().is_empty());
    assert_eq!(std::io::Error::from(error).raw_os_error(), Some(22));
    assert_eq!(f.tracker.release(heap.clone()).unwrap_err().code(), -2);
    assert_eq!("uffd".parse::<Backend>().unwrap(), Backend::UFFD);
    assert!("nonesuch".parse::<Backend>().is_err() && "uf\0fd".parse::<Backend>().is_err());
    assert_eq!(f.tracker.is_tracked(heap.start as *const u8, f.heap.len()), Ok(true));
    assert!(f.tracker.buffer(usize::MAX).is_err());
    assert!(version().starts_with("0."));
}

fn each_consumer_gets_every_write(backend: &Probe) {
    let mut f = fixture(backend);
    let mut snapshot = f.tracker.consumer().unwrap();
    let mut saved = f.tracker.table().unwrap();
    snapshot.collect(&mut saved);
    saved.clear();
    f.write(5);
    f.tracker.collect(&mut f.table);
    f.expect(&f.table, &[5]);
    f.write(6);
    snapshot.collect_range(f.heap.addresses(), &mut saved);
    f.expect(&saved, &[5, 6]);
    f.table.union(&saved).unwrap();
    f.expect(&f.table, &[5, 6]);
}

fn holds_precleans_suspends(backend: &Probe) {
    let mut f = fixture(backend);
    let start = f.heap.addresses().start + 7 * card_size();
    f.tracker.hold(start..start + 8).unwrap();
    f.tracker.collect(&mut f.table);
    f.expect(&f.table, &[7]);
    f.tracker.release(start..start + 8).unwrap();
    f.tracker.collect(&mut f.table);
    f.table.clear();
    f.write(8);
    match f.tracker.preclean() {
        Ok(()) => {}
        Err(e) => assert!(e.code() == -95 && !f.can(sys::CARDMARK_CAP_CONCURRENT)),
    }
    f.tracker.collect(&mut f.table);
    f.expect(&f.table, &[8]);
    assert_eq!(f.tracker.resume().unwrap_err().code(), -22);
    f.tracker.suspend().and_then(|()| f.tracker.resume()).unwrap();
    f.tracker.collect(&mut f.table);
    assert!(f.table.is_dirty(&f.heap[0]));
    let d = f.tracker.describe().unwrap();
    assert_eq!((d.backend, d.capabilities), (f.backend.backend, f.backend.capabilities));
    let stats = f.tracker.stats().unwrap();
    assert_eq!((stats.suspends, stats.tracked_bytes), (1, f.heap.len() as u64));
    assert_eq!(f.tracker.discarded(&mut f.table), Collected::Refused);
}

fn a_scan_names_the_written(backend: &Probe) {
    let mut f = fixture(backend);
    let mut found = [Region { start: 0, end: 0, categories: 0 }; 8];
    let mut query = Query::written(f.heap.addresses());
    query.op = sys::CARDMARK_SCAN_GET_AND_CLEAR;
    f.write(11);
    let heap = f.heap.addresses();
    let Answer { regions, resume, .. } = f.tracker.scan(&query, &mut found).unwrap();
    assert_eq!((regions.len(), resume), (1, heap.end));
    let at = heap.start + 11 * card_size();
    assert!(regions[0].start <= at && at < regions[0].end);
    assert!(f.tracker.scan(&query, &mut []).is_err());
    match Process::open(std::process::id() as i32) {
        Ok(mut process) => {
            query.op = sys::CARDMARK_SCAN_GET;
            query.required = sys::CARDMARK_PAGE_PRESENT;
            query.returned = sys::CARDMARK_PAGE_PRESENT;
            assert_ne!(process.categories() & sys::CARDMARK_PAGE_PRESENT, 0);
            assert_eq!(process.scan(&query, &mut found).unwrap().pages, CARDS);
        }
        Err(e) => assert_eq!(e.code(), -95),
    }
    assert_eq!(Process::open(-1).err().unwrap().code(), -22);
}

/// What may happen in any order of drops, and in other threads.
fn handles_go_where_they_like(backend: &Probe) {
    let Fixture { tracker, mut table, mut heap, .. } = fixture(backend);
    let snapshot = tracker.consumer().unwrap();
    let other = tracker.clone();
    drop(tracker); // the clone, the table and the others keep it open
    std::thread::scope(|scope| {
        scope.spawn(move || drop(snapshot));
        scope.spawn(|| heap[9 * card_size()] = 7);
        scope.spawn(|| other.stats().unwrap());
    });
    let table = std::thread::scope(|scope| {
        scope.spawn(|| (other.collect(&mut table), table).1).join().unwrap()
    });
    assert!(table.is_dirty(&heap[9 * card_size()]));
    let addresses = heap.addresses();
    drop(heap);
    assert_eq!(other.is_tracked(addresses.start as *const u8, 1), Ok(false));
    drop(other);
    assert!(!table.all_dirty());
}

/// What random writers wrote is in the answer. `lose`: one answer is thrown away.
fn lost_writes(backend: &Probe, seed: &mut u64, lose: bool) -> usize {
    let mut f = fixture(backend);
    let mut lost = 0;
    for round in 0..200 {
        let mut want = Vec::new();
        for _ in 0..10 {
            *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            want.push((*seed >> 33) as usize % CARDS);
            f.write(want[want.len() - 1]);
        }
        f.tracker.collect(&mut f.table);
        if lose && round == 100 {
            f.table.clear();
            f.tracker.collect(&mut f.table);
        }
        let got = f.dirty(&f.table);
        lost += want.iter().filter(|i| !got.contains(i)).count();
        f.table.clear();
    }
    lost
}

fn no_write_is_lost(backend: &Probe) {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut seed = env::var("CARDMARK_TEST_SEED").map_or(clock, |s| s.parse().unwrap());
    println!("# CARDMARK_TEST_SEED={}", seed);
    assert_eq!(lost_writes(backend, &mut seed, false), 0);
    // Control: a write that is lost is noticed. Who reports everything loses nothing.
    let lost = lost_writes(backend, &mut seed, true);
    assert_eq!(lost > 0, backend.capabilities & sys::CARDMARK_CAP_PRECISE != 0);
    println!("# control: an answer thrown away, {} writes missed", lost);
}

/// Writers run while a collect does: each write is in that answer or in the next.
fn writers_may_run(backend: &Probe) {
    let mut f = fixture(backend);
    if !f.can(sys::CARDMARK_CAP_CONCURRENT) {
        return println!("# {}: needs its writers stopped", backend.backend);
    }
    for round in 0..50 {
        let (tracker, table, heap) = (&f.tracker, &mut f.table, &mut f.heap);
        std::thread::scope(|scope| {
            scope.spawn(|| heap.iter_mut().step_by(card_size()).for_each(|byte| *byte = round));
            tracker.collect(table);
        });
        f.tracker.collect(&mut f.table);
        assert_eq!(f.dirty(&f.table).len(), CARDS);
        f.table.clear();
    }
}

type Case = (&'static str, fn(&Probe));

fn main() {
    let cases: &[Case] = &[
        ("written cards come in runs", written_cards_come_in_runs),
        ("errors are answers", errors_are_answers),
        ("each consumer gets every write", each_consumer_gets_every_write),
        ("holds, precleans, suspends", holds_precleans_suspends),
        ("a scan names the written", a_scan_names_the_written),
        ("handles go where they like", handles_go_where_they_like),
        ("no write is lost", no_write_is_lost),
        ("writers may run", writers_may_run),
    ];
    let required = env::var("CARDMARK_REQUIRE").unwrap_or_default();
    let (mut n, mut failed) = (0, 0);
    let mut line = |ok: bool, text: String| {
        n += 1;
        failed += !ok as i32;
        println!("{}ok {} - {}", if ok { "" } else { "not " }, n, text);
    };
    for backend in probe() {
        let name = backend.backend.name();
        if !backend.usable {
            let must = required.split(',').any(|word| word == name);
            line(
                !must,
                format!(
                    "{}: works here{}{}",
                    name,
                    if must { ": no: " } else { " # SKIP " },
                    backend.reason
                ),
            );
            continue;
        }
        for (case, run) in cases {
            let ok = catch_unwind(AssertUnwindSafe(|| run(&backend))).is_ok();
            line(ok, format!("{}: {}", name, case));
        }
    }
    println!("1..{}", n);
    std::process::exit((failed > 0) as i32);
}
