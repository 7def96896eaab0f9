//! A loss as weighted places, such that sums over them are its moments at every complex tilt that is asked for.
//!
//! # Why this is private
//!
//! Claim: for a tilt `s` with real part [`Nodes::tilt`] and an imaginary part of at most the highest frequency,
//! `1 + sum mass (e^(s loss) - 1)` over all nodes, with masses not yet tilted, differs from the moment `E e^(s loss)` by at most
//! [`Nodes::error`] times the moment at the real tilt. The moment is that of the losses within the span, what is cut off being
//! taken for a loss of 0.
//!
//! Argument. The integrand `g = P e^(s L)` is analytic where the mixture `P/Q`, a sum of exponentials with positive
//! weights, has no zero, which is the case as long as the angles `a` of all exponentials are between 0 and `pi/2`; there the
//! sum's size is at least `cos(a/2)` of what it is without angles, so that `|L'|` is at most `1/cos(a/2)` times its real value at
//! the greater end. Hence `|d ln g|` is at most [`steepness`]'s `S` on an ellipse of Bernstein around each panel, whose half
//! length `r` is such that `S r <= 6`. Gauss-Legendre with 16 nodes is then off by at most `64/15 sup|g| rho^-32/(1 -
//! rho^-2) r`, with `sup|g| <= e^(6 (rho + 1/rho)/2)` times `g`'s real size anywhere in the panel; for `rho = 10`, over the
//! panel's own integral, that is less than `2e-17`. A panel without frequencies says how much tilted mass is in it: where
//! hardly any, its nodes are left out of what is turned, and count as error. Roundings of masses and turns are in proportion to
//! `|e^(s loss) - 1|`, since that is what is computed: where hardly anything happens in a round, hardly anything is wrong.
//!
//! Citation: Trefethen 2013, *Approximation Theory and Approximation Practice*, Theorem 19.3.
//!
//! Checked by: `super::invert_tests`.

use crate::account::fixed_size::{Side, Subset};
use crate::account::pair::{Node, Pair};
use std::f64::consts::{FRAC_PI_2, SQRT_2};

/// Places and weights of Gauss-Legendre with 16 nodes on (-1, 1), those above zero.
const GAUSS: [(f64, f64); 8] = [
    (0.095_012_509_837_637_44, 0.189_450_610_455_068_5),
    (0.281_603_550_779_258_9, 0.182_603_415_044_923_58),
    (0.458_016_777_657_227_37, 0.169_156_519_395_002_54),
    (0.617_876_244_402_643_7, 0.149_595_988_816_576_73),
    (0.755_404_408_355_003, 0.124_628_971_255_533_88),
    (0.865_631_202_387_831_8, 0.095_158_511_682_492_79),
    (0.944_575_023_073_232_6, 0.062_253_523_938_647_894),
    (0.989_400_934_991_649_9, 0.027_152_459_411_754_096),
];
/// The logarithm of the integrand changes by at most this over half a panel, around it too.
const CHANGE: f64 = 6.0;
/// How far the ellipse around a panel reaches, over half its length: `(rho + 1/rho)/2` for `rho = 10`.
const AROUND: f64 = 5.05;
/// The relative error of all panels together: of the rule, with and without the tilt.
const RULE: f64 = 4e-17;
/// Roundings of turning, by 64 rotations at most in a row, and of adding up a group.
const TURNS: f64 = 200.0;
/// How far off a loss may be, over the largest: by the rounding of its own computation and that of its turn.
const LOSS: f64 = 1e-14;
/// The most panels of one loss.
const MOST: usize = 12_000;

/// Masses at losses.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    pub(super) tilt: f64,
    /// Of those that are turned, the masses tilted, over the moment.
    pub(super) tilted: Vec<f64>,
    pub(super) losses: Vec<f64>,
    /// `ln E e^(tilt loss)`.
    pub(super) log_moment: f64,
    /// By how much a loss may be off.
    pub(super) wrong: f64,
    /// By how much a moment may be off, over that at the real tilt.
    pub(super) error: f64,
    /// All masses and losses, from panels without frequencies.
    coarse: Vec<(f64, f64)>,
}

impl Nodes {
    /// The nodes of a pair in one direction, for a tilt and frequencies up to `highest`, and for moments at real tilts within
    /// the range. They leave out this share of the tilted mass. `None` where there would be too many, or too large numbers.
    pub(super) fn new(
        pair: Pair,
        mirrored: bool,
        tail: f64,
        (tilt, highest): (f64, f64),
        (range, leave): (f64, f64),
    ) -> Option<Self> {
        let mut nodes = Nodes { tilt, ..Nodes::default() };
        // Panels that are long, each with its tilted mass.
        let mut long: Vec<(f64, f64, Pair, (f64, f64))> = Vec::new();
        for (share, part) in pair.components().into_iter().filter(|(share, _)| *share > 0.0) {
            panels(part, part.span(tail), range, |middle, half| {
                let first = nodes.coarse.len();
                gauss(part, mirrored, share, (middle, half), |mass, loss| nodes.coarse.push((mass, loss)));
                let tilted = nodes.coarse[first..].iter().map(|(mass, loss)| (mass.ln() + tilt * loss).exp()).sum();
                long.push((tilted, share, part, (middle, half)));
            })?;
            let atoms = part.atoms().into_iter().map(|atom| oriented(atom, atom.loss(), mirrored));
            for (mass, loss) in atoms.filter(|(mass, _)| *mass > 0.0) {
                nodes.coarse.push((share * mass, loss));
                nodes.keep(share * mass, loss);
            }
        }
        let excess = nodes.coarse.iter().map(|(mass, loss)| moved_by(*mass, tilt * loss)).sum::<f64>();
        let light = leave * (1.0 + excess) / long.len().max(1) as f64;
        let left = long.iter().map(|(tilted, ..)| tilted).filter(|tilted| **tilted <= light).sum::<f64>();
        long.retain(|(tilted, ..)| *tilted > light);
        let fine = |(_, _, part, (middle, half)): &(f64, f64, Pair, (f64, f64)), each: &mut dyn FnMut(f64, f64)| {
            panels(*part, (middle - half, middle + half), tilt + highest, each)
        };
        // Whether there are too many is known before any is integrated.
        let mut count = 0;
        for panel in &long {
            fine(panel, &mut |_, _| count += 1)?;
            if count >= MOST {
                return None;
            }
        }
        for panel in &long {
            let (share, part) = (panel.1, panel.2);
            fine(panel, &mut |middle, half| {
                gauss(part, mirrored, share, (middle, half), |mass, loss| nodes.keep(mass, loss));
            })?;
        }
        if !(excess > -1.0 && excess.is_finite()) {
            return None;
        }
        nodes.finish(excess, left, highest);
        nodes.wrong = LOSS * nodes.largest() * if densities(pair) { pair.span(tail).1.powi(2).max(1.0) } else { 1.0 };
        Some(nodes)
    }

    fn keep(&mut self, mass: f64, loss: f64) {
        self.tilted.push((mass.ln() + self.tilt * loss).exp());
        self.losses.push(loss);
    }

    /// Takes masses over the moment, which is one more than this, and states errors.
    fn finish(&mut self, excess: f64, left: f64, highest: f64) {
        let moment = 1.0 + excess;
        self.tilted.iter_mut().for_each(|mass| *mass /= moment);
        self.log_moment = excess.ln_1p();
        let turns = 0.5 * f64::EPSILON * (TURNS + self.losses.len() as f64 / 256.0);
        let doubt =
            |mass: f64, loss: f64| turns + 4.0 * f64::EPSILON * (mass.ln().abs() + (self.tilt * loss).abs() + 4.0);
        let turned = |(mass, loss): (&f64, &f64)| mass * (highest * loss.abs()).min(2.0) * doubt(*mass, *loss);
        let turned: f64 = self.tilted.iter().zip(&self.losses).map(turned).sum();
        let moved = |(mass, loss): &(f64, f64)| moved_by(*mass, self.tilt * loss).abs() * doubt(*mass, *loss);
        let moved: f64 = self.coarse.iter().map(moved).sum();
        self.error = RULE * (1.0 + 1.0 / moment) + 2.0 * left / moment + turned + moved / moment;
    }

    /// `ln E e^(s loss)` at a real tilt `s`, within a rounding or so of its terms.
    pub(super) fn log_moment(&self, s: f64) -> f64 {
        let top = self.coarse.iter().map(|(mass, loss)| mass.ln() + s * loss).fold(0.0, f64::max);
        if top < 600.0 {
            return self.coarse.iter().map(|(mass, loss)| moved_by(*mass, s * loss)).sum::<f64>().ln_1p();
        }
        top + self.coarse.iter().map(|(mass, loss)| (mass.ln() + s * loss - top).exp()).sum::<f64>().ln()
    }

    /// The largest loss, either way.
    fn largest(&self) -> f64 {
        self.coarse.iter().fold(0.0, |most: f64, (_, loss)| most.max(loss.abs()))
    }
}

/// Whether losses are quotients of densities, each of them rounded in proportion to its exponent.
fn densities(pair: Pair) -> bool {
    matches!(pair, Pair::Crowd(_))
}

/// `mass (e^y - 1)`.
fn moved_by(mass: f64, y: f64) -> f64 {
    if y < 1.0 { mass * y.exp_m1() } else { (mass.ln() + y).exp() - mass }
}

/// Mass and loss in one direction.
fn oriented(node: Node, loss: f64, mirrored: bool) -> (f64, f64) {
    if mirrored { (node.q, -loss) } else { (node.p, loss) }
}

/// The loss at a place: where that can be, from its exponents and not from densities, which are rounded far out.
fn loss(pair: Pair, u: f64, node: Node) -> f64 {
    match pair {
        Pair::Normal { rate, z } => mixed(rate, (u - 0.5 / z) / z),
        Pair::Opposite { rate, z } => {
            let half = 0.5 / z;
            mixed(rate, half * (u - 0.5 * half)) - mixed(rate, -half * (u + 0.5 * half))
        }
        Pair::Subset(Subset { rate, z, .. }) => mixed(rate, u.abs() / z).copysign(u),
        _ => node.loss(),
    }
}

/// `ln(1 - rate + rate e^y)`, off in proportion to itself: where it is small, `y` is far larger.
fn mixed(rate: f64, y: f64) -> f64 {
    let excess = rate * y.exp_m1();
    if rate >= 1.0 {
        y
    } else if excess < 1.0 {
        excess.ln_1p()
    } else {
        y + (rate + (1.0 - rate) * (-y).exp()).ln()
    }
}

/// The nodes of one panel.
fn gauss(pair: Pair, mirrored: bool, share: f64, (middle, half): (f64, f64), mut add: impl FnMut(f64, f64)) {
    for (place, weight) in GAUSS.into_iter().flat_map(|(place, weight)| [(-place, weight), (place, weight)]) {
        let u = middle + half * place;
        let node = pair.at(u);
        let (mass, loss) = oriented(node, loss(pair, u, node), mirrored);
        let mass = mass * share * weight * half;
        if mass > 0.0 && loss.is_finite() {
            add(mass, loss);
        }
    }
}

/// The panels of a component: their middles and half lengths. `None` where there would be too many.
fn panels(pair: Pair, (from, to): (f64, f64), size: f64, mut each: impl FnMut(f64, f64)) -> Option<()> {
    let (mut start, mut half, mut count) = (from, 0.5 * (to - from), 0);
    while start < to {
        count += 1;
        if count > MOST {
            return None;
        }
        half = (1.5 * half).min(0.5 * (to - start));
        loop {
            let (middle, reach) = (start + half, AROUND * half);
            let Steep { base, loss, angle } = steepness(pair, middle - reach, middle + reach, reach);
            let steep = base + reach + (size + 2.0) * loss;
            if steep * half <= CHANGE && reach <= angle {
                break;
            }
            if half.is_nan() || half < 1e-7 * (to - from) {
                return None;
            }
            half *= (CHANGE / (steep * half)).min(angle / reach).clamp(0.2, 0.95);
        }
        each(start + half, half);
        start = if 2.0 * half >= to - start { to } else { start + 2.0 * half };
    }
    Some(())
}

/// How fast things change between two places, and as far off the real line as `angle` allows.
struct Steep {
    /// Of the logarithm of the base density, besides what the distance from the real line adds.
    base: f64,
    /// Of the loss.
    loss: f64,
    /// How far off the real line this holds.
    angle: f64,
}

fn steepness(pair: Pair, from: f64, to: f64, off: f64) -> Steep {
    let far = from.abs().max(to.abs());
    match pair {
        Pair::Normal { rate, z } => {
            let share = moved(rate, to / z - 0.5 / (z * z), off / z);
            Steep { base: far, loss: share / z, angle: z * FRAC_PI_2 }
        }
        Pair::Opposite { rate, z } => {
            let half = 0.5 / z;
            let share = |u: f64| moved(rate, half * u - 0.5 * half * half, off * half);
            Steep { base: far, loss: half * (share(to) + share(-from)), angle: FRAC_PI_2 / half }
        }
        Pair::Laplace { z, .. } => Steep { base: 1.0 / z, loss: SQRT_2 * 2.0 / z, angle: 0.5 * z * FRAC_PI_2 },
        Pair::Crowd(crowd) => Steep { base: far, loss: SQRT_2 * crowd.width(), angle: FRAC_PI_2 / crowd.width() },
        // Below 0 it is what it is above.
        Pair::Subset(Subset { rate, z, side }) => {
            let share = moved(rate, if side == Side::Below { -from } else { to } / z, off / z);
            Steep { base: far + 0.5 / z, loss: share / z, angle: z * FRAC_PI_2 }
        }
        Pair::Coin { .. } => Steep { base: 1.0, loss: 0.0, angle: 1.0 },
        Pair::Cut { .. } => Steep { base: far, loss: f64::INFINITY, angle: 0.0 },
    }
}

/// The share that the moved density has in a mixture, where it is `e^y` times the other, at an angle of at most this.
fn moved(rate: f64, y: f64, angle: f64) -> f64 {
    if rate >= 1.0 {
        return 1.0;
    }
    1.0 / (1.0 + (1.0 - rate) / rate * (-y).exp()) / (0.5 * angle.min(FRAC_PI_2)).cos()
}
