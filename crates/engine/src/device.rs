//! Where tensors live and operations run.

use std::fmt;
use std::str::FromStr;

use crate::{DeviceError, Gpu};

/// The processor, or a GPU.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor and its memory.
    #[default]
    Cpu,
    /// A GPU.
    Cuda(&'static Gpu),
}

impl Device {
    /// The GPU, if it is one.
    #[must_use]
    pub fn gpu(self) -> Option<&'static Gpu> {
        match self {
            Device::Cpu => None,
            Device::Cuda(gpu) => Some(gpu),
        }
    }
}

/// `cpu`, `cuda` (the first GPU) or `cuda:N`.
impl FromStr for Device {
    type Err = DeviceError;
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let ordinal = match text.strip_prefix("cuda") {
            _ if text == "cpu" => return Ok(Device::Cpu),
            Some("") => Some(0),
            Some(rest) => rest.strip_prefix(':').and_then(|number| number.parse().ok()),
            None => None,
        };
        let ordinal = ordinal.ok_or_else(|| DeviceError(format!("`{text}` is not a device: cpu, cuda or cuda:N")))?;
        Gpu::open(ordinal).map(Device::Cuda)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(gpu) => write!(f, "{gpu:?}"),
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Device;

    #[test]
    fn names_are_read_and_nonsense_is_refused() {
        assert_eq!("cpu".parse(), Ok(Device::Cpu));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda0"] {
            let said = wrong.parse::<Device>().err().map(|e| e.0).unwrap_or_default();
            assert!(said.contains("cpu, cuda or cuda:N"), "{wrong}: {said}");
        }
        // No machine has a thousand GPUs; one without a driver says that.
        let said = "cuda:1000".parse::<Device>().err().map(|e| e.0).unwrap_or_default();
        assert!(said.starts_with("cuda:1000: this machine has"), "{said}");
    }
}
