//! The guard fed with whole, cut, nested and broken streams.

use std::sync::Arc;

use lockgate_message::{Head, Properties, Table, Value};
use proptest::prelude::*;

use super::*;

// Frames as a broker writes them.

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(channel.to_be_bytes());
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend_from_slice(payload);
    frame.push(0xCE);
    frame
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

fn deliver(tag: u64, redelivered: bool, exchange: &[u8], key: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 60];
    payload.extend(short(b"consumer"));
    payload.extend(tag.to_be_bytes());
    payload.push(redelivered.into());
    payload.extend(short(exchange));
    payload.extend(short(key));
    frame(1, 1, &payload)
}

fn header(body: u64, flags: u16, properties: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 0];
    payload.extend(body.to_be_bytes());
    payload.extend(flags.to_be_bytes());
    payload.extend_from_slice(properties);
    payload
}

fn body(bytes: &[u8], chunk: usize) -> Vec<u8> {
    bytes.chunks(chunk).flat_map(|chunk| frame(3, 1, chunk)).collect()
}

/// Flags and values in wire order.
fn write_head(head: &Head) -> (u16, Vec<u8>) {
    let p = &head.properties;
    let text = |text: &Option<String>| text.as_ref().map(|text| short(text.as_bytes()));
    let fields = [
        text(&p.content_type),
        text(&p.content_encoding),
        (!head.headers.is_empty()).then(|| write_table(&head.headers)),
        p.delivery_mode.map(|mode| vec![mode]),
        p.priority.map(|priority| vec![priority]),
        text(&p.correlation_id),
        text(&p.reply_to),
        text(&p.expiration),
        text(&p.message_id),
        p.timestamp.map(|seconds| seconds.to_be_bytes().to_vec()),
        text(&p.kind),
        text(&p.user_id),
        text(&p.app_id),
        text(&p.cluster_id),
    ];
    let flags = (0..).zip(&fields).map(|(n, field)| u16::from(field.is_some()) << (15 - n)).sum();
    (flags, fields.into_iter().flatten().flatten().collect())
}

fn write_table(table: &Table) -> Vec<u8> {
    let entry = |(key, value): &(String, Value)| [short(key.as_bytes()), write(value)].concat();
    long(&table.iter().flat_map(entry).collect::<Vec<_>>())
}

fn write(value: &Value) -> Vec<u8> {
    let (tag, bytes) = match value {
        Value::Void => (b'V', vec![]),
        Value::Bool(v) => (b't', vec![u8::from(*v)]),
        Value::I8(v) => (b'b', v.to_be_bytes().to_vec()),
        Value::U8(v) => (b'B', vec![*v]),
        Value::I16(v) => (b's', v.to_be_bytes().to_vec()),
        Value::U16(v) => (b'u', v.to_be_bytes().to_vec()),
        Value::I32(v) => (b'I', v.to_be_bytes().to_vec()),
        Value::U32(v) => (b'i', v.to_be_bytes().to_vec()),
        Value::I64(v) => (b'l', v.to_be_bytes().to_vec()),
        Value::F32(v) => (b'f', v.to_be_bytes().to_vec()),
        Value::F64(v) => (b'd', v.to_be_bytes().to_vec()),
        Value::Decimal { scale, value } => (b'D', [&[*scale][..], &value.to_be_bytes()].concat()),
        Value::Str(bytes) => (b'S', long(bytes)),
        Value::Bytes(bytes) => (b'x', long(bytes)),
        Value::Timestamp(v) => (b'T', v.to_be_bytes().to_vec()),
        Value::Array(items) => (b'A', long(&items.iter().flat_map(write).collect::<Vec<_>>())),
        Value::Table(table) => (b'F', write_table(table)),
    };
    [&[tag], &bytes[..]].concat()
}

// Arbitrary messages.

fn name() -> impl Strategy<Value = String> {
    "[a-zé]{0,12}"
}

fn values() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(Value::Void),
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        any::<f32>().prop_filter("equal to itself", |v| !v.is_nan()).prop_map(Value::F32),
        any::<f64>().prop_filter("equal to itself", |v| !v.is_nan()).prop_map(Value::F64),
        any::<(u8, u32)>().prop_map(|(scale, value)| Value::Decimal { scale, value }),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Str),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
        any::<u64>().prop_map(Value::Timestamp),
    ];
    plain.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((name(), inner), 0..4)
                .prop_map(|entries| Value::Table(entries.into_iter().collect())),
        ]
    })
}

fn messages() -> impl Strategy<Value = Message> {
    let texts = prop::collection::vec(prop::option::of(name()), 10);
    let numbers = (prop::option::of(any::<u8>()), prop::option::of(any::<u8>()));
    let headers = prop::collection::vec((name(), values()), 0..6);
    let body = prop::collection::vec(any::<u8>(), 0..3000);
    (texts, numbers, prop::option::of(any::<u64>()), headers, body, name(), name()).prop_map(
        |(
            mut texts,
            (delivery_mode, priority),
            timestamp,
            headers,
            body,
            exchange,
            routing_key,
        )| {
            let mut text = || texts.pop().flatten();
            let properties = Properties {
                content_type: text(),
                content_encoding: text(),
                delivery_mode,
                priority,
                correlation_id: text(),
                reply_to: text(),
                expiration: text(),
                message_id: text(),
                timestamp,
                kind: text(),
                user_id: text(),
                app_id: text(),
                cluster_id: text(),
            };
            let headers = headers.into_iter().collect();
            Message::new(Head { exchange, routing_key, properties, headers }, body)
        },
    )
}

/// Frames of the connection that are not deliveries: heartbeats, acks, a cancel of the consumer.
fn others() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => Just(vec![]),
        1 => Just(frame::HEARTBEAT.to_vec()),
        1 => Just(frame(1, 1, &[0, 60, 0, 30, 0, 0])),
        1 => Just(frame(1, 0, &[0, 10, 0, 60, 3, b'm', b'e', b'm'])),
    ]
}

/// Feeds `stream` in pieces of the given sizes, as the pump does.
fn feed(stream: &[u8], sizes: &[usize]) -> (Vec<u8>, Vec<Taken>, Result<(), GuardError>) {
    let mut guard = Guard::default();
    let (mut out, mut taken, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(usize::MAX));
    let mut rest = stream;
    while !rest.is_empty() {
        let size = sizes.next().unwrap().clamp(1, rest.len());
        buffer.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        match guard.feed(&buffer, &mut out, &mut taken) {
            Ok(used) => drop(buffer.drain(..used)),
            Err(error) => return (out, taken, Err(error)),
        }
    }
    (out, taken, Ok(()))
}

proptest! {
    /// However the stream is cut, each message comes out as it went in, in order, and all else
    /// passes untouched.
    #[test]
    fn deliveries_come_out_and_the_rest_passes(
        sent in prop::collection::vec((messages(), any::<bool>(), others()), 0..6),
        chunk in 1usize..4000,
        sizes in prop::collection::vec(1usize..500, 0..200),
    ) {
        let (mut stream, mut passing) = (Vec::new(), Vec::new());
        for (n, (message, redelivered, other)) in sent.iter().enumerate() {
            let head = message.head();
            let (exchange, key) = (head.exchange.as_bytes(), head.routing_key.as_bytes());
            let (flags, properties) = write_head(head);
            let size = message.body().len() as u64;
            stream.extend(deliver(n as u64 + 1, *redelivered, exchange, key));
            // A heartbeat may come between the frames of a delivery.
            stream.extend(frame::HEARTBEAT);
            passing.extend(frame::HEARTBEAT);
            stream.extend(frame(2, 1, &header(size, flags, &properties)));
            stream.extend(body(message.body(), chunk));
            stream.extend(other);
            passing.extend(other);
        }
        let (out, taken, result) = feed(&stream, &sizes);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(out, passing);
        prop_assert_eq!(taken.len(), sent.len());
        for (n, (taken, (message, redelivered, _))) in taken.into_iter().zip(sent).enumerate() {
            let expected =
                Taken { tag: n as u64 + 1, redelivered, message, quarantine: None };
            prop_assert_eq!(taken, expected);
        }
    }

    /// A broken header never breaks the stream: read or quarantined with its raw bytes, the
    /// body is there, and so is the next delivery.
    #[test]
    fn a_broken_header_harms_only_itself(
        message in messages(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (flags, properties) = write_head(message.head());
        let mut payload = header(3, flags, &properties);
        // Class, weight and body size belong to the broker.
        let fixed = 12;
        for (at, byte) in flips {
            let at = fixed + at.index(payload.len() - fixed);
            payload[at] = byte;
        }
        if let Some(cut) = cut {
            payload.truncate(fixed + cut.index(payload.len() - fixed));
        }
        let stream = [
            deliver(1, false, b"x", b"k"),
            frame(2, 1, &payload),
            body(b"abc", 2),
            deliver(2, false, b"x", b"k"),
            frame(2, 1, &header(0, 0, &[])),
        ]
        .concat();
        let (out, taken, result) = feed(&stream, &[]);
        prop_assert_eq!(result, Ok(()));
        prop_assert!(out.is_empty());
        prop_assert_eq!(taken.len(), 2);
        prop_assert_eq!(taken[0].message.body(), "abc");
        prop_assert!(taken[0].message.head().headers.is_empty() || taken[0].quarantine.is_none());
        if let Some(quarantine) = &taken[0].quarantine {
            prop_assert_eq!(&quarantine.raw_header, &payload);
        }
        prop_assert!(taken[1].quarantine.is_none());
    }

    /// Any bytes at all: an error or not, never a panic, and no more out than in.
    #[test]
    fn any_bytes_are_survived(
        start in prop_oneof![Just(vec![]), Just(deliver(1, false, b"x", b"k"))],
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        kind in prop_oneof![Just(None), (1u8..4).prop_map(Some)],
        sizes in prop::collection::vec(1usize..40, 0..20),
    ) {
        let bytes = kind.map_or(bytes.clone(), |kind| frame(kind, 1, &bytes));
        let stream = [start, bytes].concat();
        let (out, _, _) = feed(&stream, &sizes);
        prop_assert!(out.len() <= stream.len());
    }
}

/// One delivery with this header: what the quarantine says.
fn check(flags: u16, properties: &[u8], expected: Option<&str>) {
    let payload = header(0, flags, properties);
    let stream = [deliver(1, false, b"x", b"k"), frame(2, 1, &payload)].concat();
    let (_, taken, result) = feed(&stream, &[]);
    assert_eq!(result, Ok(()));
    let quarantine = taken[0].quarantine.as_ref();
    assert_eq!(quarantine.map(|quarantine| quarantine.reason), expected);
    if let Some(quarantine) = quarantine {
        assert_eq!(quarantine.raw_header, payload);
    }
}

fn nested(levels: usize, tag: u8) -> Vec<u8> {
    let key = if tag == b'F' { short(b"") } else { vec![] };
    let step = key.len() + 5;
    let mut table = Vec::new();
    for level in (0..levels).rev() {
        table.extend(if table.is_empty() { short(b"") } else { key.clone() });
        table.push(tag);
        table.extend(((level * step) as u32).to_be_bytes());
    }
    long(&table)
}

#[test]
fn what_cannot_be_read_is_quarantined() {
    const HEADERS: u16 = 1 << 13;
    check(0, &[], None);
    check(1 << 15, &short(b"\xFF"), Some("not_utf8"));
    check(1 << 2, &short(b"\xC3"), Some("not_utf8"));
    check(HEADERS, &long(&[&short(b"\xFF")[..], b"V"].concat()), Some("not_utf8"));
    // The value of a long string may be any bytes.
    check(HEADERS, &long(&[&short(b"k")[..], b"S", &long(b"\xFF")].concat()), None);
    // A boolean may be any octet but zero.
    check(HEADERS, &long(&[&short(b"k")[..], b"t\x02"].concat()), None);
    check(HEADERS, &long(&[&short(b"k")[..], b"z"].concat()), Some("malformed"));
    check(HEADERS, &long(b"\x05ab"), Some("malformed"));
    check(HEADERS, &[0, 0, 0, 9], Some("malformed"));
    check(1, &[], Some("malformed"));
    check(0, b"left over", Some("malformed"));
    for tag in [b'A', b'F'] {
        // The header table is the first level.
        check(HEADERS, &nested(31, tag), None);
        check(HEADERS, &nested(32, tag), Some("nesting"));
        check(HEADERS, &nested(20_000, tag), Some("nesting"));
    }
    check(HEADERS, &nested(26_000, b'A'), Some("nesting"));
}

#[test]
fn names_that_are_not_text_are_kept_raw() {
    let properties = short(b"text/plain");
    let stream =
        [deliver(1, true, b"x\xFF", b"\xFEk"), frame(2, 1, &header(0, 1 << 15, &properties))];
    let (_, taken, result) = feed(&stream.concat(), &[]);
    assert_eq!(result, Ok(()));
    let head = taken[0].message.head();
    assert_eq!((&*head.exchange, &*head.routing_key), ("", ""));
    assert_eq!(head.properties.content_type.as_deref(), Some("text/plain"));
    let quarantine = taken[0].quarantine.as_ref().unwrap();
    assert_eq!(quarantine.reason, "not_utf8");
    assert_eq!(
        (&quarantine.exchange[..], &quarantine.routing_key[..]),
        (&b"x\xFF"[..], &b"\xFEk"[..])
    );
}

/// One of the two that is text does not get lost over the other.
#[test]
fn a_quarantine_has_both_names() {
    for (exchange, key) in [(&b"x"[..], &b"\xFEk"[..]), (b"x\xFF", b"k"), (b"x", b"k")] {
        let stream = [deliver(1, false, exchange, key), frame(2, 1, &header(0, 0, b"left over"))];
        let (_, taken, _) = feed(&stream.concat(), &[]);
        let quarantine = taken[0].quarantine.as_ref().unwrap();
        assert_eq!((&quarantine.exchange[..], &quarantine.routing_key[..]), (exchange, key));
    }
}

/// One header `h` whose frame has so many bytes.
fn header_frame(len: usize) -> Vec<u8> {
    // Frame, content header, table length, name, tag and length of the value.
    let value = vec![b'x'; len - 8 - 14 - 4 - 2 - 5];
    frame(2, 1, &header(0, 1 << 13, &long(&[&short(b"h")[..], b"S", &long(&value)].concat())))
}

/// The broker lengthens headers, and sends each as one frame whatever was agreed.
#[test]
fn a_header_is_read_whatever_the_length_of_its_frame() {
    for len in [131_072, 131_073, 131_080, 131_106, 400_000, HEADER_MAX + 8] {
        let stream =
            [deliver(1, false, b"x", b"k"), header_frame(len), deliver(2, false, b"x", b"k")];
        let stream = [&stream.concat()[..], &frame(2, 1, &header(0, 0, &[]))].concat();
        let (_, taken, result) = feed(&stream, &[5, 70_000, 70_000]);
        assert_eq!(result, Ok(()), "{len}");
        assert_eq!(taken.len(), 2, "{len}");
        assert_eq!(taken[0].quarantine, None, "{len}");
        assert_eq!(taken[0].message.head().headers.len(), 1, "{len}");
    }
    let stream = [deliver(1, false, b"x", b"k"), header_frame(HEADER_MAX + 9)].concat();
    let (_, taken, result) = feed(&stream, &[]);
    assert_eq!(result, Ok(()));
    let quarantine = taken[0].quarantine.as_ref().unwrap();
    assert_eq!(
        (quarantine.reason, quarantine.raw_header.len()),
        ("header_too_large", HEADER_MAX + 1)
    );
}

#[test]
fn a_broken_stream_is_an_error() {
    let one = || deliver(1, false, b"x", b"k");
    let head = |size| frame(2, 1, &header(size, 0, &[]));
    for (stream, expected) in [
        (b"HTTP/1.1 400".to_vec(), GuardError::NotAmqp("")),
        (vec![0x15, 3, 3], GuardError::NotAmqp(": it speaks TLS, use `amqps://`")),
        (vec![1, 0, 0, 0, 2, 0, 0], GuardError::FrameTooLarge(131_080, 131_072)),
        (
            [&one()[..], &[2, 0, 1, 0x20, 0, 0, 1]].concat(),
            GuardError::FrameTooLarge(CONTENT_MAX + 9, CONTENT_MAX + 8),
        ),
        ([&frame::HEARTBEAT[..7], &[0]].concat(), GuardError::Broken("no end octet")),
        ([one(), one()].concat(), GuardError::Broken("two deliveries at once")),
        (deliver(2, false, b"", b""), GuardError::Broken("delivery tags are not in sequence")),
        (head(0), GuardError::Broken("content without a delivery")),
        ([one(), body(b"a", 1)].concat(), GuardError::Broken("body before its header")),
        ([one(), head(2), head(2)].concat(), GuardError::Broken("two content headers")),
        (
            [one(), head(2), body(b"abc", 3)].concat(),
            GuardError::Broken("body longer than announced"),
        ),
        ([one(), head(BODY_MAX + 1)].concat(), GuardError::BodyTooLarge(BODY_MAX + 1)),
        (frame(1, 1, &[0, 60, 0, 60, 200]), GuardError::Broken("delivery method")),
    ] {
        assert_eq!(feed(&stream, &[]).2, Err(expected));
    }
}

#[test]
fn a_protocol_header_passes() {
    let stream = b"AMQP\0\0\x09\x01 and whatever follows";
    assert_eq!(feed(stream, &[3, 5]).0, stream);
}

#[test]
fn a_channel_closed_in_the_middle_of_a_delivery_is_told() {
    let close = frame(1, 1, &[0, 20, 0, 40, 0, 0]);
    let head = frame(2, 1, &header(100, 0, &[]));
    let stream = [deliver(1, false, b"x", b"k"), head, close.clone()].concat();
    let (out, taken, result) = feed(&stream, &[]);
    assert_eq!((out, taken, result), (close, vec![], Ok(())));
}

#[test]
fn a_flood_is_an_error() {
    let inbox = Inbox::new(2, Arc::new(Budget::new(usize::MAX)));
    let taken =
        |tag| Taken { tag, redelivered: false, message: Message::default(), quarantine: None };
    assert_eq!(inbox.push(&mut vec![taken(1), taken(2)]), Ok(()));
    assert_eq!(inbox.push(&mut vec![taken(3)]), Err(GuardError::Flooded));
    let mut tags = Vec::new();
    assert_eq!(inbox.take(1, |taken| tags.push(taken.tag)), 1);
    assert_eq!(inbox.push(&mut vec![taken(3)]), Ok(()));
    assert_eq!(inbox.take(9, |taken| tags.push(taken.tag)), 2);
    assert_eq!(tags, [1, 2, 3]);
}
