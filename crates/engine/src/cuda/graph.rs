//! A list of work as a CUDA graph.

use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::error::guard;
use super::gpu::Gpu;
use super::recorder::{Kernel, Work};

/// The first driver that says which node a captured piece of work became.
const DRIVER: i32 = 12_030;

/// A list of work that is launched together.
pub(super) struct Graph {
    /// With the arguments of the last launch.
    pub(super) work: Vec<Work>,
    /// Whether other work follows it in its section: it does not wait for that.
    head: bool,
    /// The node of each kernel.
    nodes: Vec<sys::CUgraphNode>,
    graph: sys::CUgraph,
    executable: sys::CUgraphExec,
}

// SAFETY: handles of the driver may be used from any thread whose current context is theirs, one at a time: they live in a mutex.
unsafe impl Send for Graph {}

impl Graph {
    /// Whether the driver can.
    pub(super) fn possible(gpu: &Gpu) -> bool {
        gpu.driver >= DRIVER
    }

    /// Whether it is a first part of `len` pieces.
    pub(super) fn is_head_of(&self, len: usize) -> bool {
        self.head && self.work.len() == len
    }

    /// Whether it stands for `len` pieces.
    pub(super) fn covers(&self, len: usize) -> bool {
        self.work.len() == len
    }

    /// A graph of `work`, which was carried out before and is not now; none where some library refuses.
    pub(super) fn of(gpu: &Gpu, work: Vec<Work>, head: bool) -> Option<Graph> {
        let mut graph = null_mut();
        // SAFETY: a live stream, on which nothing is being captured.
        let (nodes, ended) = unsafe {
            let relaxed = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
            sys::cuStreamBeginCapture_v2(gpu.stream, relaxed).result().ok()?;
            let nodes = guard(|| work.iter().map(|work| capture(gpu, work)).collect::<Vec<_>>());
            (nodes, sys::cuStreamEndCapture(gpu.stream, &raw mut graph).result())
        };
        let nodes: Option<Vec<sys::CUgraphNode>> = nodes.ok().and_then(|nodes| nodes.into_iter().collect());
        let mut executable = null_mut();
        // SAFETY: the graph was just captured.
        let made =
            ended.and_then(|()| unsafe { sys::cuGraphInstantiateWithFlags(&raw mut executable, graph, 0).result() });
        match (nodes, made) {
            (Some(nodes), Ok(())) => Some(Graph { work, head, nodes, graph, executable }),
            (_, made) => {
                // SAFETY: whatever was made is destroyed once.
                unsafe { destroy(graph, if made.is_ok() { executable } else { null_mut() }) };
                None
            }
        }
    }

    /// Launches the graph with the arguments of `log`, which fits it: whether it could.
    pub(super) fn launch(&mut self, gpu: &Gpu, log: &[Work]) -> bool {
        gpu.enter();
        for ((known, now), node) in self.work.iter_mut().zip(log).zip(&self.nodes) {
            let (Work::Kernel(known), Work::Kernel(now)) = (known, now) else {
                continue;
            };
            if known.arguments[..now.count] != now.arguments[..now.count] {
                if set(self.executable, *node, now).is_err() {
                    return false;
                }
                *known = *now;
            }
        }
        // SAFETY: the graph is alive, and so are the buffers in its arguments, as for launches one by one.
        gpu.check("graph", unsafe { sys::cuGraphLaunch(self.executable, gpu.stream).result() });
        gpu.graphs.fetch_add(1, Ordering::Relaxed);
        true
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: both are destroyed once; a launch that still runs keeps what it needs.
        unsafe { destroy(self.graph, self.executable) };
    }
}

/// # Safety
/// Both are null or alive.
unsafe fn destroy(graph: sys::CUgraph, executable: sys::CUgraphExec) {
    // SAFETY: by this function's contract.
    unsafe {
        if !executable.is_null() {
            let _ = sys::cuGraphExecDestroy(executable);
        }
        if !graph.is_null() {
            let _ = sys::cuGraphDestroy(graph);
        }
    }
}

/// Adds a piece of work to the graph that is being captured: its node if it is a kernel, null for others, none on failure.
fn capture(gpu: &Gpu, work: &Work) -> Option<sys::CUgraphNode> {
    gpu.carry_out(work);
    let Work::Kernel(_) = work else {
        return Some(null_mut());
    };
    let mut status = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
    let (mut nodes, mut edges, mut count) = (null(), null(), 0);
    // SAFETY: places for the answers; the nodes are the driver's own until the next piece is captured.
    unsafe {
        let asked = sys::cuStreamGetCaptureInfo_v3(
            gpu.stream,
            &raw mut status,
            null_mut(),
            null_mut(),
            &raw mut nodes,
            &raw mut edges,
            &raw mut count,
        );
        (asked.result().is_ok() && count == 1).then(|| *nodes)
    }
}

/// Gives a node new arguments.
fn set(executable: sys::CUgraphExec, node: sys::CUgraphNode, kernel: &Kernel) -> Result<(), DriverError> {
    let mut pointers = pointers(kernel);
    let ([x, y, z], threads) = (kernel.grid.blocks, kernel.grid.threads);
    let parameters = sys::CUDA_KERNEL_NODE_PARAMS {
        func: kernel.function as sys::CUfunction,
        gridDimX: x,
        gridDimY: y,
        gridDimZ: z,
        blockDimX: threads,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: kernel.grid.shared,
        kernelParams: pointers.as_mut_ptr(),
        extra: null_mut(),
        kern: null_mut(),
        ctx: null_mut(),
    };
    // SAFETY: a node of this graph, with the function it was captured with; arguments are read before the call returns.
    unsafe { sys::cuGraphExecKernelNodeSetParams_v2(executable, node, &raw const parameters).result() }
}

fn pointers(kernel: &Kernel) -> [*mut c_void; 24] {
    let mut pointers = [null_mut(); 24];
    let arguments = kernel.arguments[..kernel.count].iter();
    pointers.iter_mut().zip(arguments).for_each(|(p, word)| *p = std::ptr::from_ref(word).cast_mut().cast());
    pointers
}

impl Gpu {
    /// Asks the driver for a piece of work.
    pub(super) fn carry_out(&self, work: &Work) {
        self.enter();
        // SAFETY: the callers' buffers hold that many bytes; page-locked bytes stay until the stream was waited for.
        unsafe {
            match work {
                Work::Kernel(kernel) => self.run(kernel),
                &Work::Copy { to, from, bytes } => {
                    let copy = || result::memcpy_dtod_async(to, from, bytes, self.stream);
                    self.check("copy", self.timed("copy", copy));
                }
                &Work::Clear { address, bytes } => {
                    let clear = || result::memset_d8_async(address, 0, bytes, self.stream);
                    self.check("fill", self.timed("clear", clear));
                }
                &Work::Upload { to, from, bytes } => {
                    let bytes = std::slice::from_raw_parts(from as *const u8, bytes);
                    let upload = || result::memcpy_htod_async(to, bytes, self.stream);
                    self.check("upload", self.timed("upload", upload));
                }
                Work::Call { call, .. } => call(),
            }
        }
    }

    fn run(&self, kernel: &Kernel) {
        let (mut pointers, [x, y, z]) = (pointers(kernel), kernel.grid.blocks);
        // SAFETY: the arguments are slots of 8 bytes, of which a kernel reads the low bytes of its parameter's size; that
        // they are the right ones is the launching operation's business, as is that buffers are large enough.
        let done = self.timed(kernel.name, || unsafe {
            result::launch_kernel(
                kernel.function as sys::CUfunction,
                (x, y, z),
                (kernel.grid.threads, 1, 1),
                kernel.grid.shared,
                self.stream,
                &mut pointers[..kernel.count],
            )
        });
        self.check(kernel.name, done);
    }
}
