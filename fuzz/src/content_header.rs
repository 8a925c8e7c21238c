//! Content headers: any bytes as one are read or kept raw, and what the dead letter's encoder
//! writes of any head is what the frame guard reads.

use arbitrary::Unstructured;
use lockgate_message::{Head, Property};
use lockgate_pipeline::fuzzing::content_header;
use lockgate_transport_amqp::fuzzing::{Read, read};

use crate::arbitrary_message;

/// Payload of the largest frame.
const PAYLOAD_MAX: usize = 131_072 - 8;

pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((0, payload)) => any(payload),
        Some((_, rest)) => {
            if let Ok(head) = arbitrary_message::head(&mut Unstructured::new(rest)) {
                round_trip(&head);
            }
        }
        None => {}
    }
}

/// Class, weight and length of the body are ours, so that every input is a delivery.
fn any(rest: &[u8]) {
    let payload = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], rest].concat();
    let Some(read) = deliver(&payload) else { return };
    let [(message, quarantine)] = read.taken.as_slice() else { panic!("one delivery: {read:?}") };
    match quarantine {
        Some((reason, raw)) => {
            assert!(["nesting", "not_utf8", "malformed"].contains(reason));
            assert_eq!(**raw, *payload, "kept as it came");
        }
        None => {
            assert!(message.head().headers.depth() <= 32);
            round_trip(message.head());
        }
    }
}

fn round_trip(head: &Head) {
    if !has_short_texts(head) {
        // Cannot come from a decoder; the encoder cuts them, and the result is still readable.
        drop(deliver(&content_header(head, 0)));
        return;
    }
    let payload = content_header(head, 0);
    let Some(read) = deliver(&payload) else { return };
    let [(message, quarantine)] = read.taken.as_slice() else { panic!("one delivery: {read:?}") };
    if head.headers.depth() > 32 {
        assert_eq!(quarantine.as_ref().map(|(reason, _)| *reason), Some("nesting"));
        return;
    }
    assert_eq!(*quarantine, None, "{head:?}");
    let read = message.head();
    assert_eq!(format!("{:?}", read.properties), format!("{:?}", head.properties));
    assert_eq!(format!("{:?}", read.headers), format!("{:?}", head.headers));
    assert_eq!(content_header(read, 0), payload);
}

fn has_short_texts(head: &Head) -> bool {
    fn short(value: &lockgate_message::Value) -> bool {
        use lockgate_message::Value;
        match value {
            Value::Array(items) => items.iter().all(short),
            Value::Table(table) => table.iter().all(|(k, v)| k.len() <= 255 && short(v)),
            _ => true,
        }
    }
    head.headers.iter().all(|(name, value)| name.len() <= 255 && short(value))
        && Property::ALL
            .into_iter()
            .filter_map(|property| head.properties.text(property))
            .all(|text| text.len() <= 255)
}

/// A delivery with this content header and no body; `None` when it does not fit a frame.
fn deliver(payload: &[u8]) -> Option<Read> {
    if payload.len() > PAYLOAD_MAX {
        return None;
    }
    let method = [&[0, 60, 0, 60, 1, b'c'][..], &1u64.to_be_bytes(), &[0, 0, 0]].concat();
    let stream = [frame(1, &method), frame(2, payload)].concat();
    let read = read(&stream, std::iter::empty());
    assert_eq!((&read.error, read.out.len()), (&None, 0));
    Some(read)
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("fits a frame").to_be_bytes();
    [&[kind, 0, 1][..], &size, payload, &[0xCE]].concat()
}
