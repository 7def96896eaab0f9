//! One GPU: its context, its stream and its memory. Kernels are launched in `launch.rs`, bytes moved in `transfer.rs`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::arena::{Arena, Usage};
use super::blas::Blas;
use super::dnn::{Dnn, Shape};
use super::error::{DeviceError, fail};
use super::lt::Lt;
use super::profile::Timed;
use super::recorder::Recorder;
use super::transfer::{Constants, STAGING, Staging};
use super::{Precision, library};

/// A GPU that is in use. It lives as long as the process.
pub struct Gpu {
    ordinal: usize,
    name: String,
    pub(super) architecture: String,
    pub(super) driver: i32,
    pub(crate) multiprocessors: usize,
    pub(super) context: sys::CUcontext,
    pub(super) stream: sys::CUstream,
    /// Whether work is written down, and what.
    pub(super) recording: AtomicBool,
    pub(super) recorder: Mutex<Recorder>,
    pub(super) graphs: AtomicUsize,
    precision: AtomicU8,
    arena: Mutex<Arena>,
    /// Kernels by name, with what their programs were compiled with.
    pub(super) functions: Mutex<HashMap<&'static str, Vec<(String, usize)>>>,
    pub(super) staging: Mutex<Staging>,
    /// Tables that stay as they are, with their contents.
    pub(super) constants: Mutex<Constants>,
    /// Convolutions (and whether they are turned) for which our own kernel is the faster.
    pub(super) preferred: Mutex<HashMap<(Shape, bool, Precision), bool>>,
    pub(super) always_ours: AtomicBool,
    pub(super) profiling: AtomicBool,
    pub(super) timings: Mutex<Vec<Timed>>,
    blas: OnceLock<Blas>,
    lt: OnceLock<Option<Lt>>,
    dnn: OnceLock<Option<Dnn>>,
}

// SAFETY: handles of the driver may be used from any thread whose current context is theirs: see `enter`.
unsafe impl Send for Gpu {}
unsafe impl Sync for Gpu {}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cuda:{}", self.ordinal)
    }
}

impl PartialEq for Gpu {
    fn eq(&self, other: &Self) -> bool {
        self.ordinal == other.ordinal
    }
}

impl Eq for Gpu {}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The GPU whose context is this thread's.
    static CURRENT: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}

impl Gpu {
    /// The GPU of this number, opened at the first call.
    ///
    /// # Errors
    /// Without a driver, or if there are not that many GPUs.
    pub fn open(ordinal: usize) -> Result<&'static Gpu, DeviceError> {
        static OPEN: Mutex<Vec<&'static Gpu>> = Mutex::new(Vec::new());
        let mut open = lock(&OPEN);
        if let Some(gpu) = open.iter().find(|gpu| gpu.ordinal == ordinal) {
            return Ok(gpu);
        }
        if !library::open("cuda") {
            return Err(DeviceError(format!(
                "cuda:{ordinal}: this machine has no NVIDIA driver (libcuda was not found)"
            )));
        }
        let gpu: &'static Gpu = Box::leak(Box::new(Gpu::new(ordinal)?));
        open.push(gpu);
        Ok(gpu)
    }

    fn new(ordinal: usize) -> Result<Gpu, DeviceError> {
        let wrong = |e: DriverError| DeviceError(format!("cuda:{ordinal}: {e}"));
        result::init().map_err(wrong)?;
        let count = result::device::get_count().map_err(wrong)?.max(0) as usize;
        if ordinal >= count {
            return Err(DeviceError(format!("cuda:{ordinal}: this machine has {count} GPUs, counted from 0")));
        }
        let device = result::device::get(ordinal as i32).map_err(wrong)?;
        // SAFETY: the device was just looked up; its primary context is retained for ever.
        unsafe {
            let context = result::primary_ctx::retain(device).map_err(wrong)?;
            result::ctx::set_current(context).map_err(wrong)?;
            let stream = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(wrong)?;
            let about = |what| result::device::get_attribute(device, what).map_err(wrong);
            use sys::CUdevice_attribute as About;
            let major = about(About::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
            let minor = about(About::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
            let multiprocessors = about(About::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?.max(1) as usize;
            let mut driver = 0;
            sys::cuDriverGetVersion(&raw mut driver).result().map_err(wrong)?;
            let memory = result::malloc_host(STAGING, 0).map_err(wrong)?.cast();
            // Instructions of Hopper alone need their own name.
            let own = if (major, minor) == (9, 0) { "a" } else { "" };
            Ok(Gpu {
                ordinal,
                name: result::device::get_name(device).map_err(wrong)?,
                architecture: format!("sm_{major}{minor}{own}"),
                driver,
                multiprocessors,
                context,
                stream,
                recording: AtomicBool::new(false),
                recorder: Mutex::default(),
                graphs: AtomicUsize::new(0),
                precision: AtomicU8::new(0),
                arena: Mutex::default(),
                functions: Mutex::default(),
                staging: Mutex::new(Staging { memory, at: 0 }),
                constants: Mutex::default(),
                preferred: Mutex::default(),
                always_ours: AtomicBool::new(false),
                profiling: AtomicBool::new(false),
                timings: Mutex::default(),
                blas: OnceLock::new(),
                lt: OnceLock::new(),
                dnn: OnceLock::new(),
            })
        }
    }

    /// Which GPU of the machine it is.
    #[must_use]
    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// Its name, such as `NVIDIA H100 80GB HBM3`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has Hopper's products of warpgroups.
    pub(crate) fn has_warpgroups(&self) -> bool {
        self.architecture == "sm_90a"
    }

    /// How products are made.
    #[must_use]
    pub fn precision(&self) -> Precision {
        Precision::ALL[usize::from(self.precision.load(Ordering::Relaxed))]
    }

    /// Makes products with another precision from now on.
    pub fn set_precision(&self, precision: Precision) {
        self.precision.store(precision as u8, Ordering::Relaxed);
    }

    /// How many GPUs the machine has; none without a driver.
    #[must_use]
    pub fn count() -> usize {
        let count = || result::init().and_then(|()| result::device::get_count());
        if library::open("cuda") { count().map_or(0, |count| count.max(0) as usize) } else { 0 }
    }

    /// Forgets which context is the thread's: somebody else may have made another one current.
    pub(super) fn leave() {
        CURRENT.set(usize::MAX);
    }

    /// Makes this GPU's context the thread's.
    pub(crate) fn enter(&self) {
        CURRENT.with(|current| {
            if current.get() != self.ordinal {
                // SAFETY: the context is never destroyed.
                self.check("context", unsafe { result::ctx::set_current(self.context) });
                current.set(self.ordinal);
            }
        });
    }

    pub(crate) fn check<T>(&self, what: &str, done: Result<T, DriverError>) -> T {
        done.unwrap_or_else(|e| fail(format!("{self:?}: {what}: {e}")))
    }

    /// The stream that everything runs on, for whoever uses it by himself: nothing is held back any more.
    pub(crate) fn stream(&self) -> sys::CUstream {
        self.settle();
        self.stream
    }

    /// Products.
    pub(crate) fn blas(&self) -> &Blas {
        self.enter();
        self.blas.get_or_init(|| Blas::new(self).unwrap_or_else(|e| fail(e.0)))
    }

    /// Products with a shift, where cuBLASLt is installed.
    pub(crate) fn lt(&self) -> Option<&Lt> {
        self.enter();
        self.lt.get_or_init(Lt::new).as_ref()
    }

    /// Convolutions, where cuDNN is installed.
    pub(crate) fn dnn(&self) -> Option<&Dnn> {
        self.enter();
        self.dnn.get_or_init(|| Dnn::new(self)).as_ref()
    }

    /// Memory in use.
    #[must_use]
    pub fn usage(&self) -> Usage {
        lock(&self.arena).usage
    }

    /// Counts [`Usage::peak`] from now on.
    pub fn forget_peak(&self) {
        let usage = &mut lock(&self.arena).usage;
        usage.peak = usage.live;
    }

    /// Counts [`Usage::widened`].
    pub(super) fn count_widened(&self, bytes: usize) {
        lock(&self.arena).usage.widened += bytes;
    }

    /// Bytes that the driver could still give.
    #[must_use]
    pub fn available(&self) -> usize {
        self.enter();
        self.check("memory", result::mem_get_info()).0
    }

    /// Address of a block of the arena.
    pub(super) fn take(&self, bytes: usize) -> u64 {
        self.enter();
        // SAFETY: plain allocations and their release; nobody uses an idle segment.
        let grow = |size| unsafe { result::malloc_sync(size).ok() };
        let mut arena = lock(&self.arena);
        if let Some(at) = arena.take(bytes, grow) {
            return at;
        }
        drop(arena);
        self.wait();
        let mut arena = lock(&self.arena);
        for segment in arena.idle() {
            // SAFETY: as above.
            self.check("memory", unsafe { result::free_sync(segment) });
        }
        arena.take(bytes, grow).unwrap_or_else(|| {
            let (asked, live) = (bytes >> 20, arena.usage.live >> 20);
            drop(arena);
            fail(format!(
                "{self:?}: out of memory: {asked} MiB more than the {live} MiB in use; a smaller train.chunk needs less"
            ))
        })
    }

    pub(super) fn give(&self, address: u64) {
        lock(&self.arena).give(address);
    }
}
