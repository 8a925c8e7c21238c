//! Growth: how much longer a broker makes a content header before it delivers it.
//!
//! A broker takes a header that just fits its frame, adds headers of its own, and sends the whole as
//! one frame, larger than what was agreed with whoever gets it. Most clients end the connection over
//! that, and the broker delivers again, for ever. So room is left for what it may add.

use lockgate_message::Value;

use crate::settings::SHORT_STRING_MAX;

/// Length of a header's name, its type tag and a length field.
const fn named(name: &str) -> usize {
    1 + name.len() + 1 + 4
}

/// A header with a number or a time of eight bytes.
const fn number(name: &str) -> usize {
    1 + name.len() + 1 + 8
}

/// Longest reason of a dead-lettering, `delivery_limit`.
const REASON: usize = 14;

/// Digits of the longest expiration.
const EXPIRATION: usize = 10;

/// What is added while the message is published or delivered: by quorum queues (the second name from
/// RabbitMQ 4.3 on), and by interceptors (`message_interceptors.incoming`), a node's name and the
/// property timestamp among it.
const DELIVERY: usize = number("x-delivery-count")
    + number("x-acquired-count")
    + number("timestamp_in_ms")
    + 8
    + named("x-routed-by")
    + SHORT_STRING_MAX;

/// What every dead-lettering adds, `exchange` and `keys` apart: an entry of `x-death`.
const ENTRY: usize = 5
    + number("count")
    + named("exchange")
    + named("queue")
    + SHORT_STRING_MAX
    + named("reason")
    + REASON
    + named("routing-keys")
    + number("time")
    + named("original-expiration")
    + EXPIRATION;

/// What the first one adds besides, its exchange apart.
const FIRST: usize = named("x-death")
    + named("x-first-death-exchange")
    + named("x-first-death-queue")
    + SHORT_STRING_MAX
    + named("x-first-death-reason")
    + REASON
    + named("x-last-death-exchange")
    + SHORT_STRING_MAX
    + named("x-last-death-queue")
    + SHORT_STRING_MAX
    + named("x-last-death-reason")
    + REASON;

/// The part of a frame that is left free where that is more: room for six more dead-letterings in a
/// frame of 128 KiB.
const PART: usize = 16;

/// Bytes to be left free in a header frame of `frame_max` bytes for a message that is published like
/// this: for one dead-lettering, out of a queue with the longest name, and more in a large frame.
/// `copies` is the value of a `CC` that is published too.
pub(super) fn growth(
    exchange: &str,
    routing_key: &str,
    copies: Option<&Value>,
    frame_max: usize,
) -> usize {
    let copies = copies.map_or(0, Value::wire_size);
    let entry = ENTRY + exchange.len() + 5 + routing_key.len() + copies;
    let first = DELIVERY + FIRST + exchange.len() + entry;
    first.max(frame_max / PART)
}

#[cfg(test)]
mod tests {
    use lockgate_message::Table;

    use super::*;

    fn text(len: usize) -> Value {
        Value::Str(vec![b'q'; len])
    }

    /// The headers of a message that died once, as RabbitMQ 3.13 writes them, at their longest.
    #[test]
    fn a_dead_lettering_with_the_longest_names_has_room() {
        let longest = "q".repeat(255);
        let entry: Table = [
            ("count", Value::I64(1)),
            ("reason", text(14)),
            ("queue", text(255)),
            ("time", Value::Timestamp(1)),
            ("exchange", text(255)),
            ("routing-keys", Value::Array(vec![text(255)])),
            ("original-expiration", text(10)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect();
        let mut added: Table = Table::new();
        added.set("x-death", Value::Array(vec![Value::Table(entry)]));
        for which in ["first", "last"] {
            added.set(format!("x-{which}-death-exchange"), text(255));
            added.set(format!("x-{which}-death-queue"), text(255));
            added.set(format!("x-{which}-death-reason"), text(14));
        }
        added.set("x-delivery-count", Value::I64(1));
        added.set("x-acquired-count", Value::I64(1));
        added.set("timestamp_in_ms", Value::I64(1));
        added.set("x-routed-by", text(255));
        let added = added.wire_size() - 4 + 8;
        assert_eq!(growth(&longest, &longest, None, 4096), added);
        // What is copied by CC stands in `routing-keys` too.
        let copies = Value::Array(vec![text(100), text(200)]);
        assert!(growth(&longest, &longest, Some(&copies), 4096) >= added + 310);
        assert_eq!(growth("x", "k", None, 131_072), 8192);
    }
}
