//! Differentially private deep learning whose subject is gradient clipping: the library.
//!
//! A thin front: everything lives in three crates, re-exported here. [`privacy`] is what was spent, [`engine`] what must
//! be fast, [`train`] what was done. The command `secateur` is built on the same three.
//!
//! A run from a configuration:
//! ```
//! use secateur::{Config, Run};
//!
//! let set = ["train.steps=3".to_owned(), "train.evaluations=1".to_owned()];
//! let config = Config::read("quick", "", &set)?; // the default: the Adult census
//! // Without a folder nothing is written, not even the ledger: a run whose results are used names one.
//! let (folder, force) = (None, false);
//! let run = Run::prepare(config, ".".as_ref(), folder, force)?;
//! let outcome = run.train(&mut ())?;
//! assert!(outcome.record.summary.epsilon <= 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! Where to look:
//!
//! | for | see |
//! | --- | --- |
//! | a run with a folder of results, from a file | [`Run`], [`Config::open`] |
//! | data of your own | [`Examples`](train::data::Examples), `examples/own_data.rs` |
//! | a layer of your own | [`Layer`](train::layer::Layer), `examples/own_layer.rs` |
//! | a clip rule of your own | [`ClipRule`](train::clip::ClipRule), `examples/own_clip_rule.rs` |
//! | the algorithm, step by step | [`Trainer`] |
//! | a trained model's answers | [`predict`](train::predict::predict()) |
//! | what it costs, before and after | [`Plan`], [`Ledger`], [`account`](privacy::account) |
//! | what the types prove, and what not | [`privacy`], and `ARCHITECTURE.md` |
//!
//! Errors are one type for each room ([`RunError`](train::run::RunError) gathers them), and say in words what to change:
//! ```
//! use secateur::{Config, Run, train::{data::DataError, run::RunError}};
//!
//! let set = ["data={source=\"idx\", train_images=\"no\", train_labels=\"no\", examples=9}".to_owned()];
//! let config = Config::read("mine", "", &set)?;
//! match Run::prepare(config, ".".as_ref(), None, false).err() {
//!     Some(RunError::Data(DataError::Missing { path })) => assert!(path.ends_with("no")),
//!     other => panic!("{other:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
pub use engine;
pub use privacy;
pub use privacy::Ledger;
pub use train;
pub use train::{config::Config, plan::Plan, run::Run, trainer::Trainer};
