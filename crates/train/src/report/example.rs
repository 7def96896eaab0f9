//! Records for the tests of this folder: what four runs would have left.

use super::{
    Clip, Membership, Neighbouring, Noise, Point, Randomness, Record, Sampling, Starting, Statement, Steps, Summary,
    Test, UNIT, Unit,
};

const PLANNED: u64 = 2000;

/// A private run with forty evaluations.
pub fn private() -> Record {
    Record {
        title: "MNIST, tanh CNN, flat clipping".into(),
        statement: statement(),
        config_toml: CONFIG.into(),
        summary: summary(),
        points: (1..=40).map(|at| point(at * PLANNED / 40)).collect(),
    }
}

/// Ordinary training: no clipping, no noise.
pub fn ordinary() -> Record {
    let mut record = private();
    record.title = "MNIST, tanh CNN, the same without privacy".into();
    record.statement = Statement {
        clipped_and_noised: false,
        mechanism: None,
        clip: None,
        epsilon: f64::INFINITY,
        membership: None,
        ..record.statement
    };
    record.summary = Summary {
        clipped_and_noised: false,
        epsilon: f64::INFINITY,
        noise_multiplier: 0.0,
        clip_rule: None,
        clip_bound: None,
        test_accuracy: Some(0.9893),
        ..record.summary
    };
    for point in &mut record.points {
        point.epsilon = f64::INFINITY;
        point.evaluation_accuracy = point.evaluation_accuracy.map(|share| 1.0 - (1.0 - share) * 0.24);
        point.evaluation_loss = point.evaluation_loss.map(|loss| loss * 0.22);
    }
    record
}

/// A run with a fixed seed that was stopped on the way, as a build left it that asked for one pair alone.
pub fn interrupted() -> Record {
    let mut record = private();
    record.points.truncate(24);
    record.statement.randomness = Randomness::FixedSeed;
    record.statement.steps.made = 1204;
    record.statement.interrupted = true;
    record.statement.membership = None;
    record.statement.epsilon = 0.7412;
    record.summary = Summary { steps: 1204, epsilon: 0.7412, seed: Some(42), interrupted: true, ..record.summary };
    record.summary.test_accuracy = Some(0.9311);
    record.statement.warnings = vec![
        "With a fixed seed this run is NOT PRIVATE to whoever knows the seed.".into(),
        "The expected lot of 256 is small for 60 000 examples: noise outweighs the gradient.".into(),
    ];
    record
}

/// A private run that nothing was evaluated on.
pub fn unevaluated() -> Record {
    let mut record = private();
    record.title = "Tabular, two layers, no evaluation data".into();
    record.summary.test_accuracy = None;
    record.summary.evaluation_loss = None;
    for point in &mut record.points {
        point.evaluation_loss = None;
        point.evaluation_accuracy = None;
    }
    record
}

/// A private run on blocks of a long text, whose next tokens are to be predicted.
pub fn blocks() -> Record {
    let mut record = private();
    record.title = "A decoder on blocks of a novel".into();
    record.statement.unit_of_privacy = "one block of 128 characters of the training text: not a person".into();
    record.statement.warnings = vec!["The unit of privacy is one block of 128 characters.".into()];
    let summary = &mut record.summary;
    (summary.test_accuracy, summary.evaluation_token_loss) = (None, Some(1.609));
    (summary.evaluation_perplexity, summary.evaluation_bits_per_byte) = (Some(5.0), Some(2.32));
    for point in &mut record.points {
        point.evaluation_accuracy = None;
        point.evaluation_token_loss = point.evaluation_loss;
        point.evaluation_bits_per_byte = point.evaluation_loss.map(|loss| loss / std::f64::consts::LN_2);
    }
    record
}

fn point(step: u64) -> Point {
    let part = step as f64 / PLANNED as f64;
    let wobble = ((step * 7919 % 97) as f64 / 97.0 - 0.5) * 0.012;
    Point {
        step,
        epoch: step as f64 * 0.0171,
        seconds: step as f64 * 0.0467,
        epsilon: 0.11 + 0.869 * part.powf(0.56),
        evaluation_loss: Some(0.168 + 1.9 * (-9.0 * part).exp() + wobble),
        evaluation_accuracy: Some(0.954 - 0.62 * (-11.0 * part).exp() - wobble * 0.4),
        evaluation_token_loss: None,
        evaluation_bits_per_byte: None,
    }
}

fn summary() -> Summary {
    Summary {
        epsilon: 0.9788,
        delta: 1e-5,
        accountant: "pld".into(),
        noise_multiplier: 3.0,
        sample_rate: 0.0171,
        steps: PLANNED,
        clip_rule: Some("flat".into()),
        clip_bound: Some(0.5),
        test_accuracy: Some(0.9541),
        commonest_class: Some(0.113),
        train_seconds: 93.4,
        clipped_and_noised: true,
        evaluation_loss: Some(0.1702),
        evaluation_token_loss: None,
        evaluation_perplexity: None,
        evaluation_bits_per_byte: None,
        unit_of_privacy: UNIT.into(),
        parameters: 26_010,
        seed: None,
        interrupted: false,
        examples: 60_000,
        model: "sequential: 2 convolutions, 2 linear layers, tanh".into(),
        optimizer: "sgd, learning rate 0.5, momentum 0.9".into(),
    }
}

fn statement() -> Statement {
    Statement {
        secateur_version: "0.1.0".into(),
        clipped_and_noised: true,
        mechanism: Some(Noise { name: "gaussian".into(), noise_multiplier: 3.0, noise_standard_deviation_on_sum: 1.5 }),
        sampling: Sampling { kind: "poisson".into(), sample_rate: 0.0171 },
        steps: Steps { planned: PLANNED, made: PLANNED },
        neighbouring: Neighbouring::AddRemove,
        neighbouring_definition: Unit::Row.neighbours(Neighbouring::AddRemove).into(),
        unit_of_privacy: UNIT.into(),
        person: None,
        clip: Some(Clip { rule: "flat".into(), bound: 0.5 }),
        accountant: "pld".into(),
        accountant_notes: vec![],
        epsilon: 0.9788,
        delta: 1e-5,
        membership: Some(membership()),
        randomness: Randomness::OperatingSystem,
        starting_weights: Starting::default(),
        assumptions: ASSUMPTIONS.iter().map(|&text| text.into()).collect(),
        warnings: vec![],
        interrupted: false,
    }
}

/// Nearly what `secateur account --curve` says of these numbers.
fn membership() -> Membership {
    let test = |(false_positive_rate, true_positive_rate)| Test { false_positive_rate, true_positive_rate };
    Membership { advantage: 0.1042, tests: [(0.001, 0.00244), (0.01, 0.0196), (0.05, 0.0836)].map(test).into() }
}

const ASSUMPTIONS: [&str; 7] = [
    "Each row of the training data is one person.",
    "The evaluation data are public.",
    "The initial weights do not depend on the training data.",
    "The declared number of examples is public.",
    "The noise is drawn in 32-bit floating point; attacks on its last bits are not accounted for.",
    "How long a step takes, and in how many chunks it runs, is not protected.",
    "Hyper-parameters were not tuned on the private data, or else that cost is not included in epsilon.",
];

const CONFIG: &str = r#"title = "MNIST, tanh CNN, flat clipping"

[data]
name = "mnist"
examples = 60000
evaluation = "test"

[model]
file = "models/tanh-cnn.toml"

[privacy]
delta = 1e-5
noise_multiplier = 3.0
accountant = "pld"
neighbouring = "add-remove"

[privacy.clip]
rule = "flat"
bound = 0.5

[train]
steps = 2000
lot = 1024            # expected; sample rate 0.0171
update = [{ name = "sgd", learning_rate = 0.5, momentum = 0.9 }]
evaluate_every = 50
"#;
