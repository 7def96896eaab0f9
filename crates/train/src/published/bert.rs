//! BERT (Devlin et al. 2018, arXiv 1810.04805): post-norm blocks that look both ways, learned positions, token types, and a question to
//! what the first token has become. RoBERTa is the same but for its head and where its positions begin (`roberta.rs`).
use super::{
    About, Ask, Kind, Part, Parts,
    names::{Form, Line, plain},
};
use crate::layer::{LayerConfig, Linear, NormPlace as Place, Positions, Tanh, Token, TokenTypes, Transformer, Which};

pub(super) const KIND: Kind = Kind { name: "bert", classes: [None, Some("BertForSequenceClassification")], parts };

fn parts(about: &About, ask: &Ask) -> Result<Parts, String> {
    let names = [plain("", "pooler.dense.").of_base(), plain("", "classifier.")];
    Ok(Parts {
        prefix: "bert.",
        table: table(about)?,
        body: body(about, ask, 0)?,
        head: head(about.count("hidden_size")?, ask, LayerConfig::Tanh(Tanh {}), names),
        unused: &["embeddings.position_ids", "cls.*"],
        copy: None,
    })
}

pub(super) fn table(about: &About) -> Result<(&'static str, usize, usize), String> {
    Ok(("embeddings.word_embeddings.weight", about.count("vocab_size")?, about.count("hidden_size")?))
}

/// From rows of the table on; of the table of positions the first `after` rows are for none.
pub(super) fn body(about: &About, ask: &Ask, after: usize) -> Result<Vec<Part>, String> {
    let rows = about.count("max_position_embeddings")?;
    let positions = rows.saturating_sub(after);
    about.room("max_position_embeddings", positions, ask.length)?;
    about.only("position_embedding_type", "absolute")?;
    about.only("is_decoder", false)?;
    let norm = about.layer_norm("layer_norm_eps", 1e-12)?;
    let blocks = Transformer {
        layers: about.count("num_hidden_layers")?,
        heads: about.count("num_attention_heads")?,
        hidden: about.count("intermediate_size")?,
        causal: false,
        place: Place::Post,
        norm: Box::new(norm.clone()),
        activation: Box::new(about.activation("hidden_act")?),
        dropout: 0.0,
    };
    let places = Positions { length: Some(positions), ..Default::default() };
    let types = TokenTypes { types: about.count_or("type_vocab_size", 2)? };
    let of_positions = Line::new("", &["embeddings.position_embeddings."], Form::After(after));
    Ok(vec![
        Part(LayerConfig::Positions(places), vec![of_positions]),
        Part(LayerConfig::TokenTypes(types), vec![plain("", "embeddings.token_type_embeddings.")]),
        Part(norm, vec![plain("", "embeddings.LayerNorm.")]),
        Part(LayerConfig::Transformer(blocks), lines()),
    ])
}

/// The first token, through a layer of its own, to the outputs; with the lines of the two linear layers.
pub(super) fn head(features: usize, ask: &Ask, activation: LayerConfig, [before, last]: [Line; 2]) -> Vec<Part> {
    let linear = |features, line| Part(LayerConfig::Linear(Linear { features, bias: true }), vec![line]);
    let first = Part(LayerConfig::Token(Token { which: Which::First }), vec![]);
    let outputs = linear(ask.outputs.unwrap_or(1), last);
    vec![first, linear(features, before), Part(activation, vec![]), outputs]
}

fn lines() -> Vec<Line> {
    let parts = ["query", "key", "value"].map(|part| format!("encoder.layer.#.attention.self.{part}."));
    vec![
        Line::new("layers.#.self_attn.in_proj_", &parts.each_ref().map(String::as_str), Form::Plain),
        plain("layers.#.self_attn.out_proj.", "encoder.layer.#.attention.output.dense."),
        plain("layers.#.norm1.", "encoder.layer.#.attention.output.LayerNorm."),
        plain("layers.#.linear1.", "encoder.layer.#.intermediate.dense."),
        plain("layers.#.linear2.", "encoder.layer.#.output.dense."),
        plain("layers.#.norm2.", "encoder.layer.#.output.LayerNorm."),
    ]
}
