//! Made-up people who have a gradient and no data: where it points, and how it gets into a lot.
//!
//! Such a person's gradient lies along one coordinate of each group that the rule measures by itself, another one in each step, and no two
//! share one as long as there are enough. Nobody's gradient is known to be zero there, but on average the others put the length of their sum
//! over the root of the number of coordinates on it; and since coordinates change, what they put there does not add up over steps.
//!
//! # Why this is private
//! *Claim.* Planting people loosens nobody's bound, theirs included.
//! *Argument.* They are numbers of the one draw, which are told apart in secret. Their gradients are `Taps` like everybody's, which only
//! `clip::contribute` turns into a part of a lot: weighed by the same rule, capped by the house. What is made up is a function of a key,
//! the step, and a rule's public state.
//! *Tests.* `audit::tests`.
use crate::{
    clip::{self, ClipRule},
    grads::Layout,
    tap::{Rows, Taps},
    team::Share,
};
use engine::Tensor;
use privacy::{Key, Purpose, Secret};
use std::sync::Arc;

/// Lengths that are tried on a rule, in powers of 10 of its bounds.
const LENGTHS: std::ops::RangeInclusive<i32> = -2..=6;
/// So many in each power.
const FINE: i32 = 16;
/// No gradient is made longer, so that its square is a number.
const LONGEST: f64 = 1e15;

/// A step has as many streams.
const SLOTS: usize = 256;
/// Groups beyond that share a stream, so many words apart: more than there are canaries.
const LANE: u64 = 1 << 40;

/// Where the gradients of planted people point.
pub(super) struct Aim {
    key: Key,
    /// The parameters of each group that a rule measures by itself.
    groups: Vec<Vec<usize>>,
    /// Numbers in each group.
    widths: Vec<usize>,
    layout: Arc<Layout>,
}

/// One step's coordinates in one group: those of canary `k` is `from + k * by`, wrapped.
pub(super) struct Lattice {
    width: usize,
    from: u64,
    by: u64,
    signs: privacy::Stream,
    /// Where in the stream the group's words begin.
    lane: u64,
}

impl Lattice {
    /// A canary's coordinate in the group, and its sign.
    pub(super) fn place(&self, canary: usize) -> (usize, f32) {
        let at = (u128::from(self.from) + canary as u128 * u128::from(self.by)) % self.width as u128;
        let sign = if self.signs.word(self.lane + 2 + canary as u64) & 1 == 0 { 1.0 } else { -1.0 };
        (at as usize, sign)
    }
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

impl Aim {
    /// For a rule's groups of this layout. In a rule's own coordinates there is one group.
    pub(super) fn new(rule: &dyn ClipRule, layout: &Arc<Layout>, key: Key) -> Aim {
        let parameters = layout.parameters().len();
        let (of, count) = match rule.frame() {
            None => rule.grouping().of(layout),
            Some(_) => (vec![0; parameters], 1),
        };
        let members = |group| (0..parameters).filter(|p| of[*p] == group).collect::<Vec<usize>>();
        let groups: Vec<Vec<usize>> = (0..count).map(members).filter(|members| !members.is_empty()).collect();
        let width = |members: &Vec<usize>| members.iter().map(|p| layout.range(*p).len()).sum();
        Aim { key, widths: groups.iter().map(width).collect(), groups, layout: layout.clone() }
    }

    /// The coordinates of a step, group by group.
    pub(super) fn lattices(&self, step: u64) -> Vec<Lattice> {
        let one = |(group, width): (usize, &usize)| {
            let (slot, lane) = ((group % SLOTS) as u8, (group / SLOTS) as u64 * LANE);
            let (signs, width) = (self.key.stream(Purpose::Audit, step, slot), *width);
            let all = width.max(1) as u64;
            let mut by = signs.word(lane) % all + 1;
            while divisor(by, all) != 1 {
                by += 1;
            }
            Lattice { width: width.max(1), from: signs.word(lane + 1) % all, by, signs, lane }
        };
        self.widths.iter().enumerate().map(one).collect()
    }

    /// Where the number at a place of a group is: in which parameter, and where in it.
    fn within(&self, group: usize, mut at: usize) -> (usize, usize) {
        for p in &self.groups[group] {
            let len = self.layout.range(*p).len();
            if at < len {
                return (*p, at);
            }
            at -= len;
        }
        unreachable!("a place is below its group's width")
    }

    /// Where it is among all numbers.
    pub(super) fn flat(&self, group: usize, at: usize) -> usize {
        let (p, at) = self.within(group, at);
        self.layout.range(p).start + at
    }

    /// A rule's bound on each group; 1 in a rule's own coordinates, where lengths have another meaning.
    pub(super) fn bounds(&self, rule: &dyn ClipRule) -> Vec<f64> {
        match rule.frame() {
            None => rule.bounds(self.groups.len()),
            Some(_) => vec![clip::sensitivity(rule, &self.layout)],
        }
    }

    /// Coordinates in the largest group.
    pub(super) fn room(&self) -> usize {
        self.widths.iter().copied().max().unwrap_or(0)
    }
}

/// These in `pieces` of at most `piece`; whoever is left over after that is in the last one.
fn cut(who: Secret<Vec<usize>>, piece: usize, pieces: usize) -> Share {
    let mut rest = who;
    let mut cut = Share::with_capacity(pieces);
    for _ in 1..pieces {
        let (first, others) = rest.map(|mut who| (who.split_off(who.len().saturating_sub(piece)), who)).split();
        cut.push(first);
        rest = others;
    }
    cut.push(rest);
    cut
}

/// Planted people.
pub(crate) struct Planted {
    /// The number of the first among the examples; the others follow it.
    pub(super) first: usize,
    /// Which canary each is, and whether its gradient points forwards or backwards.
    pub(super) people: Vec<(usize, f32)>,
    pub(super) aim: Arc<Aim>,
}

impl Planted {
    fn is(&self, number: usize) -> bool {
        number.checked_sub(self.first).is_some_and(|k| k < self.people.len())
    }

    /// A share's other people, and those who are planted, at most `piece` at once: each one's gradient is as many
    /// numbers as the model has. How many pieces there are follows from how many the share has, not from who is in it.
    pub(crate) fn tell_apart(&self, share: Share, piece: usize) -> (Share, Share) {
        let pieces = share.len().min(self.people.len().div_ceil(piece));
        let mut planted: Option<Secret<Vec<usize>>> = None;
        let mut others = Vec::with_capacity(share.len());
        for piece in share {
            let (people, made_up) = piece.map(|who| who.into_iter().partition(|who| !self.is(*who))).split();
            others.push(people);
            planted = Some(match planted.take() {
                None => made_up,
                Some(before) => before.join(made_up).map(|(before, made_up)| [before, made_up].concat()),
            });
        }
        (others, planted.map_or_else(Share::new, |planted| cut(planted, piece, pieces)))
    }

    /// The gradients of some of them in a step, as long as does most under `rule` as it stands.
    pub(crate) fn taps(
        &self,
        who: Secret<Vec<usize>>,
        rule: &dyn ClipRule,
        layout: &Arc<Layout>,
        step: u64,
    ) -> Secret<Taps> {
        let (lattices, bounds) = (self.aim.lattices(step), self.aim.bounds(rule));
        let length = length(rule, &bounds);
        who.map(|who| {
            let mut rows: Vec<Vec<f32>> = layout
                .parameters()
                .iter()
                .enumerate()
                .map(|(p, _)| vec![0.0; who.len() * layout.range(p).len()])
                .collect();
            for (i, number) in who.iter().enumerate() {
                let (canary, way) = self.people[*number - self.first];
                for (group, (lattice, bound)) in lattices.iter().zip(&bounds).enumerate() {
                    let (at, sign) = lattice.place(canary);
                    let (p, at) = self.aim.within(group, at);
                    rows[p][i * layout.range(p).len() + at] = way * sign * (length * bound).min(LONGEST) as f32;
                }
            }
            let mut taps = Taps::new(who.len(), layout);
            for (p, rows) in rows.into_iter().enumerate() {
                let rows = Tensor::new([who.len(), layout.range(p).len()], rows).to(layout.device());
                taps.leave(p, || Rows::new(rows));
            }
            taps.who = who;
            taps
        })
    }
}

/// The length, over the bounds, at which one example of these groups moves a sum most: the largest of those that do. Of a rule that keeps
/// what it cuts off, the smallest, so that there is nothing to keep.
fn length(rule: &dyn ClipRule, bounds: &[f64]) -> f64 {
    if rule.frame().is_some() {
        return 10f64.powi(*LENGTHS.end());
    }
    let lengths: Vec<f64> =
        (LENGTHS.start() * FINE..=LENGTHS.end() * FINE).map(|k| 10f64.powf(f64::from(k) / f64::from(FINE))).collect();
    let norms: Vec<f64> = lengths.iter().flat_map(|length| bounds.iter().map(move |bound| length * bound)).collect();
    let dots = vec![0.0; lengths.len() * rule.directions().len()];
    let weights = rule.weigh(clip::shown(&norms, bounds.len(), &dots)).into_rows(lengths.len(), bounds.len());
    let share = |k: usize| -> f64 {
        let groups = k * bounds.len()..(k + 1) * bounds.len();
        let parts = groups.zip(bounds).map(|(i, bound)| (weights[i] * norms[i]).clamp(0.0, *bound).powi(2));
        parts.sum()
    };
    let shares: Vec<f64> = (0..lengths.len()).map(share).collect();
    let most = shares.iter().copied().fold(0.0, f64::max);
    let good = |(_, share): &(&f64, &f64)| **share >= 0.999 * most;
    let mut good = lengths.iter().zip(&shares).filter(good).map(|(length, _)| *length);
    let found = if rule.remembers() { good.next() } else { good.next_back() };
    found.unwrap_or(1.0)
}
