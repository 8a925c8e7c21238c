//! From a value to compact JSON. What JSON has no word for is an error here; jq's own writer
//! would put it down in words that no JSON reader takes.

use std::io::Write as _;

use jaq_json::{Num, Val};
use thiserror::Error;

use super::{MAX_DEPTH, plain_run};

/// Why a value cannot be written.
#[derive(Debug, Error)]
pub(crate) enum Unwritable {
    #[error("the result has a number that JSON cannot express ({0})")]
    Number(f64),
    #[error("the result has a byte string, which JSON cannot express")]
    Bytes,
    #[error("the result has an object key that is not a string")]
    Key,
    #[error("the result has a string that is not UTF-8")]
    Text,
    #[error("the result is nested deeper than {MAX_DEPTH}")]
    Depth,
}

/// Appends a value to `out`.
pub(crate) fn write(value: &Val, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let start = out.len();
    write_at(value, 0, out)?;
    // Strings are checked all at once; the rest is ASCII.
    str::from_utf8(out.get(start..).unwrap_or_default()).map(drop).map_err(|_| Unwritable::Text)
}

fn write_at(value: &Val, depth: usize, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    if depth > MAX_DEPTH {
        return Err(Unwritable::Depth);
    }
    match value {
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(true) => out.extend_from_slice(b"true"),
        Val::Bool(false) => out.extend_from_slice(b"false"),
        Val::Num(number) => write_number(number, out)?,
        Val::TStr(text) => write_string(text, out),
        Val::BStr(_) => return Err(Unwritable::Bytes),
        Val::Arr(elements) => {
            out.push(b'[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_at(element, depth + 1, out)?;
            }
            out.push(b']');
        }
        Val::Obj(members) => {
            out.push(b'{');
            for (at, (key, member)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                let Val::TStr(key) = key else { return Err(Unwritable::Key) };
                write_string(key, out);
                out.push(b':');
                write_at(member, depth + 1, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_number(number: &Num, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    match number {
        Num::Dec(digits) => out.extend_from_slice(digits.as_bytes()),
        Num::Float(float) if !float.is_finite() => return Err(Unwritable::Number(*float)),
        Num::Int(int) => out.extend_from_slice(itoa::Buffer::new().format(*int).as_bytes()),
        // Writing to a vector does not fail.
        number => drop(write!(out, "{number}")),
    }
    Ok(())
}

fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
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
        control => drop(write!(out, "\\u{control:04x}")),
    }
}
