//! What an example loses: one number each, and its gradient.
use crate::data::Targets;
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

/// The loss function.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Softmax cross-entropy over classes.
    CrossEntropy,
    /// Sigmoid cross-entropy: one yes-or-no question an output, averaged over outputs.
    SigmoidCrossEntropy,
    /// Squared error, averaged over outputs.
    MeanSquaredError,
}

impl Loss {
    /// The usual loss for these targets.
    pub fn usual(targets: &Targets) -> Self {
        match targets {
            Targets::Classes { .. } | Targets::Tokens { .. } => Loss::CrossEntropy,
            Targets::Values { .. } => Loss::MeanSquaredError,
        }
    }

    /// The shape of one example's outputs that these targets need.
    pub fn outputs(self, targets: &Targets) -> Vec<usize> {
        match (self, targets) {
            (Loss::CrossEntropy, Targets::Classes { names, .. }) => vec![names.len()],
            (_, Targets::Classes { names, .. }) if names.len() == 2 => vec![1],
            (_, Targets::Classes { names, .. }) => vec![names.len()],
            (_, Targets::Values { width, .. }) => vec![*width],
            (_, Targets::Tokens { width, vocabulary, .. }) => vec![*width, *vocabulary as usize],
        }
    }

    /// Whether this loss can learn these targets; says why not.
    pub fn check(self, targets: &Targets) -> Result<(), String> {
        match (self, targets) {
            (Loss::CrossEntropy, Targets::Values { .. }) => {
                Err("cross-entropy needs classes, but the targets are numbers: use mean-squared-error".into())
            }
            (Loss::SigmoidCrossEntropy | Loss::MeanSquaredError, Targets::Tokens { .. }) => {
                Err("the targets are tokens: use cross-entropy".into())
            }
            _ => Ok(()),
        }
    }

    /// Each example's own loss, `[n]`, and its gradient with respect to that example's outputs, `[n, k]`; both on the
    /// outputs' device.
    pub fn apply(self, outputs: Tensor, targets: &Targets) -> (Tensor, Tensor) {
        match (self, targets) {
            (Loss::CrossEntropy, Targets::Classes { labels, .. }) => op::cross_entropy(outputs, labels),
            (_, Targets::Tokens { ids, .. }) => op::token_cross_entropy(outputs, ids),
            (Loss::MeanSquaredError, _) => op::mean_squared_error(&outputs, &dense(targets, &outputs)),
            (Loss::SigmoidCrossEntropy | Loss::CrossEntropy, _) => {
                op::sigmoid_cross_entropy(&outputs, &dense(targets, &outputs))
            }
        }
    }

    /// Whether each example's most likely class is its own; nothing for targets that are numbers.
    pub fn hits(self, outputs: &Tensor, targets: &Targets) -> Option<usize> {
        let Targets::Classes { labels, .. } = targets else { return None };
        Some(labels.iter().enumerate().filter(|(i, label)| self.guess(outputs.row(*i)) == **label as usize).count())
    }

    /// The most likely class by one example's outputs; of equals the first.
    pub fn guess(self, row: &[f32]) -> usize {
        match row {
            [one] => usize::from(*one > if self == Loss::MeanSquaredError { 0.5 } else { 0.0 }),
            _ => (0..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best }),
        }
    }

    /// One example's outputs as probabilities of the classes: softmax, or the logistic function of a single one; nothing where
    /// the loss makes no probabilities that add up to one.
    pub fn probabilities(self, row: &[f32]) -> Option<Vec<f64>> {
        match (row, self) {
            (_, Loss::MeanSquaredError) => None,
            ([one], _) => {
                let p = 1.0 / (1.0 + (-f64::from(*one)).exp());
                Some(vec![1.0 - p, p])
            }
            (_, Loss::SigmoidCrossEntropy) => None,
            _ => {
                let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let e: Vec<f64> = row.iter().map(|x| f64::from(x - most).exp()).collect();
                let sum: f64 = e.iter().sum();
                Some(e.into_iter().map(|x| x / sum).collect())
            }
        }
    }
}

/// Targets as numbers: classes become one-hot rows, or a single 0 or 1 where the model has one output.
fn dense(targets: &Targets, outputs: &Tensor) -> Tensor {
    let k = outputs.row_len();
    let data = match targets {
        Targets::Values { data, .. } => data.clone(),
        Targets::Tokens { ids, .. } => ids.iter().map(|id| *id as f32).collect(),
        Targets::Classes { labels, .. } if k == 1 => labels.iter().map(|l| *l as f32).collect(),
        Targets::Classes { labels, .. } => {
            labels.iter().flat_map(|l| (0..k as u32).map(move |j| f32::from(u8::from(j == *l)))).collect()
        }
    };
    Tensor::new([outputs.rows(), k], data).to(outputs.device())
}
