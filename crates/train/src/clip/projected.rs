//! Projected gradients: only what lies in the span of a public basis is learnt from.
//!
//! Source: PDP-SGD, Zhou, Wu & Banerjee 2021, arXiv 2007.03813, project the released gradient (`"after"`: post-processing);
//! PCDP-SGD, Sha et al. 2023, arXiv 2312.03792, project each gradient before it is clipped and add noise in the span's `k`
//! coordinates alone (`"before"`). The basis is read from a safetensors file of PUBLIC gradients or directions, one tensor
//! `[k, ...shape]` for each parameter under its name, and made orthonormal; without a file it is random. Sensitivity `C`,
//! provided the basis never saw private data: calling a *training* batch public, as seen in the wild, breaks that, and the
//! privacy statement says where the basis came from. Cost class GRAD before (inner products with `k` directions), NORM after.
use super::{Bound, ClipRule, Frame, Prepare, Projection, Setting, flat, geo_clip_k::orthonormal};
use crate::{
    each::Each,
    grads::{Grads, Layout},
    state::State,
};
use privacy::Purpose;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

/// When gradients are projected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before they are clipped (PCDP).
    #[default]
    Before,
    /// After the release (PDP).
    After,
}

fn rank() -> usize {
    16
}

/// `{ rule = "projected", bound = 1.0, when = "before", basis = "public-basis.safetensors" }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projected {
    /// `C`.
    #[serde(default)]
    pub bound: Bound,
    /// When gradients are projected.
    #[serde(default)]
    pub when: When,
    /// A safetensors file with a PUBLIC basis, beside the data as all relative paths; a random basis without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<PathBuf>,
    /// Directions of a random basis.
    #[serde(default = "rank")]
    pub rank: usize,
}

impl Projected {
    fn directions(&self, setting: &Setting) -> Result<Vec<Vec<f64>>, String> {
        let d = setting.layout.len();
        match &self.basis {
            Some(_) if d == 0 => Ok(vec![Vec::new(); self.rank]),
            Some(path) => read(&setting.root.join(path), &setting.layout),
            None => {
                let stream = setting.key.stream(Purpose::Permute, 0, 3);
                let drawn = |j: usize| {
                    let mut v = vec![0.0; d];
                    stream.fill_normal_f64((j as u64) << 40, &mut v);
                    v
                };
                Ok((0..self.rank.min(setting.parameters.max(1))).map(drawn).collect())
            }
        }
    }
}

/// The directions in a file, each parameter's part after the other's.
fn read(path: &std::path::Path, layout: &Layout) -> Result<Vec<Vec<f64>>, String> {
    let named = crate::checkpoint::read(path)?;
    let wrong = |what: String| format!("basis: {}: {what}", path.display());
    let mut directions: Vec<Vec<f64>> = Vec::new();
    for parameter in layout.parameters() {
        let tensor = named.get(&parameter.name).ok_or_else(|| wrong(format!("no tensor `{}`", parameter.name)))?;
        if tensor.shape().get(1..) != Some(&parameter.shape[..]) {
            let shape = tensor.shape();
            return Err(wrong(format!(
                "`{}` has shape {shape:?}, expected [k] and {:?}",
                parameter.name, parameter.shape
            )));
        }
        if directions.is_empty() {
            directions.resize(tensor.rows(), Vec::new());
        }
        if tensor.rows() != directions.len() {
            return Err(wrong(format!(
                "`{}` has {} directions, others {}",
                parameter.name,
                tensor.rows(),
                directions.len()
            )));
        }
        let rows = directions.iter_mut().enumerate();
        rows.for_each(|(j, v)| v.extend(tensor.row(j).iter().map(|x| f64::from(*x))));
    }
    Ok(directions)
}

impl Prepare for Projected {
    fn check(&self) -> Result<(), String> {
        (self.rank > 0).then_some(()).ok_or_else(|| "rank is at least 1".into())
    }
    fn claims(&self) -> Vec<String> {
        let claim = |path: &PathBuf| {
            format!(
                "The basis in {}, in whose span gradients are kept, is public: it does not depend on the training data.",
                path.display()
            )
        };
        self.basis.iter().map(claim).collect()
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let directions = orthonormal(self.directions(setting)?, setting.layout.len());
        let grads = |v: &Vec<f64>| Grads::new(&setting.layout, v.iter().map(|x| *x as f32).collect());
        let basis: Vec<Grads> = directions.iter().map(grads).collect();
        Ok(match self.when {
            When::Before => {
                let frame = Frame::Project(Projection::new(basis.clone(), basis, None));
                Box::new(Rule { bound: self.bound.get(), frame: Some(frame), basis: Arc::default() })
            }
            When::After => Box::new(Rule { bound: self.bound.get(), frame: None, basis: basis.into() }),
        })
    }
}

struct Rule {
    bound: f64,
    frame: Option<Frame>,
    /// What released means are projected on.
    basis: Arc<[Grads]>,
}

impl State for Rule {}

impl ClipRule for Rule {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.bound; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &[self.bound])
    }
    fn frame(&self) -> Option<&Frame> {
        self.frame.as_ref()
    }
    fn restore(&self, mean: Grads) -> Grads {
        if self.frame.is_some() {
            return mean;
        }
        let mut kept = Grads::zeros(mean.layout());
        for direction in self.basis.iter() {
            let pairs = mean.flat().iter().zip(direction.flat());
            let by = pairs.map(|(x, v)| f64::from(*x) * f64::from(*v)).sum::<f64>() as f32;
            kept.zip_with(direction, |x, v| *x += by * v);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::*, *};

    const ROWS: [[f32; 3]; 3] = [[3.0, 4.0, 0.0], [0.6, 0.0, -0.8], [0.1, -0.2, 0.2]];

    fn made(folder: &tempfile::TempDir, when: &str) -> Box<dyn ClipRule> {
        let path = folder.path().join("basis.safetensors");
        let tensor = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let (a, b) = (tensor(&[0.6, 0.8]), tensor(&[0.0]));
        let view = |shape: [usize; 2], bytes| {
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), bytes).unwrap()
        };
        let bytes =
            safetensors::serialize([("0.weight", view([1, 2], &a)), ("1.weight", view([1, 1], &b))], None).unwrap();
        std::fs::write(&path, bytes).unwrap();
        rule(&format!("rule = \"projected\"\nwhen = \"{when}\"\nbasis = {:?}", path.display().to_string()))
    }

    /// V = (0.6, 0.8, 0): projected norms 5, 0.36, 0.1, sum (0.756, 1.008, 0); noise (0.5, -1, 0.25) projects to (-0.3, -0.4, 0).
    #[test]
    fn published_projections() {
        let folder = tempfile::tempdir().unwrap();
        let mut before = made(&folder, "before");
        close(&step(&mut *before, 0, &ROWS, &[0.0], 1.0), &[0.756, 1.008, 0.0], 1e-6);
        close(&step(&mut *before, 0, &ROWS, &[-0.5], 1.0), &[0.456, 0.608, 0.0], 2e-5);
        let mut after = made(&folder, "after");
        close(&step(&mut *after, 0, &[], &[0.5, -1.0, 0.25], 1.0), &[-0.3, -0.4, 0.0], 2e-5);
    }

    #[test]
    fn a_relative_path_starts_where_the_runs_paths_do() {
        let folder = tempfile::tempdir().unwrap();
        drop(made(&folder, "before"));
        let config = |path: &str| {
            super::super::ClipConfig::deserialize(toml::toml! { rule = "projected" basis = path }).unwrap()
        };
        let here = Setting { root: folder.path().to_owned(), ..setting(1.0, 4.0) };
        assert!(config("basis.safetensors").get().prepare(&here).is_ok());
        assert!(config("basis.safetensors").get().prepare(&setting(1.0, 4.0)).is_err());
    }

    #[test]
    fn a_basis_that_does_not_fit_is_named() {
        let config = |path: &str| {
            super::super::ClipConfig::deserialize(toml::toml! { rule = "projected" basis = path }).unwrap()
        };
        let error = config("/nowhere/basis").get().prepare(&setting(1.0, 4.0)).err().unwrap();
        assert!(error.contains("nowhere"), "{error}");
        let claims = config("/nowhere/basis").get().claims();
        assert!(claims[0].contains("/nowhere/basis") && claims[0].contains("is public"), "{claims:?}");
        assert!(toml::from_str::<super::super::ClipConfig>("rule = \"projected\"").unwrap().get().claims().is_empty());
    }
}
