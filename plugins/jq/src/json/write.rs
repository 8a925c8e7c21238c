//! From a value to compact JSON. There is no value that becomes something else than JSON: numbers
//! are checked when they are made, and strings are text.

use std::io::Write as _;
use std::rc::Rc;

use thiserror::Error;

use super::{MAX_DEPTH, plain_run};
use crate::value::Val;

/// Nesting in a program, for `tojson` and comparisons of what was built: jq's own bound.
const MAX_TEXT_DEPTH: usize = 256;

/// A value is nested deeper than [`MAX_DEPTH`].
#[derive(Debug, Error, PartialEq)]
#[error("the result is nested deeper than {MAX_DEPTH}")]
pub struct TooDeep;

/// Appends a value to `out`.
///
/// # Errors
/// When it is nested too deeply.
pub fn write(value: &Val, out: &mut Vec<u8>) -> Result<(), TooDeep> {
    write_at(value, MAX_DEPTH, out)
}

/// The text that `tojson` makes; what is nested too deeply is left out with a mark, as with jq.
pub(crate) fn to_json(value: &Val) -> Rc<str> {
    let mut out = Vec::new();
    if write_at(value, MAX_TEXT_DEPTH, &mut out).is_err() {
        return "<skipped: too deep>".into();
    }
    // What is written is text throughout.
    String::from_utf8(out).unwrap_or_default().into()
}

fn write_at(value: &Val, depth: usize, out: &mut Vec<u8>) -> Result<(), TooDeep> {
    match value {
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(true) => out.extend_from_slice(b"true"),
        Val::Bool(false) => out.extend_from_slice(b"false"),
        Val::Num(number) => number.write(out),
        Val::Str(text) => write_string(text, out),
        Val::Arr(elements) => {
            let below = depth.checked_sub(1).ok_or(TooDeep)?;
            out.push(b'[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_at(element, below, out)?;
            }
            out.push(b']');
        }
        Val::Obj(members) => {
            let below = depth.checked_sub(1).ok_or(TooDeep)?;
            out.push(b'{');
            for (at, (key, member)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write_at(member, below, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        let Some((&byte, tail)) = special.split_first() else { break };
        write_escape(byte, out);
        rest = tail;
    }
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        // Writing to a vector does not fail.
        control => drop(write!(out, "\\u{control:04x}")),
    }
}
