//! Properties of the accountant by privacy losses.

use super::cells::Both;
use super::compose::{Sum, Term};
use super::dots::Masses;
use super::grid::{above, below};
use super::*;
use crate::account::{
    Prv,
    fixed_size::{Side, Subset},
};
use crate::{Ledger, Sampling};
use proptest::prelude::*;

const PAIRS: [Pair; 9] = [
    Pair::Subset(Subset { rate: 0.2, z: 0.7, side: Side::Both }),
    Pair::Subset(Subset { rate: 1e-3, z: 2.0, side: Side::Both }),
    Pair::Normal { rate: 0.01, z: 1.0 },
    Pair::Normal { rate: 1.0, z: 0.7 },
    Pair::Normal { rate: 0.3, z: 4.0 },
    Pair::Opposite { rate: 0.3, z: 0.5 },
    Pair::Laplace { rate: 1.0, z: 2.0 },
    Pair::Laplace { rate: 0.2, z: 0.5 },
    Pair::Coin { epsilon: 1.5 },
];

fn report(relation: Neighbouring, z: f64, rate: f64, steps: u64, delta: f64) -> Price {
    let releases = vec![Event::Gaussian { noise_multiplier: z }];
    let round = Event::Round { sampling: Sampling::Poisson { rate }, releases };
    Pld::default().report(&Ledger::planned(relation, vec![(round, steps)]), delta).unwrap()
}

#[test]
fn masses_are_those_of_the_pair() {
    for pair in PAIRS {
        for h in [0.3, 0.03, 0.001] {
            let both = Both::new(pair, h, 1e-20);
            for cells in [&both.above, &both.mirrored().above] {
                let mass: f64 = cells.below.iter().chain(&cells.above).map(|half| half.mass).sum();
                assert!((mass - 1.0).abs() < 1e-12, "{pair:?} {h}: {mass}");
            }
        }
    }
}

/// The divergence of discrete masses.
fn discrete(masses: &Masses, epsilon: f64) -> f64 {
    let loss = |k: usize| masses.offset + (masses.first + k as i64) as f64 * masses.h;
    let excess = |k: usize| masses.p[k] * -(epsilon - loss(k)).min(0.0).exp_m1();
    masses.infinite + (0..masses.p.len()).map(excess).sum::<f64>()
}

#[test]
fn the_discrete_losses_bracket_the_pair() {
    for pair in PAIRS {
        for h in [0.5, 0.07, 0.005] {
            let both = Both::new(pair, h, 1e-20);
            for (mirrored, both) in [(false, &both), (true, &both.mirrored())] {
                let (high, low) = (above(both), below(both));
                for k in -60..=60 {
                    let epsilon = 0.05 * f64::from(k) + 0.003;
                    let truth = divergence(pair, mirrored, epsilon, 1e-20);
                    let (most, least) = (discrete(&high, epsilon), discrete(&low, epsilon));
                    let slack = 1e-13 * (1.0 + (-epsilon).exp());
                    assert!(most >= truth - slack, "{pair:?} {mirrored} {h} {epsilon}: {most} under {truth}");
                    assert!(least <= truth + slack, "{pair:?} {mirrored} {h} {epsilon}: {least} over {truth}");
                }
            }
        }
    }
}

/// What is outside the grid counts as infinite.
#[test]
fn what_is_cut_off_is_not_forgotten() {
    for pair in PAIRS.into_iter().filter(|pair| !pair.lumpy()) {
        let high = above(&Both::new(pair, 0.01, 0.01));
        for epsilon in [0.0, 0.5, 2.0, 5.0] {
            let (most, truth) = (discrete(&high, epsilon), divergence(pair, false, epsilon, 1e-20));
            assert!(most >= truth, "{pair:?} {epsilon}: {most} under {truth}");
        }
    }
}

#[test]
fn the_sum_is_that_of_the_gaussian_at_tiny_deltas() {
    // Sums of normal losses are normal: 400 of z = 20 are one of z = 1.
    for delta in [1e-2, 1e-5, 1e-9, 1e-12, 1e-15] {
        let parts = vec![(Pair::Normal { rate: 1.0, z: 20.0 }, 400.0)];
        let query = Query { parts, tail: 1e-10 * delta, precision: 1e-4 };
        let sides = query.sides(|plan, _| plan.at_delta(delta)).unwrap();
        let masses = above(&sides[0].pairs[0].0);
        let sum = Sum::new(&[Term { masses: &masses, count: 400.0 }], sides[0].window).unwrap();
        let epsilon = sum.epsilon_above(delta);
        let lower = sides[0].sum(below).unwrap().epsilon_below(delta);
        let at = |epsilon: f64| divergence(Pair::Normal { rate: 1.0, z: 1.0 }, false, epsilon, 1e-40);
        assert!(at(epsilon) <= delta && at(epsilon * 0.9995) > delta, "{delta}: {epsilon}");
        assert!(at(lower) >= delta && lower > epsilon * 0.9995, "{delta}: {lower}");
    }
}

#[test]
fn precision_narrows_the_interval() {
    let releases = vec![Event::Gaussian { noise_multiplier: 1.0 }];
    let round = Event::Round { sampling: Sampling::Poisson { rate: 0.01 }, releases };
    let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(round, 1000)]);
    for precision in [1e-2, 1e-3, 1e-4, 1e-5, 1e-6] {
        let price = Pld { precision }.report(&ledger, 1e-5).unwrap();
        let (lower, upper) = (price.lower.unwrap(), price.upper.unwrap());
        assert!(lower <= 1.828236666516577 && upper >= 1.828236666516577 - 2e-10);
        assert!(upper - lower < 3.0 * precision * upper, "{precision}: {lower} {upper}");
    }
}

#[test]
fn deltas_belong_to_epsilons() {
    let releases = vec![Event::Gaussian { noise_multiplier: 1.0 }];
    let round = Event::Round { sampling: Sampling::Poisson { rate: 0.01 }, releases };
    let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(round, 1000)]);
    let deltas = Pld::default().deltas(&ledger, &[0.0, 0.5, 1.0, 1.828236666516577, 4.0]).unwrap();
    assert!(deltas.windows(2).all(|pair| pair[1] < pair[0]), "{deltas:?}");
    assert!(deltas[3] >= 1e-5 && deltas[3] < 1.01e-5, "{deltas:?}");
    assert!(Pld::default().deltas(&ledger, &[-1.0]).is_err());
}

/// Removing costs at most 235 times ln(1/(1 - q)) = 2.0139: no delta is lost on either side of where one direction ends, and a
/// curve has no step there.
#[test]
fn the_curve_goes_on_where_one_direction_ends() {
    let releases = vec![Event::Gaussian { noise_multiplier: 0.6674776447831028 }];
    let round = Event::Round { sampling: Sampling::Poisson { rate: 512.0 / 60_000.0 }, releases };
    let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(round, 235)]);
    let epsilons = [1.98, 1.995, 2.005, 2.00998, 2.0138, 2.014, 2.1];
    let pld = Pld::default().deltas(&ledger, &epsilons).unwrap();
    let prv = Prv::default().deltas(&ledger, &epsilons).unwrap();
    for (k, epsilon) in epsilons.into_iter().enumerate() {
        // What is vouched for is enough, and a fiftieth less is not.
        assert!(Pld::default().spent(&ledger, pld[k]).unwrap() <= epsilon + 1e-3, "{epsilon}: {pld:?}");
        assert!(Pld::default().report(&ledger, 0.98 * pld[k]).unwrap().lower.unwrap() > epsilon, "{epsilon}: {pld:?}");
        assert!(prv[k] >= 0.999 * pld[k] && prv[k] < 1.2 * pld[k], "{epsilon}: {prv:?} {pld:?}");
    }
}

/// Far out, where one direction ends, deltas are smaller than the root of the least double: they are answered all the same.
#[test]
fn the_curve_goes_on_where_deltas_are_tiny() {
    let releases = vec![Event::Gaussian { noise_multiplier: 2.5 }];
    let round = Event::Round { sampling: Sampling::Poisson { rate: 0.1 }, releases };
    let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(round, 300)]);
    // Removing costs at most 31.608.
    let epsilons = [31.29, 31.605, 31.7];
    let pld = Pld::default().deltas(&ledger, &epsilons).unwrap();
    let prv = Prv::default().deltas(&ledger, &epsilons).unwrap();
    for (k, delta) in pld.iter().enumerate() {
        assert!(*delta > 0.0 && *delta < 1e-160 && pld[k.saturating_sub(1)] >= *delta, "{pld:?}");
        assert!(prv[k] >= 0.999 * delta && prv[k] < 5.0 * delta, "{prv:?} {pld:?}");
    }
}

/// Far out no line tells delta from nothing: what is vouched for then is still hardly more than if nobody were hidden by sampling,
/// which a formula tells in every digit. A moment is some tilt squared above that, and cutting off losses costs up to 1e-250. The
/// truth of one round is the formula's at another epsilon (Balle, Barthe & Gaboardi 2018, Theorem 2), which it is not below.
#[test]
fn deltas_next_to_nothing_are_no_more_than_without_sampling() {
    let runs = [(1.0, 0.5, 1), (1.0, 0.9, 1), (2.0, 0.5, 30), (1.0, 0.99, 10), (0.7, 0.3, 100), (4.0, 0.9, 1000)];
    for (z, rate, steps) in runs {
        let releases = vec![Event::Gaussian { noise_multiplier: z }];
        let round = Event::Round { sampling: Sampling::Poisson { rate }, releases };
        let mu = (steps as f64).sqrt() / z;
        let out = |power: f64| 0.5 * mu * mu + mu * (2.0 * power).sqrt();
        let epsilons = [100.0, 300.0, 400.0, 430.0, 440.0, 480.0, 560.0, 640.0, 720.0, 1000.0].map(out);
        let ledger = add_remove(vec![(round, steps)]);
        for epsilon in epsilons {
            // Alone: in a curve, what is enough nearer is enough.
            let delta = Pld::default().deltas(&ledger, &[epsilon]).unwrap()[0];
            let hidden = gaussian::delta(mu, epsilon);
            assert!(delta <= (1e4 * hidden).max(1e-240), "{z} {rate} {steps}, {epsilon}: {delta} {hidden}");
            let inside = epsilon + ((1.0 - (1.0 - rate) * (-epsilon).exp()) / rate).ln();
            let truth = if steps == 1 { rate * gaussian::delta(mu, inside) } else { 0.0 };
            assert!(delta >= 0.999 * truth, "{z} {rate}, {epsilon}: {delta} {truth}");
        }
    }
}

/// A sum this far from zero is outside every window that a grid has room for: what is claimed is still not below its mean,
/// which half of it exceeds.
#[test]
fn so_many_coins_cost_no_less_than_their_mean() {
    let releases = vec![Event::Gaussian { noise_multiplier: 2.0 }];
    let round = Event::Round { sampling: Sampling::Poisson { rate: 0.05 }, releases };
    for (count, epsilon) in [(1_u64 << 40, 0.4), (1 << 30, 0.01), (u64::MAX, 1e-3), (1 << 50, 2.0)] {
        let coins = vec![(Event::RandomisedResponse { epsilon }, count)];
        for ledger in [coins.clone(), [coins, vec![(round.clone(), 1000)]].concat()] {
            let price = Pld::default().report(&Ledger::planned(Neighbouring::AddRemove, ledger), 1e-3).unwrap();
            let mean = count as f64 * epsilon * (0.5 * epsilon).tanh();
            assert!(price.epsilon >= mean && price.lower.unwrap() <= price.epsilon, "{count} {epsilon}: {price:?}");
        }
    }
}

#[test]
fn deltas_are_near_the_truth_at_tiny_rates() {
    // The exact epsilon of reference run 045, whose delta is 1e-10, and of a common run.
    for (z, rate, steps, delta) in
        [(1.0, 1e-5, 1000, 1e-10), (1.1, 0.004266666666666667, 14063, 1e-5), (2.0, 0.5, 3, 1e-6)]
    {
        let releases = vec![Event::Gaussian { noise_multiplier: z }];
        let round = Event::Round { sampling: Sampling::Poisson { rate }, releases };
        let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(round, steps)]);
        let price = Pld::default().report(&ledger, delta).unwrap();
        let deltas = Pld::default().deltas(&ledger, &[price.lower.unwrap(), price.epsilon]).unwrap();
        assert!(deltas[0] >= delta && deltas[1] <= 1.01 * delta, "{z} {rate}: {deltas:?}");
    }
}

/// Groups priced apart cost what both cost, not what the dearer costs: seven coins that hardly ever lie, and a normal loss.
#[test]
fn groups_apart_are_added() {
    let normal = (Event::Gaussian { noise_multiplier: 1.0 }, 1);
    let curve = Pld::default().curve(&add_remove(vec![coins(30.0, 7), normal.clone()])).unwrap();
    let ends = Pld::default().apart(&curve, 1e-5);
    let alone = |entry| Pld::default().report(&add_remove(vec![entry]), 1e-5).unwrap().epsilon;
    // All coins tell the truth, but for 1e-12.
    assert!(ends.upper >= 0.999 * (alone(coins(30.0, 7)) + alone(normal)), "{ends:?}");
}

fn coins(epsilon: f64, count: u64) -> (Event, u64) {
    (Event::RandomisedResponse { epsilon }, count)
}

fn add_remove(entries: Vec<(Event, u64)>) -> Ledger {
    Ledger::planned(Neighbouring::AddRemove, entries)
}

/// Of so many coins, the divergence is a sum over how many told the truth.
fn binomial(epsilon: f64, count: u64, at: f64) -> f64 {
    let p = 1.0 / (1.0 + (-epsilon).exp());
    let mut log_choose = 0.0_f64;
    let mut sum = 0.0;
    for lies in 0..=count {
        let loss = epsilon * (count as f64 - 2.0 * lies as f64);
        if loss > at {
            let log = log_choose + (count - lies) as f64 * p.ln() + lies as f64 * (-p).ln_1p();
            sum += log.exp() * -(at - loss).exp_m1();
        }
        log_choose += ((count - lies) as f64 / (lies + 1) as f64).ln();
    }
    sum
}

#[test]
fn coins_are_binomial() {
    for (epsilon, count, delta) in [
        (0.1, 100, 1e-6),
        (0.75, 45, 5.9e-3),
        (4.476, 294, 3.4e-2),
        (1.77, 871, 8.7e-8),
        (13.0, 40, 1e-9),
        (30.0, 7, 1e-4),
    ] {
        let ledger = add_remove(vec![coins(epsilon, count)]);
        let price = Pld::default().report(&ledger, delta).unwrap();
        let (lower, upper) = (price.lower.unwrap(), price.epsilon);
        assert!(upper - lower < 1e-6 * upper, "{epsilon} {count}: {price:?}");
        assert!(binomial(epsilon, count, upper * (1.0 + 1e-13)) <= delta, "{epsilon} {count}: {price:?}");
        assert!(binomial(epsilon, count, lower * (1.0 - 1e-13)) >= delta, "{epsilon} {count}: {price:?}");
        for at in [0.3 * upper, 0.9 * upper] {
            let (got, want) = (Pld::default().deltas(&ledger, &[at]).unwrap()[0], binomial(epsilon, count, at));
            assert!(got >= want * (1.0 - 1e-11) && got <= want * (1.0 + 1e-6), "{epsilon} {count} {at}: {got} {want}");
        }
    }
}

/// Once 0 .. 3229, which said nothing.
#[test]
fn a_lattice_and_hardly_anything_else() {
    let releases = vec![Event::Gaussian { noise_multiplier: 1.0 }];
    let rare = Event::Round { sampling: Sampling::Poisson { rate: 1e-12 }, releases };
    let price = |entries| Pld::default().report(&add_remove(entries), 1e-4).unwrap();
    let both = price(vec![coins(13.07, 247), (rare, 14)]);
    let alone = price(vec![coins(13.07, 247)]);
    assert!(both.lower.unwrap() >= alone.lower.unwrap() && both.epsilon >= alone.epsilon, "{both:?} {alone:?}");
    assert!(both.epsilon - both.lower.unwrap() < 1e-3 * both.epsilon, "{both:?}");
    assert!(both.epsilon < alone.epsilon + 0.03, "{both:?} {alone:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn more_costs_more(
        relation in prop_oneof![Just(Neighbouring::AddRemove), Just(Neighbouring::ReplaceOne)],
        (log_z, log_q) in (-0.3..1.5, -4.0..0.0),
        (log_steps, log_delta) in (0.0..4.0, -9.0..-2.0),
        grow in 1.05f64..3.0,
    ) {
        let (z, q): (f64, f64) = (10f64.powf(log_z), 10f64.powf(log_q));
        let (steps, delta): (f64, f64) = (10f64.powf(log_steps).ceil(), 10f64.powf(log_delta));
        let at = |z: f64, q: f64, steps: f64, delta: f64| report(relation, z, q.min(1.0), steps as u64, delta);
        let price = at(z, q, steps, delta);
        let (lower, upper) = (price.lower.unwrap(), price.upper.unwrap());
        prop_assert!(upper.is_finite() && lower >= 0.0 && lower <= upper);
        // What costs less has its lower end below the upper end of what costs more.
        let most = upper + 1e-12;
        prop_assert!(at(z * grow, q, steps, delta).lower.unwrap() <= most, "more noise");
        prop_assert!(at(z, q / grow, steps, delta).lower.unwrap() <= most, "fewer examples");
        prop_assert!(at(z, q, (steps / grow).floor(), delta).lower.unwrap() <= most, "fewer steps");
        prop_assert!(at(z, q, steps, (delta * grow).min(0.5)).lower.unwrap() <= most, "larger delta");
    }
}

/// However wide they are asked for, intervals are around one number: losses of 1e-10 were once off by a rounding of 1, and
/// so, a hundred thousand million times, was their sum.
#[test]
fn tiny_rates_many_times() {
    for neighbouring in [Neighbouring::AddRemove, Neighbouring::ReplaceOne] {
        let releases = vec![Event::Gaussian { noise_multiplier: 0.975 }];
        let round = Event::Round { sampling: Sampling::Poisson { rate: 1e-10 }, releases };
        let curve = PldCurve::of(&round, neighbouring).unwrap().times(100_000_000_000);
        let prices: Vec<Price> =
            [1e-2, 2e-4, 2e-5, 5e-6].map(|precision| Pld { precision }.epsilon(&curve, 3e-8)).into();
        let lower = prices.iter().map(|price| price.lower.unwrap()).fold(0.0, f64::max);
        let upper = prices.iter().map(|price| price.epsilon).fold(f64::INFINITY, f64::min);
        assert!(lower <= upper && upper < 1.001 * lower, "{lower} {upper}");
    }
}
