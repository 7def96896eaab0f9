//! How a tensor's numbers are stored on a GPU.

use crate::{Gpu, Precision};

/// The type of a number in a GPU's memory. On the host all numbers are f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Dtype {
    /// Four bytes.
    #[default]
    F32,
    /// The first two of them, rounded to nearest, ties to even: eight bits of a number's mantissa.
    Bf16,
}

impl Dtype {
    /// What activations and their gradients are stored as: bf16 where products are made of it.
    pub(crate) fn of_activations(gpu: &Gpu) -> Self {
        if gpu.precision() == Precision::Bf16 { Dtype::Bf16 } else { Dtype::F32 }
    }

    /// Bytes of a number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::Bf16 => 2,
        }
    }

    /// What a program whose activations are `number` is compiled with (`common.cuh`).
    pub(crate) fn define(self) -> &'static str {
        match self {
            Dtype::F32 => "",
            Dtype::Bf16 => "NUMBER=bf16",
        }
    }
}
