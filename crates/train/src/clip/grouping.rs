//! Over what the norms that a rule sees are taken: all parameters, layers, parameters, or blocks of them.
use super::{Bound, ClipRule, Crowds, Frame, Question};
use crate::{each::Each, grads::Layout};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Over what the norms that a rule sees are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// All parameters together.
    #[default]
    Model,
    /// The parameters of each layer together.
    Layer,
    /// Each parameter by itself.
    Parameter,
    /// So many runs of parameters, one after the other, as even in number as can be: `{ blocks = 4 }`.
    Blocks(usize),
}

impl Grouping {
    /// The group of each parameter, and how many groups there are.
    pub fn of(self, layout: &Layout) -> (Vec<usize>, usize) {
        let names: Vec<&str> = layout.parameters().iter().map(|p| p.name.as_str()).collect();
        let mut seen: Vec<String> = Vec::new();
        let group = |(i, name): (usize, &str)| match self {
            Grouping::Model => String::new(),
            Grouping::Layer => name.rsplit_once('.').map_or("", |(layer, _)| layer).to_owned(),
            Grouping::Parameter => name.to_owned(),
            Grouping::Blocks(blocks) => (i * blocks.max(1) / names.len().max(1)).to_string(),
        };
        let of = names.iter().copied().enumerate().map(|named| index(&mut seen, group(named))).collect();
        (of, seen.len().max(1))
    }
}

fn index(seen: &mut Vec<String>, group: String) -> usize {
    seen.iter().position(|s| *s == group).unwrap_or_else(|| {
        seen.push(group);
        seen.len() - 1
    })
}

/// One bound shared by `groups` groups so that their squares add up to its own: `C / sqrt(groups)` each.
pub fn split(bound: Bound, groups: usize) -> Vec<f64> {
    vec![bound.get() / (groups as f64).sqrt(); groups]
}

/// The groups that a rule is held to, in the coordinates it measures in, and what else one example's share of a sum hangs on.
pub(super) struct Groups {
    /// The group of each parameter.
    pub of: Vec<usize>,
    /// How many there are.
    pub count: usize,
    /// How far one example may move each.
    pub bounds: Vec<f64>,
    /// What is clipped in the place of single examples' gradients.
    pub crowds: Option<Crowds>,
    /// What is asked besides.
    pub question: Option<Question>,
    /// Where sums live.
    pub layout: Arc<Layout>,
}

impl Groups {
    /// Of a rule for a model of this layout.
    ///
    /// # Panics
    /// As [`Groups::of`] has an error.
    pub fn new(rule: &dyn ClipRule, layout: &Arc<Layout>) -> Groups {
        Groups::of(rule, layout).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    /// Of a rule for a model of this layout. The rule is asked about nobody, so that what is wrong with it shows before anybody is
    /// looked at, whoever is drawn.
    ///
    /// # Errors
    /// If what it says of groups, weights or answers is of another shape than it is read in.
    pub fn of(rule: &dyn ClipRule, layout: &Arc<Layout>) -> Result<Groups, String> {
        let layout = rule.frame().map_or_else(|| layout.clone(), |frame| Frame::layout(frame, layout));
        let (of, count) = rule.grouping().of(&layout);
        let (bounds, crowds, question) = (rule.bounds(count), rule.crowds(), rule.ask());
        let nobody = |columns| Each::new(Vec::new(), columns);
        let counted = |what: &str, is: usize, wanted: usize| match is == wanted {
            true => Ok(()),
            false => Err(format!("the rule has {is} {what} for one example, where there must be {wanted}")),
        };
        counted("bounds", bounds.len(), count)?;
        let directions = if crowds.is_some() { 0 } else { rule.directions().len() };
        counted("weights", rule.weigh(nobody(count + directions)).columns(), count)?;
        if let Some(question) = &question {
            counted(
                "numbers in an answer (`answer`, and the width that `ask` tells)",
                rule.answer(nobody(count)).columns(),
                question.width,
            )?;
        }
        Ok(Groups { of, count, bounds, crowds, question, layout })
    }

    /// How long one summand may be: an example's, or a crowd's.
    pub fn total(&self) -> f64 {
        self.bounds.iter().map(|c| c * c).sum::<f64>().sqrt()
    }

    /// How far one example may move the whole sum.
    pub fn sensitivity(&self) -> f64 {
        let twice = if self.crowds.is_some() { 2.0 } else { 1.0 };
        twice * self.total()
    }
}
