//! What examples are to be predicted: as private as their inputs, but for names and sizes.

use super::error::DataError;
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

/// What is to be predicted, one entry an example.
pub enum Targets {
    /// One class an example.
    Classes {
        /// Class numbers below `names.len()`; private.
        labels: Vec<u32>,
        /// The classes' names in order; public.
        names: Arc<[String]>,
    },
    /// `width` numbers an example.
    Values {
        /// Numbers an example.
        width: usize,
        /// `n * width` numbers, row by row; private.
        data: Vec<f32>,
    },
    /// One token at each of `width` positions of an example, as in next-token prediction.
    Tokens {
        /// Positions an example.
        width: usize,
        /// Tokens there are; public.
        vocabulary: u32,
        /// `n * width` ids below `vocabulary`, or [`Targets::NO_TOKEN`] where nothing is asked; private.
        ids: Vec<u32>,
    },
}

impl Targets {
    /// Stands at a position of [`Targets::Tokens`] that is not to be predicted.
    pub const NO_TOKEN: u32 = u32::MAX;

    /// As many targets like these, made up without looking at any: for trying a model out.
    pub(crate) fn made_up(&self, n: usize) -> Self {
        match self {
            Self::Classes { names, .. } => Self::Classes { labels: vec![0; n], names: names.clone() },
            Self::Values { width, .. } => Self::Values { width: *width, data: vec![0.0; n * width] },
            Self::Tokens { width, vocabulary, .. } => {
                Self::Tokens { width: *width, vocabulary: *vocabulary, ids: vec![0; n * width] }
            }
        }
    }

    /// Examples that have a target.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values { width, data } => data.len() / (*width).max(1),
            Self::Tokens { width, ids, .. } => ids.len() / (*width).max(1),
        }
    }

    /// Takes all targets into a hash.
    pub(super) fn hash(&self, hash: &mut impl Hasher) {
        match self {
            Self::Classes { labels: ids, .. } | Self::Tokens { ids, .. } => ids.hash(hash),
            Self::Values { data, .. } => data.iter().for_each(|x| x.to_bits().hash(hash)),
        }
    }

    pub(super) fn check(&self) -> Result<(), DataError> {
        let problem = match self {
            Self::Classes { labels, names } if labels.iter().any(|&l| l as usize >= names.len()) => {
                "a label is outside the classes"
            }
            Self::Values { width: 0, .. } | Self::Tokens { width: 0, .. } => {
                "targets need at least one number an example"
            }
            Self::Values { width, data } if data.len() % width != 0 => {
                "the targets' length is no multiple of their width"
            }
            Self::Tokens { width, ids, .. } if ids.len() % width != 0 => {
                "the targets' length is no multiple of their width"
            }
            Self::Tokens { vocabulary, ids, .. } if ids.iter().any(|id| id >= vocabulary && *id != Self::NO_TOKEN) => {
                "a token is outside the vocabulary"
            }
            Self::Values { data, .. } if data.iter().any(|v| !v.is_finite()) => "a target is not finite",
            _ => return Ok(()),
        };
        Err(DataError::config("targets", problem))
    }

    /// Puts others of the same kind behind these.
    pub(super) fn append(&mut self, others: Self) -> Result<(), DataError> {
        match (self, others) {
            (Self::Classes { labels, names }, Self::Classes { labels: more, names: others }) if *names == others => {
                labels.extend(more);
            }
            (Self::Values { width, data }, Self::Values { width: w, data: more }) if *width == w => data.extend(more),
            (Self::Tokens { width, ids, .. }, Self::Tokens { width: w, ids: more, .. }) if *width == w => {
                ids.extend(more);
            }
            _ => return Err(DataError::config("targets", "made-up targets are of another kind")),
        }
        Ok(())
    }

    /// Whether these are the others.
    pub(super) fn same(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::Classes { labels, .. }, Self::Classes { labels: others, .. }) => labels == others,
            (Self::Values { data, .. }, Self::Values { data: others, .. }) => data == others,
            (Self::Tokens { ids, .. }, Self::Tokens { ids: others, .. }) => ids == others,
            _ => false,
        }
    }

    pub(super) fn gather(&self, who: &[usize]) -> Self {
        match self {
            Self::Classes { labels, names } => {
                Self::Classes { labels: who.iter().map(|&i| labels[i]).collect(), names: names.clone() }
            }
            Self::Values { width, data } => {
                let rows = who.iter().flat_map(|&i| &data[i * width..(i + 1) * width]);
                Self::Values { width: *width, data: rows.copied().collect() }
            }
            Self::Tokens { width, vocabulary, ids } => {
                let rows = who.iter().flat_map(|&i| &ids[i * width..(i + 1) * width]);
                Self::Tokens { width: *width, vocabulary: *vocabulary, ids: rows.copied().collect() }
            }
        }
    }
}
