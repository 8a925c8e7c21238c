//! Lockgate plugins in Rust: one function over a message that returns a verdict.
//!
//! ```
//! use lockgate_plugin::{
//!     Description, Init, Message, Needs, NoSettings, Plugin, Reason, SettingError, Verdict,
//! };
//!
//! struct Quiet;
//!
//! impl Plugin for Quiet {
//!     type Settings = NoSettings;
//!     const DESCRIPTION: Description = Description::new("quiet", "0.1.0").reasons(&["noise"]);
//!     fn init(_: NoSettings) -> Result<(Self, Init), Vec<SettingError>> {
//!         let needs = Needs { origin: true, ..Needs::default() };
//!         Ok((Self, Init { needs, ..Init::default() }))
//!     }
//!     fn handle(&mut self, message: &Message<'_>) -> Verdict {
//!         if message.routing_key().starts_with("noise.") {
//!             return Verdict::Drop(Reason(1));
//!         }
//!         Verdict::Pass
//!     }
//! }
//!
//! lockgate_plugin::export!(Quiet);
//! ```
//!
//! What crosses the border is specified in `docs/reference/frame.md`; nothing here copies a
//! message: a [`Message`] is a view of the batch that the host wrote.

mod plugin;
mod settings;

mod message;
mod property;
mod value;

mod delta;
mod verdict;

mod batch;
mod output;
mod read;

mod allocator;
mod describe;
mod guest;
pub mod host;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[doc(hidden)]
pub mod door;

#[cfg(test)]
mod golden;

pub use allocator::Allocator;
pub use batch::{BadFrame, Batch, Malformed};
pub use delta::{Change, Changes, Delta};
pub use describe::Description;
pub use message::Message;
pub use plugin::{Body, Headers, Init, Needs, NoSettings, Plugin};
pub use property::Property;
pub use settings::SettingError;
pub use value::{Array, ArrayBuf, Table, TableBuf, Value};
pub use verdict::{Emitted, Failure, Reason, Verdict};
