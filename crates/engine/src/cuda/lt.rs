//! Products with a shift on the way out, and a rectifier or a sum that they are added to, by cuBLASLt.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Mutex;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;

use super::error::fail;
use super::gpu::lock;
use super::recorder::key;
use super::{Buffer, Gpu, Precision, library};
use crate::Dtype;

/// What NVIDIA recommends for Hopper.
const WORKSPACE: usize = 32 << 20;

/// `y = x w^T + shift` for `x` `[m, k]` and `w` `[n, k]`, or the larger of that and 0, or added to a sum of
/// `y`'s form. Rows are some elements apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Affine {
    pub(crate) size: [usize; 3],
    /// Elements from one row of `y`, `x` and `w` to the next.
    pub(crate) rows: [usize; 3],
    pub(crate) rectified: bool,
    pub(crate) onto: bool,
    pub(crate) precision: Precision,
    /// Of everything, the shift too.
    pub(crate) dtype: Dtype,
}

/// Descriptors of a product, and how it is carried out.
#[derive(Clone, Copy)]
struct Plan {
    product: sys::cublasLtMatmulDesc_t,
    w: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    y: sys::cublasLtMatrixLayout_t,
    how: sys::cublasLtMatmulHeuristicResult_t,
}

// SAFETY: descriptors are those of one process; one thread at a time launches the work of a GPU.
unsafe impl Send for Plan {}

/// The library's handle, for a call that is made later.
#[derive(Clone, Copy)]
struct Handle(sys::cublasLtHandle_t);

// SAFETY: as for `Lt`.
unsafe impl Send for Handle {}

/// cuBLASLt.
pub(crate) struct Lt {
    handle: sys::cublasLtHandle_t,
    /// None for what the library cannot do.
    plans: Mutex<HashMap<Affine, Option<Plan>>>,
}

// SAFETY: as for `Blas`; plans are used under their mutex.
unsafe impl Send for Lt {}
unsafe impl Sync for Lt {}

impl Lt {
    /// None where the library is not installed.
    pub(super) fn new() -> Option<Self> {
        if !library::open("cublasLt") {
            return None;
        }
        Some(Self { handle: result::create_handle().ok()?, plans: Mutex::default() })
    }

    /// Carries the product out, if the library can: whether it did. `at` are the addresses of `y`, `x`, `w`, the shift and the sum.
    pub(crate) fn run(&self, gpu: &'static Gpu, affine: Affine, at: [u64; 5]) -> bool {
        gpu.enter();
        let mut plans = lock(&self.plans);
        let plan = plans.entry(affine).or_insert_with(|| self.plan(affine, at[3]).ok());
        let Some(plan) = plan else { return false };
        let [m, n, k] = affine.size;
        let Affine { size, rows, rectified, onto, precision, dtype } = affine;
        let name = move || format!("affine product {m} x {k} x {n}, rectified: {rectified}, added: {onto}");
        let workspace = Buffer::new(gpu, plan.how.workspaceSize.max(1)).address();
        let sizes = [2, usize::from(rectified), usize::from(onto), precision as usize, dtype as usize]
            .into_iter()
            .chain(size)
            .chain(rows);
        let words = sizes.map(|x| x as u64).chain(at).chain([workspace]);
        let (handle, plan) = (Handle(self.handle), *plan);
        gpu.call(
            || key(words),
            move || {
                let done = gpu.timed_as(name, || carry_out(gpu, handle, &plan, (at, onto), workspace));
                done.unwrap_or_else(|e| fail(format!("{gpu:?}: a product {m} x {k} x {n}: {e}")));
            },
        );
        true
    }

    /// cuBLASLt stores by columns: it is asked for the transpose, `w x^T`, whose rows the shift belongs to.
    fn plan(&self, affine: Affine, shift: u64) -> Result<Plan, CublasError> {
        let Affine { size: [m, n, k], rows: [y, x, w], rectified, precision, dtype, .. } = affine;
        let f32 = sys::cudaDataType_t::CUDA_R_32F;
        let (stored, precision) = match dtype {
            Dtype::F32 => (f32, precision),
            Dtype::Bf16 => (sys::cudaDataType_t::CUDA_R_16BF, Precision::F32),
        };
        let layout = |rows: usize, columns: usize, pitch: usize| {
            result::create_matrix_layout(stored, rows as u64, columns as u64, pitch as i64)
        };
        let epilogue = match rectified {
            true => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_RELU_BIAS,
            false => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
        };
        use sys::cublasLtMatmulDescAttributes_t as About;
        let product = result::create_matmul_desc(compute(precision), f32)?;
        let (w, x, y) = (layout(k, n, w)?, layout(k, m, x)?, layout(n, m, y)?);
        // 1 is `CUBLAS_OP_T`.
        set(product, About::CUBLASLT_MATMUL_DESC_TRANSA, 1i32)?;
        set(product, About::CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue)?;
        set(product, About::CUBLASLT_MATMUL_DESC_BIAS_POINTER, shift)?;
        // SAFETY: everything was created above; the workspace's size is read before the call returns.
        let how = unsafe {
            let wish = result::create_matmul_pref()?;
            let most = sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            let bytes = WORKSPACE;
            let size = (&raw const bytes).cast();
            result::set_matmul_pref_attribute(wish, most, size, size_of::<usize>())?;
            let how = result::get_matmul_algo_heuristic(self.handle, product, w, x, y, y, wish);
            result::destroy_matmul_pref(wish)?;
            how?
        };
        Ok(Plan { product, w, x, y, how })
    }
}

fn carry_out(
    gpu: &Gpu,
    handle: Handle,
    plan: &Plan,
    ([y, x, w, shift, sum], onto): ([u64; 5], bool),
    workspace: u64,
) -> Result<(), CublasError> {
    let (one, old) = (1.0f32, f32::from(u8::from(onto)));
    let bias = sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER;
    set(plan.product, bias, shift)?;
    // SAFETY: addresses are the callers' buffers, as large as the layouts say.
    unsafe {
        result::matmul(
            handle.0,
            plan.product,
            (&raw const one).cast(),
            (&raw const old).cast(),
            w as *const c_void,
            plan.w,
            x as *const c_void,
            plan.x,
            sum as *const c_void,
            plan.y,
            y as *mut c_void,
            plan.y,
            &raw const plan.how.algo,
            workspace as *mut c_void,
            plan.how.workspaceSize,
            gpu.stream.cast(),
        )
    }
}

fn set<T>(
    product: sys::cublasLtMatmulDesc_t,
    what: sys::cublasLtMatmulDescAttributes_t,
    value: T,
) -> Result<(), CublasError> {
    // SAFETY: the descriptor lives as long as the process; the value is read before the call returns.
    unsafe { result::set_matmul_desc_attribute(product, what, (&raw const value).cast(), size_of::<T>()) }
}

fn compute(precision: Precision) -> sys::cublasComputeType_t {
    match precision {
        Precision::F32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        Precision::Tf32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        Precision::Bf16 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_16BF,
    }
}
