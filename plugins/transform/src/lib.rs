//! `transform`: a jq program over the JSON body of a message, and changes of its headers, routing
//! key and properties. What it does and what it costs: `README.md`.
//!
//! In reading order: [`Settings`] become edits and a program; a body is read into a value, the
//! program runs on it and on the message's headers and properties, its results become bodies; what
//! goes wrong is a fault with a reason.

mod settings;

mod edits;
mod template;

mod globals;

mod fault;
mod transform;

pub use settings::{OnEmpty, OnError, Scalar, Settings, Typed};
pub use transform::Transform;

#[global_allocator]
static ALLOCATOR: lockgate_plugin::Allocator = lockgate_plugin::Allocator::new();

lockgate_plugin::export!(Transform);
