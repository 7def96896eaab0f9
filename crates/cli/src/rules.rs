//! `secateur rules`: every clip rule that a configuration can name, and every update and mechanism beside them.
use crate::{
    Failure,
    price::{self, Format},
};
use serde_json::{Value, json};
use train::{
    clip::ClipConfig, mechanism::MechanismConfig, registry::Entry, sampling::SamplingConfig, update::UpdateConfig,
};

/// List the clip rules, updates, mechanisms and samplings.
#[derive(clap::Args)]
#[command(after_help = "\
What a rule needs of each example's gradient:
  NORM        its norm
  LAYER-NORM  the norm of each of its layers
  DOT         its inner products with a few public directions
  GRAD        the gradient in other coordinates
  CROWD       the sum of its crowd's
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

/// A list: what an entry is called, and the key that names one.
struct List {
    kind: &'static str,
    key: &'static str,
    entries: &'static [Entry],
}

const LISTS: [List; 4] = [
    List { kind: "rule", key: "clip.rule", entries: ClipConfig::ENTRIES },
    List { kind: "update", key: "update", entries: UpdateConfig::ENTRIES },
    List { kind: "mechanism", key: "mechanism", entries: MechanismConfig::ENTRIES },
    List { kind: "sampling", key: "train.sampling", entries: SamplingConfig::ENTRIES },
];

pub fn run(args: Args) -> Result<(), Failure> {
    let known = |name: &String| LISTS.iter().flat_map(|list| list.entries).any(|entry| entry.name == name);
    if let Some(unknown) = args.names.iter().find(|name| !known(name)) {
        return Err(format!("there is no clip rule `{unknown}`; `secateur rules` lists them").into());
    }
    let wanted = |entry: &&Entry| args.names.is_empty() || args.names.iter().any(|name| name == entry.name);
    let lists = LISTS.iter().map(|list| (list, list.entries.iter().filter(wanted).collect::<Vec<_>>()));
    let lists: Vec<(&List, Vec<&Entry>)> = lists.filter(|(_, entries)| !entries.is_empty()).collect();
    match args.format {
        Format::Json => {
            let rows = lists.iter().flat_map(|(list, entries)| entries.iter().map(|entry| row(list, entry)));
            Ok(price::print_json(&rows.collect::<Vec<Value>>())?)
        }
        Format::Text => {
            for (k, (list, entries)) in lists.iter().enumerate() {
                if args.names.is_empty() {
                    println!("{}{}", if k == 0 { "" } else { "\n" }, list.key);
                }
                entries.iter().for_each(|entry| println!("{}", line(entry)));
            }
            Ok(())
        }
    }
}

/// Its class and source where its list says them apart from the summary.
fn row(list: &List, entry: &Entry) -> Value {
    let mut row = json!({ list.kind: entry.name, "summary": entry.summary });
    for (key, text) in [("class", entry.class), ("source", entry.source)] {
        if !text.is_empty() {
            row[key] = text.into();
        }
    }
    row
}

fn line(entry: &Entry) -> String {
    match entry.source {
        "" => format!("{:<22} {}", entry.name, entry.summary),
        source => format!("{:<22} {:<11} {} ({source})", entry.name, entry.class, entry.summary),
    }
}
