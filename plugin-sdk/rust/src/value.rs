//! Value: a typed header value as a view of its encoded bytes, and builders for nested ones.

mod buf;
mod wire;

use std::fmt;

pub use buf::{ArrayBuf, TableBuf};
pub(crate) use wire::{check, check_entries, put_bytes32, put_str8, skip};

use crate::read::Reader;

/// One header value; every field type of AMQP 0-9-1. Cheap to copy: nested ones are views.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Void,
    /// A boolean.
    Bool(bool),
    /// Signed 8 bits.
    I8(i8),
    /// Unsigned 8 bits.
    U8(u8),
    /// Signed 16 bits.
    I16(i16),
    /// Unsigned 16 bits.
    U16(u16),
    /// Signed 32 bits.
    I32(i32),
    /// Unsigned 32 bits.
    U32(u32),
    /// Signed 64 bits.
    I64(i64),
    /// A float.
    F32(f32),
    /// A double.
    F64(f64),
    /// `value / 10^scale`.
    Decimal {
        /// Decimal places.
        scale: u8,
        /// The digits.
        value: u32,
    },
    /// A long string: usually text, not always UTF-8.
    Str(&'a [u8]),
    /// A byte array.
    Bytes(&'a [u8]),
    /// Seconds since the Unix epoch.
    Timestamp(u64),
    /// A list of values.
    Array(Array<'a>),
    /// Named values.
    Table(Table<'a>),
}

/// A list of values.
#[derive(Clone, Copy, PartialEq)]
pub struct Array<'a>(pub(crate) &'a [u8]);

/// Named values in order; a name can stand there twice.
#[derive(Clone, Copy, PartialEq)]
pub struct Table<'a>(pub(crate) &'a [u8]);

impl<'a> Value<'a> {
    /// The text of a long string that is UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::Str(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Any integer or timestamp that fits.
    pub fn as_i64(&self) -> Option<i64> {
        Some(match *self {
            Self::I8(n) => n.into(),
            Self::U8(n) => n.into(),
            Self::I16(n) => n.into(),
            Self::U16(n) => n.into(),
            Self::I32(n) => n.into(),
            Self::U32(n) => n.into(),
            Self::I64(n) => n,
            Self::Timestamp(n) => return i64::try_from(n).ok(),
            _ => return None,
        })
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Str(text.as_bytes())
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::F64(value)
    }
}

impl<'a> Array<'a> {
    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut reader = Reader(self.0);
        std::iter::from_fn(move || Value::read(&mut reader))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Table<'a> {
    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let mut reader = Reader(self.0);
        std::iter::from_fn(move || Some((reader.str8()?, Value::read(&mut reader)?)))
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        let mut reader = Reader(self.0);
        loop {
            if reader.bytes8()? == name.as_bytes() {
                return Value::read(&mut reader);
            }
            skip(&mut reader)?;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests;
