//! RoBERTa (Liu et al. 2019, arXiv 1907.11692): BERT with another head, whose positions are counted from behind the padding's id.
use super::{About, Ask, Kind, Parts, bert, names::plain};
use crate::layer::{LayerConfig, Tanh};

pub(super) const KIND: Kind =
    Kind { name: "roberta", classes: [None, Some("RobertaForSequenceClassification")], parts };

fn parts(about: &About, ask: &Ask) -> Result<Parts, String> {
    let names = ["classifier.dense.", "classifier.out_proj."].map(|name| plain("", name));
    let after = about.padding().unwrap_or(1) as usize + 1;
    Ok(Parts {
        prefix: "roberta.",
        table: bert::table(about)?,
        body: bert::body(about, ask, after)?,
        head: bert::head(about.count("hidden_size")?, ask, LayerConfig::Tanh(Tanh {}), names),
        unused: &["embeddings.position_ids", "lm_head.*", "pooler.*"],
        copy: None,
    })
}
