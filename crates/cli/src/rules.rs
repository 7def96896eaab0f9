//! `secateur rules`: every clip rule that a configuration can name, and every update and mechanism beside them.
use crate::{
    Failure,
    price::{self, Format},
};
use serde_json::{Map, Value, json};
use train::{
    clip::ClipConfig,
    data::Kind,
    layer::LayerConfig,
    mechanism::MechanismConfig,
    registry::{Entry, Setting},
    sampling::SamplingConfig,
    update::UpdateConfig,
};

/// List what a configuration can name; with names, their settings too.
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
  # their settings, with defaults where there are any
  secateur rules quantile adam
  secateur train --set clip.rule=auto-s")]
pub struct Args {
    /// Only these, with their settings and defaults
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
    settings: fn(&str) -> Vec<Setting>,
}

const LISTS: [List; 6] = [
    List { kind: "rule", key: "clip.rule", entries: ClipConfig::ENTRIES, settings: ClipConfig::settings },
    List { kind: "update", key: "update", entries: UpdateConfig::ENTRIES, settings: UpdateConfig::settings },
    List {
        kind: "mechanism",
        key: "mechanism",
        entries: MechanismConfig::ENTRIES,
        settings: MechanismConfig::settings,
    },
    List {
        kind: "sampling",
        key: "train.sampling",
        entries: SamplingConfig::ENTRIES,
        settings: SamplingConfig::settings,
    },
    List { kind: "layer", key: "model.layers", entries: LayerConfig::ENTRIES, settings: LayerConfig::settings },
    List { kind: "source", key: "data.source", entries: Kind::ENTRIES, settings: Kind::settings },
];

pub fn run(args: Args) -> Result<(), Failure> {
    let known = |name: &String| LISTS.iter().flat_map(|list| list.entries).any(|entry| entry.name == name);
    if let Some(unknown) = args.names.iter().find(|name| !known(name)) {
        return Err(format!("nothing is called `{unknown}`; `secateur rules` lists what there is").into());
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
                for entry in entries {
                    println!("{}", line(entry));
                    if !args.names.is_empty() {
                        (list.settings)(entry.name).iter().for_each(|setting| println!("{}", told(setting)));
                    }
                }
            }
            Ok(())
        }
    }
}

/// Its class and source where its list says them apart from the summary.
fn row(list: &List, entry: &Entry) -> Value {
    let settings = (list.settings)(entry.name).into_iter();
    let settings: Map<String, Value> = settings.map(|(key, default)| (key, json!(default))).collect();
    let mut row = json!({ list.kind: entry.name, "summary": entry.summary, "settings": settings });
    for (key, text) in [("class", entry.class), ("source", entry.source)] {
        if !text.is_empty() {
            row[key] = text.into();
        }
    }
    row
}

/// A setting with its default; many that have none may be left out as well.
fn told((key, default): &Setting) -> String {
    match default {
        Some(default) => format!("  {key} = {default}"),
        None => format!("  {key}"),
    }
}

fn line(entry: &Entry) -> String {
    match entry.source {
        "" => format!("{:<22} {}", entry.name, entry.summary),
        source => format!("{:<22} {:<11} {} ({source})", entry.name, entry.class, entry.summary),
    }
}
