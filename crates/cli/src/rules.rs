//! `secateur rules`: every clip rule that a configuration can name.
use crate::{
    Failure,
    price::{self, Format},
};
use serde_json::{Value, json};
use train::{clip::ClipConfig, registry::Entry};

/// List the clip rules.
#[derive(clap::Args)]
#[command(after_help = "\
What a rule needs of each example's gradient:
  NORM        its norm
  LAYER-NORM  the norm of each of its layers
  DOT         its inner products with a few public directions
  GRAD        the gradient in other coordinates
  K-PASS      gradients at several places

Examples:
  secateur rules
  secateur rules quantile auto-s
  secateur train --set clip.rule=auto-s")]
pub struct Args {
    /// Only these
    names: Vec<String>,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let known = |name: &String| ClipConfig::ENTRIES.iter().any(|entry| entry.name == name);
    if let Some(unknown) = args.names.iter().find(|name| !known(name)) {
        return Err(format!("there is no clip rule `{unknown}`; `secateur rules` lists them").into());
    }
    let wanted = |entry: &&Entry| args.names.is_empty() || args.names.iter().any(|name| name == entry.name);
    let entries: Vec<&Entry> = ClipConfig::ENTRIES.iter().filter(wanted).collect();
    match args.format {
        Format::Json => Ok(price::print_json(&entries.iter().map(|entry| row(entry)).collect::<Vec<Value>>())?),
        Format::Text => {
            entries.iter().for_each(|entry| println!("{}", line(entry)));
            Ok(())
        }
    }
}

fn row(entry: &Entry) -> Value {
    json!({ "rule": entry.name, "class": entry.class, "source": entry.source, "summary": entry.summary })
}

fn line(entry: &Entry) -> String {
    format!("{:<22} {:<11} {} ({})", entry.name, entry.class, entry.summary, entry.source)
}
