//! Augmentation multiplicity: copies of one example are one example.
mod common;
use common::{gap, targets};
use privacy::{Key, Ledger, Neighbouring, Poisson, Purpose, Sampler, Secret, Sum};
use std::sync::Arc;
use train::{
    config::Config,
    data::{Batch, Examples},
    look::{self, Chance, Look},
    model::{Model, Weights},
    plan::Plan,
    tap::Taps,
    trainer::Trainer,
};

const SHAPE: [usize; 3] = [2, 6, 5];
const MANY: usize = 3;

fn config(set: &[&str]) -> Config {
    let text = r#"
        title = "made up"
        model = { layers = [{ layer = "conv2d", channels = 4, kernel = 3, padding = 1 }, { layer = "group_norm", groups = 2 },
            { layer = "relu" }, { layer = "conv2d", channels = 3, kernel = 3, stride = 2, padding = 1 }, { layer = "tanh" },
            { layer = "flatten" }, { layer = "dropout", rate = 0.2 }, { layer = "linear", features = 3 }] }
        privacy = { epsilon = 2.0, delta = 1e-3 }
        train = { lot = 20, steps = 6, chunk = 21, seed = 4, augment = { multiplicity = 3, flip = true, shift = 2 } }
        clip = { rule = "flat", bound = 0.5 }
        update = [{ update = "sgd", learning_rate = 0.3 }]
    "#;
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    Config::read("test", text, &set).unwrap()
}

/// The first `n` of an endless list of images.
fn images(n: usize) -> Examples {
    let stream = Key::from_seed(99).stream(Purpose::Init, 0, 0);
    let width: usize = SHAPE.iter().product();
    let inputs: Vec<f32> = (0..(n * width) as u64).map(|i| stream.normal(i) as f32).collect();
    let labels = inputs.chunks(width).map(|x| u32::from(x[0] > 0.0) + u32::from(x[1] > 0.5)).collect();
    Examples::from_floats(inputs, SHAPE.to_vec(), targets(labels), vec![]).unwrap()
}

fn model(config: &Config) -> Arc<Model> {
    Arc::new(Model::build(&config.model, &SHAPE, &targets(vec![])).unwrap())
}

fn train(config: &Config, present: usize) -> Trainer {
    let model = model(config);
    let plan = Plan::new(config, &model, 200).unwrap();
    let key = Arc::new(Key::from_seed(config.train.seed.unwrap()));
    let weights = Weights::public(model.layout(), &key);
    let ledger = Ledger::new(config.privacy.neighbouring);
    let mut trainer = plan.trainer(config, &model, weights, images(present), present, key, ledger).unwrap();
    (0..config.train.steps.unwrap()).for_each(|_| trainer.step().unwrap());
    trainer
}

fn open<T>(secret: Secret<T>) -> T {
    secret.reveal(&mut Ledger::new(Neighbouring::AddRemove), "test").unwrap().into_inner()
}

/// The taps of these examples in step 5, and the norm of each.
fn seen(config: &Config, who: Vec<usize>) -> (Taps, Vec<f64>) {
    let (model, key) = (model(config), Arc::new(Key::from_seed(7)));
    let weights = Weights::public(model.layout(), &key);
    let chance = Chance { key: &key, step: 5, augment: config.train.augment.as_ref() };
    let data = Secret::new(Arc::new(images(40)));
    let everybody = Poisson::new(40, 1.0, Key::from_seed(1)).unwrap().draw(0);
    let who = everybody.chunks(40).map(|all| all.map(|_| who.clone())).next().unwrap();
    let mut taps = open(look::at(&model, &weights, &Look::here(), &data, chance, (who, 0), true));
    let groups = vec![0; model.layout().parameters().len()];
    let norms = taps.norms(&groups, 1);
    (taps, norms.into_iter().map(f64::sqrt).collect())
}

/// Copy `copy` of image `example` in step 5, pixel by pixel, as the documentation says.
fn copy(row: &[f32], example: usize, copy: usize) -> Vec<f32> {
    let word = Key::from_seed(7).stream(Purpose::Augment, 5, 0).word((example * MANY + copy) as u64);
    let (down, right) =
        (((word as u32 as u64 * 5) >> 32) as i64 - 2, (((word >> 32 & 0x7fff_ffff) * 5) >> 31) as i64 - 2);
    let reflected = |at: i64, len: i64| {
        if at < 0 {
            -at
        } else if at >= len {
            2 * (len - 1) - at
        } else {
            at
        }
    };
    let [c, h, w] = SHAPE.map(|x| x as i64);
    let mut out = Vec::new();
    for (plane, y, x) in (0..c).flat_map(|p| (0..h).flat_map(move |y| (0..w).map(move |x| (p, y, x)))) {
        let x = if word >> 63 == 1 { w - 1 - x } else { x };
        out.push(row[((plane * h + reflected(y + down, h)) * w + reflected(x + right, w)) as usize]);
    }
    out
}

/// By the definition: each copy's gradient by itself, of an image that is altered here, and their mean.
#[test]
fn copies_are_averaged_before_they_are_measured() {
    let config = config(&["model.layers.6.rate=0.0"]);
    let (model, who) = (model(&config), vec![11, 3, 28]);
    let weights = Weights::public(model.layout(), &Key::from_seed(7));
    let (taps, norms) = seen(&config, who.clone());
    let rows = taps.rows();
    for (i, example) in who.iter().enumerate() {
        let original = images(40).gather(&[*example]);
        let inputs: Vec<f32> = (0..MANY).flat_map(|k| copy(&original.inputs, *example, k)).collect();
        let targets = images(40).gather(&[*example; MANY]).targets;
        let apart = model.taps(&weights, Batch { inputs, n: MANY, shape: SHAPE.to_vec(), targets });
        let mut square = 0.0;
        for (mean, copies) in rows.iter().zip(apart.rows()) {
            for (j, mean) in mean.row(i).iter().enumerate() {
                let want = (0..MANY).map(|k| f64::from(copies.row(k)[j])).sum::<f64>() / MANY as f64;
                assert!((f64::from(*mean) - want).abs() < 1e-6, "example {example}: {mean} and {want}");
                square += want * want;
            }
        }
        assert!((norms[i] / square.sqrt() - 1.0).abs() < 2e-3, "example {example}: {} and {}", norms[i], square.sqrt());
        assert!(norms[i] >= square.sqrt() * (1.0 - 1e-6));
    }
}

#[test]
fn nobody_changes_anybodys_copies() {
    let config = config(&[]);
    let ((together, _), (alone, _)) = (seen(&config, vec![4, 9, 30]), seen(&config, vec![9]));
    for (all, one) in together.rows().iter().zip(alone.rows()) {
        assert_eq!(all.row(1), one.row(0), "dropout and copies of example 9 hang on nobody else");
    }
}

/// One example more moves the released sum by no more than the bound, however many copies it is looked at in.
#[test]
fn copies_of_one_example_move_a_release_by_the_bound() {
    for many in [1, 4] {
        let many = format!("train.augment.multiplicity={many}");
        let set = ["train.steps=1", "train.lot=200", "privacy.noise_multiplier=0.7", &many, "clip.bound=0.01"];
        let config = config(&[&set[..], &["update=[{update=\"sgd\", learning_rate=1.0}]"]].concat());
        let mut moved = train(&config, 61).weights.point();
        moved.zip_with(&train(&config, 60).weights.point(), |a, b| *a -= b);
        let moved = moved.scale(200.0).norm();
        assert!(moved <= 0.01 * 1.001 + 1e-4 && moved > 0.009, "{many}: {moved}");
    }
}

#[test]
fn copies_cost_nothing_and_change_the_run() {
    let runs = [vec![], vec!["train.augment.multiplicity=1"], vec!["train.augment.shift=0"]];
    let runs = runs.map(|set| train(&config(&set), 60));
    for other in &runs[1..] {
        assert_eq!(runs[0].ledger.entries(), other.ledger.entries());
        assert!(gap(&runs[0], other) > 1e-4);
    }
}

#[test]
fn chunks_change_nothing() {
    let straight = train(&config(&["train.chunk=1000"]), 60);
    for chunk in [1, 4, 21] {
        let pieces = train(&config(&[&format!("train.chunk={chunk}")]), 60);
        assert!(gap(&straight, &pieces) < 1e-6, "chunks of {chunk}: {}", gap(&straight, &pieces));
    }
}

#[test]
fn what_cannot_be_altered_is_refused() {
    let said = |set: &[&str]| {
        let config = config(set);
        Plan::new(&config, &model(&config), 200).unwrap_err().to_string()
    };
    assert!(said(&["train.augment.shift=5"]).contains("images of 6 by 5"));
    assert!(said(&["train.augment.multiplicity=0"]).contains("train.augment.multiplicity = 0"));
    let set = ["train.augment.flop=true".to_owned()];
    assert!(Config::read("test", &config(&[]).to_toml(), &set).unwrap_err().to_string().contains("flop"));
}
