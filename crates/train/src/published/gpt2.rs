//! GPT-2 (Radford et al. 2019): pre-norm blocks, learned positions, a head that is the table of tokens. Its matrices lie turned.
use super::{
    About, Ask, Kind, Part, Parts,
    names::{Form, Line, plain},
};
use crate::layer::{LayerConfig, Linear, NormPlace as Place, Positions, Token, Transformer, Which};

pub(super) const KIND: Kind =
    Kind { name: "gpt2", classes: [Some("GPT2LMHeadModel"), Some("GPT2ForSequenceClassification")], parts };

fn parts(about: &About, ask: &Ask) -> Result<Parts, String> {
    let (features, positions) = (about.count("n_embd")?, about.count("n_positions")?);
    about.room("n_positions", positions, ask.length)?;
    about.only("scale_attn_weights", true)?;
    about.only("scale_attn_by_inverse_layer_idx", false)?;
    about.only("add_cross_attention", false)?;
    about.only("tie_word_embeddings", true)?;
    let norm = about.layer_norm("layer_norm_epsilon", 1e-5)?;
    let blocks = Transformer {
        layers: about.count("n_layer")?,
        heads: about.count("n_head")?,
        hidden: about.count_or("n_inner", 4 * features)?,
        causal: true,
        place: Place::Pre,
        norm: Box::new(norm.clone()),
        activation: Box::new(about.activation("activation_function")?),
        dropout: 0.0,
    };
    let places = Positions { length: Some(positions), ..Default::default() };
    let head = |features| Part(LayerConfig::Linear(Linear { features, bias: false }), vec![plain("", "score.")]);
    let last = || Part(LayerConfig::Token(Token { which: Which::Last }), vec![]);
    Ok(Parts {
        prefix: "transformer.",
        table: ("wte.weight", about.count("vocab_size")?, features),
        body: vec![
            Part(LayerConfig::Positions(places), vec![plain("", "wpe.")]),
            Part(LayerConfig::Transformer(blocks), lines()),
            Part(norm, vec![plain("", "ln_f.")]),
        ],
        head: ask.outputs.into_iter().flat_map(|outputs| [last(), head(outputs)]).collect(),
        unused: &["h.*.attn.bias", "h.*.attn.masked_bias", "lm_head.weight"],
        copy: ask.outputs.is_none().then_some("lm_head.weight"),
    })
}

fn lines() -> Vec<Line> {
    let turned = |ours: &str, theirs: &str| Line::new(ours, &[theirs], Form::Turned);
    vec![
        plain("layers.#.norm1.", "h.#.ln_1."),
        turned("layers.#.self_attn.in_proj_", "h.#.attn.c_attn."),
        turned("layers.#.self_attn.out_proj.", "h.#.attn.c_proj."),
        plain("layers.#.norm2.", "h.#.ln_2."),
        turned("layers.#.linear1.", "h.#.mlp.c_fc."),
        turned("layers.#.linear2.", "h.#.mlp.c_proj."),
    ]
}
