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

impl Device {
    /// The devices that a text names: those of [`Device::from_str`], several GPUs as `cuda:0,1`, or `cuda:all`.
    ///
    /// # Errors
    /// Names what is no device, is there twice, or is not on this machine.
    pub fn list(text: &str) -> Result<Vec<Device>, DeviceError> {
        let names: Vec<String> = match text.strip_prefix("cuda:") {
            Some("all") => (0..Gpu::count().max(1)).map(|k| format!("cuda:{k}")).collect(),
            Some(numbers) if numbers.contains(',') => {
                numbers.split(',').map(|k| format!("cuda:{}", k.trim())).collect()
            }
            _ => vec![text.to_owned()],
        };
        if let Some((k, _)) = names.iter().enumerate().find(|(k, name)| names[..*k].contains(name)) {
            return Err(DeviceError(format!("`{text}` names {} twice", names[k])));
        }
        names.iter().map(|name| name.parse()).collect()
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
        let wrong =
            || DeviceError(format!("`{text}` is not a device: cpu, cuda or cuda:N (several: cuda:0,1 or cuda:all)"));
        let ordinal = ordinal.ok_or_else(wrong)?;
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
        for wrong in ["cuda:0,", "cuda:0,x", "cpu,cpu", "cuda:0,cuda:1"] {
            assert!(Device::list(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Device::list("cpu"), Ok(vec![Device::Cpu]));
        let said = Device::list("cuda:1000,1001,1000").err().map(|e| e.0).unwrap_or_default();
        assert!(said.ends_with("names cuda:1000 twice"), "{said}");
        // No machine has a thousand GPUs; one without a driver says that.
        let said = "cuda:1000".parse::<Device>().err().map(|e| e.0).unwrap_or_default();
        assert!(said.starts_with("cuda:1000: this machine has"), "{said}");
    }
}
