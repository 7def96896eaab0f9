//! Dropout, PyTorch's `nn.Dropout` (Srivastava et al. 2014): in training each number is zeroed with probability `rate`, and
//! the others are divided by `1 - rate`; in evaluation nothing happens.
use super::{Build, Keep, Layer, ShapeError, View};
use crate::tap::Taps;
use engine::{
    Tensor,
    op::{self, Cipher},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// `{ layer = "dropout", rate = 0.1 }`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The share of numbers that are zeroed.
    pub rate: f64,
}

struct Built {
    rate: f64,
    output: Vec<usize>,
}

impl Build for Dropout {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        if !(0.0..1.0).contains(&self.rate) {
            return Err(ShapeError(format!("dropout: rate = {} is not at least 0 and below 1", self.rate)));
        }
        Ok(Box::new(Built { rate: self.rate, output: input.to_vec() }))
    }
}

impl Built {
    /// 1 for each number that stays and 0 for the others; none where there are no coins.
    fn mask(&self, x: &Tensor, keep: &mut Keep) -> Option<Tensor> {
        let width = x.row_len();
        let (coins, layer) = keep.coins()?;
        let (stream, below) = (coins.stream(layer), (self.rate * 2f64.powi(64)) as u64);
        if let Some(gpu) = x.device().gpu() {
            let starts: Vec<u64> = (0..x.rows()).map(|row| coins.at(layer, row, width)).collect();
            let flip = |key: &[u8; 32], nonce| op::coins(gpu, Cipher { key, nonce }, &starts, width, below);
            return Some(stream.lend(flip).reshape(x.shape()));
        }
        let mut mask = Tensor::zeros(x.shape());
        let rows = mask.data_mut().par_chunks_mut(width.max(1)).enumerate();
        rows.for_each_init(
            || vec![0; width],
            |words, (row, mask)| {
                stream.fill_words(coins.at(layer, row, width), words);
                mask.iter_mut().zip(words).for_each(|(m, word)| *m = if *word < below { 0.0 } else { 1.0 });
            },
        );
        Some(mask)
    }

    /// What stays is larger by this.
    fn rest(&self) -> f32 {
        (1.0 / (1.0 - self.rate)) as f32
    }
}

impl Layer for Built {
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, _: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let Some(mask) = self.mask(&x, keep) else {
            keep.push(|| None::<Tensor>);
            return x;
        };
        // A dropped NaN stays one: an example that is not finite is left out as a whole.
        let y = op::multiply(x, &mask, self.rest());
        keep.push(|| Some(mask));
        y
    }
    fn backward(&self, _: View, keep: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
        match keep.pop::<Option<Tensor>>() {
            Some(mask) => op::multiply(dy, &mask, self.rest()),
            None => dy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{grads::Layout, layer::Coins, model::Weights};
    use privacy::Key;
    use std::sync::Arc;

    fn coins(seed: u64, step: u64, who: &[usize]) -> Keep {
        Keep::with_coins(Coins { key: Arc::new(Key::from_seed(seed)), step, who: who.to_vec() })
    }

    fn drop(rate: f64, keep: &mut Keep, rows: usize, width: usize) -> Tensor {
        let layer = Dropout { rate }.build(&[width]).unwrap();
        layer.forward(
            Weights::public(&Layout::new(vec![]), &Key::from_seed(0)).view(),
            Tensor::new([rows, width], vec![1.0; rows * width]),
            keep,
        )
    }

    #[test]
    fn an_examples_coins_are_its_own() {
        let both = drop(0.5, &mut coins(1, 7, &[3, 9]), 2, 64);
        let alone = drop(0.5, &mut coins(1, 7, &[9]), 1, 64);
        assert_eq!(both.row(1), alone.row(0));
        assert_ne!(both.row(0), both.row(1));
        assert_ne!(alone.data(), drop(0.5, &mut coins(1, 8, &[9]), 1, 64).data());
        let mut keep = coins(1, 7, &[9]);
        assert_ne!(drop(0.5, &mut keep, 1, 64).data(), drop(0.5, &mut keep, 1, 64).data(), "two layers, two masks");
    }

    /// The share of zeros of 1e5 coins lies within 5 standard errors of the rate; false alarm 6e-7, with a fixed seed.
    #[test]
    fn the_rate_is_met_and_the_mean_stays() {
        for rate in [0.0, 0.1, 0.5, 0.9] {
            let y = drop(rate, &mut coins(2, 0, &[0]), 1, 100_000);
            let zeros = y.data().iter().filter(|v| **v == 0.0).count() as f64 / 1e5;
            assert!((zeros - rate).abs() <= 5.0 * (rate * (1.0 - rate) / 1e5).sqrt(), "{rate}: {zeros}");
            assert!(y.data().iter().all(|v| *v == 0.0 || *v == (1.0 / (1.0 - rate)) as f32));
        }
    }

    #[test]
    fn backward_uses_the_same_coins() {
        let mut keep = coins(3, 1, &[5]);
        let y = drop(0.3, &mut keep, 1, 1000);
        let layer = Dropout { rate: 0.3 }.build(&[1000]).unwrap();
        let nothing = Weights::public(&Layout::new(vec![]), &Key::from_seed(0));
        let mut taps = Taps::new(1, nothing.layout());
        let dx = layer.backward(nothing.view(), &mut keep, Tensor::new([1, 1000], vec![1.0; 1000]), &mut taps);
        assert_eq!(dx.data(), y.data());
    }
}
