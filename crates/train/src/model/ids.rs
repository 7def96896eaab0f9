//! What a model of texts is asked before it may train: does it know every id, does padding count for nothing, and does it
//! keep from looking at what it is to predict?
//!
//! None of these would be unsafe (an unknown id makes a gradient that is not finite, which counts as zero): they would be
//! runs that learn nothing, or nothing true, and do not say so.
use super::{Model, ModelConfig, Weights, inputs};
use crate::data::Tokens;
use privacy::Key;

/// Whether the first layer's table fits the ids; says which key to change.
pub(super) fn fit(config: &ModelConfig, tokens: Tokens) -> Result<(), String> {
    let Tokens { vocabulary, padding, next } = tokens;
    let empty = padding.map_or(String::new(), |id| format!(", padding = {id}"));
    let Some(table) = config.layers.first().and_then(|layer| layer.get().table()) else {
        return Err(format!(
            "model.layers[0]: texts are token ids: begin with {{ layer = \"embedding\", vocabulary = {vocabulary}, features = 64{empty} }}"
        ));
    };
    let known = table.vocabulary;
    if known < vocabulary as usize || (table.tied && next && known != vocabulary as usize) {
        return Err(format!(
            "model.layers[0].vocabulary = {known}, but the tokenizer has {vocabulary} ids: set model.layers[0].vocabulary = {vocabulary}"
        ));
    }
    match (table.padding, padding) {
        (Some(own), Some(id)) if own != id => Err(format!(
            "model.layers[0].padding = {own}, but texts are padded with id {id}: set model.layers[0].padding = {id}"
        )),
        (Some(own), None) => Err(format!(
            "model.layers[0].padding = {own}: the tokenizer has no token that means nothing, but pads with one that has a meaning: \
             leave model.layers[0].padding out (padding behind a text that is written is not looked at)"
        )),
        (None, Some(id)) if !next => Err(format!(
            "model.layers[0].padding: texts are padded with id {id}, which would count as a word: set padding = {id}"
        )),
        _ => Ok(()),
    }
}

/// Whether a model that is to predict next tokens sees none of them: disturbs later tokens of a made-up text and looks at
/// the outputs before.
pub(super) fn not_ahead(model: &Model, tokens: Tokens) -> Result<(), String> {
    let (length, last) = (model.input[0], tokens.vocabulary - 1);
    let half = length / 2;
    if !tokens.next || half == 0 {
        return Ok(());
    }
    let weights = Weights::public(&model.layout, &Key::from_seed(2));
    let text = |rest: u32| (0..length).map(|at| if at < half { last } else { rest } as f32).collect();
    let outputs = |rest| model.outputs(&weights, inputs(text(rest), 1, &model.input));
    let [one, other] = [outputs(last), outputs(last.saturating_sub(1))];
    let seen = half * tokens.vocabulary as usize;
    let differ = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-4 * a.abs().max(b.abs()).max(1.0);
    match one.data().iter().zip(other.data()).take(seen).any(differ) {
        true => Err("the model looks at tokens that it is to predict, and would learn to copy them: set `causal = true` in its \
                     attention or transformer, and leave out what mixes positions"
            .into()),
        false => Ok(()),
    }
}
