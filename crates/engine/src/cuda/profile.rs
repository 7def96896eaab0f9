//! Where a GPU's time goes: how long each kernel and library call took, by name.
//!
//! An event before and one after each piece of work; the gaps between pieces are nobody's. Beside it, how long the host took to
//! ask for the work.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cudarc::driver::result::event;
use cudarc::driver::sys;

use super::dnn::Shape;
use super::gpu::{Gpu, lock};

/// One piece of work, between two events.
pub(super) struct Timed {
    name: String,
    asking: Duration,
    before: sys::CUevent,
    after: sys::CUevent,
}

// SAFETY: events may be used from any thread whose current context is theirs.
unsafe impl Send for Timed {}

/// What the work of one name took.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// A kernel, or a library's call and its size.
    pub name: String,
    /// How often it ran.
    pub calls: usize,
    /// Milliseconds altogether.
    pub ms: f64,
    /// Milliseconds of the host's until it was asked for.
    pub host_ms: f64,
}

impl Gpu {
    /// From now on every kernel and library call is timed, which makes steps of small models slower.
    pub fn start_profile(&self) {
        self.profiling.store(true, Ordering::Relaxed);
    }

    /// What was timed since [`Gpu::start_profile`], what took longest first; nothing is timed any more.
    pub fn end_profile(&self) -> Vec<Taken> {
        self.profiling.store(false, Ordering::Relaxed);
        self.wait();
        let mut by_name: BTreeMap<String, (usize, f64, f64)> = BTreeMap::new();
        for Timed { name, asking, before, after } in lock(&self.timings).drain(..) {
            // SAFETY: both events were recorded on a stream that was waited for, and are destroyed once, here.
            let ms = unsafe {
                let ms = event::elapsed(before, after);
                let _ = (sys::cuEventDestroy_v2(before), sys::cuEventDestroy_v2(after));
                f64::from(ms.unwrap_or(0.0))
            };
            let sum = by_name.entry(name).or_default();
            *sum = (sum.0 + 1, sum.1 + ms, sum.2 + asking.as_secs_f64() * 1e3);
        }
        let taken = |(name, (calls, ms, host_ms))| Taken { name, calls, ms, host_ms };
        let mut taken: Vec<Taken> = by_name.into_iter().map(taken).collect();
        taken.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        taken
    }

    /// `work`, between two events if somebody asked.
    pub(super) fn timed<R>(&self, name: &str, work: impl FnOnce() -> R) -> R {
        self.timed_as(|| name.to_owned(), work)
    }

    /// As [`Gpu::timed`], with a name that is made only where it is wanted.
    pub(super) fn timed_as<R>(&self, name: impl FnOnce() -> String, work: impl FnOnce() -> R) -> R {
        if !self.profiling.load(Ordering::Relaxed) {
            return work();
        }
        let before = self.event();
        let start = Instant::now();
        let done = work();
        let asking = start.elapsed();
        lock(&self.timings).push(Timed { name: name(), asking, before, after: self.event() });
        done
    }

    /// Milliseconds that `work` takes on the GPU, once it is warm.
    pub(super) fn clock(&self, work: impl Fn()) -> f32 {
        work();
        let before = self.event();
        work();
        work();
        let after = self.event();
        self.wait();
        // SAFETY: both events were recorded on a stream that was waited for, and are destroyed once, here.
        unsafe {
            let ms = event::elapsed(before, after);
            let _ = (sys::cuEventDestroy_v2(before), sys::cuEventDestroy_v2(after));
            self.check("event", ms) / 2.0
        }
    }

    /// From now on convolutions are carried out by our own kernel wherever it fits, or by whatever is faster again: for tests.
    pub fn always_own_convolutions(&self, always: bool) {
        self.always_ours.store(always, Ordering::Relaxed);
    }

    /// Whether our own kernel carries a convolution out in less time than the library: tried once for each shape and precision.
    pub(crate) fn prefers(
        &self,
        (shape, turned): (Shape, bool),
        ours: impl Fn(),
        theirs: impl FnOnce() -> f32,
    ) -> bool {
        if self.always_ours.load(Ordering::Relaxed) {
            return true;
        }
        let key = (shape, turned, self.precision());
        let known = lock(&self.preferred).get(&key).copied();
        known.unwrap_or_else(|| {
            let faster = self.clock(ours) < theirs();
            lock(&self.preferred).insert(key, faster);
            faster
        })
    }

    /// An event at the end of what was asked of the stream so far.
    fn event(&self) -> sys::CUevent {
        self.settle();
        self.enter();
        let made = event::create(sys::CUevent_flags::CU_EVENT_DEFAULT);
        let event = self.check("event", made);
        // SAFETY: the event and the stream are alive.
        self.check("event", unsafe { event::record(event, self.stream) });
        event
    }
}
