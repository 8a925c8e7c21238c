//! What plugins share that keep state by a key: the key of a message, and times and actions as
//! they are written in settings.

mod action;
mod key;
mod span;

pub use action::Action;
pub use key::Key;
pub use span::Span;
