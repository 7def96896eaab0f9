//! Secateur: train.
