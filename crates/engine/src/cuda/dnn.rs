//! Convolutions by cuDNN, where it is installed.
//!
//! The first convolution of each shape is tried with every algorithm; the fastest that gives the same bits each time is
//! remembered, or the fastest at all where there is none.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use cudarc::cudnn::result::{self, CudnnError};
use cudarc::cudnn::sys;

use super::error::fail;
use super::recorder::key;
use super::{Buffer, Gpu, Precision, library};
use crate::Window;

/// Scratch memory an algorithm may ask for.
const WORKSPACE: usize = 256 << 20;
/// Algorithms of a kind that are tried.
const TRIED: usize = 10;

/// `n` images of `input` channels, height and width, and `outputs` channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) n: usize,
    pub(crate) input: [usize; 3],
    pub(crate) outputs: usize,
    pub(crate) window: Window,
}

/// What is asked of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// `y` from `x` and `w`.
    Forward,
    /// `dx` from `dy` and `w`.
    Input,
}

/// The addresses of inputs `x` (or `dx`), weights `w` and outputs `y` (or `dy`).
#[derive(Clone, Copy)]
pub(crate) struct Data {
    pub(crate) x: u64,
    pub(crate) w: u64,
    pub(crate) y: u64,
}

/// An algorithm, by cuDNN's number, its scratch memory and its arithmetic.
#[derive(Clone, Copy)]
struct Choice {
    /// Milliseconds that it took.
    time: f32,
    algorithm: u32,
    memory: usize,
    math: sys::cudnnMathType_t,
}

/// What was found out about a pass.
type Known = HashMap<(Shape, Pass, Precision), (Descriptors, Choice)>;

/// cuDNN on the GPU's stream.
pub(crate) struct Dnn {
    handle: sys::cudnnHandle_t,
    known: Mutex<Known>,
}

// SAFETY: as for `Blas`.
unsafe impl Send for Dnn {}
unsafe impl Sync for Dnn {}

/// The library's handle, for a call that is made later.
#[derive(Clone, Copy)]
struct Handle(sys::cudnnHandle_t);

// SAFETY: as for `Dnn`.
unsafe impl Send for Handle {}

/// cuDNN's words for a shape.
#[derive(Clone, Copy)]
struct Descriptors {
    x: sys::cudnnTensorDescriptor_t,
    y: sys::cudnnTensorDescriptor_t,
    w: sys::cudnnFilterDescriptor_t,
    convolution: sys::cudnnConvolutionDescriptor_t,
}

// SAFETY: descriptors are written once, before they are shared.
unsafe impl Send for Descriptors {}

impl Descriptors {
    fn new(shape: Shape, math: sys::cudnnMathType_t) -> Result<Self, CudnnError> {
        let Shape { n, input: [c, h, w], outputs, window } = shape;
        let (oh, ow) = window.fit(h, w);
        let Window { kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw] } = window;
        let ints = |sizes: [usize; 4]| sizes.map(|size| size as i32);
        let (rows, f32) = (sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW, sys::cudnnDataType_t::CUDNN_DATA_FLOAT);
        let cross = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        // SAFETY: descriptors are created right before they are set; they live as long as the process.
        unsafe {
            let made = Self {
                x: result::create_tensor_descriptor()?,
                y: result::create_tensor_descriptor()?,
                w: result::create_filter_descriptor()?,
                convolution: result::create_convolution_descriptor()?,
            };
            result::set_tensor4d_descriptor(made.x, rows, f32, ints([n, c, h, w]))?;
            result::set_tensor4d_descriptor(made.y, rows, f32, ints([n, outputs, oh, ow]))?;
            result::set_filter4d_descriptor(made.w, f32, rows, ints([outputs, c, kh, kw]))?;
            let [ph, pw, sh, sw] = ints([ph, pw, sh, sw]);
            result::set_convolution2d_descriptor(made.convolution, ph, pw, sh, sw, 1, 1, cross, f32)?;
            sys::cudnnSetConvolutionMathType(made.convolution, math).result()?;
            Ok(made)
        }
    }
}

impl Dnn {
    pub(super) fn new(gpu: &Gpu) -> Option<Self> {
        if !library::open("cudnn") {
            return None;
        }
        let handle = result::create_handle().ok()?;
        // SAFETY: a fresh handle on a live stream.
        unsafe { result::set_stream(handle, gpu.stream().cast()) }.ok()?;
        Some(Self { handle, known: Mutex::default() })
    }

    /// Carries a pass out.
    pub(crate) fn run(&self, gpu: &'static Gpu, shape: Shape, pass: Pass, data: Data) {
        gpu.enter();
        let failed = move |e: CudnnError| format!("{gpu:?}: cuDNN, {pass:?} of {shape:?}: {e:?}");
        let (descriptors, choice) = self.choice(gpu, shape, pass, data).unwrap_or_else(|e| fail(failed(e)));
        let workspace = Buffer::new(gpu, choice.memory).address();
        let name = move || {
            let Shape { input: [c, h, w], outputs, window, .. } = shape;
            format!("{pass:?} {c}x{h}x{w} to {outputs}, {window:?}, algorithm {} {:?}", choice.algorithm, choice.math)
        };
        let Shape { n, input: [c, h, w], outputs, window: Window { kernel, stride, padding } } = shape;
        let sizes =
            [3, pass as usize, choice.algorithm as usize, choice.math as usize, n, c, h, w, outputs].into_iter();
        let sizes = sizes.chain(kernel).chain(stride).chain(padding).map(|x| x as u64);
        let words = sizes.chain([data.x, data.w, data.y, workspace]);
        let handle = Handle(self.handle);
        gpu.call(
            || key(words),
            move || {
                let done = gpu.timed_as(name, || carry_out(handle, &descriptors, pass, choice, data, workspace));
                done.unwrap_or_else(|e| fail(failed(e)));
            },
        );
    }

    /// How long a pass takes, in ms; infinite where cuDNN cannot carry it out.
    pub(crate) fn time(&self, gpu: &'static Gpu, shape: Shape, pass: Pass, data: Data) -> f32 {
        gpu.enter();
        self.choice(gpu, shape, pass, data).map_or(f32::INFINITY, |(_, choice)| choice.time)
    }

    fn choice(
        &self,
        gpu: &'static Gpu,
        shape: Shape,
        pass: Pass,
        data: Data,
    ) -> Result<(Descriptors, Choice), CudnnError> {
        let (precision, mut known) = (gpu.precision(), self.known.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(choice) = known.get(&(shape, pass, precision)) {
            return Ok(*choice);
        }
        let math = match precision {
            Precision::F32 => sys::cudnnMathType_t::CUDNN_FMA_MATH,
            Precision::Tf32 | Precision::Bf16 => sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
        };
        let descriptors = Descriptors::new(shape, math)?;
        let choice = self.search(gpu, &descriptors, shape, pass, data)?;
        // SAFETY: the descriptor is alive and not yet shared.
        unsafe { sys::cudnnSetConvolutionMathType(descriptors.convolution, choice.math).result()? };
        known.insert((shape, pass, precision), (descriptors, choice));
        Ok((descriptors, choice))
    }

    /// Tries every algorithm on the data themselves; results go to scratch memory.
    fn search(
        &self,
        gpu: &'static Gpu,
        d: &Descriptors,
        shape: Shape,
        pass: Pass,
        data: Data,
    ) -> Result<Choice, CudnnError> {
        let Shape { n, input: [c, h, w], outputs, window } = shape;
        let (oh, ow) = window.fit(h, w);
        let sizes = [n * outputs * oh * ow, n * c * h * w];
        let result = Buffer::of(gpu, sizes[pass as usize]);
        let workspace = Buffer::new(gpu, WORKSPACE);
        // What was held back may still need the memory that is written to now.
        gpu.settle();
        let (out, scratch) = (result.address() as *mut c_void, workspace.address() as *mut c_void);
        let [x, w, y] = [data.x, data.w, data.y].map(|at| at as *const c_void);
        let mut found = 0;
        macro_rules! tried {
            ($Perf:ty, $find:ident, $($argument:expr),*) => {{
                // SAFETY: plain data; all buffers have the sizes of their descriptors.
                let mut all: [$Perf; TRIED] = unsafe { std::mem::zeroed() };
                unsafe {
                    sys::$find(self.handle, $($argument,)* out, TRIED as i32, &raw mut found, all.as_mut_ptr(), scratch, WORKSPACE)
                        .result()?;
                }
                let works = |p: &&$Perf| p.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS && p.memory <= WORKSPACE;
                let same = |p: &&$Perf| works(p) && p.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC;
                let all = &all[..found as usize];
                let best = all.iter().find(same).or_else(|| all.iter().find(works));
                best.map(|p| Choice { time: p.time, algorithm: p.algo as u32, memory: p.memory, math: p.mathType })
            }};
        }
        let best = match pass {
            Pass::Forward => {
                tried!(
                    sys::cudnnConvolutionFwdAlgoPerf_t,
                    cudnnFindConvolutionForwardAlgorithmEx,
                    d.x,
                    x,
                    d.w,
                    w,
                    d.convolution,
                    d.y
                )
            }
            Pass::Input => tried!(
                sys::cudnnConvolutionBwdDataAlgoPerf_t,
                cudnnFindConvolutionBackwardDataAlgorithmEx,
                d.w,
                w,
                d.y,
                y,
                d.convolution,
                d.x
            ),
        };
        best.ok_or(CudnnError(sys::cudnnStatus_t::CUDNN_STATUS_NOT_SUPPORTED))
    }
}

fn carry_out(
    handle: Handle,
    d: &Descriptors,
    pass: Pass,
    choice: Choice,
    data: Data,
    workspace: u64,
) -> Result<(), CudnnError> {
    let (one, zero) = (1.0f32, 0.0f32);
    let (one, zero) = ((&raw const one).cast::<c_void>(), (&raw const zero).cast::<c_void>());
    let (x, w, y) = (data.x as *mut c_void, data.w as *mut c_void, data.y as *mut c_void);
    let (h, scratch, memory) = (handle.0, workspace as *mut c_void, choice.memory);
    // SAFETY: buffers have the sizes of their descriptors; the numbers of algorithms came from cuDNN itself.
    unsafe {
        match pass {
            Pass::Forward => {
                let algorithm = std::mem::transmute::<u32, sys::cudnnConvolutionFwdAlgo_t>(choice.algorithm);
                sys::cudnnConvolutionForward(
                    h,
                    one,
                    d.x,
                    x,
                    d.w,
                    w,
                    d.convolution,
                    algorithm,
                    scratch,
                    memory,
                    zero,
                    d.y,
                    y,
                )
            }
            Pass::Input => {
                let algorithm = std::mem::transmute::<u32, sys::cudnnConvolutionBwdDataAlgo_t>(choice.algorithm);
                sys::cudnnConvolutionBackwardData(
                    h,
                    one,
                    d.w,
                    w,
                    d.y,
                    y,
                    d.convolution,
                    algorithm,
                    scratch,
                    memory,
                    zero,
                    d.x,
                    x,
                )
            }
        }
        .result()
    }
}
