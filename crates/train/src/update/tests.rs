//! Against `torch.optim` (in f64; ours is f32, so to 1e-5) on the quadratic `loss = sum(c * w^2) / 2`, whose gradient is `c * w`.
use super::UpdateConfig;
use crate::{
    grads::{Grads, Layout},
    layer::{Init, Parameter},
};

include!("torch_vectors.rs");

fn run(config: &str, steps: usize) -> Vec<f32> {
    let layout = Layout::new(vec![Parameter::new("w", [3], Init::Constant(0.0))]);
    let mut w = Grads::new(&layout, vec![1.0, -2.0, 0.5]);
    let mut link = toml::from_str::<UpdateConfig>(config).unwrap().get().prepare().unwrap();
    for _ in 0..steps {
        let g: Vec<f32> = w.flat().iter().zip([1.0f32, 0.5, 4.0]).map(|(w, c)| w * c).collect();
        let step = link.update(Grads::new(&layout, g), &|| w.clone());
        w.zip_with(&step, |w, s| *w += s);
    }
    w.flat().to_vec()
}

#[test]
fn every_update_agrees_with_pytorch() {
    for (config, steps, expected) in TORCH {
        for (got, want) in run(config, *steps).into_iter().zip(*expected) {
            assert!((f64::from(got) - want).abs() < 1e-5, "{config}: {got} instead of {want}");
        }
    }
    for entry in UpdateConfig::ENTRIES {
        let tried = TORCH.iter().any(|(config, ..)| config.contains(&format!("\"{}\"", entry.name)));
        assert!(tried, "add `{}` to update/torch_vectors.py", entry.name);
    }
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let error = |text: &str| toml::from_str::<UpdateConfig>(text).unwrap().get().prepare().err().unwrap();
    assert!(error("update = \"sgd\"\nlearning_rate = -1.0").contains("learning_rate"));
    assert!(error("update = \"sgd\"\nlearning_rate = nan").contains("learning_rate"));
    assert!(error("update = \"sgd\"\nlearning_rate = 1.0\nmomentum = 1.0").contains("momentum"));
    assert!(error("update = \"adam\"\nlearning_rate = 1.0\nbeta2 = 1.5").contains("beta2"));
    assert!(error("update = \"adamw\"\nlearning_rate = 1.0\nweight_decay = -0.1").contains("weight_decay"));
}
