//! One position of each text: flags that are set there alone, by which a mean over positions is what stands there.

use super::Present;
use super::embedding::Flags;
use crate::Device;
use crate::cuda::{Grid, arguments};
use crate::memory::Indices;

/// Which position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The first, whatever it holds.
    First,
    /// The last that is present; none where nothing is.
    Last,
}

/// The flags of `n` texts of `t` positions, `[n, t]` row by row, of which at most one a text is set. `present` says which positions are not
/// empty; without it none is.
///
/// # Panics
/// If there are not `n t` flags.
#[must_use]
pub fn one_position(device: Device, [n, t]: [usize; 2], which: Which, present: Option<&Present>) -> Present {
    let flags = present.map_or(n * t, Present::count);
    assert!(flags == n * t, "one_position: {n} texts of {t} positions, {flags} flags");
    if let Device::Cuda(gpu) = device {
        let one = Indices::unfilled_on(gpu, n * t);
        let (_copy, at) = present.map_or((None, 0), |present| present.address(gpu));
        one.part().on(gpu, |one| {
            let list = arguments![at, one, t, which == Which::Last];
            gpu.launch("one_position", Grid::blocks(n, 1, 128), list);
        });
        return Present(Flags::Device(one));
    }
    let mut one = vec![false; n * t];
    for (i, row) in one.chunks_exact_mut(t.max(1)).enumerate() {
        let there = |s: &usize| present.is_none_or(|present| present.host()[i * t + s]);
        let at = if which == Which::Last { (0..t).rev().find(there) } else { (t > 0).then_some(0) };
        at.into_iter().for_each(|at| row[at] = true);
    }
    one.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_that_is_there() {
        let (yes, no) = (true, false);
        let present = Present::from(vec![yes, yes, no, yes, no, yes, no, no, no]);
        let of = |which| one_position(Device::Cpu, [3, 3], which, Some(&present)).host().to_vec();
        assert_eq!(of(Which::Last), [no, yes, no, no, no, yes, no, no, no]);
        assert_eq!(of(Which::First), [yes, no, no, yes, no, no, yes, no, no]);
        let all = |which| one_position(Device::Cpu, [2, 2], which, None).host().to_vec();
        assert_eq!((all(Which::Last), all(Which::First)), (vec![no, yes, no, yes], vec![yes, no, yes, no]));
    }
}
