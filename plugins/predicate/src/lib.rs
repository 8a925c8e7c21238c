//! CEL predicates over one message, compiled to read its JSON body in place.
//!
//! ```
//! use lockgate_plugin::testing::MessageBuilder;
//! use predicate::Predicate;
//!
//! let paid = Predicate::compile(r#"body.status == "paid""#)?;
//! let message = MessageBuilder::new().body(r#"{"status":"paid"}"#);
//! assert_eq!(paid.eval(&message.view()), Ok(true));
//! # Ok::<(), predicate::CompileError>(())
//! ```
//!
//! In reading order: an expression is checked ([`limits`](MAX_LENGTH)), parsed by the `cel` crate,
//! its names are looked up, and it is lowered to a tree of nodes. One pass over the body then finds
//! the places that the nodes read; whatever the nodes do not cover is left to the interpreter of
//! the `cel` crate, which is given only the variables that the expression reads.

mod decimal;
mod error;
mod limits;
mod predicates;
mod text;

mod compile;
mod node;
mod paths;

mod eval;
mod json;

mod interpret;

pub use error::{CompileError, EvalError};
pub use interpret::MAX_VALUES;
pub use limits::MAX_LENGTH;
pub use predicates::{On, Predicate, Predicates};
pub use text::Text;

/// For the fuzz targets; no part of the API.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::predicates::both;
}
