//! Which parameters a run trains: all, some of them (the head; biases alone: BiTFiT, Bu et al. 2022, arXiv 2210.00036), or thin products
//! beside frozen matrices (LoRA: Hu et al. 2021, arXiv 2106.09685).
//!
//! `trainable` and `frozen` are patterns over names. Without `lora`, what is not frozen is trained, and with `trainable` only what it matches;
//! with `lora` its factors are trained, and beside them only what `trainable` matches.
use super::{ModelConfig, pattern::Patterns};
use crate::{grads::How, layer::Parameter};
use serde::{Deserialize, Serialize};

/// `lora = { rank = 4, alpha = 8, targets = ["*.weight"] }`: low-rank adaptation of linear layers and attention's projections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Columns of `B` and rows of `A`.
    pub rank: usize,
    /// The product is multiplied with `alpha / rank`; by default with 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// The matrices that are adapted, by name.
    pub targets: Patterns,
    /// Whether `A` stays as it starts, so that the noise of `A` and that of `B` are not multiplied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub freeze_a: bool,
}

impl Lora {
    fn how(&self, parameter: &Parameter) -> Result<How, String> {
        let &[rows, columns] = parameter.shape.as_slice() else {
            let (name, shape) = (&parameter.name, &parameter.shape);
            return Err(format!(
                "model.lora.targets: `{name}` has shape {shape:?}: only matrices of linear layers and projections are adapted"
            ));
        };
        let (rank, most) = (self.rank, rows.min(columns));
        if rank == 0 || rank > most {
            return Err(format!("model.lora.rank = {rank}: `{}` takes 1 to {most}", parameter.name));
        }
        let alpha = self.alpha.unwrap_or(rank as f64);
        if !(alpha.is_finite() && alpha > 0.0) {
            return Err(format!("model.lora.alpha = {alpha}: must be a finite number above 0"));
        }
        Ok(How::Adapt { rank, scale: alpha / rank as f64, freeze_a: self.freeze_a })
    }
}

/// What is done with each parameter.
///
/// # Errors
/// If a pattern matches nothing (names what is near), if two claim one parameter, or if nothing is left to train.
pub(super) fn resolve(config: &ModelConfig, parameters: &[Parameter]) -> Result<Vec<How>, String> {
    let ModelConfig { trainable, frozen, lora, .. } = config;
    let names: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
    let none = Patterns::default();
    let targets = lora.as_ref().map_or(&none, |lora| &lora.targets);
    let lists = [("model.trainable", trainable.as_ref().unwrap_or(&none)), ("model.frozen", frozen)];
    for (key, list) in lists.into_iter().chain([("model.lora.targets", targets)]) {
        list.check(key, "the model's parameters", &names)?;
    }
    let one = |parameter: &Parameter| {
        let name = parameter.name.as_str();
        let named = trainable.as_ref().map(|list| list.matches(name));
        match (targets.matches(name), named, frozen.matches(name)) {
            (true, Some(true), _) => {
                Err(format!("`{name}` matches model.trainable and model.lora.targets: it is either"))
            }
            (_, Some(true), true) => Err(format!("`{name}` matches model.trainable and model.frozen: it is either")),
            (true, _, true) => {
                Err(format!("`{name}` matches model.frozen and model.lora.targets, which freezes it anyway"))
            }
            (true, ..) => lora.as_ref().map_or(Ok(How::Freeze), |lora| lora.how(parameter)),
            (_, Some(true), _) => Ok(How::Train),
            (_, None, false) if lora.is_none() => Ok(How::Train),
            _ => Ok(How::Freeze),
        }
    };
    let all: Vec<How> = parameters.iter().map(one).collect::<Result<_, _>>()?;
    match all.iter().any(|how| *how != How::Freeze) || parameters.is_empty() {
        true => Ok(all),
        false => Err("model.trainable, model.frozen: nothing is left to train".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Init;

    fn told(text: &str) -> Result<Vec<How>, String> {
        let config: ModelConfig = toml::from_str(&format!("{text}\nlayers = []")).map_err(|e| e.to_string())?;
        let parameter = |(name, shape): (&str, &[usize])| Parameter::new(name, shape, Init::Constant(0.0));
        let all: [(&str, &[usize]); 4] =
            [("0.weight", &[4, 1, 2, 2]), ("0.bias", &[4]), ("head.weight", &[3, 6]), ("head.bias", &[3])];
        resolve(&config, &all.map(parameter))
    }

    #[test]
    fn patterns_say_what_is_trained() {
        use How::{Freeze, Train};
        let adapt = |scale, freeze_a| How::Adapt { rank: 2, scale, freeze_a };
        let cases = [
            ("", [Train, Train, Train, Train]),
            ("trainable = [\"*.bias\", \"head.*\"]", [Freeze, Train, Train, Train]),
            ("frozen = [\"0.*\"]", [Freeze, Freeze, Train, Train]),
            ("lora = { rank = 2, targets = [\"head.weight\"] }", [Freeze, Freeze, adapt(1.0, false), Freeze]),
            (
                "trainable = [\"*.bias\"]\nlora = { rank = 2, alpha = 8, targets = [\"head.w*\"], freeze_a = true }",
                [Freeze, Train, adapt(4.0, true), Train],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(told(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn slips_are_told() {
        let cases = [
            ("trainable = [\"bias\"]", "model.trainable: \"bias\" matches none"),
            ("frozen = [\"body.*\"]", "model.frozen: \"body.*\" matches none"),
            ("frozen = [\"*\"]", "nothing is left to train"),
            ("trainable = []", "nothing is left to train"),
            ("trainable = [\"0.*\"]\nfrozen = [\"*.bias\"]", "`0.bias` matches model.trainable and model.frozen"),
            ("lora = { rank = 2, targets = [\"nothing\"] }", "model.lora.targets: \"nothing\" matches none"),
            ("lora = { rank = 2, targets = [\"0.weight\"] }", "`0.weight` has shape [4, 1, 2, 2]"),
            ("lora = { rank = 4, targets = [\"head.weight\"] }", "model.lora.rank = 4: `head.weight` takes 1 to 3"),
            ("lora = { rank = 0, targets = [\"head.weight\"] }", "model.lora.rank = 0"),
            ("lora = { rank = 2, alpha = 0, targets = [\"head.weight\"] }", "model.lora.alpha = 0"),
            (
                "trainable = [\"head.*\"]\nlora = { rank = 2, targets = [\"head.weight\"] }",
                "`head.weight` matches model.trainable and model.lora.targets",
            ),
            (
                "frozen = [\"head.*\"]\nlora = { rank = 2, targets = [\"head.weight\"] }",
                "`head.weight` matches model.frozen and model.lora.targets",
            ),
        ];
        for (text, what) in cases {
            let error = told(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
