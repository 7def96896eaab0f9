//! What a run leaves for people and machines.
//!
//! Three files for machines - `privacy.json` ([`Statement`]), `summary.json` ([`Summary`]), `metrics.jsonl` (one
//! [`Point`] a line) - and one page for people, `report.html` ([`html`]). Everything here is plain data that was
//! already released: this module computes no privacy loss and sees no training example.

#[cfg(test)]
mod example;
pub(crate) mod followed;
mod membership;
mod number;
pub(crate) mod page;
pub mod plot;
mod record;
mod statement;
mod table;
mod unit;
mod verdict;
pub(crate) mod words;
mod write;

pub use self::membership::{Membership, Test};
pub use self::page::html;
pub(crate) use self::page::{banner, document, figures, heading, prose, section, text};
pub use self::record::{Point, Record, Summary};
pub use self::statement::{Claim, Clip, Neighbouring, Noise, Randomness, Sampling, Starting, Statement, Steps};
pub use self::table::Table;
pub use self::unit::{Person, UNIT, Unit};
pub use self::verdict::Verdict;
pub(crate) use self::write::intended;
pub use self::write::{FileError, read, statement, write, write_atomically};
