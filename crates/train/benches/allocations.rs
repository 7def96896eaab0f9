//! What a step asks of the allocator: nothing large, once the first steps have been made.
//!
//! `cargo bench -p secateur-train --bench allocations` prints, for each workload and mode, how many allocations of what size
//! a step makes after five steps of warm-up. Storage of tensors and gradients waits in the engine for the next step.
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use train::{config::Mode, workload};

/// Counts allocations by size, and the largest.
struct Counting;
static SMALL: AtomicUsize = AtomicUsize::new(0);
static LARGE: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);
/// Bytes above which an allocation counts as large.
const LIMIT: usize = 32 << 10;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

fn count(size: usize) {
    if size > LIMIT {
        LARGE.fetch_add(1, Relaxed)
    } else {
        SMALL.fetch_add(1, Relaxed)
    };
    LARGEST.fetch_max(size, Relaxed);
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{:<9}{:<10}{:>14}{:>22}{:>16}", "workload", "mode", "allocations", "of more than 32 KiB", "largest, KiB");
    for workload in workload::ALL.into_iter().filter(|w| w.name != "W5") {
        for mode in [Mode::Ordinary, Mode::Private] {
            let config = workload.config(mode, &[])?;
            let mut trainer = workload.trainer(&config, workload.batch)?;
            (0..5).try_for_each(|_| trainer.step())?;
            [&SMALL, &LARGE, &LARGEST].into_iter().for_each(|counter| counter.store(0, Relaxed));
            trainer.step()?;
            let [small, large, largest] = [&SMALL, &LARGE, &LARGEST].map(|counter| counter.load(Relaxed));
            let mode = if mode == Mode::Private { "private" } else { "ordinary" };
            println!("{:<9}{mode:<10}{:>14}{large:>22}{:>16.1}", workload.name, small + large, largest as f64 / 1024.0);
        }
    }
    Ok(())
}
