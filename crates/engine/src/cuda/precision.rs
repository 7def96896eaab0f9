//! How exact products are.

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
    pub(super) const ALL: [Precision; 3] = [Precision::F32, Precision::Tf32, Precision::Bf16];

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
