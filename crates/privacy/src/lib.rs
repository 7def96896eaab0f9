//! Secateur: privacy.
