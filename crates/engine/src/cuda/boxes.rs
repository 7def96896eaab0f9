//! Matrices as Hopper's copy engine is told of them (`boxes.cuh`).

use std::ptr::from_mut;

use cudarc::driver::sys::{self, CUtensorMap};

use super::Gpu;
use crate::Dtype;

/// Bytes of a box's row, of which the tensor cores expect 16 at a time in other places.
const ROW: usize = 128;

impl Gpu {
    /// The words for a matrix `[n, t, width]` at `at`, a multiple of 16, whose rows are `row` numbers apart, a multiple of 16 bytes.
    /// Boxes are `rows` rows of 128 bytes; what lies beyond an example's rows or a row's numbers is 0.
    pub(crate) fn boxed(
        &self,
        (at, row, dtype): (u64, usize, Dtype),
        [n, t, width]: [usize; 3],
        rows: usize,
    ) -> [u64; 16] {
        self.enter();
        let mut words = CUtensorMap { opaque: [0; 16] };
        let kind = match dtype {
            Dtype::F32 => sys::CUtensorMapDataType_enum::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
            Dtype::Bf16 => sys::CUtensorMapDataType_enum::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        };
        let sizes = [width, t, n].map(|size| size as u64);
        let strides = [row, t * row].map(|numbers| (dtype.bytes() * numbers) as u64);
        let boxed = [ROW / dtype.bytes(), rows, 1].map(|numbers| numbers as u32);
        // SAFETY: places for the answer and the sizes; addresses are only written down.
        let done = unsafe {
            sys::cuTensorMapEncodeTiled(
                from_mut(&mut words),
                kind,
                3,
                at as *mut std::ffi::c_void,
                sizes.as_ptr(),
                strides.as_ptr(),
                boxed.as_ptr(),
                [1; 3].as_ptr(),
                sys::CUtensorMapInterleave_enum::CU_TENSOR_MAP_INTERLEAVE_NONE,
                sys::CUtensorMapSwizzle_enum::CU_TENSOR_MAP_SWIZZLE_128B,
                sys::CUtensorMapL2promotion_enum::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                sys::CUtensorMapFloatOOBfill_enum::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        self.check("a matrix for the copy engine", done.result());
        words.opaque
    }
}
