//! Deltas: what they carry, and what spoils them.

use super::*;
use crate::value::TableBuf;

fn spoilt(change: impl FnOnce(&mut Delta) -> &mut Delta) -> String {
    let mut delta = Delta::new();
    change(delta.routing_key("kept"));
    assert_eq!(delta.changes().next(), Some(Change::RoutingKey("kept")));
    assert_eq!(delta.changes().count(), 1);
    delta.bytes().unwrap_err().to_owned()
}

#[test]
fn changes_read_back_in_order() {
    let mut delta = Delta::new();
    assert!(delta.is_empty());
    delta
        .property(Property::AppId, "a")
        .number(Property::Priority, 9)
        .number(Property::Timestamp, u64::MAX)
        .clear_property(Property::ReplyTo)
        .clear_headers()
        .header("h", Value::I8(-1))
        .remove_header("g")
        .body(b"new");
    assert!(delta.changes().eq([
        Change::Property(Property::AppId, "a"),
        Change::Number(Property::Priority, 9),
        Change::Number(Property::Timestamp, u64::MAX),
        Change::ClearProperty(Property::ReplyTo),
        Change::ClearHeaders,
        Change::Header("h", Value::I8(-1)),
        Change::RemoveHeader("g"),
        Change::Body(b"new"),
    ]));
    assert_eq!(Delta::from_bytes(delta.bytes().unwrap()), Some(delta));
}

#[test]
fn what_the_format_cannot_carry_spoils() {
    let long = "x".repeat(256);
    let too_long = "longer than 255 bytes";
    assert!(spoilt(|delta| delta.routing_key(&long)).ends_with(too_long));
    assert!(spoilt(|delta| delta.property(Property::Type, &long)).ends_with(too_long));
    assert!(spoilt(|delta| delta.remove_header(&long)).ends_with(too_long));
    assert!(spoilt(|delta| delta.header(&long, Value::Void)).starts_with("a header is too long"));
    assert!(spoilt(|delta| delta.number(Property::Priority, 256)).ends_with("above 255"));
    assert!(spoilt(|delta| delta.number(Property::Type, 1)).ends_with("type takes text"));
    assert!(spoilt(|delta| delta.property(Property::Priority, "1")).ends_with("takes a number"));
}

#[test]
fn nesting_is_bounded() {
    let mut table = TableBuf::new();
    for depth in 2..=33 {
        let mut delta = Delta::new();
        delta.header("n", table.as_value());
        assert_eq!(delta.bytes().is_ok(), depth <= 32, "{depth}");
        let mut outer = TableBuf::new();
        outer.push("n", table.as_value());
        table = outer;
    }
}
