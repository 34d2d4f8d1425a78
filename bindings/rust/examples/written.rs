use cardmark::{card_size, last_error, Error, Tracker};

fn written() -> Result<(), Error> {
    let tracker = Tracker::open()?;
    let mut table = tracker.table()?;
    let mut heap = tracker.buffer(1 << 20)?;

    tracker.collect(&mut table); // from here on everything is clean
    table.clear();

    heap[5 * card_size()] = 1; // the mutator

    tracker.collect(&mut table); // cannot fail; at worst everything is dirty
    for run in table.runs(heap.addresses()) {
        println!("written: {:#x} to {:#x}", run.start, run.end);
    }
    Ok(())
}

fn main() {
    if written().is_err() {
        eprintln!("{}", last_error());
        std::process::exit(1);
    }
}
