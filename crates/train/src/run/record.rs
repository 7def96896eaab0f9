//! What a run says of itself: numbers, the privacy statement, assumptions, warnings.
use super::{Progress, Run};
use crate::{
    config::{Config, Mode},
    model::Start,
    plan::{self, Plan},
    report::{
        self, Claim, Clip, Membership, Noise, Point, Randomness, Record, Sampling, Starting, Statement, Steps, Summary,
    },
};
use privacy::{Neighbouring, TradeOff, account};
use std::time::Duration;

/// What must be true for the guarantee to mean what it says.
const ASSUMPTIONS: [&str; 8] = [
    "The training data keep to their declaration: a record that does not ends the run with a word on its place and no results, which whoever watches the run can see.",
    "The evaluation data are public: scores on them are printed and not charged.",
    "The declared number of examples, ranges, categories and every other value of the configuration are public.",
    "The configuration was not chosen by looking at results on the same training data; the cost of such a search is not included.",
    "Only what this run writes is published, without its times, which depend on how many examples were drawn; nobody watches memory, timing or the number of chunks in a step.",
    "Noise is Gaussian in floating point (normals made and added in f32), not an exact discrete Gaussian, and sums are rounded to f32.",
    "The randomness is ChaCha20's: as good as random to anybody who does not know the key.",
    "Gradients that are not finite numbers count as zero.",
];

/// What the user and every reader should know. Nothing here may depend on the private rows, not even on how many there are.
pub(super) fn warnings(config: &Config, plan: &Plan) -> Vec<String> {
    let promise = config.data.promise();
    let (several, one) = match promise.person {
        Some(_) => ("people", "person's records"),
        None => ("examples", "record"),
    };
    let mut all = promise.warnings;
    if config.privacy.mode == Mode::Ordinary {
        let problem =
            "NOT PRIVATE: ordinary training, without clipping or noise. Use it for baselines on public data only.";
        return vec![problem.into()];
    }
    let per_example = 1.0 / plan.examples as f64;
    if config.privacy.delta >= per_example {
        let delta = config.privacy.delta;
        all.push(format!(
            "delta = {delta:e} is not below one over the number of {several} ({per_example:.1e}): publishing one whole \
             {one} at random would be allowed. Choose a smaller privacy.delta."
        ));
    }
    if config.train.seed.is_some() {
        all.push(
            "train.seed is fixed: whoever knows the seed can subtract the noise. Reproducible, NOT private.".into(),
        );
    }
    if plan.noise_multiplier == 0.0 {
        all.push("The noise multiplier is 0: gradients are clipped but not noised, so there is no privacy.".into());
    }
    all
}

pub(super) fn record(run: &Run, points: Vec<Point>, progress: &Progress, training: Duration) -> Record {
    let title = run.config.title.clone();
    Record {
        title,
        statement: statement(run, progress),
        config_toml: run.config.to_toml(),
        summary: summary(run, progress, training),
        points,
    }
}

/// How far one example may move the sum, as the rule stands at the end of the run.
fn bound(run: &Run) -> f64 {
    run.trainer.bound().unwrap_or(0.0)
}

fn statement(run: &Run, progress: &Progress) -> Statement {
    let (config, plan, promise) = (&run.config, &run.plan, run.config.data.promise());
    let neighbouring = match config.privacy.neighbouring {
        Neighbouring::AddRemove => report::Neighbouring::AddRemove,
        Neighbouring::ReplaceOne => report::Neighbouring::ReplaceOne,
    };
    let noise = Noise {
        name: config.mechanism.name().into(),
        noise_multiplier: plan.noise_multiplier,
        noise_standard_deviation_on_sum: run.trainer.deviation().unwrap_or(0.0),
    };
    Statement {
        secateur_version: env!("CARGO_PKG_VERSION").into(),
        clipped_and_noised: run.is_private(),
        mechanism: run.is_private().then_some(noise),
        sampling: Sampling { kind: config.train.sampling.name().into(), sample_rate: plan.sample_rate },
        steps: Steps { planned: plan.steps, made: progress.step },
        neighbouring,
        neighbouring_definition: definition(config, promise.kind().neighbours(neighbouring)),
        unit_of_privacy: promise.unit,
        person: promise.person,
        clip: run.is_private().then(|| Clip { rule: config.clip.name().into(), bound: bound(run) }),
        accountant: config.privacy.accountant.clone(),
        accountant_notes: plan::price(config, &run.trainer.ledger).map(|price| price.notes).unwrap_or_default(),
        epsilon: progress.epsilon,
        delta: config.privacy.delta,
        membership: membership(run, progress.epsilon),
        randomness: match config.train.seed {
            Some(_) => Randomness::FixedSeed,
            None => Randomness::OperatingSystem,
        },
        assumptions: assumptions(run, progress),
        starting_weights: starting(run),
        warnings: run.warnings.clone(),
        interrupted: progress.step < plan.steps,
    }
}

/// Which two data sets the guarantee compares: the relation, and what the price of the sampling asks of them besides.
fn definition(config: &Config, neighbours: &str) -> String {
    let among = config.train.sampling.get().among().map(|among| format!(" {among}"));
    format!("{neighbours}{}", among.unwrap_or_default())
}

/// What an attacker can do by the whole privacy curve; nothing where epsilon is no bound.
fn membership(run: &Run, epsilon: f64) -> Option<Membership> {
    let privacy = &run.config.privacy;
    let by = account::by_name(&privacy.accountant).filter(|_| run.is_private() && epsilon.is_finite())?;
    let trade_off = TradeOff::of(&*by, &run.trainer.ledger, (epsilon, privacy.delta));
    trade_off.ok().map(|trade_off| Membership::of(&trade_off))
}

/// What the configuration claims of the weights that training started from.
fn starting(run: &Run) -> Starting {
    let model = &run.config.model;
    let (claim, from) = match &model.weights {
        None => (Claim::Fresh, None),
        Some(Start::Public(file)) => (Claim::Public, Some(file)),
        Some(Start::Run(folder)) => (Claim::Run, Some(folder)),
    };
    let layout = run.trainer.model.layout();
    let frozen = layout.total() - layout.len();
    Starting {
        claim,
        from: from.map(|path| path.display().to_string()),
        fresh: model.fresh.0.clone(),
        frozen: frozen as u64,
        epsilon_before: run.carried.map(|carried| carried.epsilon),
    }
}

fn assumptions(run: &Run, progress: &Progress) -> Vec<String> {
    let plan = &run.plan;
    // A price for each number of steps is none for a number that results chose (Rogers et al. 2016).
    let stopped = (progress.step < plan.steps && plan.epsilon.is_finite()).then(|| {
        format!(
            "The run was stopped after {} of {} steps, and not because of its results: otherwise what to claim is the \
             whole plan's epsilon, {:.4}.",
            progress.step, plan.steps, plan.epsilon
        )
    });
    let start = starting(run).assumption();
    let fixed = ASSUMPTIONS.map(str::to_owned);
    let claims = run.config.clip.get().claims();
    run.config.data.promise().assumptions.into_iter().chain(fixed).chain([start]).chain(claims).chain(stopped).collect()
}

fn summary(run: &Run, progress: &Progress, training: Duration) -> Summary {
    let (config, plan) = (&run.config, &run.plan);
    Summary {
        epsilon: progress.epsilon,
        delta: config.privacy.delta,
        accountant: config.privacy.accountant.clone(),
        noise_multiplier: plan.noise_multiplier,
        sample_rate: plan.sample_rate,
        steps: progress.step,
        clip_rule: run.is_private().then(|| config.clip.name().into()),
        clip_bound: run.is_private().then(|| bound(run)),
        test_accuracy: progress.score.and_then(|s| s.accuracy),
        // Of the evaluation data, which are public.
        commonest_class: run.evaluation.as_ref().and_then(|public| public.commonest()),
        train_seconds: training.as_secs_f64(),
        clipped_and_noised: run.is_private(),
        evaluation_loss: progress.score.map(|s| s.loss),
        evaluation_token_loss: progress.score.and_then(|s| s.token_loss),
        evaluation_perplexity: progress.score.and_then(|s| s.perplexity()),
        evaluation_bits_per_byte: progress.score.and_then(|s| s.bits_per_byte),
        unit_of_privacy: config.data.promise().unit,
        parameters: run.trainer.model.layout().len() as u64,
        seed: config.train.seed,
        interrupted: progress.step < plan.steps,
        examples: plan.examples as u64,
        model: config.model.layers.iter().map(|l| l.name()).collect::<Vec<_>>().join(" - "),
        optimizer: config.update.iter().map(|u| u.name()).collect::<Vec<_>>().join(" - "),
    }
}
