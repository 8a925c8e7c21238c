//! Value: what a node gives, borrowed from the message or from the predicate.

use std::borrow::Cow;

use lockgate_plugin::{Array, Message, Table, Value as Field};

use super::Stop;
use crate::EvalError;
use crate::decimal::Decimal;
use crate::json::{Kind, Number, Slot, number, unescape};
use crate::node::HeaderPath;
use crate::paths::Step;

#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    /// A number that none of these holds.
    Decimal(Decimal),
    Str(Cow<'a, str>),
    Bytes(&'a [u8]),
    /// An array or object in the body.
    Json(Slot),
    /// In the headers.
    Array(Array<'a>),
    Table(Table<'a>),
}

impl<'a> Value<'a> {
    #[inline]
    pub(crate) fn of_json(text: &'a str, slot: Slot) -> Result<Self, EvalError> {
        Ok(match slot.kind {
            Kind::Missing => return Err(EvalError::Missing),
            Kind::Null => Self::Null,
            Kind::False => Self::Bool(false),
            Kind::True => Self::Bool(true),
            Kind::Number => match number(slot.of(text)) {
                Number::Int(value) => Self::Int(value),
                Number::Uint(value) => Self::Uint(value),
                Number::Double(value) => Self::Double(value),
                Number::Decimal(value) => Self::Decimal(value),
            },
            Kind::String => Self::Str(slot.of(text).into()),
            Kind::Escaped => Self::Str(unescape(slot.of(text)).into()),
            Kind::Array | Kind::Object => Self::Json(slot),
        })
    }

    pub(crate) fn of_u64(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Uint(value), Self::Int)
    }

    /// Every integer is an `int`, whatever its width and sign on the wire.
    pub(crate) fn of_field(field: Field<'a>) -> Self {
        match field {
            Field::Void => Self::Null,
            Field::Bool(value) => Self::Bool(value),
            Field::I8(value) => Self::Int(value.into()),
            Field::U8(value) => Self::Int(value.into()),
            Field::I16(value) => Self::Int(value.into()),
            Field::U16(value) => Self::Int(value.into()),
            Field::I32(value) => Self::Int(value.into()),
            Field::U32(value) => Self::Int(value.into()),
            Field::I64(value) => Self::Int(value),
            Field::F32(value) => Self::Double(value.into()),
            Field::F64(value) => Self::Double(value),
            Field::Decimal { scale, value } => {
                // Read as it is written: a quotient could be next to the nearest double.
                Self::Double(format!("{value}e-{scale}").parse().unwrap_or(f64::NAN))
            }
            Field::Str(bytes) => match str::from_utf8(bytes) {
                Ok(text) => Self::Str(text.into()),
                Err(_) => Self::Bytes(bytes),
            },
            Field::Bytes(bytes) => Self::Bytes(bytes),
            Field::Timestamp(seconds) => Self::of_u64(seconds),
            Field::Array(array) => Self::Array(array),
            Field::Table(table) => Self::Table(table),
        }
    }

    pub(super) fn is_container(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Array(_) | Self::Table(_))
    }
}

/// The header, or what is inside it.
pub(super) fn header<'a>(message: &Message<'a>, path: &HeaderPath) -> Result<Value<'a>, Stop> {
    let mut field = message.header(&path.name);
    for step in &path.rest {
        field = match (field, step) {
            (Some(Field::Table(table)), Step::Key(key)) => table.get(key),
            (Some(Field::Array(array)), Step::Index(at)) => array.iter().nth(*at as usize),
            _ => None,
        };
    }
    Ok(Value::of_field(field.ok_or(EvalError::Missing)?))
}

/// Whether the table at `path` has such an entry.
pub(super) fn in_header(message: &Message<'_>, path: &HeaderPath, key: &str) -> Result<bool, Stop> {
    match header(message, path)? {
        Value::Table(table) => Ok(table.get(key).is_some()),
        _ => Err(EvalError::Type.into()),
    }
}
