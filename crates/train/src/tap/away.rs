//! A tap whose norms are taken beside the backward pass that left it.
//!
//! Threads that have nothing to do, because a product is too small for all of them or another one is late, take such norms up:
//! what a private step has to do more than an ordinary one fills the gaps that an ordinary one has.
use super::PerExample;
use engine::op::per_example::Squares;
use std::{
    panic::{self, AssertUnwindSafe},
    sync::mpsc::{Receiver, TryRecvError, channel},
    thread,
};

type Measured = (Box<dyn PerExample>, Squares);

/// A tap, and its norms, once they are there.
pub(super) struct Away(Receiver<thread::Result<Measured>>);

impl Away {
    /// Sends a tap to the pool.
    pub fn send(mut tap: Box<dyn PerExample>) -> Away {
        let (done, away) = channel();
        rayon::spawn(move || {
            let measured = panic::catch_unwind(AssertUnwindSafe(|| {
                let squares = tap.norms();
                (tap, squares)
            }));
            // Nobody waits any more if the backward pass itself has failed.
            let _ = done.send(measured);
        });
        Away(away)
    }

    /// The tap and its norms. A thread of the pool works on whatever there is in the meantime.
    ///
    /// # Panics
    /// As the norms did.
    pub fn wait(self) -> Measured {
        let measured = loop {
            match self.0.try_recv() {
                Ok(measured) => break measured,
                Err(TryRecvError::Empty) => match rayon::yield_now() {
                    Some(rayon::Yield::Executed) => {}
                    Some(rayon::Yield::Idle) => thread::yield_now(),
                    None => break self.0.recv().unwrap_or_else(lost),
                },
                Err(TryRecvError::Disconnected) => break lost(()),
            }
        };
        measured.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

fn lost<E, T>(_: E) -> thread::Result<T> {
    unreachable!("a task sends what it made, or its panic")
}
