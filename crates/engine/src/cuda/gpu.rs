//! One GPU: its context, its stream, its memory, its kernels.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::arena::{Arena, Usage};
use super::blas::Blas;
use super::compile::{self, Program};
use super::dnn::Dnn;
use super::error::{DeviceError, fail};
use super::{Buffer, library};

/// How products are made. Sums of products are f32 in every case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Both factors f32.
    #[default]
    F32,
    /// Factors rounded to 11 bits (TF32) on their way into the tensor cores.
    Tf32,
    /// Factors rounded to 8 bits (bfloat16) on their way into the tensor cores.
    Bf16,
}

impl Precision {
    const ALL: [Precision; 3] = [Precision::F32, Precision::Tf32, Precision::Bf16];

    /// How far rounding may move a factor of a product, relative: truncation is allowed for, since the libraries do not
    /// say whether they round to nearest.
    #[must_use]
    pub fn unit(self) -> f64 {
        match self {
            Precision::F32 => 0.0,
            Precision::Tf32 => 2f64.powi(-10),
            Precision::Bf16 => 2f64.powi(-7),
        }
    }
}

/// Bytes of page-locked memory that uploads and downloads go through.
const STAGING: usize = 8 << 20;

/// Page-locked memory, used round and round.
struct Staging {
    memory: *mut u8,
    at: usize,
}

// SAFETY: the memory belongs to the process and is used under the mutex that it lives in.
unsafe impl Send for Staging {}

/// A GPU that is in use. It lives as long as the process.
pub struct Gpu {
    ordinal: usize,
    name: String,
    architecture: String,
    driver: i32,
    context: sys::CUcontext,
    stream: sys::CUstream,
    precision: AtomicU8,
    arena: Mutex<Arena>,
    functions: Mutex<HashMap<(&'static str, String), usize>>,
    staging: Mutex<Staging>,
    blas: OnceLock<Blas>,
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
                context,
                stream,
                precision: AtomicU8::new(0),
                arena: Mutex::default(),
                functions: Mutex::default(),
                staging: Mutex::new(Staging { memory, at: 0 }),
                blas: OnceLock::new(),
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

    /// Its context, for copies between GPUs.
    pub(super) fn context(&self) -> sys::CUcontext {
        self.context
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

    /// The stream that everything runs on.
    pub(crate) fn stream(&self) -> sys::CUstream {
        self.stream
    }

    /// Products.
    pub(crate) fn blas(&self) -> &Blas {
        self.enter();
        self.blas.get_or_init(|| Blas::new(self).unwrap_or_else(|e| fail(e.0)))
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
        self.check("waiting", unsafe { result::stream::synchronize(self.stream) });
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

    /// Runs a kernel.
    ///
    /// # Panics
    /// With a [`DeviceError`] if it does not exist or cannot be launched.
    pub(crate) fn launch(&self, kernel: &'static str, grid: Grid, arguments: &[u64]) {
        self.launch_variant(kernel, "", grid, arguments);
    }

    /// Runs the kernel that its program has with `defines`, such as `"WIDTH=64 PRECISION=1"`.
    ///
    /// # Panics
    /// As [`Gpu::launch`].
    pub(crate) fn launch_variant(&self, kernel: &'static str, defines: &str, grid: Grid, arguments: &[u64]) {
        if grid.blocks.contains(&0) {
            return;
        }
        let function = self.function(kernel, defines);
        let mut pointers = [std::ptr::null_mut(); 24];
        pointers
            .iter_mut()
            .zip(arguments)
            .for_each(|(p, argument)| *p = std::ptr::from_ref(argument).cast_mut().cast());
        let [x, y, z] = grid.blocks;
        // SAFETY: the arguments are slots of 8 bytes, of which a kernel reads the low bytes of its parameter's size; that
        // they are the right ones is the launching operation's business, as is that buffers are large enough.
        let done = unsafe {
            result::launch_kernel(
                function as sys::CUfunction,
                (x, y, z),
                (grid.threads, 1, 1),
                grid.shared,
                self.stream,
                &mut pointers[..arguments.len()],
            )
        };
        self.check(kernel, done);
    }

    /// The kernel of this name; its program is compiled and loaded with the first of its kernels.
    fn function(&self, kernel: &'static str, defines: &str) -> usize {
        self.enter();
        let mut functions = lock(&self.functions);
        let key = (kernel, defines.to_owned());
        if let Some(known) = functions.get(&key) {
            return *known;
        }
        let program = Program::of(kernel).unwrap_or_else(|| fail(format!("no program has a kernel {kernel}")));
        let code = compile::machine_code(program, defines, &self.architecture, self.driver);
        let code = code.unwrap_or_else(|e| fail(e.0));
        // SAFETY: the image is a whole cubin; modules are never unloaded.
        unsafe {
            let module = self.check(program.name, result::module::load_data(code.as_ptr().cast()));
            for name in program.kernels() {
                let symbol = CString::new(name).unwrap_or_default();
                let function = self.check(name, result::module::get_function(module, symbol));
                self.allow_shared(function);
                functions.insert((name, defines.to_owned()), function as usize);
            }
        }
        functions.get(&key).copied().unwrap_or_else(|| fail(format!("{kernel} is not in {}", program.name)))
    }

    /// Lets a kernel ask for more dynamic shared memory than 48 KiB.
    fn allow_shared(&self, function: sys::CUfunction) {
        use sys::CUfunction_attribute_enum as About;
        let most = About::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: a function of a loaded module. What the kernel holds statically counts against the same limit.
        unsafe {
            let held = result::function::get_function_attribute(function, About::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
            let _ = result::function::set_function_attribute(function, most, 227 * 1024 - held.unwrap_or(0));
        }
    }

    /// Copies `data` to a new buffer. Returns once `data` may change.
    pub(crate) fn upload<T: Copy>(&'static self, data: &[T]) -> Buffer {
        let buffer = Buffer::new(self, size_of_val(data));
        self.write(buffer.address(), data);
        buffer
    }

    /// Copies `data` to `address`. Small data goes through page-locked memory, and nobody waits.
    pub(crate) fn write<T: Copy>(&self, address: u64, data: &[T]) {
        self.enter();
        let bytes = size_of_val(data);
        if bytes == 0 {
            return;
        }
        if bytes > STAGING / 2 {
            // SAFETY: the buffer holds that many bytes. The stream may still be writing what stood there before.
            self.check("waiting", unsafe { result::stream::synchronize(self.stream) });
            return self.check("upload", unsafe { result::memcpy_htod_sync(address, data) });
        }
        // Locked until the copy is on its way: whoever brings the ring round waits for the stream.
        let mut staging = lock(&self.staging);
        let memory = self.stage(&mut staging, bytes);
        // SAFETY: `memory` has room for `bytes` bytes, which are not part of `data` and stay until the ring comes round.
        let staged = unsafe {
            std::ptr::copy_nonoverlapping(data.as_ptr().cast(), memory, bytes);
            std::slice::from_raw_parts(memory, bytes)
        };
        self.check("upload", unsafe { result::memcpy_htod_async(address, staged, self.stream) });
    }

    /// The next `bytes` of page-locked memory.
    fn stage(&self, staging: &mut Staging, bytes: usize) -> *mut u8 {
        if staging.at + bytes > STAGING {
            // SAFETY: the stream is alive.
            self.check("waiting", unsafe { result::stream::synchronize(self.stream) });
            staging.at = 0;
        }
        // SAFETY: `at + bytes` is at most the size of the memory.
        let memory = unsafe { staging.memory.add(staging.at) };
        staging.at += bytes.next_multiple_of(64);
        memory
    }

    /// Copies from `address` into `data`, and waits for it.
    pub(crate) fn read<T: Copy>(&self, address: u64, data: &mut [T]) {
        self.enter();
        let bytes = size_of_val(data);
        if bytes == 0 {
            return;
        }
        // SAFETY: both sides hold that many bytes; the copy has ended before anybody looks at it, and the staged bytes are
        // nobody else's until the lock is given back.
        unsafe {
            match bytes <= STAGING / 2 {
                true => {
                    let mut staging = lock(&self.staging);
                    let memory = self.stage(&mut staging, bytes);
                    let slice = std::slice::from_raw_parts_mut(memory, bytes);
                    self.check("download", result::memcpy_dtoh_async(slice, address, self.stream));
                    self.wait();
                    std::ptr::copy_nonoverlapping(memory, data.as_mut_ptr().cast(), bytes);
                }
                false => {
                    self.wait();
                    self.check("download", result::memcpy_dtoh_sync(data, address));
                }
            }
        }
    }

    /// Copies on the device.
    pub(crate) fn copy(&self, to: u64, from: u64, bytes: usize) {
        self.enter();
        if bytes > 0 {
            // SAFETY: the callers' buffers hold that many bytes.
            self.check("copy", unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream) });
        }
    }

    /// Zeroes `bytes` bytes.
    pub(crate) fn clear(&self, address: u64, bytes: usize) {
        self.enter();
        if bytes > 0 {
            // SAFETY: the callers' buffers hold that many bytes.
            self.check("fill", unsafe { result::memset_d8_async(address, 0, bytes, self.stream) });
        }
    }

    /// Waits until everything that was asked of the GPU is done.
    pub fn wait(&self) {
        self.enter();
        // SAFETY: the stream is alive.
        self.check("waiting", unsafe { result::stream::synchronize(self.stream) });
    }
}

/// How many blocks of how many threads a kernel runs in, and the bytes of memory that a block's threads share.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) blocks: [u32; 3],
    pub(crate) threads: u32,
    pub(crate) shared: u32,
}

impl Grid {
    /// A block of 256 threads for each 256 of `n`.
    pub(crate) fn over(n: usize) -> Self {
        Self::blocks(n.div_ceil(256), 1, 256)
    }

    /// `x` by `y` blocks.
    pub(crate) fn blocks(x: usize, y: usize, threads: u32) -> Self {
        Self { blocks: [x as u32, y as u32, 1], threads, shared: 0 }
    }
}

/// What can be handed to a kernel: a slot of eight bytes, whose low ones are the number itself.
pub(crate) trait Argument {
    fn slot(self) -> u64;
}

macro_rules! argument {
    ($($Type:ty: $x:ident => $slot:expr),* $(,)?) => { $(
        impl Argument for $Type {
            fn slot(self) -> u64 { let $x = self; $slot }
        }
    )* };
}
argument! {
    u64: x => x,
    usize: x => x as u64,
    u32: x => u64::from(x),
    i32: x => u64::from(x as u32),
    bool: x => u64::from(x),
    f32: x => u64::from(x.to_bits()),
    f64: x => x.to_bits(),
    &super::Buffer: x => x.address(),
    &crate::Tensor: x => x.address(),
    Option<&crate::Tensor>: x => x.map_or(0, crate::Tensor::address),
}

/// The arguments of a kernel.
macro_rules! arguments {
    ($($x:expr),* $(,)?) => { &[$($crate::cuda::Argument::slot($x)),*] };
}
pub(crate) use arguments;
