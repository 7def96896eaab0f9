//! Matrix products by cuBLAS.

use std::ffi::c_void;

use cudarc::cublas::{result, sys};

use super::error::{DeviceError, fail};
use super::recorder::key;
use super::{Gpu, Precision, aligned, library};
use crate::{Dtype, Tensor};

/// What NVIDIA recommends for Hopper.
const WORKSPACE: usize = 32 << 20;

/// cuBLAS on the GPU's stream.
pub(crate) struct Blas {
    handle: sys::cublasHandle_t,
}

// SAFETY: cuBLAS handles may be used by one thread at a time; work on one GPU is launched by one thread at a time (the
// trainer), and a handle's own state does not change after `new`.
unsafe impl Send for Blas {}
unsafe impl Sync for Blas {}

/// The library's handle, for a call that is made later.
#[derive(Clone, Copy)]
struct Handle(sys::cublasHandle_t);

// SAFETY: as for `Blas`.
unsafe impl Send for Handle {}

impl Handle {
    fn get(self) -> sys::cublasHandle_t {
        self.0
    }
}

/// A row-major matrix on the GPU, or a row of them.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    /// Address of its first element.
    pub(crate) at: u64,
    /// Elements from one stored row to the next.
    pub(crate) row: usize,
    /// Whether it stands for its transpose.
    pub(crate) turned: bool,
    /// Elements from one matrix of a batch to the next.
    pub(crate) step: usize,
    pub(crate) dtype: Dtype,
}

impl Matrix {
    /// Rows of `row` f32 elements.
    pub(crate) fn new(at: u64, row: usize) -> Self {
        Self { at, row, turned: false, step: 0, dtype: Dtype::F32 }
    }

    /// The rows of a tensor, as they are stored.
    pub(crate) fn of(x: &Tensor) -> Self {
        let (at, row, dtype) = x.rows_at();
        Self { dtype, ..Self::new(at, row) }
    }

    /// That matrix without its first `elements` elements.
    pub(crate) fn from(self, elements: usize) -> Self {
        Self { at: self.at + (self.dtype.bytes() * elements) as u64, ..self }
    }

    /// Elements of 16 bytes.
    pub(super) fn together(self) -> usize {
        16 / self.dtype.bytes()
    }

    fn type_of(self) -> sys::cudaDataType {
        match self.dtype {
            Dtype::F32 => sys::cudaDataType::CUDA_R_32F,
            Dtype::Bf16 => sys::cudaDataType::CUDA_R_16BF,
        }
    }

    /// Its transpose.
    pub(crate) fn t(self) -> Self {
        Self { turned: !self.turned, ..self }
    }

    /// One of a batch whose members are `step` elements apart.
    pub(crate) fn every(self, step: usize) -> Self {
        Self { step, ..self }
    }

    fn operation(self) -> sys::cublasOperation_t {
        if self.turned { sys::cublasOperation_t::CUBLAS_OP_T } else { sys::cublasOperation_t::CUBLAS_OP_N }
    }
}

/// `out = alpha a b + beta out` for `batch` products of `[m, k]` by `[k, n]`, of factors of one type.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    pub(crate) size: [usize; 3],
    pub(crate) batch: usize,
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    pub(crate) precision: Precision,
}

impl Product {
    /// One product in the GPU's precision.
    pub(crate) fn new(gpu: &Gpu, m: usize, n: usize, k: usize) -> Self {
        Self { size: [m, n, k], batch: 1, alpha: 1.0, beta: 0.0, precision: gpu.precision() }
    }
}

impl Blas {
    pub(super) fn new(gpu: &Gpu) -> Result<Self, DeviceError> {
        if !library::open("cublas") {
            return Err(DeviceError(format!(
                "{gpu:?}: libcublas was not found: install CUDA or `pip install nvidia-cublas`, or name its folder in \
                 SECATEUR_CUDA_LIBRARIES"
            )));
        }
        let wrong = |e| DeviceError(format!("{gpu:?}: cuBLAS: {e}"));
        let workspace = gpu.take(WORKSPACE);
        // SAFETY: a fresh handle on a live stream; the workspace is never given back.
        unsafe {
            let handle = result::create_handle().map_err(wrong)?;
            result::set_stream(handle, gpu.stream().cast()).map_err(wrong)?;
            sys::cublasSetWorkspace_v2(handle, workspace as *mut c_void, WORKSPACE).result().map_err(wrong)?;
            Ok(Self { handle })
        }
    }

    /// See [`Product`]; `out` is row major, its `step` the distance of results. Large products of rounded factors whose rows
    /// are not multiples of 16 bytes go by way of copies that are.
    pub(crate) fn product(&self, gpu: &'static Gpu, out: Matrix, a: Matrix, b: Matrix, how: &Product) {
        if !aligned::by_copies(self, gpu, [out, a, b], how) {
            self.plain(gpu, out, a, b, how);
        }
    }

    /// By cuBLAS as it is.
    pub(super) fn plain(&self, gpu: &'static Gpu, out: Matrix, a: Matrix, b: Matrix, how: &Product) {
        let &Product { size: [m, n, k], batch, alpha, beta, precision } = how;
        if m * n * batch == 0 {
            return;
        }
        if k == 0 {
            return if beta == 0.0 {
                (0..batch).for_each(|i| gpu.clear(out.from(i * out.step).at, m * n * out.dtype.bytes()))
            };
        }
        gpu.enter();
        assert!(a.dtype == b.dtype, "a product of {:?} and {:?}", a.dtype, b.dtype);
        // The numbers themselves are rounded already.
        let precision = if a.dtype == Dtype::Bf16 { Precision::F32 } else { precision };
        let int = |x: usize| i32::try_from(x).unwrap_or_else(|_| fail(format!("a matrix of {x} rows is too large")));
        // cuBLAS stores by columns: it is asked for the transpose of everything, factors in the other order.
        let name = move || format!("product {m} x {k} x {n}, {batch} of them");
        let matrix = |x: Matrix| [x.at, x.row as u64, u64::from(x.turned) + 2 * x.dtype as u64, x.step as u64];
        let sizes = [1, m, n, k, batch, precision as usize].map(|x| x as u64);
        let factors = [alpha, beta].map(|x| u64::from(x.to_bits()));
        let words = sizes.into_iter().chain(factors).chain([out, a, b].into_iter().flat_map(matrix));
        let handle = Handle(self.handle);
        // SAFETY: addresses are the callers' buffers; alpha and beta are read before the call returns.
        let product = move || unsafe {
            sys::cublasGemmStridedBatchedEx(
                handle.get(),
                b.operation(),
                a.operation(),
                int(n),
                int(m),
                int(k),
                (&raw const alpha).cast(),
                b.at as *const c_void,
                b.type_of(),
                int(b.row),
                b.step as i64,
                a.at as *const c_void,
                a.type_of(),
                int(a.row),
                a.step as i64,
                (&raw const beta).cast(),
                out.at as *mut c_void,
                out.type_of(),
                int(out.row),
                out.step as i64,
                int(batch),
                compute(precision),
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        };
        gpu.call(
            || key(words),
            move || {
                let done = gpu.timed_as(name, product).result();
                done.unwrap_or_else(|e| fail(format!("{gpu:?}: a product {m} x {k} x {n}: {e}")));
            },
        );
    }
}

fn compute(precision: Precision) -> sys::cublasComputeType_t {
    match precision {
        Precision::F32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        Precision::Tf32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        Precision::Bf16 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_16BF,
    }
}
