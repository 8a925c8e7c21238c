//! Envelope: a dead letter for what cannot be said in a header frame.
//!
//! Body of an envelope: `u32` big-endian length of the raw content-header frame payload, the
//! payload, then the original body to the end.

use bytes::{BufMut, Bytes, BytesMut};
use lockgate_message::{Head, Property, Table, Value};

/// The content type of an envelope.
pub const ENVELOPE_CONTENT_TYPE: &str = "application/vnd.lockgate.envelope";

/// A message's head and body as the broker sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The payload of the AMQP 0-9-1 content-header frame.
    pub raw_header: Bytes,
    pub body: Bytes,
}

impl Envelope {
    /// The envelope's body.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(4 + self.raw_header.len() + self.body.len());
        out.put_u32(u32::try_from(self.raw_header.len()).unwrap_or(0));
        out.put_slice(&self.raw_header);
        out.put_slice(&self.body);
        out.freeze()
    }

    /// Takes an envelope's body apart; `None` when it is not one.
    pub fn decode(mut envelope: Bytes) -> Option<Self> {
        let length = u32::from_be_bytes(*envelope.first_chunk::<4>()?) as usize;
        let mut rest = envelope.split_off(4);
        if rest.len() < length {
            return None;
        }
        let body = rest.split_off(length);
        Some(Self { raw_header: rest, body })
    }
}

/// The content-header frame payload of `head` (AMQP 0-9-1, 4.2.6.1), for heads that came
/// through whole but leave no room for the dead letter's own headers.
pub(crate) fn content_header(head: &Head, body_len: usize) -> Bytes {
    const BASIC_CLASS: u16 = 60;
    let mut out = BytesMut::new();
    out.put_u16(BASIC_CLASS);
    out.put_u16(0);
    out.put_u64(body_len as u64);
    let properties = &head.properties;
    // Bits 15 down to 2 in this order; bit 13 is the headers.
    let order = [
        Some(Property::ContentType),
        Some(Property::ContentEncoding),
        None,
        Some(Property::DeliveryMode),
        Some(Property::Priority),
        Some(Property::CorrelationId),
        Some(Property::ReplyTo),
        Some(Property::Expiration),
        Some(Property::MessageId),
        Some(Property::Timestamp),
        Some(Property::Type),
        Some(Property::UserId),
        Some(Property::AppId),
        Some(Property::ClusterId),
    ];
    let mut flags = 0u16;
    let mut values = BytesMut::new();
    for (position, property) in order.into_iter().enumerate() {
        let present = match property {
            None if head.headers.is_empty() => false,
            None => {
                put_table(&mut values, &head.headers);
                true
            }
            Some(Property::DeliveryMode) => put_octet(&mut values, properties.delivery_mode),
            Some(Property::Priority) => put_octet(&mut values, properties.priority),
            Some(Property::Timestamp) => {
                properties.timestamp.map(|seconds| values.put_u64(seconds)).is_some()
            }
            Some(text) => properties.text(text).map(|text| put_short(&mut values, text)).is_some(),
        };
        flags |= u16::from(present) << (15 - position);
    }
    out.put_u16(flags);
    out.put_slice(&values);
    out.freeze()
}

fn put_octet(out: &mut BytesMut, octet: Option<u8>) -> bool {
    octet.map(|octet| out.put_u8(octet)).is_some()
}

fn put_short(out: &mut BytesMut, text: &str) {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..255).unwrap_or(bytes);
    out.put_u8(bytes.len() as u8);
    out.put_slice(bytes);
}

fn put_long(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(0));
    out.put_slice(bytes);
}

fn put_table(out: &mut BytesMut, table: &Table) {
    let mut entries = BytesMut::new();
    for (name, value) in table.iter() {
        put_short(&mut entries, name);
        put_value(&mut entries, value);
    }
    put_long(out, &entries);
}

fn put_value(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Void => out.put_u8(b'V'),
        Value::Bool(v) => out.put_slice(&[b't', (*v).into()]),
        Value::I8(v) => put_tagged(out, b'b', &v.to_be_bytes()),
        Value::U8(v) => put_tagged(out, b'B', &v.to_be_bytes()),
        Value::I16(v) => put_tagged(out, b's', &v.to_be_bytes()),
        Value::U16(v) => put_tagged(out, b'u', &v.to_be_bytes()),
        Value::I32(v) => put_tagged(out, b'I', &v.to_be_bytes()),
        Value::U32(v) => put_tagged(out, b'i', &v.to_be_bytes()),
        Value::I64(v) => put_tagged(out, b'l', &v.to_be_bytes()),
        Value::F32(v) => put_tagged(out, b'f', &v.to_be_bytes()),
        Value::F64(v) => put_tagged(out, b'd', &v.to_be_bytes()),
        Value::Timestamp(v) => put_tagged(out, b'T', &v.to_be_bytes()),
        Value::Decimal { scale, value } => {
            put_tagged(out, b'D', &[*scale]);
            out.put_u32(*value);
        }
        Value::Str(bytes) => {
            out.put_u8(b'S');
            put_long(out, bytes);
        }
        Value::Bytes(bytes) => {
            out.put_u8(b'x');
            put_long(out, bytes);
        }
        Value::Array(items) => {
            let mut inner = BytesMut::new();
            items.iter().for_each(|item| put_value(&mut inner, item));
            out.put_u8(b'A');
            put_long(out, &inner);
        }
        Value::Table(table) => {
            out.put_u8(b'F');
            put_table(out, table);
        }
    }
}

fn put_tagged(out: &mut BytesMut, tag: u8, value: &[u8]) {
    out.put_u8(tag);
    out.put_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_comes_apart_as_it_was_put_together() {
        let envelope = Envelope { raw_header: "head".into(), body: "body".into() };
        assert_eq!(Envelope::decode(envelope.encode()), Some(envelope));
        assert_eq!(Envelope::decode(Bytes::from_static(b"\0\0\0\x05abcd")), None);
        assert_eq!(Envelope::decode(Bytes::from_static(b"\0\0")), None);
    }

    #[test]
    fn a_content_header_has_flags_and_values_in_wire_order() {
        let mut head = Head::default();
        head.properties.content_type = Some("t".into());
        head.properties.priority = Some(7);
        head.headers.set("k", Value::Bool(true));
        let expected = [
            &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3][..],
            &[0b1010_1000, 0],
            &[1, b't'],
            &[0, 0, 0, 4, 1, b'k', b't', 1],
            &[7],
        ]
        .concat();
        assert_eq!(content_header(&head, 3), expected);
    }
}
