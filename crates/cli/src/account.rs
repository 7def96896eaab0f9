//! `secateur account`: what a run costs.
use crate::{
    Failure,
    besides::{self, Besides},
    curve, number,
    plan::{self, Phase, Setting},
    price::{self, Format},
};
use clap::builder::{PathBufValueParser, TypedValueParser};
use privacy::{Ledger, Neighbouring, Price, account};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use train::{config::Config, report::Unit};

/// Either --run, --ledger, or --noise-multiplier, --sample-rate and --steps, or one or more --phase.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  # what a run cost, at its own delta
  secateur account --run runs/adult-1
  secateur account --noise-multiplier 1.1 --sample-rate 0.01 --steps 1000 --delta 1e-5 --accountant all
  secateur account --phase z=1,q=0.01,steps=500 --phase z=2,q=0.02,steps=500 --delta 1e-6
  secateur account --ledger ledger.jsonl --delta 1e-5 --group 3 --trials geometric:10
  # writes what-it-means.svg and .csv
  secateur account --ledger ledger.jsonl --delta 1e-5 --curve what-it-means")]
pub struct Args {
    /// The folder of results of a run: its ledger, and its delta unless --delta says another
    #[arg(long, value_name = "DIR",
        conflicts_with_all = ["ledger", "noise_multiplier", "sample_rate", "steps", "neighbouring", "phase", "sampling", "examples"])]
    run: Option<PathBuf>,
    /// A ledger that a run left
    #[arg(long, value_name = "FILE",
        conflicts_with_all = ["noise_multiplier", "sample_rate", "steps", "neighbouring", "phase", "sampling", "examples"])]
    ledger: Option<PathBuf>,
    /// Standard deviation of the noise over the clip bound
    #[arg(long, value_name = "Z", value_parser = number::multiplier, allow_negative_numbers = true,
        required_unless_present_any = ["run", "ledger", "phase"])]
    noise_multiplier: Option<f64>,
    /// Probability with which an example takes part in a step
    #[arg(long, value_name = "Q", value_parser = number::rate, allow_negative_numbers = true,
        required_unless_present_any = ["run", "ledger", "phase"])]
    sample_rate: Option<f64>,
    /// Steps
    #[arg(long, value_name = "T", value_parser = number::steps, allow_negative_numbers = true,
        required_unless_present_any = ["run", "ledger", "phase"])]
    steps: Option<u64>,
    /// Steps with their own noise multiplier and sample rate; may be repeated
    #[arg(long, value_name = "z=..,q=..,steps=..", value_parser = plan::phase,
        conflicts_with_all = ["noise_multiplier", "sample_rate", "steps"])]
    phase: Vec<Phase>,
    #[command(flatten)]
    setting: Setting,
    /// The probability with which the loss may exceed epsilon
    #[arg(long, value_name = "D", value_parser = number::delta, allow_negative_numbers = true, required_unless_present = "run")]
    delta: Option<f64>,
    /// Who prices it, or `all`
    #[arg(long, value_name = "NAME", default_value = account::DEFAULT, value_parser = number::accountant_or_all)]
    accountant: String,
    /// How wide the interval of pld may be, as a share of epsilon: smaller is slower [default: 2e-4]
    #[arg(long, value_name = "SHARE", value_parser = number::precision, allow_negative_numbers = true)]
    precision: Option<f64>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    besides: Besides,
    /// Also write NAME.svg and NAME.csv: delta at every epsilon, and what an attacker can do; only one of them if NAME ends in
    /// .svg or .csv
    #[arg(long, value_name = "NAME", value_parser = PathBufValueParser::new().try_map(curve::files))]
    curve: Option<curve::Files>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let (ledger, notes) = match (&args.run, &args.ledger) {
        (Some(run), _) => read(&run.join("ledger.jsonl"))?,
        (None, Some(file)) => read(file)?,
        (None, None) => (args.setting.ledger(&phases(&args))?, Vec::new()),
    };
    let delta = args.delta.map_or_else(|| of_run(args.run.as_deref()), Ok)?;
    let rows = match args.accountant.as_str() {
        "all" => account::names(),
        one => vec![one],
    };
    let rows: Vec<(&str, Result<Price, String>)> =
        rows.into_iter().map(|name| (name, price::sharper(&ledger, name, delta, args.precision))).collect();
    let curve = args.curve.as_ref().map(|files| curve::write(files, &ledger, &rows, delta));
    let drawn = curve.iter().flatten().flatten().cloned();
    match args.format {
        Format::Json => print_json(&args, delta, &ledger, &rows, &notes.into_iter().chain(drawn).collect::<Vec<_>>())?,
        Format::Text => {
            print_text(&args, delta, &ledger, &rows, &notes)?;
            drawn.for_each(|line| println!("  {line}"));
        }
    }
    curve.transpose()?;
    Ok(())
}

fn phases(args: &Args) -> Vec<Phase> {
    let flags = (args.noise_multiplier, args.sample_rate, args.steps);
    match flags {
        (Some(noise_multiplier), Some(sample_rate), Some(steps)) => {
            vec![Phase { noise_multiplier, sample_rate, steps }]
        }
        _ => args.phase.clone(),
    }
}

/// The delta that a run was planned for.
fn of_run(folder: Option<&Path>) -> Result<f64, Failure> {
    let file = folder.map(|folder| folder.join("config.toml"));
    Ok(Config::open(file.as_deref(), &[])?.privacy.delta)
}

/// What a run protects as a whole; of a ledger by itself nobody knows more than that it is of examples.
fn unit(run: Option<&Path>) -> Result<Unit, Failure> {
    let Some(folder) = run else { return Ok(Unit::Row) };
    let promise = Config::open(Some(&folder.join("config.toml")), &[])?.data.promise();
    Ok(Unit::of(promise.person.as_ref(), &promise.unit))
}

fn read(file: &Path) -> Result<(Ledger, Vec<String>), Failure> {
    let ledger = Ledger::read(file)?;
    let torn = "the last line was torn by a crash and left out: what it would have paid for was never released";
    let notes = if ledger.torn() { vec![torn.to_owned()] } else { Vec::new() };
    Ok((ledger, notes))
}

/// The sampling schemes in a ledger, in words.
fn samplings(ledger: &Ledger) -> String {
    let mut seen: Vec<String> = Vec::new();
    for (event, _) in ledger.entries() {
        if let privacy::Event::Round { sampling, .. } = event
            && !seen.contains(&sampling.to_string())
        {
            seen.push(sampling.to_string());
        }
    }
    seen.join("; ")
}

fn print_json(
    args: &Args,
    delta: f64,
    ledger: &Ledger,
    rows: &[(&str, Result<Price, String>)],
    notes: &[String],
) -> Result<(), Failure> {
    let row = |(name, price): &(&str, Result<Price, String>)| {
        let common = json!({ "accountant": name, "delta": delta, "neighbouring": ledger.neighbouring(),
            "sampling": samplings(ledger), "rounds": ledger.rounds() });
        let own = match price {
            Ok(price) => {
                let notes: Vec<&String> = notes.iter().chain(&price.notes).collect();
                json!({ "epsilon": price::number(price.epsilon), "epsilon_lower": price.lower.map(price::number),
                    "epsilon_upper": price.upper.map(price::number), "estimate": price.estimate, "notes": notes })
            }
            Err(why) => json!({ "epsilon": null, "notes": [why] }),
        };
        merged(common, own)
    };
    let mut answers: Vec<Value> = rows.iter().map(row).collect();
    for (key, _, price) in args.besides.rows(ledger, delta) {
        answers.iter_mut().for_each(|answer| answer[key] = besides::json(&price));
    }
    match (args.accountant.as_str(), rows) {
        ("all", _) => Ok(price::print_json(&answers)?),
        (_, [(_, Err(why))]) => Err(Failure::from(why)),
        _ => Ok(price::print_json(&answers.remove(0))?),
    }
}

fn merged(mut a: Value, b: Value) -> Value {
    if let (Value::Object(a), Value::Object(b)) = (&mut a, b) {
        a.extend(b);
    }
    a
}

fn print_text(
    args: &Args,
    delta: f64,
    ledger: &Ledger,
    rows: &[(&str, Result<Price, String>)],
    notes: &[String],
) -> Result<(), Failure> {
    let one = unit(args.run.as_deref())?.one();
    let relation = match ledger.neighbouring() {
        Neighbouring::AddRemove => format!("adding or removing one {one}"),
        Neighbouring::ReplaceOne => format!("replacing one {one}"),
    };
    println!("{} rounds ({}), delta = {:e}, for {relation}", ledger.rounds(), samplings(ledger), delta);
    for (name, price) in rows {
        match price {
            Ok(price) => print_price(name, price),
            Err(why) if rows.len() > 1 => println!("  {name:<8} no price: {why}"),
            Err(why) => return Err(Failure::from(why)),
        }
    }
    for (_, words, price) in args.besides.rows(ledger, delta) {
        println!("{words}:");
        print_price("", &price?);
    }
    notes.iter().for_each(|note| println!("  note: {note}"));
    Ok(())
}

fn print_price(name: &str, price: &Price) {
    let kind = match (price.estimate, price.lower) {
        (true, _) => "  (an estimate, not a guarantee)".to_owned(),
        (false, Some(lower)) => format!("  (the truth is at least {lower:.6})"),
        (false, None) => String::new(),
    };
    println!("  {name:<8} epsilon = {:.6}{kind}", price.epsilon);
    price.notes.iter().for_each(|note| println!("           {note}"));
}
