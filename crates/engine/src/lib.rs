//! Secateur: engine.
