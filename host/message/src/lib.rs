//! What flows through Lockgate, and the right to settle it. No I/O, no broker, no sandbox.
//!
//! A source takes a [`Delivery`]: a [`Message`] and its [`AckHandle`]. Each stage of the chain
//! answers with a [`Verdict`] (a plugin's wish). The pipeline turns it into an [`Outcome`] (what
//! happened in the end) and tells the source's broker through a [`Settlement`].

mod ack;
mod delivery;
mod delta;
mod message;
pub mod state;
mod value;
mod verdict;

pub use ack::{AckHandle, Settle, Settlement};
pub use delivery::{Delivery, Input, Quarantine};
pub use delta::{Change, Delta, Property, PropertyValue};
pub use message::{Head, Message, Properties};
pub use value::{Table, Value};
pub use verdict::{Emitted, Failure, Fault, FaultKind, Outcome, Reason, Verdict};
