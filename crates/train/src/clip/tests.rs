//! The seam itself, and the specifications' own sums on their shared batch.
use super::{
    trial::{T0, close, layout, open, rule, sum, taps},
    *,
};
use crate::each::Each;
use privacy::{Key, Ledger, Neighbouring, Poisson};

#[test]
fn published_sums_on_t0() {
    let cases = [
        ("rule = \"flat\"\nbound = 1.0", [0.3761904762, 1.3523809524, 1.0952380952]),
        ("rule = \"flat\"\nbound = 3.0", [0.5285714286, 4.8571428571, 3.2857142857]),
        ("rule = \"auto-v\"", [0.6761904762, 0.9523809524, 1.0952380952]),
        ("rule = \"auto-s\"", [0.6633434888, 0.9638480001, 1.0924118843]),
        ("rule = \"nsgd\"\nr = 0.1", [0.5657455167, 1.0444984900, 1.0676965016]),
        ("rule = \"norm-fed-avg\"", [0.6761904762, 0.9523809524, 1.0952380952]),
        ("rule = \"psac\"\nr = 0.1", [0.5220217973, 1.1415900303, 1.0872853115]),
        ("rule = \"psac\"\nr = 0.01", [0.6531154518, 0.9814547207, 1.0944133111]),
        ("rule = \"psasc\"\nr = 0.1\ns = 2.0", [0.2941904705, 0.5306244483, 0.5456211539]),
        ("rule = \"global\"\nthreshold = 4.0", [0.325, 0.4, 0.5]),
        ("rule = \"auto-s\"\nper = \"layer\"", [0.4844208410, 0.8628562586, 1.4083464262]),
    ];
    for (text, expected) in cases {
        close(&sum(&*rule(text), &T0), &expected, 1e-6);
    }
}

#[test]
fn bounds_must_be_positive_numbers() {
    for bad in ["0.0", "-1.0", "nan", "inf"] {
        let error = toml::from_str::<ClipConfig>(&format!("rule = \"flat\"\nbound = {bad}")).unwrap_err().to_string();
        assert!(error.contains("above 0"), "{error}");
    }
    let rule: ClipConfig = toml::from_str("rule = \"auto-s\"\ngamma = -1.0").unwrap();
    assert!(rule.get().check().unwrap_err().contains("gamma"));
}

#[test]
fn merging_lots_is_adding_them() {
    let rule = rule("rule = \"flat\"\nbound = 1.0");
    let halves = [&T0[..1], &T0[1..]].map(|rows| contribute(&*rule, &layout(), taps(rows), None));
    let merged = halves.into_iter().fold(Lot::empty(&*rule, &layout()), Lot::merge);
    close(&open(merged, &*rule).sum, &sum(&*rule, &T0), 1e-6);
}

#[test]
fn blocks_are_even() {
    let (of, groups) = Grouping::Blocks(2).of(&layout());
    assert_eq!((of, groups), (vec![0, 1], 2));
    assert_eq!(Grouping::Blocks(9).of(&layout()).1, 2);
    let read: Grouping =
        toml::from_str::<toml::Table>("per = { blocks = 3 }").unwrap()["per"].clone().try_into().unwrap();
    assert_eq!(read, Grouping::Blocks(3));
}

struct Asks(f64, SideNoise);
impl crate::state::State for Asks {}
impl ClipRule for Asks {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![1.0; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        norms.map(|_| 1.0)
    }
    fn ask(&self) -> Option<Question> {
        Some(Question { width: 1, price: Price::Apart { bound: self.0, noise: self.1 } })
    }
    fn answer(&self, norms: Each) -> Each {
        norms
    }
}

/// The specification's numbers: what a bit of sensitivity 1/2 or a histogram of sensitivity 1 leaves for the gradient.
#[test]
fn published_splits_of_noise() {
    let cases = [
        (0.5, 1.1, 5.0, 1.1067160096),
        (0.5, 1.0, 2.56, 1.0196371300),
        (0.5, 1.0, 12.8, 1.0007638137),
        (0.5, 0.8, 12.8, 0.8003909113),
        (1.0, 1.0, 6.0, 1.0141851057),
        (1.0, 1.0, 5.0, 1.0206207262),
        (1.0, 0.8, 5.0, 0.8104408985),
        (1.0, 1.5, 6.0, 1.5491933385),
    ];
    for (bound, z, deviation, want) in cases {
        let (gradient, answer) = share(&Asks(bound, SideNoise::Deviation(deviation)), z).unwrap();
        close(&[gradient, answer], &[want, deviation / bound], 1e-10);
    }
    // He et al. 2023: r = 0.01 of the budget for 8 counts of sensitivity 1/2 is a deviation of 14.142.
    let (gradient, answer) = share(&Asks(0.5 * 8f64.sqrt(), SideNoise::Share(0.01)), 1.0).unwrap();
    close(&[gradient, answer * 0.5 * 8f64.sqrt()], &[1.0050378153, 14.1421356237], 1e-10);
    let error = share(&Asks(0.5, SideNoise::Deviation(1.0)), 2.0).unwrap_err();
    assert!(error.contains("above 1.0"), "{error}");
    assert_eq!(share(&Asks(0.5, SideNoise::Share(0.01)), 0.0), Ok((0.0, 0.0)));
}

#[test]
fn an_answer_is_capped() {
    let rule = Asks(0.5, SideNoise::Share(0.01));
    // Norms 5, 0.5, 3 and 7, each shortened to 1/2 at most.
    close(&super::trial::seen(&rule, &T0).answer, &[2.0], 1e-6);
    assert_eq!(super::trial::seen(&rule, &[[f32::NAN, 0.0, 0.0]]).answer, [0.0]);
}

struct Loud;
impl crate::state::State for Loud {}
impl ClipRule for Loud {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![2.0; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        norms.map(|_| 0.0)
    }
    fn loudness(&self) -> f64 {
        3.0
    }
}

#[test]
fn louder_noise_is_charged_as_such() {
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let draw = privacy::Sampler::draw(&Poisson::new(0, 0.5, Key::from_seed(1)).unwrap(), 0);
    let mut noise = Noise { mechanism: Box::new(super::trial::Scripted(vec![1.0, 1.0, -1.0])), answer: 0.0 };
    let closed = Lot::empty(&Loud, &layout()).close(&Loud, &layout());
    let mut round = ledger.open(&draw);
    let mean = closed.release(&mut Loud, &mut noise, &mut None, &mut round, &layout(), (0, 1.0)).unwrap();
    close(&mean.get().flat().iter().map(|x| f64::from(*x)).collect::<Vec<_>>(), &[6.0, 6.0, -6.0], 2e-5);
    drop(round);
    assert!(ledger.entries()[0].0.to_string().ends_with("gaussian 3"));
}

/// Each frame against the definition, on rows: what is measured, what is added up, and the way back.
#[test]
fn frames_are_the_definition() {
    let grads = |x: [f32; 3]| Grads::new(&layout(), x.to_vec());
    let (s, a) = ([2.0f32, 0.0, 0.5], [0.5f32, 1.0, -1.0]);
    let frame = Frame::scale(grads(s), Some(grads(a)));
    let mut entered = taps(&T0).map(|taps| frame.enter(taps));
    let want: Vec<[f32; 3]> = T0.iter().map(|g| [0, 1, 2].map(|j| s[j] * (g[j] - a[j]))).collect();
    entered = entered.map(|mut entered| {
        let norms = entered.norms(&[0, 0], 1);
        let exact: Vec<f64> = want.iter().map(|w| w.iter().map(|x| f64::from(*x).powi(2)).sum()).collect();
        close(&norms, &exact, 1e-6);
        let sum = entered.sum(&[1.0, 0.5, 0.0, -2.0], &[0, 0], 1);
        let exact: Vec<f64> = (0..3).map(|j| f64::from(want[0][j] + 0.5 * want[1][j] - 2.0 * want[3][j])).collect();
        close(&sum.flat().iter().map(|x| f64::from(*x)).collect::<Vec<_>>(), &exact, 1e-5);
        entered
    });
    drop(entered);
    assert_eq!(frame.leave(grads([2.0, 7.0, 1.0]), &layout()).flat(), [1.5, 1.0, 1.0]);

    let project = Projection::new(vec![grads([0.6, 0.8, 0.0])], vec![grads([0.6, 0.8, 0.0])], Some(grads(a)));
    let frame = Frame::Project(project);
    let entered = taps(&T0).map(|taps| frame.enter(taps).rows()[0].data().to_vec());
    drop(entered.map(|rows| {
        let want = T0.map(|g| f64::from(0.6 * (g[0] - a[0]) + 0.8 * (g[1] - a[1])));
        close(&rows.iter().map(|x| f64::from(*x)).collect::<Vec<_>>(), &want, 1e-6);
    }));
    let back = frame.leave(Grads::new(&frame.layout(&layout()), vec![2.0]), &layout());
    close(&back.flat().iter().map(|x| f64::from(*x)).collect::<Vec<_>>(), &[1.7, 2.6, -1.0], 1e-6);
}

#[test]
fn looks_are_added_before_they_are_measured() {
    let (there, here) = (taps(&T0), taps(&T0));
    drop(here.join(there).map(|(here, there)| {
        let mut blend = Taps::blended(vec![(2.0, here), (-1.5, there)]);
        let norms = blend.norms(&[0, 0], 1);
        close(&norms, &[6.25, 0.0625, 2.25, 12.25], 1e-6);
        close(
            &blend.sum(&[1.0; 4], &[0, 0], 1).flat().iter().map(|x| f64::from(*x)).collect::<Vec<_>>(),
            &[-0.85, 3.8, 2.5],
            1e-6,
        );
    }));
}

/// Wants more room than clipping left.
struct Spills(f64);
impl crate::state::State for Spills {}
impl ClipRule for Spills {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![2.0; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        norms.map(|_| 0.1)
    }
    fn ask(&self) -> Option<Question> {
        Some(Question { width: 2, price: Price::Room })
    }
    fn answer(&self, norms: Each) -> Each {
        let wanted = self.0;
        norms.map_rows(2, move |_, row| row.fill(wanted))
    }
}

#[test]
fn what_is_put_beside_a_gradient_fits_into_its_room() {
    for wanted in [1e6, -3.0, f64::INFINITY, f64::NAN, 0.1] {
        for size in [0.0f32, 1.0, 10.0, 1e6, 1e30] {
            let seen = super::trial::seen(&Spills(wanted), &[[size, 0.0, 0.0]]);
            let joint = seen.sum.iter().chain(&seen.beside).map(|x| x * x).sum::<f64>().sqrt();
            assert!(joint <= 2.0 * (1.0 + ROUNDING), "{wanted} beside {size}: {joint}");
        }
    }
    close(&super::trial::seen(&Spills(0.1), &[[5.0, 0.0, 0.0]]).beside, &[0.1, 0.1], 1e-12);
}

/// Few directions are taken one inner product at a time, many from rows: the same coordinates.
#[test]
fn both_ways_to_project_agree() {
    let stream = Key::from_seed(3).stream(privacy::Purpose::Audit, 0, 0);
    let direction = |j: u64| Grads::new(&layout(), (0..3).map(|i| stream.normal(3 * j + i) as f32).collect());
    let frame = |from: u64, to: u64| {
        let directions: Vec<Grads> = (from..to).map(direction).collect();
        Frame::Project(Projection::new(directions.clone(), directions, None))
    };
    let rows = |frame: Frame| taps(&T0).map(|taps| frame.enter(taps).rows()[0].data().to_vec());
    let many = rows(frame(0, 20)).join(rows(frame(0, 10)).join(rows(frame(10, 20))));
    drop(many.map(|(all, (first, last))| {
        let halves = first.chunks(10).zip(last.chunks(10)).flat_map(|(a, b)| a.iter().chain(b).copied());
        for (a, b) in all.iter().zip(halves) {
            assert!((a - b).abs() < 1e-5, "{a} and {b}");
        }
    }));
}

/// A rule that caps by one bound and, asked again, promises another.
struct Fickle(std::sync::atomic::AtomicU64);
impl crate::state::State for Fickle {}
impl ClipRule for Fickle {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        let asked = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        vec![if asked == 0 { 1e3 } else { 1.0 }; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        norms.map(|_| 1.0)
    }
}

#[test]
#[should_panic(expected = "changed its bounds")]
fn a_rule_that_changes_its_mind_is_stopped() {
    let rule = Fickle(0.into());
    contribute(&rule, &layout(), taps(&T0), None).close(&rule, &layout());
}

#[test]
#[should_panic(expected = "changed its bounds")]
fn a_rule_that_changes_its_mind_between_chunks_is_stopped() {
    let rule = Fickle(0.into());
    let [first, second] = [&T0[..1], &T0[1..]].map(|rows| contribute(&rule, &layout(), taps(rows), None));
    first.merge(second);
}

/// An example whose gradient is nothing, since one of its factors is, and the other as large as one may be: its weight does not make a sum infinite, and
/// beyond that length it is nobody.
#[test]
fn no_weight_makes_a_factor_infinite() {
    use crate::{
        layer::{Init, Parameter},
        tap::{Factor, Product},
    };
    let layout = Layout::new(vec![Parameter::new("0.weight", [2, 3], Init::Constant(0.0))]);
    for (large, text) in [
        (5e18f32, "rule = 'auto-s'\ngamma = 1e-40\nbound = 1e30"),
        (5e18, "rule = 'nsgd'\nr = 1e-300\nbound = 1.0"),
        (3e38, "rule = 'auto-s'"),
        (3e38, "rule = 'global'\nthreshold = 1e-20\nbound = 1e30"),
    ] {
        for (a, b) in [([0.0f32; 3], [large; 2]), ([large; 3], [0.0; 2])] {
            let mut taps = Taps::new(1, &layout);
            let sides = (engine::Tensor::new([1, 1, 3], a.to_vec()), engine::Tensor::new([1, 1, 2], b.to_vec()));
            taps.leave(0, || Product::new(Factor::Rows(sides.0), sides.1));
            let norms: Vec<f64> = taps.norms(&[0], 1).into_iter().map(f64::sqrt).collect();
            let rule = rule(text);
            let proposed = rule.weigh(crate::each::Each::new(norms.clone(), 1)).into_rows(1, 1);
            let weights = cap(&proposed, &norms, &rule.bounds(1));
            let sum = taps.sum(&weights, &[0], 1);
            assert!(sum.flat().iter().all(|x| *x == 0.0), "{text}: {weights:?} of {norms:?} make {:?}", sum.flat());
        }
    }
}

/// What a rule says of one example, in another shape than it is read in.
struct Misshapen {
    weights: Option<usize>,
    width: usize,
    /// Whether it says otherwise as soon as somebody is there.
    late: bool,
}
impl crate::state::State for Misshapen {}
impl ClipRule for Misshapen {
    fn grouping(&self) -> Grouping {
        Grouping::Layer
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![1.0; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        match self.weights {
            Some(columns) => norms.map_rows(columns, |_, weights| weights.fill(1.0)),
            None => norms,
        }
    }
    fn ask(&self) -> Option<Question> {
        let noise = SideNoise::Share(0.1);
        Some(Question { width: self.width, price: Price::Apart { bound: 1.0, noise } })
    }
    fn answer(&self, norms: Each) -> Each {
        if self.late && !norms.is_of_nobody() { norms.map_rows(1, |_, _| ()) } else { norms }
    }
}

/// Two groups and an answer of one number: each example would have filled two rows, with the bound in each of them.
#[test]
fn a_rule_of_another_shape_is_refused() {
    let fine = Misshapen { weights: None, width: 2, late: false };
    assert_eq!(check(&fine, &layout()), Ok(()));
    assert!(super::trial::seen(&fine, &T0).answer.len() == 2);
    for (weights, width, says) in
        [(None, 1, "2 numbers in an answer"), (Some(1), 2, "1 weights"), (Some(3), 2, "3 weights")]
    {
        let rule = Misshapen { weights, width, late: false };
        assert!(check(&rule, &layout()).unwrap_err().contains(says));
        for rows in [&T0[..], &[]] {
            let seen = std::panic::catch_unwind(|| super::trial::seen(&rule, rows).answer);
            assert!(seen.is_err(), "{:?} of {} examples", seen, rows.len());
        }
    }
}

#[test]
#[should_panic(expected = "numbers of each example")]
fn a_rule_of_another_shape_is_stopped() {
    super::trial::seen(&Misshapen { weights: None, width: 2, late: true }, &T0);
}

#[test]
#[should_panic(expected = "another layout")]
fn a_frame_of_another_layout_is_refused() {
    let other = Layout::new(vec![crate::layer::Parameter::new("0.weight", [1], crate::layer::Init::Constant(0.0)); 2]);
    let frame = Frame::Apart { direction: Grads::new(&other, vec![1.0, 0.0]), scale: 1.0 };
    drop(taps(&T0).map(|taps| frame.enter(taps)));
}
