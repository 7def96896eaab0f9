//! What can go wrong with a device.

/// A device that cannot be used, or that failed.
///
/// Operations return tensors, not results: one that the device cannot carry out panics with this as its payload, and
/// [`crate::guard`] turns it into an error again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceError(pub String);

impl std::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DeviceError {}

/// `work`, with the failure of a device as an error.
///
/// # Errors
/// If an operation ran out of device memory, or the driver or a library refused it.
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, DeviceError> {
    quiet();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|payload| {
        match payload.downcast::<DeviceError>() {
            Ok(error) => *error,
            Err(other) => std::panic::resume_unwind(other),
        }
    })
}

/// Gives up on the operation.
pub(crate) fn fail(what: impl Into<String>) -> ! {
    std::panic::panic_any(DeviceError(what.into()))
}

/// The panic hook prints nothing for a [`DeviceError`], which somebody will report.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<DeviceError>().is_none() {
                usual(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::{DeviceError, fail, guard};

    #[test]
    fn failures_are_errors_and_faults_stay_panics() {
        assert_eq!(guard(|| 3), Ok(3));
        assert_eq!(guard(|| -> u8 { fail("no memory") }), Err(DeviceError("no memory".into())));
        assert!(std::panic::catch_unwind(|| guard(|| panic!("a fault"))).is_err());
    }
}
