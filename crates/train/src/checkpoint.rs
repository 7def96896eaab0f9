//! Weights on disk: safetensors under PyTorch's names and layouts, so that `nn.Sequential` loads them as they are.
use crate::model::Weights;
use engine::Tensor;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{collections::HashMap, path::Path};

/// The weights as the bytes of a safetensors file. Weights are released numbers: free to store and publish.
///
/// # Errors
/// If the format cannot hold them.
pub fn to_bytes(weights: &Weights) -> Result<Vec<u8>, String> {
    let bytes: Vec<Vec<u8>> =
        weights.tensors().iter().map(|t| t.to_host().data().iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = weights.layout().parameters().iter().zip(&bytes).map(|(p, bytes)| {
        let view = TensorView::new(Dtype::F32, p.shape.clone(), bytes).map_err(|e| e.to_string())?;
        Ok((p.name.clone(), view))
    });
    let views = views.collect::<Result<Vec<_>, String>>()?;
    let about = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(about)).map_err(|e| e.to_string())
}

/// Named tensors from a safetensors file of f32 numbers.
///
/// # Errors
/// If the file cannot be read, is not safetensors, or holds other types.
pub fn read(path: &Path) -> Result<HashMap<String, Tensor>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let wrong = |e: String| format!("{}: {e}", path.display());
    let file = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
    let tensor = |(name, view): (&str, TensorView)| match view.dtype() {
        Dtype::F32 => {
            let numbers = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            Ok((name.to_owned(), Tensor::new(view.shape().to_vec(), numbers)))
        }
        other => Err(wrong(format!("`{name}` holds {other:?}, expected F32"))),
    };
    file.iter().map(tensor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        grads::Layout,
        layer::{Init, Parameter},
    };
    use privacy::Key;

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
        std::fs::write(&path, to_bytes(&before).unwrap()).unwrap();
        let after = Weights::from_public(before.layout(), read(&path).unwrap()).unwrap();
        assert_eq!(before.tensors(), after.tensors());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        std::fs::write(&path, &to_bytes(&weights()).unwrap()[..40]).unwrap();
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
