//! `spam-check`: scores a text of the message with a trained model and says what becomes of spam.
//! What it does, how good it is, how to train it anew: `README.md`.
//!
//! In reading order: [`Settings`] say where the text is and what to do; [`classifier`] scores it
//! (the trainer uses that part as well); the plugin joins them.

mod settings;

mod json;
mod source;

pub mod classifier;

mod spam_check;

pub use settings::Settings;
pub use spam_check::SpamCheck;

lockgate_plugin::export!(SpamCheck);
