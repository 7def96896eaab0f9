//! How exact products are, and what is kept of activations.

/// How products are made, and how activations and their gradients are stored. Sums of products are f32 in every case, and so are
/// weights, their gradients, every example's own gradients of biases and normalisations over several positions (with one position a bias's is
/// that of its output), norms, losses and statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Both factors f32.
    #[default]
    F32,
    /// Factors rounded to 11 bits (TF32) on their way into the tensor cores.
    Tf32,
    /// Factors of 8 bits (bfloat16). Activations and their gradients are rounded once, to nearest, by the operation that makes them, and
    /// stored so: the factors of a per-example gradient are the stored numbers themselves, whether it is measured or added up.
    /// What an operation adds up on its way is f32. Data are rounded where the first operation takes them; ids of tokens are not.
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
