//! The classifier: a linear model over the character n-grams of a text. The trainer beside this
//! crate uses the same code, so a text has the same features in training and in production.

mod grams;
mod model;
mod text;

#[cfg(test)]
mod tests;

pub use grams::{LONGEST, SHORTEST};
pub use model::{BadModel, Calibration, DAMPING, Model, RARITY_UNIT, to_bytes};
pub use text::TEXT_LIMIT;
