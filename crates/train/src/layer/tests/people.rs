//! Of every layer: people's gradients, folded as taps are left, against the mean of their records' by the definition.
use super::*;
use crate::tap::Taps;
use engine::Tensor;

/// Places of each person.
const EACH: usize = 3;
/// The share of each place of three people: of three records, two, and one.
const SHARES: [f32; 9] = [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.5, 0.5, 0.0, 1.0, 0.0, 0.0];
/// The record in each place: one without a share is the person's first once more.
const RECORDS: [usize; 9] = [0, 1, 2, 3, 4, 3, 5, 5, 5];
const LABELS: [u32; 6] = [0, 2, 1, 1, 0, 2];

struct Seen<'a> {
    model: &'a Model,
    weights: &'a Weights,
    rows: Vec<f32>,
    key: std::sync::Arc<Key>,
}

impl Seen<'_> {
    /// The taps of these records, as people where shares are given; every record flips its own coins.
    fn taps(&self, records: &[usize], shares: Option<(usize, Vec<f32>)>, measured: bool) -> Taps {
        let width = self.model.input().iter().product::<usize>();
        let x: Vec<f32> = records.iter().flat_map(|r| self.rows[r * width..(r + 1) * width].to_vec()).collect();
        let x = Tensor::new([&[records.len()], self.model.input()].concat(), x);
        let targets = classes(records.iter().map(|r| LABELS[*r]).collect());
        let coins = Coins { key: self.key.clone(), step: 3, who: records.to_vec() };
        self.model.taps_with(self.weights, (x, &targets), coins, shares, measured)
    }

    fn people(&self, who: std::ops::Range<usize>, measured: bool) -> Taps {
        let places = who.start * EACH..who.end * EACH;
        self.taps(&RECORDS[places.clone()], Some((EACH, SHARES[places].to_vec())), measured)
    }

    /// A person's mean gradient and loss, by each record alone.
    fn by_definition(&self, person: usize) -> (Vec<f64>, f64) {
        let places = person * EACH..(person + 1) * EACH;
        let (mut mean, mut loss) = (vec![0.0; self.model.layout().len()], 0.0);
        for place in places.filter(|place| SHARES[*place] > 0.0) {
            let (one, share) = (self.taps(&[RECORDS[place]], None, false), f64::from(SHARES[place]));
            let rows = one.rows();
            let gradient = rows.iter().flat_map(|t| t.row(0));
            mean.iter_mut().zip(gradient).for_each(|(m, g)| *m += share * f64::from(*g));
            loss += share * f64::from(one.losses.as_ref().unwrap().data()[0]);
        }
        (mean, loss)
    }
}

fn each_seen(f: impl Fn(&str, &Seen)) {
    each(|what, model, weights| {
        let rows = numbers(model, LABELS.len(), 1);
        f(what, &Seen { model, weights, rows, key: std::sync::Arc::new(Key::from_seed(6)) });
    });
}

fn length(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[test]
fn people_are_added_up_before_they_are_measured() {
    each_seen(|what, seen| {
        let groups = vec![0; seen.model.layout().parameters().len()];
        let stream = Key::from_seed(8).stream(Purpose::Init, 0, 0);
        let numbers = (0..seen.model.layout().len() as u64).map(|i| stream.normal(i) as f32).collect();
        let v = Grads::new(seen.model.layout(), numbers);
        let wide: Vec<f64> = v.flat().iter().map(|x| f64::from(*x)).collect();
        for measured in [false, true] {
            let mut all = seen.people(0..3, measured);
            assert_eq!(all.len(), 3, "{what}");
            let norms = all.norms(&groups, 1);
            let (rows, dots) = (all.rows(), all.dot(&v));
            let clipped = [0.5f32, 1.0, 0.25];
            let (sum, mut expected) = (all.sum(&clipped, &groups, 1), vec![0.0f64; v.flat().len()]);
            for i in 0..3 {
                let (mean, loss) = seen.by_definition(i);
                close(what, f64::from(all.losses.as_ref().unwrap().data()[i]), loss, 1e-5, 1e-6);
                let (norm, off) = (length(&mean).powi(2), 2e-5 * length(&mean) + 1e-7);
                // Not below, and above by what rounding may add to a sum.
                let fine = norms[i] >= norm * (1.0 - 4e-5) - 1e-12 && norms[i] <= norm * (1.0 + 2e-3) + 1e-12;
                assert!(fine, "{what}, measured {measured}, person {i}: {} and {norm}", norms[i]);
                let row: Vec<f64> = rows.iter().flat_map(|t| t.row(i)).map(|x| f64::from(*x)).collect();
                let gap: Vec<f64> = row.iter().zip(&mean).map(|(a, b)| a - b).collect();
                assert!(length(&gap) <= off, "{what}, person {i}: rows are off by {}", length(&gap));
                let dot: f64 = mean.iter().zip(&wide).map(|(a, b)| a * b).sum();
                assert!((dots[i] - dot).abs() <= off * length(&wide), "{what}, person {i}: {} and {dot}", dots[i]);
                expected.iter_mut().zip(&mean).for_each(|(e, g)| *e += f64::from(clipped[i]) * g);
            }
            let gap: Vec<f64> = sum.flat().iter().zip(&expected).map(|(s, e)| f64::from(*s) - e).collect();
            assert!(length(&gap) <= 2e-5 * length(&expected), "{what}: the clipped sum is off by {}", length(&gap));
        }
    });
}

/// Norms hang on nobody else, but for the order of additions in a product.
#[test]
fn a_person_is_the_same_alone() {
    each_seen(|what, seen| {
        let groups = vec![0; seen.model.layout().parameters().len()];
        let all = seen.people(0..3, true).norms(&groups, 1);
        for (i, norm) in all.into_iter().enumerate() {
            let alone = seen.people(i..i + 1, true).norms(&groups, 1)[0];
            close(&format!("{what}, person {i}"), alone, norm, 1e-6, 1e-12);
        }
    });
}

/// A place without a share adds nothing, and whoever has a record that is not finite is the only one to be left out.
#[test]
fn a_person_that_is_not_finite_stays_alone() {
    each_seen(|what, seen| {
        let groups = vec![0; seen.model.layout().parameters().len()];
        let mut rows = seen.rows.clone();
        let width = rows.len() / LABELS.len();
        // The second person's second record.
        rows[4 * width..5 * width].fill(f32::NAN);
        let bad = Seen { rows, key: seen.key.clone(), ..*seen };
        let mut taps = bad.people(0..3, false);
        let norms = taps.norms(&groups, 1);
        assert!(norms[0].is_finite() && !norms[1].is_finite() && norms[2].is_finite(), "{what}: {norms:?}");
        assert_eq!(taps.finite().data(), [1.0, 0.0, 1.0], "{what}");
        assert!(taps.sum(&[1.0, 0.0, 1.0], &groups, 1).flat().iter().all(|x| x.is_finite()), "{what}");
    });
}
