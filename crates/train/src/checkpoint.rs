//! Weights on disk, and all that a run needs to go on: safetensors files.
//!
//! Weights have PyTorch's names and layouts, so that `nn.Sequential` loads them as they are. A checkpoint is one file, so
//! that weights and what plug-ins remember cannot come from different steps: weights under `weights/`, what is remembered
//! under `state/` (points as f32, numbers as f64, counts as u64), and what else is to be known as the file's metadata.
use crate::{
    grads::{Grads, Layout},
    layer::Parameter,
    model::{Lora, Patterns, Stored, Weights},
    state::{Memory, Value},
};
use engine::Tensor;
use privacy::Key;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{collections::HashMap, path::Path, sync::Arc};

/// The plain model's weights as the bytes of a safetensors file, with what else is to be said `about` them. Weights are released numbers:
/// free to store and publish. Adapters are added to their matrices.
///
/// # Errors
/// If the format cannot hold them.
pub fn to_bytes(weights: &Weights, about: &[(&str, String)]) -> Result<Vec<u8>, String> {
    serialize(named(weights.merged(), ""), said(about))
}

/// Named tensors as the bytes of a safetensors file.
///
/// # Errors
/// If the format cannot hold them.
pub(crate) fn of_tensors(tensors: Vec<(String, Tensor)>, about: &[(&str, String)]) -> Result<Vec<u8>, String> {
    let item = |(name, tensor): (String, Tensor)| {
        let words = tensor.data().iter().map(|x| x.to_le_bytes());
        Item::new(name, Dtype::F32, tensor.shape().to_vec(), words)
    };
    serialize(tensors.into_iter().map(item).collect(), said(about))
}

/// The adapters' factors by themselves, under the names that the `peft` library gives them inside a module.
///
/// # Errors
/// If the format cannot hold them.
pub fn adapters(weights: &Weights, lora: &Lora, about: &[(&str, String)]) -> Result<Vec<u8>, String> {
    let settings = [("r", lora.rank.to_string()), ("lora_alpha", lora.alpha.unwrap_or(lora.rank as f64).to_string())];
    serialize(named(weights.adapters(), ""), said(&[about, &settings].concat()))
}

fn said(about: &[(&str, String)]) -> HashMap<String, String> {
    let format = ("format", "pt".to_owned());
    about.iter().cloned().chain([format]).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// One tensor to be written.
struct Item {
    name: String,
    kind: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Item {
    fn new<const N: usize>(name: String, kind: Dtype, shape: Vec<usize>, words: impl Iterator<Item = [u8; N]>) -> Self {
        Item { name, kind, shape, bytes: words.flatten().collect() }
    }
}

fn named<'a>(pairs: impl Iterator<Item = (&'a Parameter, &'a Tensor)>, prefix: &str) -> Vec<Item> {
    let item = |(p, t): (&Parameter, &Tensor)| {
        let there = t.to_host();
        let words = there.data().iter().map(|x| x.to_le_bytes());
        Item::new(format!("{prefix}{}", p.name), Dtype::F32, p.shape.clone(), words)
    };
    pairs.map(item).collect()
}

fn remembered((name, value): (&str, &Value)) -> Item {
    let name = format!("{STATE}{name}");
    match value {
        Value::Numbers(x) => Item::new(name, Dtype::F64, vec![x.len()], x.iter().map(|x| x.to_le_bytes())),
        Value::Count(n) => Item::new(name, Dtype::U64, vec![1], std::iter::once(n.to_le_bytes())),
        Value::Grads(g) => {
            let flat = g.as_ref().map_or(&[][..], Grads::flat);
            Item::new(name, Dtype::F32, vec![flat.len()], flat.iter().map(|x| x.to_le_bytes()))
        }
    }
}

fn serialize(items: Vec<Item>, about: HashMap<String, String>) -> Result<Vec<u8>, String> {
    fn view(i: &Item) -> Result<(String, TensorView<'_>), String> {
        let view = TensorView::new(i.kind, i.shape.clone(), &i.bytes).map_err(|e| e.to_string())?;
        Ok((i.name.clone(), view))
    }
    let views = items.iter().map(view).collect::<Result<Vec<_>, String>>()?;
    sorted(safetensors::serialize(views, Some(about)).map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

/// The same file with its header in the order of names: what is said about tensors comes from a table without an order, and the same run
/// leaves the same bytes.
fn sorted(file: Vec<u8>) -> serde_json::Result<Vec<u8>> {
    let (size, rest) = file.split_at(8);
    let size = size.iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte));
    let (header, numbers) = rest.split_at(size);
    let header: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_slice(header)?;
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), header.as_slice(), numbers].concat())
}

const WEIGHTS: &str = "weights/";
const STATE: &str = "state/";

/// A moment of a run: released numbers and public ones, nothing secret.
pub struct Checkpoint {
    /// The weights.
    pub weights: Weights,
    /// What plug-ins and the run itself remember.
    pub memory: Memory,
    /// What else is to be known, by name.
    pub about: HashMap<String, String>,
}

impl Checkpoint {
    /// The bytes of its file.
    ///
    /// # Errors
    /// If the format cannot hold it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let items = named(self.weights.all(), WEIGHTS).into_iter().chain(self.memory.iter().map(remembered));
        serialize(items.collect(), self.about.clone())
    }

    /// What else a checkpoint's file says, without its numbers.
    ///
    /// # Errors
    /// If the file cannot be read or is no checkpoint.
    pub fn about(path: &Path) -> Result<HashMap<String, String>, String> {
        Checkpoint::said(path, &load(path)?)
    }

    fn said(path: &Path, bytes: &[u8]) -> Result<HashMap<String, String>, String> {
        let about = metadata(path, bytes)?;
        if about.is_empty() { Err(format!("{}: not a checkpoint", path.display())) } else { Ok(about) }
    }

    /// A checkpoint from its file, for a model of this layout.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or is of another model.
    pub fn read(path: &Path, layout: &Arc<Layout>) -> Result<Checkpoint, String> {
        let bytes = load(path)?;
        let about = Checkpoint::said(path, &bytes)?;
        let wrong = |e: String| format!("{}: {e}", path.display());
        let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(path, &e))?;
        let (mut weights, mut memory) = (HashMap::new(), Memory::default());
        for (name, view) in file.iter() {
            if let Some(name) = name.strip_prefix(WEIGHTS) {
                weights.insert(name.to_owned(), floats(name, &view).map_err(wrong)?);
            } else if let Some(name) = name.strip_prefix(STATE) {
                memory.insert(name, value(name, &view, layout).map_err(wrong)?);
            }
        }
        let weights = Weights::from_public(layout, weights).map_err(wrong)?;
        Ok(Checkpoint { weights, memory, about })
    }
}

fn value(name: &str, view: &TensorView, layout: &Arc<Layout>) -> Result<Value, String> {
    let words = || view.data().as_chunks::<8>().0;
    match view.dtype() {
        Dtype::F64 => Ok(Value::Numbers(words().iter().map(|b| f64::from_le_bytes(*b)).collect())),
        Dtype::U64 if words().len() == 1 => Ok(Value::Count(u64::from_le_bytes(words()[0]))),
        Dtype::F32 if view.data().is_empty() => Ok(Value::Grads(None)),
        Dtype::F32 if view.data().len() == 4 * layout.len() => {
            Ok(Value::Grads(Some(Grads::new(layout, floats(name, view)?.data().to_vec()))))
        }
        other => Err(format!("`{name}` holds {} bytes of {other:?}: it is of another model", view.data().len())),
    }
}

fn floats(name: &str, view: &TensorView) -> Result<Tensor, String> {
    match view.dtype() {
        Dtype::F32 => {
            let numbers = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            Ok(Tensor::new(view.shape().to_vec(), numbers))
        }
        other => Err(format!("`{name}` holds {other:?}, expected F32")),
    }
}

fn damaged(path: &Path, e: &safetensors::SafeTensorError) -> String {
    format!("{}: cut short, damaged, or no safetensors file: {e}", path.display())
}

fn load(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// What a file says besides its numbers, by name.
pub(crate) type About = HashMap<String, String>;

/// Named tensors from a safetensors file of whatever kinds of number (f32, f16 and bf16 are read), and what it says besides.
///
/// # Errors
/// If the file cannot be read or is not safetensors.
pub(crate) fn read_any(path: &Path) -> Result<(HashMap<String, Stored>, About), String> {
    let bytes = load(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(path, &e))?;
    let stored = file.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), widened(&view)))).collect();
    Ok((stored, metadata(path, &bytes)?))
}

/// What a safetensors file says besides its numbers.
fn metadata(path: &Path, bytes: &[u8]) -> Result<About, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(path, &e))?;
    Ok(header.metadata().clone().unwrap_or_default())
}

fn widened(view: &TensorView) -> Result<Tensor, String> {
    let halves =
        |wide: fn(u16) -> f32| view.data().as_chunks::<2>().0.iter().map(|b| wide(u16::from_le_bytes(*b))).collect();
    let numbers = match view.dtype() {
        Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => halves(of_half),
        Dtype::BF16 => halves(|b| f32::from_bits(u32::from(b) << 16)),
        other => return Err(format!("{other:?}")),
    };
    Ok(Tensor::new(view.shape().to_vec(), numbers))
}

/// IEEE 754's half precision: one bit of sign, five of exponent, ten of fraction.
fn of_half(half: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(half >> 15) << 31, u32::from(half >> 10) & 31, u32::from(half) & 1023);
    match exponent {
        // Below the least normal half all numbers are multiples of 2^-24.
        0 => f32::from_bits(sign | (fraction as f32 * f32::from_bits(103 << 23)).to_bits()),
        31 => f32::from_bits(sign | 255 << 23 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The weights of a trained model, as a run leaves them: plain, with adapters already added to their matrices.
///
/// # Errors
/// If the file cannot be read, or is of another model.
pub(crate) fn trained(path: &Path, layout: &Arc<Layout>) -> Result<Weights, String> {
    // Fresh adapters add nothing: their second factor is zero.
    let fitted = Weights::fitted(layout, &Key::from_seed(0), read_any(path)?.0, &Patterns::default());
    fitted.map_err(|e| format!("{}: {e}", path.display()))
}

/// Named tensors from a safetensors file of f32 numbers.
///
/// # Errors
/// If the file cannot be read, is not safetensors, or holds other types.
pub fn read(path: &Path) -> Result<HashMap<String, Tensor>, String> {
    let bytes = load(path)?;
    let wrong = |e: String| format!("{}: {e}", path.display());
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(path, &e))?;
    file.iter().map(|(name, view)| Ok((name.to_owned(), floats(name, &view).map_err(wrong)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{grads::Layout, layer::Init};

    /// The half-precision numbers of IEEE 754-2019, table 3.5, and by its definition all of them.
    #[test]
    fn halves_are_read_as_the_standard_says() {
        let cases = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 2f32.powi(-14)),
            (0x0001, 2f32.powi(-24)),
            (0x3555, 0.333_251_95),
        ];
        cases.iter().for_each(|(half, number)| assert_eq!(of_half(*half), *number, "{half:#x}"));
        for half in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(half >> 10 & 31), f64::from(half & 1023) / 1024.0);
            let size = match exponent {
                0 => fraction * 2f64.powi(-14),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
            };
            let (got, sign) = (f64::from(of_half(half)), half >> 15 == 1);
            assert!(got.is_sign_negative() == sign || size.is_nan());
            assert!(got.abs() == size || (got.is_nan() && size.is_nan()), "{half:#x}: {got}");
        }
    }

    fn weights() -> Weights {
        let parameters = vec![
            Parameter::new("0.weight", [2, 3], Init::pytorch(3)),
            Parameter::new("0.bias", [2], Init::Normal(1.0)),
        ];
        Weights::public(&Layout::new(parameters), &Key::from_seed(3))
    }

    #[test]
    fn weights_come_back_as_they_went() {
        let (folder, before) = (tempfile::tempdir().unwrap(), weights());
        let path = folder.path().join("w.safetensors");
        std::fs::write(&path, to_bytes(&before, &[]).unwrap()).unwrap();
        let after = Weights::from_public(before.layout(), read(&path).unwrap()).unwrap();
        assert_eq!(before.tensors(), after.tensors());
    }

    #[test]
    fn a_checkpoint_comes_back_as_it_went() {
        let (folder, weights) = (tempfile::tempdir().unwrap(), weights());
        let (path, layout) = (folder.path().join("c.safetensors"), weights.layout().clone());
        let mut memory = Memory::default();
        memory.insert("numbers", Value::Numbers(vec![0.1, -0.0, f64::INFINITY, f64::MIN_POSITIVE]));
        memory.insert("count", Value::Count(u64::MAX));
        memory.insert("point", Value::Grads(Some(weights.point())));
        memory.insert("nothing", Value::Grads(None));
        let about = HashMap::from([("config".to_owned(), "a = 1\n".to_owned())]);
        let before = Checkpoint { weights, memory, about };
        std::fs::write(&path, before.to_bytes().unwrap()).unwrap();
        let after = Checkpoint::read(&path, &layout).unwrap();
        assert_eq!((before.weights.tensors(), &before.about), (after.weights.tensors(), &after.about));
        assert_eq!(before.to_bytes().unwrap(), after.to_bytes().unwrap());
        let smaller = Layout::new(vec![Parameter::new("0.weight", [2, 3], Init::Constant(0.0))]);
        assert!(Checkpoint::read(&path, &smaller).is_err());
        assert!(Checkpoint::about(&folder.path().join("absent")).unwrap_err().contains("absent"));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        std::fs::write(&path, &to_bytes(&weights(), &[]).unwrap()[..40]).unwrap();
        assert!(read(&path).err().unwrap().contains("w.safetensors"));
        assert!(read(&folder.path().join("absent")).err().unwrap().contains("absent"));
    }

    #[test]
    fn names_and_shapes_must_fit() {
        let w = weights();
        let named = |name: &str, shape: &[usize]| {
            HashMap::from([
                ("0.weight".to_owned(), Tensor::zeros([2, 3])),
                (name.to_owned(), Tensor::zeros(shape.to_vec())),
            ])
        };
        let error = |named| Weights::from_public(w.layout(), named).err().unwrap();
        assert!(error(named("1.bias", &[2])).contains("0.bias"));
        assert!(error(named("0.bias", &[3])).contains("shape [3]"));
    }
}
