//! What verbs ask of the process: its threads, and what Ctrl-C does.
use crate::Failure;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Computes on so many threads, where a number is given, and otherwise on all cores.
pub fn threads(wanted: Option<usize>) -> Result<(), Failure> {
    let pool = wanted.map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build_global());
    Ok(pool.transpose().map(drop)?)
}

/// A flag that Ctrl-C raises, so that work ends in good order; a second one ends the process at once, and no ledger on disk is ever behind.
pub fn interrupted() -> Result<Arc<AtomicBool>, Failure> {
    let raised = Arc::new(AtomicBool::new(false));
    let flag = raised.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })?;
    Ok(raised)
}
