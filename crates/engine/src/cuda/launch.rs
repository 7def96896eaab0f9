//! Kernels: how they are found, given arguments and launched.

use std::ffi::CString;

use cudarc::driver::result;
use cudarc::driver::sys;

use super::compile::{self, Program};
use super::error::fail;
use super::gpu::{Gpu, lock};
use super::recorder::{Kernel, Work};
use crate::Dtype;

impl Gpu {
    /// Runs a kernel.
    ///
    /// # Panics
    /// With a [`DeviceError`] if it does not exist or cannot be launched.
    pub(crate) fn launch(&self, kernel: &'static str, grid: Grid, arguments: &[u64]) {
        self.launch_variant(kernel, "", grid, arguments);
    }

    /// Runs the kernel whose activations are of a type.
    ///
    /// # Panics
    /// As [`Gpu::launch`].
    pub(crate) fn launch_as(&self, dtype: Dtype, kernel: &'static str, grid: Grid, arguments: &[u64]) {
        self.launch_variant(kernel, dtype.define(), grid, arguments);
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
        let mut slots = [0; 24];
        slots[..arguments.len()].copy_from_slice(arguments);
        let count = arguments.len();
        self.submit(Work::Kernel(Kernel { name: kernel, function, grid, arguments: slots, count }));
    }

    /// The kernel of this name; its program is compiled and loaded with the first of its kernels.
    fn function(&self, kernel: &'static str, defines: &str) -> usize {
        self.enter();
        let mut functions = lock(&self.functions);
        let of =
            |variants: &Vec<(String, usize)>| variants.iter().find(|(known, _)| known == defines).map(|(_, at)| *at);
        if let Some(known) = functions.get(kernel).and_then(of) {
            return known;
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
                functions.entry(name).or_default().push((defines.to_owned(), function as usize));
            }
        }
        let found = functions.get(kernel).and_then(of);
        found.unwrap_or_else(|| fail(format!("{kernel} is not in {}", program.name)))
    }

    /// How many clusters of the grid's blocks can run at once, each with its shared memory: fewer than multiprocessors would have room for, since a cluster is
    /// within one of the groups that these come in.
    pub(crate) fn clusters_at_once(&self, kernel: &'static str, defines: &str, grid: Grid) -> usize {
        let (function, [x, y, z]) = (self.function(kernel, defines), grid.blocks);
        let mut cluster = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue {
                clusterDim: sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x, y, z },
            },
        };
        let config = sys::CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: grid.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: grid.shared,
            hStream: self.stream,
            attrs: &raw mut cluster,
            numAttrs: 1,
        };
        let mut count = 0;
        // SAFETY: a function of a loaded module, and a place for the answer; the configuration is read before the call returns.
        let done = unsafe {
            sys::cuOccupancyMaxActiveClusters(&raw mut count, function as sys::CUfunction, &raw const config).result()
        };
        self.check(kernel, done);
        count.max(1) as usize
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
}

/// How many blocks of how many threads a kernel runs in, and the bytes of memory that a block's threads share.
#[derive(Clone, Copy, PartialEq, Eq)]
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
