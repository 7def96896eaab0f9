//! Every update: against `torch.optim` and the specification's worked numbers, and what all of them must do.
use super::{Now, Update, UpdateConfig};
use crate::{
    grads::{Grads, Layout},
    layer::{Init, Parameter},
    look::{self, Look},
    state::Memory,
};
use privacy::{Key, Purpose};
use std::sync::Arc;

include!("torch_vectors.rs");

/// The specification's stream of released gradients, and where it starts.
const STREAM: [[f32; 3]; 4] = [[0.3, -0.1, 0.2], [0.1, 0.4, -0.2], [-0.2, 0.2, 0.1], [0.25, -0.05, 0.15]];
const START: [f32; 3] = [1.0, -1.0, 0.5];

/// On that stream: configuration, deviation of the noise that the gradients hold, and the weights after so many steps.
#[rustfmt::skip]
const WORKED: &[(&str, f64, usize, [f64; 3])] = &[
    ("[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1", 0.0, 4, [0.955, -1.045, 0.475]),
    ("[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1\nmomentum = 0.9", 0.0, 4, [0.88273, -1.10701, 0.45142]),
    ("[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1\nmomentum = 0.9\nnesterov = true", 0.0, 4, [0.849457, -1.141309, 0.431278]),
    ("[[u]]\nupdate = \"adam\"\nlearning_rate = 0.01", 0.0, 1, [0.99, -0.99, 0.49]),
    ("[[u]]\nupdate = \"adam\"\nlearning_rate = 0.01", 0.0, 2, [0.98128936, -0.99559504, 0.49052632]),
    ("[[u]]\nupdate = \"adam\"\nlearning_rate = 0.01", 0.0, 4, [0.97423893, -1.00708391, 0.4848979]),
    ("[[u]]\nupdate = \"adamw\"\nlearning_rate = 0.01\nweight_decay = 0.1", 0.0, 4, [0.97029458, -1.00310202, 0.48293157]),
    ("[[u]]\nupdate = \"lamb\"\nlearning_rate = 0.01", 0.0, 4, [0.96461122, -1.02162895, 0.48090017]),
    ("[[u]]\nupdate = \"adagrad\"\nlearning_rate = 0.1", 0.0, 4, [0.86627392, -1.02981131, 0.39265599]),
    ("[[u]]\nupdate = \"adam-bc\"\nlearning_rate = 0.01\nfloor = 1e-3", 0.141_421_356_237_309_5, 1, [0.98866107, -0.96837722, 0.48585786]),
    ("[[u]]\nupdate = \"adam-bc\"\nlearning_rate = 0.01\nfloor = 1e-3", 0.141_421_356_237_309_5, 4, [0.96826423, -0.98876919, 0.4763506]),
    ("[[u]]\nupdate = \"doppler\"\ninputs = [0.1]\noutputs = [-0.9]\n[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1", 0.0, 4, [0.93486835, -1.03507278, 0.4715191]),
    ("[[u]]\nupdate = \"doppler\"\n[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1", 0.0, 4, [0.92781018, -1.02834399, 0.46747503]),
    ("[[u]]\nupdate = \"doppler\"\ninputs = [0.05, 0.05]\noutputs = [-0.7, -0.2]\n[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1", 0.0, 4, [0.92974801, -1.02986371, 0.46824811]),
];

/// One of each, with settings that use all of it.
const TRIED: &[&str] = &[
    "update = \"sgd\"\nlearning_rate = { peak = 0.1, schedule = \"cosine\", warm_up = 3 }\nmomentum = 0.9\nweight_decay = 0.01",
    "update = \"adam\"\nlearning_rate = 0.05\nweight_decay = 0.1",
    "update = \"adamw\"\nlearning_rate = 0.05\nweight_decay = 0.1",
    "update = \"adam-bc\"\nlearning_rate = 0.01\nfloor = 1e-3\nweight_decay = 0.1",
    "update = \"lamb\"\nlearning_rate = 0.05",
    "update = \"adagrad\"\nlearning_rate = 0.1\nweight_decay = 0.1",
    "update = \"swan\"\nlearning_rate = 0.05\nadam_share = 0.1",
    "update = \"sgld\"\nlearning_rate = 0.05\ntemperature = 0.01\nweight_decay = 0.1",
    "update = \"doppler\"\ninputs = [0.05, 0.05]\noutputs = [-0.7, -0.2]",
    "update = \"disk\"\ngamma = 0.5\n[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1",
    "update = \"extrapolation\"\ndistance = 0.1\n[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1",
    "update = \"extrapolation\"\ndistance = 0.1\nalong = \"noise\"\n[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1",
    "update = \"ema\"\ndecay = 0.9",
];

fn layout() -> Arc<Layout> {
    Layout::new(vec![Parameter::new("w", [3], Init::Constant(0.0))])
}

fn links(config: &str) -> Vec<Box<dyn Update>> {
    #[derive(serde::Deserialize)]
    struct Chain {
        u: Vec<UpdateConfig>,
    }
    let chain: Chain = toml::from_str(config).unwrap();
    chain.u.iter().map(|u| u.get().prepare().unwrap()).collect()
}

/// Weights that a chain moves, step by step.
struct Walk {
    chain: Vec<Box<dyn Update>>,
    w: Grads,
    step: u64,
    steps: u64,
    noise: f64,
}

impl Walk {
    fn new(config: &str, w: Grads, steps: u64) -> Self {
        Walk { chain: links(config), w, step: 0, steps, noise: 0.0 }
    }

    fn take(&mut self, g: Grads) {
        let stream = Key::from_seed(3).stream(Purpose::Update, self.step, 0);
        let here = self.w.clone();
        let (weights, noise) = (|| here.clone(), self.noise);
        let mut now = Now { step: self.step, steps: self.steps, tuned: 0.1, noise, weights: &weights, stream: &stream };
        let step = self.chain.iter_mut().fold(g, |g, link| link.update(g, &mut now));
        self.w.zip_with(&step, |w, s| *w += s);
        let weights = || self.w.clone();
        self.chain.iter_mut().for_each(|link| link.moved(&step, &weights));
        self.step += 1;
    }

    /// One step of the quadratic `sum(c w^2) / 2` with curvatures 1, 1/2, 4, and over again.
    fn descend(&mut self) {
        self.descend_scaled(1.0);
    }

    /// The same with gradients that are `by` times as long.
    fn descend_scaled(&mut self, by: f32) {
        let mut g = self.seen(|x| x);
        g.flat_mut().iter_mut().zip([1.0f32, 0.5, 4.0].into_iter().cycle()).for_each(|(g, c)| *g *= c * by);
        self.take(g);
    }

    /// A gradient blended as the links want to look: of one whose gradient at `x` is `f(x)`, number by number.
    fn seen(&self, f: impl Fn(f32) -> f32 + Sync) -> Grads {
        let looks = self.chain.iter().fold(Look::here(), |looks, link| look::both(&looks, &link.looks()));
        let mut blended = Grads::zeros(self.w.layout());
        for Look { weight, offset } in looks {
            let mut x = self.w.clone();
            offset.iter().for_each(|offset| x.zip_with(offset, |x, o| *x += o));
            blended.zip_with(&x, |b, x| *b += weight as f32 * f(x));
        }
        blended
    }
}

fn near(config: &str, got: &[f32], want: &[f64], tolerance: f64) {
    for (got, want) in got.iter().zip(want) {
        assert!((f64::from(*got) - want).abs() < tolerance, "{config}: {got} instead of {want}");
    }
}

fn quadratic(config: &str, steps: u64) -> Walk {
    let mut walk = Walk::new(&format!("[[u]]\n{config}"), Grads::new(&layout(), vec![1.0, -2.0, 0.5]), steps);
    (0..steps).for_each(|_| walk.descend());
    walk
}

/// Where `steps` steps end whose gradients are all `by` times as long.
pub(super) fn quadratic_scaled(config: &str, steps: u64, by: f32) -> Vec<f32> {
    let mut walk = Walk::new(&format!("[[u]]\n{config}"), Grads::new(&layout(), vec![1.0, -2.0, 0.5]), steps);
    (0..steps).for_each(|_| walk.descend_scaled(by));
    walk.w.to_vec()
}

#[test]
fn updates_agree_with_pytorch() {
    for (config, steps, expected) in TORCH {
        near(config, quadratic(config, *steps).w.flat(), expected, 1e-5);
    }
}

#[test]
fn updates_agree_with_the_worked_numbers() {
    for (config, noise, steps, expected) in WORKED {
        let mut walk = Walk::new(config, Grads::new(&layout(), START.to_vec()), 4);
        walk.noise = *noise;
        STREAM[..*steps].iter().for_each(|g| walk.take(Grads::new(&layout(), g.to_vec())));
        near(config, walk.w.flat(), expected, 2e-6);
    }
}

#[test]
fn the_average_agrees_with_pytorch_and_the_worked_numbers() {
    let config = "update = \"ema\"\ndecay = 0.8\nwarm_up = false\n[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1";
    let walk = quadratic(config, 6);
    near(config, walk.chain[0].average().unwrap().flat(), &AVERAGE, 1e-6);
    // Weights 1, .5, .25, .2, the first of which is the start.
    for (warm_up, want) in [(false, vec![0.812]), (true, vec![0.590_909_09, 0.335_227_27, 0.241_608_39])] {
        let one = Layout::new(vec![Parameter::new("w", [1], Init::Constant(0.0))]);
        let config = format!("[[u]]\nupdate = \"ema\"\ndecay = 0.9\nwarm_up = {warm_up}");
        let mut walk = Walk::new(&config, Grads::new(&one, vec![1.0]), 3);
        let mut seen = Vec::new();
        for step in [-0.5, -0.25, -0.05] {
            walk.take(Grads::new(&one, vec![step]));
            seen.push(walk.chain[0].average().unwrap().flat()[0]);
        }
        near(&config, &seen[3 - want.len()..], &want, 1e-6);
    }
}

#[test]
fn a_filter_says_what_it_leaves_of_the_noise() {
    // The specification's gains of white noise, in the long run.
    let known = [
        ("[1.0]", "[]", 1.0),
        ("[0.4]", "[-0.6]", 0.25),
        ("[0.2, 0.2]", "[-0.6]", 0.20),
        ("[0.5, -0.1]", "[-0.6]", 0.3125),
        ("[0.1]", "[-0.9]", 0.052_632),
        ("[0.05, 0.05]", "[-0.9]", 0.05),
        ("[0.15, -0.05]", "[-0.9]", 0.060_526),
        ("[0.05, 0.05]", "[-0.7, -0.2]", 0.041_667),
    ];
    for (inputs, outputs, gain) in known {
        let config = format!("[[u]]\nupdate = \"doppler\"\ninputs = {inputs}\noutputs = {outputs}");
        let mut chain = links(&config);
        let mut last = 0.0;
        for step in 0..400 {
            let stream = Key::from_seed(0).stream(Purpose::Update, step, 0);
            let weights = || Grads::zeros(&layout());
            let mut now = Now { step, steps: 400, tuned: 0.1, noise: 2.0, weights: &weights, stream: &stream };
            let out = chain[0].update(Grads::new(&layout(), vec![1.0, -3.0, 0.0]), &mut now);
            near(&config, out.flat(), &[1.0, -3.0, 0.0], 1e-5);
            last = now.noise;
        }
        assert!((last * last / 4.0 - gain).abs() < 1e-6, "{config}: {}", last * last / 4.0);
    }
}

#[test]
fn the_kalman_filter_agrees_with_the_worked_numbers() {
    // f_i(x) = sum (x - c_i)^4 / 4 of two people; clipped at 1, averaged, and noised by hand.
    let people = [[1.0f32, 0.0], [0.0, 2.5]];
    let noise = [[0.1f32, -0.2], [0.05, 0.1], [-0.1, 0.0]];
    let plane = Layout::new(vec![Parameter::new("w", [2], Init::Constant(0.0))]);
    for (settings, want, norms) in [
        ("kappa = 0.7\ngamma = 0.5", [1.16163286, 1.45072396], Some([5.77983644, 3.59491453])),
        ("kappa = 0.7", [1.16194967, 1.45070359], None),
        ("kappa = 0.5\ngamma = 1.0", [1.1500478, 1.52008666], None),
    ] {
        let config = format!("[[u]]\nupdate = \"disk\"\n{settings}\n[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.5");
        let mut walk = Walk::new(&config, Grads::new(&plane, vec![2.0, 2.0]), 3);
        for (step, z) in noise.iter().enumerate() {
            let mut mean = Grads::new(&plane, z.to_vec());
            for (who, centre) in people.iter().enumerate() {
                let at = |k: usize| walk.seen(move |x| (x - centre[k]).powi(3)).flat()[k];
                let u = Grads::new(&plane, vec![at(0), at(1)]);
                let norm = u.norm();
                if let (1, Some(norms)) = (step, norms) {
                    assert!((norm - norms[who]).abs() < 1e-5, "{settings}: {norm}");
                }
                mean.zip_with(&u, |m, u| *m += u * (1.0 / norm).min(1.0) as f32 / 2.0);
            }
            walk.take(mean);
        }
        near(settings, walk.w.flat(), &want, 2e-6);
    }
}

#[test]
fn on_quadratics_the_look_ahead_does_not_matter() {
    let run = |gamma: f64| {
        let config = format!("update = \"disk\"\ngamma = {gamma}\n[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1");
        quadratic(&config, 8).w
    };
    let one = run(1.0);
    [0.25, 0.5, 3.0].into_iter().for_each(|gamma| {
        near("disk", run(gamma).flat(), &one.flat().iter().map(|x| f64::from(*x)).collect::<Vec<_>>(), 1e-5);
    });
}

#[test]
fn extrapolation_along_the_gradient_agrees_with_the_worked_numbers() {
    // The extra-gradient method, by showing the link the gradient here before it is asked where to look.
    let plane = Layout::new(vec![Parameter::new("w", [2], Init::Constant(0.0))]);
    let config = "[[u]]\nupdate = \"extrapolation\"\ndistance = 0.05\n[[u]]\nupdate = \"sgd\"\nlearning_rate = 0.1";
    let curved = |w: Grads| Grads::new(w.layout(), vec![w.flat()[0], 10.0 * w.flat()[1]]);
    let mut walk = Walk::new(config, Grads::new(&plane, vec![1.0, 1.0]), 3);
    for want in [[0.905, 0.5], [0.819025, 0.25], [0.74121762, 0.125]] {
        let stream = Key::from_seed(3).stream(Purpose::Update, walk.step, 0);
        let (here, weights) = (walk.w.clone(), || unreachable!("nobody asks"));
        let mut now = Now { step: walk.step, steps: 3, tuned: 0.1, noise: 0.0, weights: &weights, stream: &stream };
        walk.chain[0].update(curved(here), &mut now);
        let seen = curved(walk.seen(|x| x));
        walk.take(seen);
        near(config, walk.w.flat(), &want, 1e-6);
    }
}

#[test]
fn langevin_noise_is_topped_up_to_the_temperature() {
    // Rate 1e-3, temperature 1e-6, lot 256, bound 1: a multiplier of 11.44866804 is as hot by itself.
    let (rate, temperature, lot) = (1e-3, 1e-6, 256.0);
    let wide = Layout::new(vec![Parameter::new("w", [40_000], Init::Constant(0.0))]);
    let step = |multiplier: f64| {
        let config = format!("[[u]]\nupdate = \"sgld\"\nlearning_rate = {rate}\ntemperature = {temperature}");
        let mut walk = Walk::new(&config, Grads::zeros(&wide), 1);
        walk.noise = multiplier / lot;
        walk.take(Grads::zeros(&wide));
        walk.w.norm() / 200.0
    };
    assert!(step(11.448_668_1) == 0.0 && step(20.0) == 0.0, "hot enough by itself");
    assert!(step(11.448_667_9) > 0.0);
    // The mean square of 40,000 normals is within 2.5 % of one but once in a thousand keys; the key is fixed.
    for multiplier in [0.0, 5.0] {
        let want = (2.0 * rate * temperature - (rate * multiplier / lot).powi(2)).sqrt();
        assert!((step(multiplier) / want - 1.0).abs() < 0.0125, "{multiplier}");
    }
}

#[test]
fn all_updates_are_tried() {
    for entry in UpdateConfig::ENTRIES {
        let named = format!("update = \"{}\"", entry.name);
        assert!(TRIED.iter().any(|config| config.starts_with(&named)), "add `{}` to TRIED", entry.name);
        let elsewhere = TORCH.iter().any(|c| c.0.contains(&named)) || WORKED.iter().any(|c| c.0.contains(&named));
        let by_itself = ["sgld", "swan", "ema", "disk", "extrapolation"].contains(&entry.name);
        assert!(elsewhere || by_itself, "give `{}` numbers from outside", entry.name);
        assert!(!entry.summary.is_empty());
    }
}

/// A matrix and a vector, so that whatever looks at shapes is tried.
fn shaped() -> Grads {
    let parameters =
        vec![Parameter::new("m", [3, 4], Init::Constant(0.0)), Parameter::new("b", [2], Init::Constant(0.0))];
    let numbers = (0..14).map(|k| ((k * 7 % 11) as f32 - 5.0) / 4.0).collect();
    Grads::new(&Layout::new(parameters), numbers)
}

fn noisy(config: &str) -> Walk {
    let mut walk = Walk::new(&format!("[[u]]\n{config}"), shaped(), 12);
    walk.noise = 0.01;
    walk
}

#[test]
fn what_is_remembered_is_all_that_is_needed() {
    for config in TRIED {
        let mut straight = noisy(config);
        let mut stopped = noisy(config);
        (0..5).for_each(|_| straight.descend());
        (0..5).for_each(|_| stopped.descend());
        let mut resumed = noisy(config);
        (resumed.w, resumed.step) = (stopped.w.clone(), 5);
        for (from, to) in stopped.chain.iter_mut().zip(&mut resumed.chain) {
            Memory::save(&mut **from).load(&mut **to, straight.w.layout()).unwrap();
        }
        for _ in 5..12 {
            straight.descend();
            resumed.descend();
        }
        assert_eq!(straight.w.flat(), resumed.w.flat(), "{config}");
        let averages = [&straight, &resumed].map(|walk| walk.chain[0].average().map(|a| a.flat().to_vec()));
        assert_eq!(averages[0], averages[1], "{config}");
    }
}

#[test]
fn steps_are_finite_and_rehearsals_are_hollow() {
    for config in TRIED {
        for strange in [0.0, 1e-30, 1e18] {
            let mut walk = noisy(config);
            for _ in 0..12 {
                let mut g = shaped();
                g.for_each(|x| *x *= strange);
                walk.take(g);
                let fine = |x: &f32| x.is_finite();
                assert!(walk.w.flat().iter().all(fine), "{config}, gradients times {strange}");
            }
        }
        let mut hollow = Walk::new(&format!("[[u]]\n{config}"), Grads::zeros(&shaped().layout().hollow()), 3);
        (0..3).for_each(|_| hollow.descend());
        assert!(hollow.w.flat().is_empty());
    }
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let error = |text: &str| match toml::from_str::<UpdateConfig>(text) {
        Ok(config) => config.get().prepare().err().unwrap(),
        Err(unread) => unread.to_string(),
    };
    for (config, named) in [
        ("update = \"sgd\"\nlearning_rate = -1.0", "learning_rate"),
        ("update = \"sgd\"\nlearning_rate = nan", "learning_rate"),
        ("update = \"sgd\"\nlearning_rate = \"fast\"", "learning_rate"),
        ("update = \"sgd\"\nlearning_rate = { peak = 1.0, shedule = \"cosine\" }", "shedule"),
        ("update = \"sgd\"\nlearning_rate = { peak = 1.0, schedule = \"step\" }", "every"),
        ("update = \"sgd\"\nlearning_rate = { peak = 1.0, schedule = \"cosine\", every = 3 }", "every"),
        ("update = \"sgd\"\nlearning_rate = { peak = 1.0, last = 0.5 }", "last"),
        ("update = \"sgd\"\nlearning_rate = { auto = true, every = 0 }", "every"),
        ("update = \"sgd\"\nlearning_rate = { auto = true, peak = 1.0 }", "peak"),
        ("update = \"sgd\"\nlearning_rate = { auto = false }", "auto"),
        ("update = \"sgd\"\nlearning_rate = 1.0\nmomentum = 1.0", "momentum"),
        ("update = \"adam\"\nlearning_rate = 1.0\nbeta2 = 1.5", "beta2"),
        ("update = \"adamw\"\nlearning_rate = 1.0\nweight_decay = -0.1", "weight_decay"),
        ("update = \"adam-bc\"\nlearning_rate = 1.0\nfloor = 0.0", "floor"),
        ("update = \"adam-bc\"\nlearning_rate = 1.0", "floor"),
        ("update = \"doppler\"\ninputs = [0.5]\noutputs = [-0.9]", "inputs"),
        ("update = \"doppler\"\ninputs = [-0.1]\noutputs = [-1.1]", "outputs"),
        ("update = \"doppler\"\ninputs = []\noutputs = [-1.0]", "inputs"),
        ("update = \"ema\"\ndecay = 1.0", "decay"),
        ("update = \"sgld\"\nlearning_rate = 1.0\ntemperature = -1.0", "temperature"),
        ("update = \"swan\"\nlearning_rate = 1.0\niterations = 0", "iterations"),
    ] {
        assert!(error(config).contains(named), "{config}: {}", error(config));
    }
}
