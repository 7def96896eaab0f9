//! One row of numbers for each example, with the example axis out of reach.
//!
//! # Why this is private
//! *Claim.* A clip rule's answer for one example depends on that example alone.
//! *Argument.* A rule that could look across examples (divide by the lot's largest norm, subtract the lot's mean) would
//! move *everybody's* share when one person leaves, and no cap would save it. [`Each`] offers arithmetic row by row and
//! nothing else, so such a rule cannot be written:
//! ```compile_fail,E0599
//! fn foot_gun(norms: train::each::Each) -> f64 { norms.mean() }
//! ```
//! ```compile_fail,E0616
//! fn peek(norms: train::each::Each) -> f64 { norms.rows[0] }
//! ```
//! Functions of a number are copies without borrowed or shared parts, so that they cannot carry one row's numbers to the
//! next by themselves:
//! ```compile_fail
//! fn largest(norms: train::each::Each) -> f64 {
//!     let seen = std::cell::Cell::new(0.0);
//!     let _ = norms.map(|n| { seen.set(n.max(seen.get())); n });
//!     seen.get()
//! }
//! ```
//! Two of them meet number by number only where both have the same columns and rows, and what leaves is read in the shape that it
//! has (`Each::into_rows`), so that no count of columns that a rule chooses makes rows of one example out of another's.
//! What is left is a rule that goes out of its way, through a global variable.
//! *Tests.* The three above, `rows_of_other_shapes_do_not_meet`, and `one_row_at_a_time` in `clip/conformance.rs`, which runs every
//! rule on a lot and on its examples one at a time.
use crate::clip::radial::Table;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// `[n, columns]` numbers in f64, one row an example. All operations work on each row by itself.
#[derive(Clone)]
pub struct Each {
    rows: Vec<f64>,
    columns: usize,
}

impl Each {
    pub(crate) fn new(rows: Vec<f64>, columns: usize) -> Self {
        assert!(
            columns > 0 && rows.len().is_multiple_of(columns),
            "every example has the same count of numbers, one at least"
        );
        Each { rows, columns }
    }

    /// The numbers, example by example, if they are `rows` times `columns`.
    ///
    /// # Panics
    /// If they are not: in another shape one example's numbers would be read as the next one's.
    pub(crate) fn into_rows(self, rows: usize, columns: usize) -> Vec<f64> {
        assert_eq!(
            self.columns, columns,
            "numbers of each example that a clip rule hands back, and those that are read"
        );
        // How many examples there are is nobody's business.
        assert!(self.rows.len() == rows * columns, "a clip rule handed back rows of other examples than it was shown");
        self.rows
    }

    #[cfg(test)]
    pub(crate) fn is_of_nobody(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many numbers an example has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `f` of every number.
    pub fn map(mut self, f: impl Fn(f64) -> f64 + Copy + Send + Sync + 'static) -> Each {
        self.rows.iter_mut().for_each(|x| *x = f(*x));
        self
    }

    /// `1 / x`, and 0 where `x` is 0: an example without a gradient has no direction to scale.
    pub fn recip_or_zero(self) -> Each {
        self.map(|x| if x == 0.0 { 0.0 } else { x.recip() })
    }

    /// The smaller of each number and `c`.
    pub fn at_most(self, c: f64) -> Each {
        self.map(move |x| x.min(c))
    }

    /// The larger of each number and `c`.
    pub fn at_least(self, c: f64) -> Each {
        self.map(move |x| x.max(c))
    }

    /// 1 where a number is at most `c`, else 0.
    pub fn within(self, c: f64) -> Each {
        self.map(move |x| f64::from(u8::from(x <= c)))
    }

    /// The weight of every number in a table.
    pub(crate) fn lookup(mut self, table: &Table) -> Each {
        self.rows.iter_mut().for_each(|x| *x = table.weight(*x));
        self
    }

    /// Another row for each row, of `width` numbers that are zero until `f` fills them in.
    ///
    /// # Panics
    /// If `width` is 0.
    pub fn map_rows(self, width: usize, f: impl Fn(&[f64], &mut [f64]) + Copy + Send + Sync + 'static) -> Each {
        assert!(width > 0, "a row has one number at least");
        let mut rows = vec![0.0; self.rows.len() / self.columns * width];
        self.rows.chunks(self.columns).zip(rows.chunks_mut(width)).for_each(|(from, to)| f(from, to));
        Each { rows, columns: width }
    }

    /// 1 where column `j` is at most `bounds[j]`, else 0.
    ///
    /// # Panics
    /// If `bounds` does not have one entry a column.
    pub fn within_row(mut self, bounds: &[f64]) -> Each {
        assert_eq!(bounds.len(), self.columns, "one bound a column");
        for row in self.rows.chunks_mut(self.columns) {
            row.iter_mut().zip(bounds).for_each(|(x, c)| *x = f64::from(u8::from(*x <= *c)));
        }
        self
    }

    /// Column `j` times `by[j]`.
    ///
    /// # Panics
    /// If `by` does not have one entry a column.
    pub fn times_row(mut self, by: &[f64]) -> Each {
        assert_eq!(by.len(), self.columns, "one factor a column");
        for row in self.rows.chunks_mut(self.columns) {
            row.iter_mut().zip(by).for_each(|(x, c)| *x *= c);
        }
        self
    }
}

macro_rules! arithmetic { ($($op:ident :: $f:ident),*) => { $(
    impl $op<f64> for Each { type Output = Each; fn $f(self, c: f64) -> Each { self.map(move |x| $op::$f(x, c)) } }
    impl $op<Each> for Each {
        type Output = Each;
        /// # Panics
        /// If one has more columns or rows than the other: numbers would meet those of another example.
        fn $f(mut self, other: Each) -> Each {
            assert_eq!(self.columns, other.columns, "columns of the two sides");
            assert!(self.rows.len() == other.rows.len(), "rows of other examples");
            self.rows.iter_mut().zip(other.rows).for_each(|(x, y)| *x = $op::$f(*x, y));
            self
        }
    }
)* } }
arithmetic! { Add::add, Sub::sub, Mul::mul, Div::div }

impl Neg for Each {
    type Output = Each;
    fn neg(self) -> Each {
        self.map(|x| -x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Example 1's norm divided by example 0's, if flat numbers met.
    #[test]
    fn rows_of_other_shapes_do_not_meet() {
        let norms = Each::new(vec![1.0, 2.0, 3.0, 4.0], 1);
        let twice = norms.clone().map_rows(2, |norm, row| row.fill(norm[0]));
        let fewer = Each::new(vec![1.0, 2.0], 1);
        type Meet = fn(Each, Each) -> Each;
        for meet in [Add::add as Meet, Sub::sub, Mul::mul, Div::div] {
            for other in [&twice, &fewer] {
                let (norms, other) = (norms.clone(), other.clone());
                let met = std::panic::catch_unwind(|| meet(norms, other));
                assert!(met.is_err(), "{:?}", met.map(|met| met.rows));
            }
        }
        assert_eq!((norms.clone() / norms).into_rows(4, 1), [1.0; 4]);
    }
}
