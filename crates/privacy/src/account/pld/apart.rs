//! Losses on lattices apart from the others: for a ledger in which one kind costs nearly everything.
//!
//! # Why this is private
//!
//! Claim: [`Pld::apart`] holds the epsilon of the curve.
//!
//! Argument: what is `(e_k, d_k)`-private for each of some groups of events is `(sum e_k, sum d_k)`-private for all, adaptively
//! (Dwork, Kenthapadi, McSherry, Mironov & Naor 2006, Theorem 1); each group's upper end is asked at its share of delta. No group
//! costs more than all together, so that each one's lower end is one.
//!
//! Checked by: `super::tests::a_lattice_and_hardly_anything_else`.

use super::ask::Ends;
use super::{Accountant, Pld, PldCurve};
use crate::account::pair::Pair;

/// The share of delta that each group but the dearest is given.
const SHARE: f64 = 0.01;

impl PldCurve {
    /// Each kind of coin by itself, and all that is not one; nothing where that is one group alone.
    fn groups(&self) -> Vec<PldCurve> {
        let coin = |pair: &Pair| matches!(pair, Pair::Coin { .. });
        let (coins, rest): (Vec<_>, Vec<_>) = self.parts.iter().copied().partition(|(pair, _)| coin(pair));
        let alone = |part| PldCurve { parts: vec![part], ..PldCurve::default() };
        let mut groups: Vec<PldCurve> = coins.into_iter().map(alone).collect();
        if !rest.is_empty() || self.unhidden() > 0.0 {
            groups.push(PldCurve { parts: rest, notes: Vec::new(), ..self.clone() });
        }
        if groups.len() > 1 { groups } else { Vec::new() }
    }
}

impl Pld {
    /// What the groups of a curve say by themselves.
    pub(super) fn apart(&self, curve: &PldCurve, delta: f64) -> Ends {
        let groups = curve.groups();
        let mut ends: Vec<Ends> = Vec::with_capacity(groups.len());
        for group in &groups {
            let price = self.epsilon(group, delta);
            ends.push(Ends { lower: price.lower.unwrap_or(0.0), upper: price.epsilon });
        }
        let lower = ends.iter().fold(0.0, |most: f64, ends| most.max(ends.lower));
        let dearest = (0..ends.len()).max_by(|a, b| ends[*a].upper.total_cmp(&ends[*b].upper));
        let others = SHARE * groups.len().saturating_sub(1) as f64;
        let share = |k: usize| if Some(k) == dearest { 1.0 - others } else { SHARE };
        let upper = (0..groups.len()).map(|k| self.epsilon(&groups[k], share(k) * delta).epsilon).sum::<f64>();
        Ends { lower, upper: if groups.is_empty() || others > 0.5 { f64::INFINITY } else { upper * (1.0 + 1e-12) } }
    }
}
