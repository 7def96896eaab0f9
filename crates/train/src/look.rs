//! Where gradients are taken: at the weights, or blended from several places near them.
//!
//! # Why this is private
//! *Claim.* A blended gradient of one example is a function of that example, released values and public numbers.
//! *Argument.* Offsets come from updates and rules, which hold released values only; each example is looked at from the same
//! places, and its gradients are added up before anything is measured, so that one person is clipped once, whole.
//! *Filling up.* A GPU launches work of the same sizes together (`engine::Gpu::in_one_go`), and lots differ in size: there, rows are filled
//! up to one of few sizes. What fills up is the first row once more, of weight exactly 0 in every sum (`Taps::present`), so that it
//! adds nothing to any; only rules whose weights are closed forms are looked at so, since no other sees norms one by one.
//! *Tests.* `looks_are_added_before_they_are_measured`; `filled_up_rows_add_nothing` (`tests/gpu/models.rs`).
use crate::{
    augment::Augment,
    data::{Examples, TakingPart},
    grads::Grads,
    layer::Coins,
    model::{Model, Weights},
    tap::Taps,
};
use engine::Tensor;
use privacy::{Key, Purpose, Secret};
use std::sync::Arc;

/// One of the places, and how much what is seen there counts.
#[derive(Clone)]
pub struct Look {
    /// What its gradient is multiplied with.
    pub weight: f64,
    /// Added to the weights; none is the weights themselves.
    pub offset: Option<Grads>,
}

impl Look {
    /// At the weights themselves.
    pub fn here() -> Vec<Look> {
        vec![Look { weight: 1.0, offset: None }]
    }
}

/// The looks of somebody who looks in turn as `outer` and `inner` say: every pair, offsets added and weights multiplied.
pub fn both(outer: &[Look], inner: &[Look]) -> Vec<Look> {
    let pair = |a: &Look, b: &Look| {
        let offset = match (a.offset.clone(), &b.offset) {
            (Some(mut a), Some(b)) => {
                a.zip_with(b, |a, b| *a += b);
                Some(a)
            }
            (a, b) => a.or_else(|| b.clone()),
        };
        Look { weight: a.weight * b.weight, offset }
    };
    outer.iter().flat_map(|a| inner.iter().map(move |b| pair(a, b))).collect()
}

/// Rows for `n` examples where there is room for so many: a thirty-second more at most.
fn filled(n: usize, room: usize) -> usize {
    let rows = n.next_multiple_of((n / 32).next_power_of_two());
    if rows <= room { rows } else { n }
}

/// The randomness of looking: which records take part, how they are altered, and the coins of dropout.
#[derive(Clone, Copy)]
pub struct Chance<'a> {
    /// The run's key.
    pub key: &'a Arc<Key>,
    /// The step.
    pub step: u64,
    /// How records are altered, if they are.
    pub augment: Option<&'a Augment>,
}

impl Chance<'_> {
    /// The records with which units `who` of `data` take part in the step.
    pub(crate) fn taking_part(&self, data: &Examples, who: &[usize]) -> TakingPart {
        data.taking_part(who, &self.key.stream(Purpose::Records, self.step, 0))
    }

    /// The inputs of copies of records, altered by coins of their own.
    fn altered(&self, inputs: Tensor, copies: &[usize]) -> Tensor {
        let Some(augment) = self.augment else { return inputs };
        augment.alter(inputs, &self.key.stream(Purpose::Augment, self.step, 0), copies)
    }
}

/// The drawn examples' or people's gradients, filled up where there is `room` (0 for none), blended from `looks`;
/// `measured` where the norms of just these will be asked for. Every look flips the same coins.
pub fn at(
    model: &Model,
    weights: &Weights,
    looks: &[Look],
    data: &Secret<Arc<Examples>>,
    chance: Chance,
    (who, room): (Secret<Vec<usize>>, usize),
    measured: bool,
) -> Secret<Taps> {
    // What is blended is measured whole.
    let measured = measured && looks.len() == 1;
    who.join(data.as_ref()).map(|(who, data)| {
        if who.is_empty() {
            return Taps::new(0, weights.layout());
        }
        let mut rows = who.clone();
        rows.extend(who.first().into_iter().flat_map(|first| vec![*first; filled(who.len(), room) - who.len()]));
        let many = chance.augment.map_or(1, |augment| augment.multiplicity);
        let TakingPart { records, coins, shares } = chance.taking_part(data, &rows).copied(many);
        let one = |look: &Look| {
            let seen = look.offset.as_ref().map(|offset| weights.seen_from(offset));
            let seen = seen.as_ref().unwrap_or(weights);
            let (inputs, targets) = data.gather_on(&records, weights.layout().device());
            let inputs = chance.altered(inputs, &coins);
            let coins = Coins { key: chance.key.clone(), step: chance.step, who: coins.clone() };
            (look.weight, model.taps_with(seen, (inputs, &targets), coins, shares.clone(), measured))
        };
        let mut taps = Taps::blended(looks.iter().map(one).collect());
        (taps.present, taps.who) = (who.len(), who);
        taps
    })
}
