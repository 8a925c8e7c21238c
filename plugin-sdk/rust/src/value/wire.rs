//! Values as bytes: reading, checking, skipping, writing. The tags are AMQP's field types.

use super::{Array, Table, Value};
use crate::read::{Reader, is_utf8};

/// Levels of arrays and tables, the headers themselves being the first.
const MAX_DEPTH: u32 = 32;

impl<'a> Value<'a> {
    /// Reads one value; nested ones are not looked into.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(match reader.u8()? {
            b'V' => Self::Void,
            b't' => match reader.u8()? {
                0 => Self::Bool(false),
                1 => Self::Bool(true),
                _ => return None,
            },
            b'b' => Self::I8(reader.u8()?.cast_signed()),
            b'B' => Self::U8(reader.u8()?),
            b's' => Self::I16(reader.u16()?.cast_signed()),
            b'u' => Self::U16(reader.u16()?),
            b'I' => Self::I32(reader.u32()?.cast_signed()),
            b'i' => Self::U32(reader.u32()?),
            b'l' => Self::I64(reader.u64()?.cast_signed()),
            b'f' => Self::F32(f32::from_bits(reader.u32()?)),
            b'd' => Self::F64(f64::from_bits(reader.u64()?)),
            b'D' => Self::Decimal { scale: reader.u8()?, value: reader.u32()? },
            b'S' => Self::Str(reader.bytes32()?),
            b'x' => Self::Bytes(reader.bytes32()?),
            b'T' => Self::Timestamp(reader.u64()?),
            b'A' => Self::Array(Array(reader.bytes32()?)),
            b'F' => Self::Table(Table(reader.bytes32()?)),
            _ => return None,
        })
    }

    /// Appends tag and value.
    ///
    /// `None` when a length does not fit its field; the caller then discards what was written.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        match *self {
            Self::Void => out.push(b'V'),
            Self::Bool(value) => out.extend([b't', u8::from(value)]),
            Self::I8(n) => out.extend([b'b', n.cast_unsigned()]),
            Self::U8(n) => out.extend([b'B', n]),
            Self::I16(n) => put(out, b's', &n.to_le_bytes()),
            Self::U16(n) => put(out, b'u', &n.to_le_bytes()),
            Self::I32(n) => put(out, b'I', &n.to_le_bytes()),
            Self::U32(n) => put(out, b'i', &n.to_le_bytes()),
            Self::I64(n) => put(out, b'l', &n.to_le_bytes()),
            Self::F32(n) => put(out, b'f', &n.to_le_bytes()),
            Self::F64(n) => put(out, b'd', &n.to_le_bytes()),
            Self::Decimal { scale, value } => {
                out.extend([b'D', scale]);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Self::Str(bytes) => put32(out, b'S', bytes)?,
            Self::Bytes(bytes) => put32(out, b'x', bytes)?,
            Self::Timestamp(n) => put(out, b'T', &n.to_le_bytes()),
            Self::Array(Array(bytes)) => put32(out, b'A', bytes)?,
            Self::Table(Table(bytes)) => put32(out, b'F', bytes)?,
        }
        Some(())
    }
}

/// Checks one value that stands in a container of this level (the headers are level 1).
///
/// Recursive, and bounded by [`MAX_DEPTH`].
pub(crate) fn check(reader: &mut Reader<'_>, level: u32) -> Option<()> {
    match reader.u8()? {
        b'S' | b'x' => reader.bytes32().map(|_| ()),
        b'A' | b'F' if level >= MAX_DEPTH => None,
        b'A' => {
            let mut items = Reader(reader.bytes32()?);
            while !items.is_empty() {
                check(&mut items, level + 1)?;
            }
            Some(())
        }
        b'F' => check_entries(reader.bytes32()?, level + 1).map(|_| ()),
        b't' => (reader.u8()? <= 1).then_some(()),
        tag => reader.bytes(fixed_size(tag)?).map(|_| ()),
    }
}

/// Bytes of a value whose size its tag tells.
#[inline]
fn fixed_size(tag: u8) -> Option<usize> {
    Some(match tag {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'd' | b'T' => 8,
        _ => return None,
    })
}

/// Checks the entries of a table of this level to the end of `bytes`; returns how many.
pub(crate) fn check_entries(bytes: &[u8], level: u32) -> Option<u32> {
    let mut entries = Reader(bytes);
    let mut count = 0;
    while !entries.is_empty() {
        entries.bytes8().filter(|name| is_utf8(name))?;
        check(&mut entries, level)?;
        count += 1;
    }
    Some(count)
}

/// Passes over one value; nested ones by their length.
#[inline]
pub(crate) fn skip(reader: &mut Reader<'_>) -> Option<()> {
    match reader.u8()? {
        b'S' | b'x' | b'A' | b'F' => reader.bytes32().map(|_| ()),
        tag => reader.bytes(fixed_size(tag)?).map(|_| ()),
    }
}

/// Appends a `str8`; `None` above 255 bytes.
pub(crate) fn put_str8(out: &mut Vec<u8>, text: &str) -> Option<()> {
    out.push(u8::try_from(text.len()).ok()?);
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// Appends a `bytes32`; `None` from 4 GiB.
pub(crate) fn put_bytes32(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_le_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

fn put(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn put32(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) -> Option<()> {
    out.push(tag);
    put_bytes32(out, bytes)
}
