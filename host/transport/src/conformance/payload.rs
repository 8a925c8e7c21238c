//! What is put comes out as it was: head, headers of every type, body.

use bytes::Bytes;
use lockgate_message::{Head, Message, Properties, Settlement, Table, Value};

use super::check::{CLOSE, ensure, outgoing, put_one, same, sink, source, take_one};
use super::{Check, Fixture, Topology};

/// Headers of the host's own begin so; a transport may add and strip them.
const HOST_PREFIX: &str = "lockgate-";

pub(super) async fn heads_round_trip(fixture: &dyn Fixture) -> Check {
    let properties = Properties {
        content_type: Some("application/json".into()),
        content_encoding: Some("identity".into()),
        delivery_mode: Some(2),
        priority: Some(3),
        correlation_id: Some("correlation-ü".into()),
        reply_to: Some("answers".into()),
        expiration: Some("86400000".into()),
        message_id: Some("x".repeat(255)),
        timestamp: Some(1_700_000_000),
        kind: Some("order.created".into()),
        // A broker refuses a user id that is not the connection's.
        user_id: None,
        app_id: Some("suite".into()),
        cluster_id: Some("c".into()),
    };
    let head = Head { properties, ..Head::default() };
    round_trip(fixture, Message::new(head, "head")).await?;
    round_trip(fixture, Message::new(Head::default(), "bare")).await
}

pub(super) async fn every_value_round_trips(fixture: &dyn Fixture) -> Check {
    let mut inner = plain_values();
    // Lists and tables in turns, eight deep, each beside one of every plain type.
    for level in 0..8 {
        let deeper = match level % 2 {
            0 => Value::Array(inner.into_iter().map(|(_, value)| value).collect()),
            _ => Value::Table(inner),
        };
        inner = plain_values();
        inner.set("deeper", deeper);
        inner.set("empty table", Value::Table(Table::new()));
        inner.set("empty list", Value::Array(Vec::new()));
    }
    inner.set("k".repeat(255), Value::text("the longest key"));
    inner.set("", Value::text("the shortest key"));
    let head = Head { headers: inner, ..Head::default() };
    round_trip(fixture, Message::new(head, "values")).await
}

fn plain_values() -> Table {
    [
        ("void", Value::Void),
        ("true", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("i8", Value::I8(i8::MIN)),
        ("u8", Value::U8(u8::MAX)),
        ("i16", Value::I16(i16::MIN)),
        ("u16", Value::U16(u16::MAX)),
        ("i32", Value::I32(i32::MIN)),
        ("u32", Value::U32(u32::MAX)),
        ("i64", Value::I64(i64::MIN)),
        ("f32", Value::F32(0.1)),
        ("f64", Value::F64(-0.1)),
        ("infinite", Value::F64(f64::INFINITY)),
        ("decimal", Value::Decimal { scale: 2, value: 31_415 }),
        ("text", Value::text("grüße")),
        ("empty", Value::text("")),
        ("not text", Value::Str(vec![0xff, 0xfe, 0x00, 0x80])),
        ("bytes", Value::Bytes(vec![0, 1, 2, 255])),
        ("timestamp", Value::Timestamp(u64::from(u32::MAX) + 1)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

pub(super) async fn bodies_round_trip(fixture: &dyn Fixture) -> Check {
    let large: Vec<u8> = (0..1024 * 1024u32).map(|n| (n.wrapping_mul(31) >> 3) as u8).collect();
    for body in [Bytes::new(), Bytes::from_static(&[0]), Bytes::from(large)] {
        round_trip(fixture, Message::new(Head::default(), body)).await?;
    }
    Ok(())
}

/// Puts it, takes it, compares.
async fn round_trip(fixture: &dyn Fixture, message: Message) -> Check {
    let topology: Topology = fixture.fresh().await?;
    let mut sink = sink(fixture).await?;
    put_one(&mut *sink, outgoing(&topology, &topology.key, message.clone())).await?;
    let mut source = source(fixture, &topology.queue, 1).await?;
    let delivery = take_one(&mut *source).await?;
    let (got, expected) = (delivery.message.head(), message.head());
    same("exchange", &got.exchange, &topology.exchange)?;
    same("routing key", &got.routing_key, &topology.key)?;
    let mut properties = got.properties.clone();
    if expected.properties.delivery_mode.is_none() {
        // A sink may make persistent what says nothing.
        properties.delivery_mode = None;
    }
    same("properties", &properties, &expected.properties)?;
    same("headers", &sorted(&got.headers), &sorted(&expected.headers))?;
    ensure(delivery.message.body() == message.body(), || "the body is another".into())?;
    delivery.ack.settle(Settlement::Ack);
    source.close(CLOSE).await;
    sink.close(CLOSE).await;
    Ok(())
}

/// By name at every level, for a client library may keep no order; without the host's own.
fn sorted(table: &Table) -> Table {
    let mut entries: Vec<_> = table
        .iter()
        .filter(|(name, _)| !name.starts_with(HOST_PREFIX))
        .map(|(name, value)| (name.clone(), sorted_value(value)))
        .collect();
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    entries.into_iter().collect()
}

fn sorted_value(value: &Value) -> Value {
    match value {
        Value::Table(table) => Value::Table(sorted(table)),
        Value::Array(items) => Value::Array(items.iter().map(sorted_value).collect()),
        plain => plain.clone(),
    }
}
