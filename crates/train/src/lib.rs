//! What was done: draw, look at each example, clip, sum, release, step.
//!
//! Start at [`trainer`]: the algorithm is on that page. [`run`] goes from a [`config`] to trained weights and a report.
pub mod audit;
pub mod augment;
pub mod auto_rate;
pub mod checkpoint;
pub mod clip;
pub mod compare;
pub mod config;
pub mod data;
pub mod diagnose;
pub mod each;
pub mod generate;
pub mod grads;
pub mod layer;
pub mod look;
pub mod mechanism;
pub mod model;
mod pieces;
pub mod plan;
pub mod predict;
mod published;
pub mod registry;
pub mod report;
pub mod run;
pub mod sampling;
pub mod state;
pub mod study;
pub mod tap;
pub mod team;
pub mod trainer;
pub mod update;
pub mod workload;
pub mod world;

pub use engine::{Gpu, guard};
