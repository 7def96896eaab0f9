//! Work that is asked for in the same way again and again, launched in one go.
//!
//! A step of a small model is a few dozen kernels of some microseconds, and asking for each takes the host as long. Within
//! [`Gpu::in_one_go`] what is asked for is written down. As long as it follows what was asked for before, nothing is launched; if it
//! did so to the end (of the section, or until somebody reads a result), all of it is launched as ONE graph (`graph.rs`), with
//! today's arguments. Where it stops to follow, what was held back is launched, and everything after it as it comes. What was asked
//! for twice becomes a graph: several of them, where it is long enough, each of which is launched as soon as all of it was asked for,
//! so that the GPU has something to do while the host asks for the rest.
//!
//! # Why this is private
//! *Claim.* What runs on the GPU is what was asked for, with the arguments it was asked for with, in the order of the stream.
//! *Argument.* This is about when work is launched, and knows nothing of what the work is: a graph is launched only in the place of a
//! list of the same kernels, grids and library calls, after every argument that differs was set. Keys, deviations, weights and who
//! takes part are arguments or memory like any other, made anew by the trainer in every step; nothing of a step is kept for the next.
//! A step's charge is written before its release is asked for, and what is asked for is launched after that.
//! *Tests.* `tests/gpu/recorder.rs`: a section gives the same numbers as its work by itself while arguments, sizes and order change;
//! whole steps of training with graphs, beside the processor's.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;

use super::gpu::{Gpu, lock};
use super::graph::Graph;
use super::launch::Grid;

/// Longer sections are not followed.
const LONGEST: usize = 1024;
/// Shorter ones are not worth a graph.
const SHORTEST: usize = 4;
/// Longer ones begin with graphs of so many pieces, none of which waits for what comes after it: the GPU is at one while the host asks
/// for the next.
const HEADS: [usize; 7] = [4, 8, 8, 16, 32, 64, 128];
/// Graphs that are kept.
const GRAPHS: usize = 96;
/// Sections that are remembered to have been seen.
const SEEN: usize = 64;
/// Words that a library's call is told by.
pub(crate) const WORDS: usize = 24;

/// A piece of work.
pub(super) enum Work {
    /// A kernel.
    Kernel(Kernel),
    /// Bytes from one place on the GPU to another.
    Copy { to: u64, from: u64, bytes: usize },
    /// Zeros.
    Clear { address: u64, bytes: usize },
    /// Bytes from page-locked memory.
    Upload { to: u64, from: usize, bytes: usize },
    /// A library's call, and all that it depends on.
    Call { key: [u64; WORDS], call: Box<dyn Fn() + Send> },
}

/// A kernel with its arguments.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    pub(super) name: &'static str,
    pub(super) function: usize,
    pub(super) grid: Grid,
    pub(super) arguments: [u64; 24],
    pub(super) count: usize,
}

impl Work {
    /// Whether a graph that has this piece can carry out the other in its place, but for a kernel's arguments.
    fn fits(&self, other: &Work) -> bool {
        match (self, other) {
            (Work::Kernel(a), Work::Kernel(b)) => (a.function, a.grid, a.count) == (b.function, b.grid, b.count),
            (Work::Copy { to, from, bytes }, Work::Copy { to: t, from: f, bytes: b }) => (to, from, bytes) == (t, f, b),
            (Work::Clear { address, bytes }, Work::Clear { address: a, bytes: b }) => (address, bytes) == (a, b),
            (Work::Call { key, .. }, Work::Call { key: other, .. }) => key == other,
            _ => false,
        }
    }

    /// What [`Work::fits`] compares.
    fn hash(&self, hasher: &mut DefaultHasher) {
        std::mem::discriminant(self).hash(hasher);
        match self {
            Work::Kernel(Kernel { function, grid, count, .. }) => {
                (function, grid.blocks, grid.threads, grid.shared, count).hash(hasher);
            }
            Work::Copy { to, from, bytes } => (to, from, bytes).hash(hasher),
            Work::Clear { address, bytes } => (address, bytes).hash(hasher),
            Work::Call { key, .. } => key.hash(hasher),
            Work::Upload { .. } => {}
        }
    }
}

/// What becomes of work in a section.
enum Mode {
    /// Held back, while it is what these graphs would do.
    Following(Vec<usize>),
    /// Launched, and written down.
    Launching,
    /// Launched.
    Passing,
}

/// The section at work, and the graphs of earlier ones.
pub(super) struct Recorder {
    log: Vec<Work>,
    mode: Mode,
    /// Those used last at the end.
    graphs: Vec<Graph>,
    seen: VecDeque<u64>,
    /// Sections that cannot be graphs.
    refused: VecDeque<u64>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            log: Vec::new(),
            mode: Mode::Following(Vec::new()),
            graphs: Vec::new(),
            seen: VecDeque::new(),
            refused: VecDeque::new(),
        }
    }
}

impl Recorder {
    fn add(&mut self, gpu: &Gpu, work: Work) {
        match &mut self.mode {
            Mode::Following(graphs) => {
                let at = self.log.len();
                graphs.retain(|graph| self.graphs[*graph].work.get(at).is_some_and(|known| known.fits(&work)));
                self.log.push(work);
                if graphs.is_empty() {
                    self.log.iter().for_each(|work| gpu.carry_out(work));
                    self.mode = Mode::Launching;
                } else if graphs.iter().any(|graph| self.graphs[*graph].is_head_of(self.log.len())) {
                    self.settle(gpu);
                }
            }
            Mode::Launching => {
                gpu.carry_out(&work);
                self.log.push(work);
                if self.log.len() > LONGEST {
                    self.log.clear();
                    self.mode = Mode::Passing;
                }
            }
            Mode::Passing => gpu.carry_out(&work),
        }
    }

    /// Everything that was held back is launched; another section begins.
    fn settle(&mut self, gpu: &Gpu) {
        let log = std::mem::take(&mut self.log);
        match &self.mode {
            Mode::Following(graphs) => match graphs.iter().find(|graph| self.graphs[**graph].covers(log.len())) {
                Some(&graph) if !log.is_empty() => {
                    let mut graph = self.graphs.remove(graph);
                    if graph.launch(gpu, &log) {
                        self.graphs.push(graph);
                    } else {
                        log.iter().for_each(|work| gpu.carry_out(work));
                    }
                }
                _ => log.iter().for_each(|work| gpu.carry_out(work)),
            },
            Mode::Launching => self.learn(gpu, log),
            Mode::Passing => {}
        }
        self.begin();
    }

    fn begin(&mut self) {
        self.mode = Mode::Following((0..self.graphs.len()).collect());
    }

    /// A section that was launched piece by piece, for the second time, becomes a graph.
    fn learn(&mut self, gpu: &Gpu, mut log: Vec<Work>) {
        let upload = log.iter().any(|work| matches!(work, Work::Upload { .. }));
        if log.len() < SHORTEST || upload || !Graph::possible(gpu) {
            return;
        }
        let mut hasher = DefaultHasher::new();
        log.iter().for_each(|work| work.hash(&mut hasher));
        let hash = hasher.finish();
        if self.refused.contains(&hash) {
            return;
        }
        if !self.seen.contains(&hash) {
            return remember(&mut self.seen, hash);
        }
        let mut made = Vec::new();
        for head in HEADS {
            if log.len() > 2 * head {
                let rest = log.split_off(head);
                made.push(Graph::of(gpu, std::mem::replace(&mut log, rest), true));
            }
        }
        made.push(Graph::of(gpu, log, false));
        match made.into_iter().collect::<Option<Vec<Graph>>>() {
            None => remember(&mut self.refused, hash),
            Some(graphs) => {
                self.graphs.extend(graphs);
                self.graphs.drain(..self.graphs.len().saturating_sub(GRAPHS));
            }
        }
    }
}

fn remember(list: &mut VecDeque<u64>, hash: u64) {
    list.push_back(hash);
    if list.len() > SEEN {
        list.pop_front();
    }
}

/// The end of a section. A failure drops what was held back.
struct End(&'static Gpu);

impl Drop for End {
    fn drop(&mut self) {
        let mut recorder = lock(&self.0.recorder);
        self.0.recording.store(false, Ordering::Relaxed);
        if std::thread::panicking() {
            recorder.log.clear();
            recorder.begin();
        } else {
            recorder.settle(self.0);
        }
    }
}

impl Gpu {
    /// `work`, with what it asks of the GPU launched together where it asked for the same before. The numbers are those of `work`
    /// by itself. Within other such work it is a part that is launched by itself.
    pub fn in_one_go<R>(&'static self, work: impl FnOnce() -> R) -> R {
        if self.profiling.load(Ordering::Relaxed) {
            return work();
        }
        if self.recording.swap(true, Ordering::Relaxed) {
            self.settle();
            let made = work();
            self.settle();
            return made;
        }
        let _end = End(self);
        work()
    }

    /// How often work was launched as a graph.
    pub fn graphs_launched(&self) -> usize {
        self.graphs.load(Ordering::Relaxed)
    }

    /// Has `work` carried out, now or with the section that it is part of.
    pub(super) fn submit(&self, work: Work) {
        if self.recording.load(Ordering::Relaxed) {
            lock(&self.recorder).add(self, work)
        } else {
            self.carry_out(&work)
        }
    }

    /// Has a library's call made. `key` tells all that it depends on.
    pub(super) fn call(&self, key: impl FnOnce() -> [u64; WORDS], call: impl Fn() + Send + 'static) {
        if self.recording.load(Ordering::Relaxed) {
            lock(&self.recorder).add(self, Work::Call { key: key(), call: Box::new(call) });
        } else {
            call();
        }
    }

    /// Launches what was held back: before anything else happens on the stream, or is waited for.
    pub(super) fn settle(&self) {
        if self.recording.load(Ordering::Relaxed) {
            lock(&self.recorder).settle(self);
        }
    }
}

/// Words for [`Gpu::call`].
pub(super) fn key(words: impl IntoIterator<Item = u64>) -> [u64; WORDS] {
    let mut key = [0; WORDS];
    key.iter_mut().zip(words).for_each(|(slot, word)| *slot = word);
    key
}
