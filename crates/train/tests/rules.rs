//! Every clip rule of the list through the trainer: what is planned is what is run, and nothing secret decides how.
mod common;
use common::{config, gap, model, people, train, trainer};
use privacy::Event;
use rayon::prelude::*;
use train::{
    clip::{ClipConfig, ClipRule, Price, Question, SideNoise},
    each::Each,
    plan::Plan,
    state::State,
    trainer::{Method, Trainer},
};

/// A run with this rule; its bound is the only setting that every rule has.
fn with(rule: &str, set: &[&str]) -> train::config::Config {
    let clip = format!("clip={{rule=\"{rule}\", bound=0.5}}");
    let accountant = "privacy.accountant=rdp";
    config(&[&[clip.as_str(), accountant], set].concat())
}

fn names() -> Vec<&'static str> {
    ClipConfig::ENTRIES.iter().map(|entry| entry.name).collect()
}

#[test]
fn a_rehearsal_writes_the_runs_ledger() {
    names().par_iter().for_each(|name| {
        for set in [&[][..], &["privacy.neighbouring=replace-one"]] {
            let config = with(name, set);
            let plan = Plan::new(&config, &model(&config), 200).unwrap_or_else(|e| panic!("{name}: {e}"));
            let rehearsed = plan.rehearse(&config, &model(&config)).unwrap();
            let run = train(&config, people(200), 200);
            assert_eq!(rehearsed.entries(), run.ledger.entries(), "{name}");
            let nobody = train(&config, people(0), 0);
            assert_eq!(rehearsed.entries(), nobody.ledger.entries(), "{name}: on nobody");
            assert!(plan.epsilon <= 2.0 && plan.epsilon > 1.99, "{name}: {}", plan.epsilon);
            assert!(run.weights.point().flat().iter().all(|w| w.is_finite()), "{name}");
        }
    });
}

/// Whatever a rule asks besides the gradient is in the same round, and both together cost what the configuration states.
#[test]
fn what_a_rule_asks_besides_is_charged_with_the_gradient() {
    names().par_iter().for_each(|name| {
        let config = with(name, &["privacy.noise_multiplier=2.0"]);
        let run = train(&config, people(200), 200);
        let Method::Private { rule, .. } = &run.method else { panic!("{name} is private") };
        let apart = rule.ask().is_some_and(|question| matches!(question.price, Price::Apart { .. }));
        let entries = run.ledger.entries();
        let Some((Event::Round { releases, .. }, _)) = entries.first() else { panic!("{name}: {entries:?}") };
        let multiplier = |event: &Event| match event {
            Event::Gaussian { noise_multiplier } => *noise_multiplier,
            other => panic!("{name}: {other:?}"),
        };
        let together: f64 = releases.iter().map(|event| multiplier(event).powi(-2)).sum::<f64>().powf(-0.5);
        assert_eq!(releases.len(), 1 + usize::from(apart), "{name}: {releases:?}");
        assert!((together / 2.0 - 1.0).abs() < 1e-9, "{name}: {together}");
    });
}

#[test]
fn chunks_change_nothing() {
    let gaps = names().into_par_iter().map(|name| {
        let straight = train(&with(name, &["train.chunk=1000"]), people(200), 200);
        let pieces = |chunk: &str| train(&with(name, &[&format!("train.chunk={chunk}")]), people(200), 200);
        // Rules that take roots of differences see the rounding of sums larger than others do.
        (name, gap(&straight, &pieces("1")).max(gap(&straight, &pieces("7"))))
    });
    let far: Vec<_> = gaps.filter(|(_, gap)| gap.is_nan() || *gap > 1e-4).collect();
    assert!(far.is_empty(), "{far:?}");
}

#[test]
fn threads_change_nothing() {
    for name in names() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| train(&with(name, &[]), people(200), 200).weights.point())
        };
        assert_eq!(run(1).flat(), run(3).flat(), "{name}");
    }
}

/// One person more moves the release by no more than the bound that the noise was scaled by: the same key gives the same draw
/// of the others and the same noise, and updates are linear here.
#[test]
fn one_person_more_moves_a_step_by_no_more_than_was_promised() {
    names().par_iter().for_each(|name| {
        let set = ["update=[{update=\"sgd\", learning_rate=1.0}]", "train.steps=1", "train.lot=200"];
        let config = with(name, &[&set[..], &["privacy.epsilon=50"]].concat());
        let step = |n: usize| {
            let mut run: Trainer = trainer(&config, people(n), n);
            let bound = run.bound().unwrap();
            run.step().unwrap();
            (run.weights.point(), bound)
        };
        let ((with, bound), (without, _)) = (step(61), step(60));
        let mut moved = with;
        moved.zip_with(&without, |a, b| *a -= b);
        // Frames scale on the way back, by at most the root of the sum of their scales; those of these rules start at
        // the root of the number of coordinates.
        let stretch = match name {
            &"adaclip" | &"geoclip" | &"geoclip-k" => (moved.flat().len() as f64).sqrt(),
            &"scale-then-privatize" => 0.01,
            &"micro-batch" => 4.0,
            _ => 1.0,
        };
        let limit = 200.0 * moved.norm() / (bound * stretch);
        assert!(limit <= 1.001, "{name}: {limit}");
    });
}

/// A program's own rule, which asks for as many numbers as `width` says and is answered with `numbers`.
#[derive(Clone)]
struct Own {
    width: usize,
    numbers: usize,
}
impl State for Own {}
impl ClipRule for Own {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![0.5; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        norms.map(|norm| 1.0 / (norm + 1.0))
    }
    fn ask(&self) -> Option<Question> {
        Some(Question { width: self.width, price: Price::Apart { bound: 1.0, noise: SideNoise::Share(0.1) } })
    }
    fn answer(&self, norms: Each) -> Each {
        norms.map_rows(self.numbers, |_, answer| answer.fill(0.1))
    }
}

/// What it asks is in the plan, as that of a rule of the list is; in the wrong shape it is no plan.
#[test]
fn a_rule_of_a_programs_own_is_planned() {
    let mut config = config(&[]);
    config.clip = ClipConfig::own("mine", Own { width: 2, numbers: 2 });
    let plan = Plan::new(&config, &model(&config), 200).unwrap();
    let run = train(&config, people(200), 200);
    assert_eq!(plan.rehearse(&config, &model(&config)).unwrap().entries(), run.ledger.entries());
    assert!(matches!(&run.ledger.entries()[..], [(Event::Round { releases, .. }, 12)] if releases.len() == 2));
    assert!(plan.epsilon <= 2.0 && plan.epsilon > 1.99, "{}", plan.epsilon);
    assert!(config.to_toml().contains("rule = \"mine\"") && format!("{config:?}").contains("mine"));
    config.clip = ClipConfig::own("mine", Own { width: 2, numbers: 1 });
    let error = Plan::new(&config, &model(&config), 200).err().unwrap().to_string();
    assert!(error.contains("clip: the rule has 1 numbers in an answer"), "{error}");
}
