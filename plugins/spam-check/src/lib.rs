//! spam-check
pub mod classifier;
