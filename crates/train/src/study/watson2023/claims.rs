//! The abstract's claims, each marked by what was seen here.
use super::{
    super::{
        Results, Table,
        networks::{Arm, half_width, interval},
    },
    arms::End,
    phases::Phase,
    pruning::Pruned,
    widths::Wide,
};
use crate::diagnose::statistics::mean;

pub(super) fn claims(results: &mut Results, ends: &[End], phases: &[Phase], wide: &[Wide], pruned: &[Pruned]) {
    let mut table = Table::new("Claims", &["claim", "here", "numbers"]);
    let of = |arm: Arm| ends.iter().find(|e| e.arm == arm).map_or(&[][..], |e| &e.last);
    table.row(late(of(Arm::Sgd), of(Arm::Dp), phases));
    let apart = Difference::new(of(Arm::Noise), of(Arm::Clip));
    table.row([
        "C2: clipping has the larger impact than noise".into(),
        apart.mark(),
        format!(
            "noise only over clip only {apart} points: {} and {}; clip rescaled {}; SGD {}, DP {}",
            interval(of(Arm::Noise)),
            interval(of(Arm::Clip)),
            interval(of(Arm::Renorm)),
            interval(of(Arm::Sgd)),
            interval(of(Arm::Dp))
        ),
    ]);
    table.row(wider(wide));
    table.row(masks(pruned));
    let words = "The abstract's claims. Arms of one seed share starting weights, draws and noise, so differences are taken seed by \
                 seed; a claim holds here when the 95 % interval (Student's) of what it says lies above 0. What lies within its \
                 interval of 0 does not hold here, and is not refuted either.";
    results.part("The paper's claims", vec![words.into()], vec![table], Vec::new());
}

/// A difference seed by seed: its mean, and half of its 95 % interval.
struct Difference {
    mean: f64,
    half: f64,
}

impl Difference {
    fn new(a: &[f64], b: &[f64]) -> Difference {
        let apart: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        Difference { mean: mean(&apart), half: half_width(&apart).unwrap_or(f64::INFINITY) }
    }

    /// Whether it is above 0.
    fn holds(&self) -> bool {
        self.mean > self.half
    }

    fn mark(&self) -> String {
        mark(self.holds(), self.mean.abs() <= self.half)
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:+.2} ± {:.2}", self.mean, self.half)
    }
}

fn mark(holds: bool, unseen: bool) -> String {
    match (holds, unseen) {
        (true, _) => "holds",
        (false, true) => "does not hold (no difference seen)",
        (false, false) => "does not hold",
    }
    .into()
}

fn late(sgd: &[f64], dp: &[f64], phases: &[Phase]) -> [String; 3] {
    let from_to = |from: Arm, to: Arm| -> f64 {
        let some = phases.iter().filter(|p| p.from == from && p.to == to && p.share <= 50);
        mean(&some.flat_map(|p| p.ends.iter().copied()).collect::<Vec<_>>())
    };
    let (late, early) = (from_to(Arm::Dp, Arm::Sgd), from_to(Arm::Sgd, Arm::Dp));
    let nearer = |x: f64, a: f64, b: f64| (x - a).abs() < (x - b).abs();
    let (s, d) = (mean(sgd), mean(dp));
    [
        "C1: the late phase decides".into(),
        mark(nearer(late, s, d) && nearer(early, d, s), false),
        format!(
            "switched in the first half, DP then SGD ends at {late:.2} (SGD {s:.2}), SGD then DP at {early:.2} (DP {d:.2})"
        ),
    ]
}

fn wider(wide: &[Wide]) -> [String; 3] {
    let (Some(first), Some(last)) = (wide.first(), wide.last()) else { return Default::default() };
    let lost = |at: &Wide, k: usize| -> Vec<f64> {
        at.arms[0].2.iter().zip(&at.arms[k].2).map(|(sgd, arm)| sgd - arm).collect()
    };
    let grown = |k: usize| Difference::new(&lost(last, k), &lost(first, k));
    let (clip, noise) = (grown(1), grown(2));
    let numbers = |k: usize| {
        format!("{} at x{}, {} at x{}", interval(&lost(first, k)), first.width, interval(&lost(last, k)), last.width)
    };
    [
        "C3: both grow with the dimension".into(),
        mark(clip.holds() && noise.holds(), false),
        format!(
            "points lost against SGD: clip only {}, grown by {clip}; noise only {}, grown by {noise}",
            numbers(1),
            numbers(2)
        ),
    ]
}

fn masks(pruned: &[Pruned]) -> [String; 3] {
    let best = |pick: fn(&Pruned) -> bool| {
        let some = pruned.iter().filter(|p| pick(p));
        some.max_by(|a, b| mean(&a.ends).total_cmp(&mean(&b.ends))).map_or(&[][..], |p| &p.ends)
    };
    let (whole, heavy) = (best(|p| p.keep == 1.0), best(|p| p.keep < 1.0 && p.magnitude));
    let random = best(|p| p.keep < 1.0 && !p.magnitude);
    let (over_whole, over_random) = (Difference::new(heavy, whole), Difference::new(heavy, random));
    [
        "C4: magnitude pruning can raise the accuracy of DP-SGD (and beats a random mask)".into(),
        mark(over_whole.holds() && over_random.holds(), false),
        format!(
            "best magnitude mask {}, over no mask {over_whole}, over the best random mask {over_random} (best of those tried, on the \
             seeds that are shown); best random mask {}, no mask {}",
            interval(heavy),
            interval(random),
            interval(whole)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_follow_the_interval() {
        // Differences 1, 2, 3: 2 ± 4.303 / sqrt(3).
        let apart = Difference::new(&[2.0, 3.0, 4.0], &[1.0, 1.0, 1.0]);
        assert_eq!(apart.to_string(), "+2.00 ± 2.48");
        assert_eq!(apart.mark(), "does not hold (no difference seen)");
        assert_eq!(Difference::new(&[5.0, 5.1, 5.2], &[1.0, 1.0, 1.1]).mark(), "holds");
        assert_eq!(Difference::new(&[1.0, 1.0, 1.1], &[5.0, 5.1, 5.2]).mark(), "does not hold");
        assert!(!Difference::new(&[5.0], &[1.0]).holds(), "one seed shows nothing");
    }
}
