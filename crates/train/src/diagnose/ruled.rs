//! What each clip rule makes of the gradients that a scan goes through, and which rules can be looked at that way.
//!
//! A rule that sees norms (and inner products with public directions) in the model's own coordinates is shown exactly, capped as
//! in training. One that learns is shown as it starts out. What a rule in other coordinates, with crowds, with several looks or
//! with a memory of each example does to a gradient cannot be said from one look at untrained state: such rules are named and
//! not shown, and where the configuration has one, flat clipping at its bound stands in, and the page says so.
use super::{DiagnoseError, scene::inner, statistics::quantile};
use crate::{
    clip::{self, ClipConfig, ClipRule, Grouping},
    config::Config,
    grads::{Grads, Layout},
    model::{Model, Weights},
    plan::Plan,
    report::Table,
    state::{Memory, State, Visit},
    tap::Taps,
};
use privacy::Key;
use std::{path::Path, sync::Arc};

/// What a rule makes of these gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruled {
    /// Its name in configurations.
    pub name: String,
    /// How far one example may move the sum.
    pub bound: f64,
    /// The squared norm of the mean of what examples contribute.
    pub square: f64,
    /// Its inner product with the mean gradient.
    pub dot: f64,
    /// The mean squared length of a contribution.
    pub second: f64,
    /// The mean squared difference of a contribution from its gradient.
    pub change: f64,
    /// The mean inner product of a contribution with its own gradient.
    pub own: f64,
    /// Norms from short to long and how long their contributions are; empty for rules that look at groups.
    pub lengths: Vec<(f64, f64)>,
}

impl Ruled {
    /// The cosine of what comes out in the mean with the mean gradient, of norm `mean`.
    pub fn cosine(&self, mean: f64) -> f64 {
        self.dot / (self.square.sqrt() * mean)
    }
}

/// A rule at work.
pub(super) struct Rule<'a> {
    name: &'a str,
    rule: &'a dyn ClipRule,
    /// The sum of what examples contribute.
    pub sum: Grads,
    second: f64,
    change: f64,
    own: f64,
}

impl<'a> Rule<'a> {
    pub fn new(name: &'a str, rule: &'a dyn ClipRule, layout: &Arc<Layout>) -> Self {
        Rule { name, rule, sum: Grads::zeros(layout), second: 0.0, change: 0.0, own: 0.0 }
    }

    /// Adds what this chunk's examples contribute.
    pub fn take(&mut self, taps: &mut Taps) {
        let (group_of, groups) = self.rule.grouping().of(self.sum.layout());
        let norms: Vec<f64> = taps.norms(&group_of, groups).into_iter().map(f64::sqrt).collect();
        let dots = taps.dots(self.rule.directions());
        let weights = weights_of(self.rule, &norms, groups, &dots);
        for (n, w) in norms.iter().zip(&weights).map(|(n, w)| (*n, f64::from(*w))).filter(|(n, _)| n.is_finite()) {
            self.second += (w * n).powi(2);
            self.change += ((1.0 - w) * n).powi(2);
            self.own += w * n * n;
        }
        self.sum.zip_with(&taps.sum(&weights, &group_of, groups), |a, b| *a += b);
    }

    pub fn finish(&self, mean: &Grads, n: f64, ascending: &[f64]) -> Ruled {
        Ruled {
            name: self.name.to_owned(),
            bound: clip::sensitivity(self.rule, mean.layout()),
            lengths: lengths(self.rule, ascending),
            square: (self.sum.norm() / n).powi(2),
            dot: inner(&self.sum, mean) / n,
            second: self.second / n,
            change: self.change / n,
            own: self.own / n,
        }
    }
}

/// A rule's weights, capped as in training; `dots` are inner products with its directions.
pub(super) fn weights_of(rule: &dyn ClipRule, norms: &[f64], groups: usize, dots: &[f64]) -> Vec<f32> {
    let proposed = rule.weigh(clip::shown(norms, groups, dots)).into_rows(norms.len() / groups, groups);
    clip::cap(&proposed, norms, &rule.bounds(groups))
}

/// Norms spread over the range of these, and how long a rule leaves them.
fn lengths(rule: &dyn ClipRule, ascending: &[f64]) -> Vec<(f64, f64)> {
    if rule.grouping() != Grouping::Model || !rule.directions().is_empty() {
        return Vec::new();
    }
    let (short, high) = (quantile(ascending, 0.005).max(1e-12), quantile(ascending, 1.0).max(1e-12));
    let low = short.min(rule.bounds(1)[0] / 10.0).max(high * 1e-6);
    if high <= low {
        return Vec::new();
    }
    let norms: Vec<f64> = (0..=48).map(|k| low * (high / low).powf(f64::from(k) / 48.0)).collect();
    let weights = weights_of(rule, &norms, 1, &[]);
    norms.iter().zip(weights).map(|(n, w)| (*n, n * f64::from(w))).collect()
}

/// The rules that are looked at, and what must be said about them.
pub struct Rules {
    /// Rules as they start out, by name; the configured one first, or what stands in for it.
    pub shown: Vec<(String, Box<dyn ClipRule>)>,
    /// Those of them that learn from releases, which here they have not.
    pub learning: Vec<String>,
    /// What a reader must know: which rules are not shown, and what stands in.
    pub notes: Vec<String>,
}

impl Rules {
    /// The configured rule, then all others of the list that can be had at bound `bound`.
    pub(super) fn new(
        config: &Config,
        own: Box<dyn ClipRule>,
        bound: f64,
        plan: &Plan,
        model: &Model,
    ) -> Result<Rules, DiagnoseError> {
        let (root, config) = (&*config.root, &config.clip);
        let mut rules = Rules { shown: Vec::new(), learning: Vec::new(), notes: Vec::new() };
        let mut absent: Vec<String> = Vec::new();
        if let Some(why) = rules.take(config.name(), own) {
            rules.notes.push(format!(
                "The configured rule `{}` {why}: what it does to a gradient cannot be said from one look. Wherever the rule is meant, \
                 flat clipping at its bound, {bound:.3}, is shown in its place.",
                config.name()
            ));
            let flat = at("flat", bound).ok_or_else(|| DiagnoseError::Ask("there is no flat clipping".into()))?;
            let flat = prepare(&flat, root, plan, model).map_err(|e| DiagnoseError::Ask(format!("clip: {e}")))?;
            rules.take("flat", flat);
        }
        for entry in ClipConfig::ENTRIES.iter().filter(|entry| entry.name != config.name()) {
            let rule = at(entry.name, bound).and_then(|config| prepare(&config, root, plan, model).ok());
            if rules.shown[0].0 == entry.name {
                continue;
            }
            match rule.map(|rule| rules.take(entry.name, rule)) {
                Some(None) => {}
                Some(Some(why)) => absent.push(format!("{} ({why})", entry.name)),
                None => absent.push(format!("{} (does not start from a bound alone on this model)", entry.name)),
            }
        }
        rules.notes.extend((!absent.is_empty()).then(|| format!("Not shown among the rules: {}.", absent.join(", "))));
        Ok(rules)
    }

    /// Keeps a rule that can be shown; says why it cannot.
    fn take(&mut self, name: &str, mut rule: Box<dyn ClipRule>) -> Option<&'static str> {
        let why = obstacle(&*rule);
        if why.is_none() {
            let learns = Memory::save(&mut Keeper(&mut *rule)).iter().next().is_some();
            self.learning.extend(learns.then(|| name.to_owned()));
            self.shown.push((name.to_owned(), rule));
        }
        why
    }
}

/// A rule as something that remembers.
struct Keeper<'a>(&'a mut dyn ClipRule);

impl State for Keeper<'_> {
    fn state(&mut self, visit: &mut Visit) {
        self.0.state(visit);
    }
}

/// Why a rule cannot be judged from one look.
fn obstacle(rule: &dyn ClipRule) -> Option<&'static str> {
    let reasons = [
        (rule.frame().is_some(), "works in other coordinates"),
        (rule.crowds().is_some(), "clips means of crowds"),
        (rule.remembers(), "adds what it cut off before"),
        (rule.looks().len() != 1, "looks from several points"),
    ];
    reasons.into_iter().find(|(is, _)| *is).map(|(_, why)| why)
}

/// A rule of the list at this bound, or as it comes where it has none.
fn at(name: &str, bound: f64) -> Option<ClipConfig> {
    let named = [("rule".to_owned(), toml::Value::from(name))];
    let bound = [("bound".to_owned(), toml::Value::from(bound))];
    let tables = [toml::Table::from_iter(named.clone().into_iter().chain(bound)), toml::Table::from_iter(named)];
    tables.into_iter().find_map(|table| table.try_into::<ClipConfig>().ok())
}

/// A rule as it starts out.
pub(super) fn prepare(
    config: &ClipConfig,
    root: &Path,
    plan: &Plan,
    model: &Model,
) -> Result<Box<dyn ClipRule>, String> {
    let layout = model.layout().clone();
    let setting = clip::Setting {
        parameters: layout.len(),
        layout,
        noise_multiplier: plan.noise_multiplier,
        lot: plan.lot,
        sample_rate: plan.sample_rate,
        steps: plan.steps,
        key: Arc::new(Key::from_seed(0)),
        root: root.to_owned(),
    };
    let mut rule = config.get().prepare(&setting)?;
    // Some rules choose their coordinates when they see the first weights.
    rule.start(&mut Weights::public(model.layout(), &setting.key).point());
    rule.begin(0);
    Ok(rule)
}

/// What the rules make of the gradients whose mean has norm `mean`.
pub(super) fn table(rules: &[Ruled], learning: &[String], mean: f64) -> Table {
    let mut table = Table::new(
        "What each rule makes of these gradients",
        &["rule", "bound", "r.m.s. contribution", "norm of the mean", "angle of the mean", "mean over bound"],
    );
    for rule in rules {
        let star = if learning.contains(&rule.name) { " (as it starts out)" } else { "" };
        let degrees = rule.cosine(mean).clamp(-1.0, 1.0).acos().to_degrees();
        table.row([
            format!("{}{star}", rule.name),
            format!("{:.3}", rule.bound),
            format!("{:.3}", rule.second.sqrt()),
            format!("{:.4}", rule.square.sqrt()),
            format!("{degrees:.1}°"),
            format!("{:.1} %", 100.0 * rule.square.sqrt() / rule.bound),
        ]);
    }
    table
}
