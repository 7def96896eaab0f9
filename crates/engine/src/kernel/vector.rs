//! Vectors of `f32` in registers: what a product kernel is written in, once for all instruction sets.

/// As many `f32` as a register holds. Every function is inlined into a kernel that has the instructions enabled.
///
/// # Safety
/// The caller has made sure that the machine has the instructions, and that pointers are good for [`Vector::LANES`]
/// elements (one for [`Vector::splat`]).
pub(super) trait Vector: Copy {
    /// Elements.
    const LANES: usize;
    /// Rows of a tile whose sums fit into the registers, two vectors each, beside what else a kernel needs.
    const ROWS: usize;
    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn splat(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    /// `self + a b`.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// Says that this line will be needed; any address will do.
    #[inline(always)]
    fn prefetch(_at: *const f32) {}
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::Pairs;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    impl Vector for __m512 {
        const LANES: usize = 16;
        const ROWS: usize = 12;
        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Self {
            unsafe { _mm512_set1_ps(*from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { _mm512_add_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            unsafe { _mm512_fmadd_ps(a, b, self) }
        }
        #[inline(always)]
        fn prefetch(at: *const f32) {
            // SAFETY: prefetching never faults, and every x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        }
    }

    /// Sums in f32; what is multiplied are pairs of bf16 numbers.
    #[derive(Clone, Copy)]
    pub(in crate::kernel) struct Pairs(__m512);

    impl Vector for Pairs {
        const LANES: usize = <__m512 as Vector>::LANES;
        const ROWS: usize = <__m512 as Vector>::ROWS;
        #[inline(always)]
        unsafe fn zero() -> Self {
            Pairs(unsafe { __m512::zero() })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Pairs(unsafe { __m512::load(from) })
        }
        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Self {
            Pairs(unsafe { __m512::splat(from) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { self.0.store(to) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Pairs(unsafe { self.0.add(other.0) })
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: both types are 64 bytes, of which every value is one.
            let [a, b] = [a, b].map(|pairs| unsafe { std::mem::transmute::<__m512, __m512bh>(pairs.0) });
            Pairs(unsafe { _mm512_dpbf16_ps(self.0, a, b) })
        }
        #[inline(always)]
        fn prefetch(at: *const f32) {
            __m512::prefetch(at);
        }
    }

    impl Vector for __m256 {
        const LANES: usize = 8;
        const ROWS: usize = 6;
        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Self {
            unsafe { _mm256_set1_ps(*from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { _mm256_add_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            unsafe { _mm256_fmadd_ps(a, b, self) }
        }
    }
}

/// Plain arithmetic, which the compiler turns into whatever vectors the target has (SSE2, NEON).
#[derive(Clone, Copy)]
pub(super) struct Plain([f32; 4]);

impl Vector for Plain {
    const LANES: usize = 4;
    const ROWS: usize = 6;
    #[inline(always)]
    unsafe fn zero() -> Self {
        Plain([0.0; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Plain(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        Plain([unsafe { *from }; 4])
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
    }
}
