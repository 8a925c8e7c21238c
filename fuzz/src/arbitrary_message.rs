//! Messages of any shape that a decoder could have made, drawn from bytes.

use arbitrary::{Result, Unstructured};
use lockgate_message::{Head, Message, Property, PropertyValue, Table, Value};

/// Levels of nesting drawn: a little beyond what the formats carry (32).
const DEPTH: usize = 36;

pub(crate) fn message(u: &mut Unstructured<'_>) -> Result<Message> {
    let head = head(u)?;
    let body = bytes(u)?;
    Ok(Message::new(head, body))
}

pub(crate) fn head(u: &mut Unstructured<'_>) -> Result<Head> {
    let mut head = Head { exchange: short(u)?, routing_key: short(u)?, ..Head::default() };
    let set: u16 = u.arbitrary()?;
    for (bit, property) in Property::ALL.into_iter().enumerate() {
        if set & (1 << bit) != 0 {
            let value = match property {
                Property::DeliveryMode | Property::Priority => {
                    PropertyValue::Number(u.arbitrary::<u8>()?.into())
                }
                Property::Timestamp => PropertyValue::Number(u.arbitrary()?),
                _ => PropertyValue::Text(short(u)?),
            };
            assert!(head.properties.put(property, Some(value)));
        }
    }
    head.headers = table(u, 1)?;
    Ok(head)
}

fn table(u: &mut Unstructured<'_>, depth: usize) -> Result<Table> {
    let mut table = Table::new();
    while table.len() < 64 && u.arbitrary()? {
        table.push(short(u)?, value(u, depth)?);
    }
    Ok(table)
}

fn value(u: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    Ok(match u.int_in_range(0..=17)? {
        0 => Value::Void,
        1 => Value::Bool(u.arbitrary()?),
        2 => Value::I8(u.arbitrary()?),
        3 => Value::U8(u.arbitrary()?),
        4 => Value::I16(u.arbitrary()?),
        5 => Value::U16(u.arbitrary()?),
        6 => Value::I32(u.arbitrary()?),
        7 => Value::U32(u.arbitrary()?),
        8 => Value::I64(u.arbitrary()?),
        9 => Value::F32(u.arbitrary()?),
        10 => Value::F64(u.arbitrary()?),
        11 => Value::Decimal { scale: u.arbitrary()?, value: u.arbitrary()? },
        12 => Value::Str(bytes(u)?),
        13 => Value::Bytes(bytes(u)?),
        14 => Value::Timestamp(u.arbitrary()?),
        // One level costs one byte of input, so that short inputs reach the limit.
        _ if depth >= DEPTH => Value::Void,
        15 => {
            let mut items = vec![value(u, depth + 1)?];
            while items.len() < 64 && u.arbitrary()? {
                items.push(value(u, depth + 1)?);
            }
            Value::Array(items)
        }
        16 => Value::Array(vec![value(u, depth + 1)?]),
        _ => Value::Table(table(u, depth + 1)?),
    })
}

/// A text of at most 255 bytes, now and then longer than a short string can be.
fn short(u: &mut Unstructured<'_>) -> Result<String> {
    let text: &str = u.arbitrary()?;
    Ok(text.get(..text.floor_char_boundary(260)).unwrap_or_default().to_owned())
}

fn bytes(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let bytes: &[u8] = u.arbitrary()?;
    Ok(bytes.to_vec())
}
