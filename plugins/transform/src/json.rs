//! JSON in and out of jq's values: strict (RFC 8259) where jq's own reader and writer speak a
//! superset of JSON, and bounded in depth.

mod read;
mod write;

pub(crate) use read::{NotJson, read};
pub(crate) use write::{Unwritable, write};

/// Arrays and objects within each other, on the way in and on the way out. `serde_json` and jq's
/// usual clients draw the line at the same depth.
pub(crate) const MAX_DEPTH: usize = 128;

/// The bytes that a JSON string cannot hold as they are.
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}
