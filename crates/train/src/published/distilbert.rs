//! DistilBERT (Sanh et al. 2019, arXiv 1910.01108): BERT with half the blocks, and without token types.
use super::{
    About, Ask, Kind, Part, Parts, bert,
    names::{Form, Line, plain},
};
use crate::layer::{LayerConfig, NormPlace as Place, Positions, Relu, Transformer};

pub(super) const KIND: Kind =
    Kind { name: "distilbert", classes: [None, Some("DistilBertForSequenceClassification")], parts };

fn parts(about: &About, ask: &Ask) -> Result<Parts, String> {
    let (features, positions) = (about.count("dim")?, about.count("max_position_embeddings")?);
    about.room("max_position_embeddings", positions, ask.length)?;
    let norm = about.layer_norm("layer_norm_eps", 1e-12)?;
    let blocks = Transformer {
        layers: about.count("n_layers")?,
        heads: about.count("n_heads")?,
        hidden: about.count("hidden_dim")?,
        causal: false,
        place: Place::Post,
        norm: Box::new(norm.clone()),
        activation: Box::new(about.activation("activation")?),
        dropout: 0.0,
    };
    let places = Positions { length: Some(positions), ..Default::default() };
    Ok(Parts {
        prefix: "distilbert.",
        table: ("embeddings.word_embeddings.weight", about.count("vocab_size")?, features),
        body: vec![
            Part(LayerConfig::Positions(places), vec![plain("", "embeddings.position_embeddings.")]),
            Part(norm, vec![plain("", "embeddings.LayerNorm.")]),
            Part(LayerConfig::Transformer(blocks), lines()),
        ],
        head: bert::head(
            features,
            ask,
            LayerConfig::Relu(Relu {}),
            ["pre_classifier.", "classifier."].map(|name| plain("", name)),
        ),
        unused: &["embeddings.position_ids", "vocab_*"],
        copy: None,
    })
}

fn lines() -> Vec<Line> {
    let parts = ["q", "k", "v"].map(|part| format!("transformer.layer.#.attention.{part}_lin."));
    vec![
        Line::new("layers.#.self_attn.in_proj_", &parts.each_ref().map(String::as_str), Form::Plain),
        plain("layers.#.self_attn.out_proj.", "transformer.layer.#.attention.out_lin."),
        plain("layers.#.norm1.", "transformer.layer.#.sa_layer_norm."),
        plain("layers.#.linear1.", "transformer.layer.#.ffn.lin1."),
        plain("layers.#.linear2.", "transformer.layer.#.ffn.lin2."),
        plain("layers.#.norm2.", "transformer.layer.#.output_layer_norm."),
    ]
}
