//! Differentially private deep learning whose subject is gradient clipping: the library.
//!
//! A thin front: everything lives in three crates, re-exported here. [`privacy`] is what was spent, [`engine`] what must
//! be fast, [`train`] what was done. The command `secateur` is built on the same three.
//!
//! A run from a configuration:
//! ```
//! use secateur::train::{config::Config, run::Run};
//!
//! let set = ["train.steps=3".to_owned(), "train.evaluations=1".to_owned()];
//! let config = Config::read("quick", "", &set)?; // the default: the Adult census
//! let run = Run::prepare(config, ".".as_ref(), None, false)?;
//! let outcome = run.train(&mut ())?;
//! assert!(outcome.record.summary.epsilon <= 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! Your own clip rule, in Rust: `examples/own_clip_rule.rs`.
pub use engine;
pub use privacy;
pub use train;
