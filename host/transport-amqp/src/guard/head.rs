//! Head: reads a content header's properties and headers, with bounds (section 4.2.6).

use lockgate_message::{Head, Properties, Table, Value};

use super::HEADER_MAX;
use super::cursor::Cursor;
use super::deliver::Deliver;

/// Most levels of nesting, the header table itself included; the frame format's own limit.
pub(crate) const DEPTH_MAX: usize = 32;

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    Nesting,
    NotUtf8,
    Malformed,
    TooLarge,
}

impl Bad {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Nesting => "nesting",
            Self::NotUtf8 => "not_utf8",
            Self::Malformed => "malformed",
            Self::TooLarge => "header_too_large",
        }
    }
}

/// Length of the body that follows.
pub(super) fn body_size(payload: &[u8]) -> Option<u64> {
    let mut cursor = Cursor(payload);
    cursor.take(4)?;
    cursor.u64()
}

/// Reads a content header's payload; `deliver` gives its names away where they are text.
///
/// With [`Bad`], properties and headers are left out as a whole. A name that is not text is left
/// empty, and stays in `deliver`.
pub(super) fn read(payload: &[u8], deliver: &mut Deliver) -> (Head, Option<Bad>) {
    let (mut head, mut bad) = match content(payload) {
        Ok((properties, headers)) => (Head { properties, headers, ..Head::default() }, None),
        Err(bad) => (Head::default(), Some(bad)),
    };
    for (raw, name) in [
        (&mut deliver.exchange, &mut head.exchange),
        (&mut deliver.routing_key, &mut head.routing_key),
    ] {
        match String::from_utf8(std::mem::take(raw)) {
            Ok(text) => *name = text,
            Err(error) => {
                *raw = error.into_bytes();
                bad.get_or_insert(Bad::NotUtf8);
            }
        }
    }
    (head, bad)
}

fn content(payload: &[u8]) -> Result<(Properties, Table), Bad> {
    if payload.len() > HEADER_MAX {
        return Err(Bad::TooLarge);
    }
    let mut cursor = Cursor(payload.get(12..).unwrap_or_default());
    let read = properties(&mut cursor)?;
    if cursor.is_empty() { Ok(read) } else { Err(Bad::Malformed) }
}

fn properties(cursor: &mut Cursor<'_>) -> Result<(Properties, Table), Bad> {
    let flags = cursor.u16().ok_or(Bad::Malformed)?;
    let has = |bit: u16| flags & (1 << bit) != 0;
    // Bit 1 names a property that does not exist, bit 0 a second word of flags.
    if has(1) || has(0) {
        return Err(Bad::Malformed);
    }
    let content_type = has(15).then(|| short(cursor)).transpose()?;
    let content_encoding = has(14).then(|| short(cursor)).transpose()?;
    let headers = has(13).then(|| table(cursor, 1)).transpose()?.unwrap_or_default();
    let delivery_mode = has(12).then(|| octet(cursor)).transpose()?;
    let priority = has(11).then(|| octet(cursor)).transpose()?;
    let correlation_id = has(10).then(|| short(cursor)).transpose()?;
    let reply_to = has(9).then(|| short(cursor)).transpose()?;
    let expiration = has(8).then(|| short(cursor)).transpose()?;
    let message_id = has(7).then(|| short(cursor)).transpose()?;
    let timestamp = has(6).then(|| cursor.u64().ok_or(Bad::Malformed)).transpose()?;
    let kind = has(5).then(|| short(cursor)).transpose()?;
    let user_id = has(4).then(|| short(cursor)).transpose()?;
    let app_id = has(3).then(|| short(cursor)).transpose()?;
    let cluster_id = has(2).then(|| short(cursor)).transpose()?;
    let properties = Properties {
        content_type,
        content_encoding,
        delivery_mode,
        priority,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        timestamp,
        kind,
        user_id,
        app_id,
        cluster_id,
    };
    Ok((properties, headers))
}

fn octet(cursor: &mut Cursor<'_>) -> Result<u8, Bad> {
    cursor.u8().ok_or(Bad::Malformed)
}

fn short(cursor: &mut Cursor<'_>) -> Result<String, Bad> {
    let bytes = cursor.short().ok_or(Bad::Malformed)?;
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Bad::NotUtf8)
}

/// A table; recursion ends at [`DEPTH_MAX`].
fn table(cursor: &mut Cursor<'_>, depth: usize) -> Result<Table, Bad> {
    if depth > DEPTH_MAX {
        return Err(Bad::Nesting);
    }
    let mut inner = Cursor(cursor.long().ok_or(Bad::Malformed)?);
    let mut table = Table::new();
    while !inner.is_empty() {
        let key = short(&mut inner)?;
        table.push(key, value(&mut inner, depth)?);
    }
    Ok(table)
}

fn array(cursor: &mut Cursor<'_>, depth: usize) -> Result<Vec<Value>, Bad> {
    if depth > DEPTH_MAX {
        return Err(Bad::Nesting);
    }
    let mut inner = Cursor(cursor.long().ok_or(Bad::Malformed)?);
    let mut items = Vec::new();
    while !inner.is_empty() {
        items.push(value(&mut inner, depth)?);
    }
    Ok(items)
}

/// A value by RabbitMQ's tags (`rabbit_binary_parser`); `L` and `U` are what other clients
/// write for `l` and `s`.
fn value(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, Bad> {
    let tag = octet(cursor)?;
    let plain = match tag {
        b'A' => return array(cursor, depth + 1).map(Value::Array),
        b'F' => return table(cursor, depth + 1).map(Value::Table),
        b'V' => Some(Value::Void),
        b't' => cursor.u8().map(|octet| Value::Bool(octet != 0)),
        b'b' => cursor.array().map(i8::from_be_bytes).map(Value::I8),
        b'B' => cursor.u8().map(Value::U8),
        b's' | b'U' => cursor.array().map(i16::from_be_bytes).map(Value::I16),
        b'u' => cursor.u16().map(Value::U16),
        b'I' => cursor.array().map(i32::from_be_bytes).map(Value::I32),
        b'i' => cursor.u32().map(Value::U32),
        b'l' | b'L' => cursor.array().map(i64::from_be_bytes).map(Value::I64),
        b'f' => cursor.array().map(f32::from_be_bytes).map(Value::F32),
        b'd' => cursor.array().map(f64::from_be_bytes).map(Value::F64),
        b'D' => decimal(cursor),
        b'S' => cursor.long().map(|bytes| Value::Str(bytes.to_vec())),
        b'x' => cursor.long().map(|bytes| Value::Bytes(bytes.to_vec())),
        b'T' => cursor.u64().map(Value::Timestamp),
        _ => None,
    };
    plain.ok_or(Bad::Malformed)
}

fn decimal(cursor: &mut Cursor<'_>) -> Option<Value> {
    let scale = cursor.u8()?;
    Some(Value::Decimal { scale, value: cursor.u32()? })
}
