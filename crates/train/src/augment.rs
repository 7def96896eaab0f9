//! Augmentation multiplicity: an example's gradient is the mean over several altered copies of it, and is clipped after that.
//!
//! Source: De, Berrada, Hayes, Smith & Balle 2022, arXiv 2204.13650, section 3.2 (after Fort et al. 2021, arXiv 2105.13343).
//! Images are mirrored by a coin and moved by up to `shift` pixels: a random crop of the image with a border. Each step alters afresh.
//!
//! # Why this is private
//! *Claim.* Copies cost no privacy: an example's clipped gradient is a function of that example, the weights and its own coins.
//! *Argument.* Copies of one example take the places of one person's records (`data/people.rs`), each with its share of
//! the mean: their gradients are added up before anything is measured, so that one example is clipped once, whole. (Clipped one by one,
//! `k` copies would move a sum `k` times as far.) Which copies are made is looked up by (key, step, number of the example, number of the
//! copy): nobody else's presence changes it. All numbers are public, and every example has as many copies.
//! *Tests.* `tests/augment.rs`: `copies_are_averaged_before_they_are_measured`, `nobody_changes_anybodys_copies`.
use engine::{
    Tensor,
    op::{self, Beyond, Move},
};
use privacy::Stream;
use serde::{Deserialize, Serialize};

/// `[train.augment]`: `{ multiplicity = 8, flip = true, shift = 4 }`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Copies of each example in a step, whose gradients are averaged before they are clipped; time and memory grow with it.
    #[serde(default = "one")]
    pub multiplicity: usize,
    /// Whether left and right are exchanged in half of the copies.
    #[serde(default)]
    pub flip: bool,
    /// The most pixels that a copy is moved by, up, down, left and right.
    #[serde(default)]
    pub shift: usize,
    /// What moves in at the edge.
    #[serde(default)]
    pub border: Border,
}

fn one() -> usize {
    1
}

/// What moves in at the edge of an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Border {
    /// The image again, mirrored at its outermost pixels.
    #[default]
    Reflect,
    /// Zeros, in the model's inputs: the mean colour where pixels are standardised.
    Zero,
}

/// Nobody needs more, and numbers of copies stay far below 2^64.
const MOST: usize = 1024;

impl Augment {
    /// # Errors
    /// If the numbers make no sense, or not for examples of this shape.
    pub(crate) fn check(&self, shape: &[usize]) -> Result<(), String> {
        if !(1..=MOST).contains(&self.multiplicity) {
            return Err(format!("train.augment.multiplicity = {} is not from 1 to {MOST}", self.multiplicity));
        }
        let &[_, height, width] = shape else {
            return Err(format!(
                "train.augment mirrors and moves images [channels, height, width], but an example is {shape:?}"
            ));
        };
        match (self.flip, self.shift) {
            (false, 0) => Err("train.augment changes nothing: say flip = true, or shift = 4".into()),
            (_, shift) if shift >= height.min(width) => {
                Err(format!("train.augment.shift = {shift} moves images of {height} by {width} pixels out of sight"))
            }
            _ => Ok(()),
        }
    }

    /// What becomes of images `x`, row `i` of which is copy `copies[i]` of all the copies that there might be: it is altered by coins of
    /// that number.
    pub(crate) fn alter(&self, x: Tensor, stream: &Stream, copies: &[usize]) -> Tensor {
        if copies.is_empty() {
            return x;
        }
        let moves: Vec<Move> = copies.iter().map(|copy| self.chosen(stream.word(*copy as u64))).collect();
        let beyond = match self.border {
            Border::Reflect => Beyond::Reflected,
            Border::Zero => Beyond::Zeros,
        };
        op::moved(&x, &moves, beyond)
    }

    /// The top bit mirrors; the next 31 and the lower 32 move.
    fn chosen(&self, word: u64) -> Move {
        let places = 2 * self.shift as u64 + 1;
        let step = |bits: u64, of: u32| ((bits * places) >> of) as i32 - self.shift as i32;
        Move {
            down: step(word & 0xffff_ffff, 32),
            right: step(word >> 32 & 0x7fff_ffff, 31),
            mirrored: u32::from(self.flip && word >> 63 == 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use privacy::{Key, Purpose};
    use std::collections::HashMap;

    fn augment(flip: bool, shift: usize) -> Augment {
        Augment { multiplicity: 1, flip, shift, border: Border::Reflect }
    }

    /// Each of the 50 moves as often, by a chi-square test of 49 degrees of freedom, which exceeds 98 with probability 4e-5.
    #[test]
    fn every_move_is_as_likely() {
        let stream = Key::from_seed(4).stream(Purpose::Augment, 0, 0);
        let (mut counts, all) = (HashMap::new(), 50_000u64);
        for copy in 0..all {
            let Move { down, right, mirrored } = augment(true, 2).chosen(stream.word(copy));
            *counts.entry((down, right, mirrored)).or_insert(0u64) += 1;
        }
        let expected = all as f64 / 50.0;
        let chi: f64 = counts.values().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
        assert!(counts.len() == 50 && chi < 98.0, "{} moves, chi-square {chi}", counts.len());
        assert!(counts.keys().all(|(down, right, _)| down.abs() <= 2 && right.abs() <= 2));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let said = |augment: Augment, shape: &[usize]| augment.check(shape).unwrap_err();
        assert!(augment(true, 4).check(&[3, 32, 32]).is_ok());
        assert!(said(augment(false, 0), &[3, 32, 32]).contains("changes nothing"));
        assert!(said(augment(true, 8), &[1, 28, 8]).contains("28 by 8"));
        assert!(said(augment(true, 1), &[149]).contains("[149]"));
        assert!(said(Augment { multiplicity: 0, ..augment(true, 1) }, &[3, 8, 8]).contains("multiplicity = 0"));
    }
}
