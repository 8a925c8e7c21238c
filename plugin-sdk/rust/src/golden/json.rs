//! The JSON of the golden vectors (`plugin-sdk/frame/README.md`) to and from this crate's types.

use serde_json::{Map, Value as Json, json};

use crate::testing::MessageBuilder;
use crate::{
    ArrayBuf, Batch, Body, Delta, Emitted, Failure, Headers, Message, Needs, Property, Reason,
    TableBuf, Value, Verdict,
};

pub(super) fn bytes(hex: &Json) -> Vec<u8> {
    let (pairs, rest) = text(hex).as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    pairs.iter().map(|p| u8::from_str_radix(str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

pub(super) fn items(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().unwrap().iter()
}

pub(super) fn refused() -> Json {
    json!({ "refused": null })
}

/// An `expect` without the words of `refused`, and with absent parts as empty ones: a
/// [`Message`] tells no difference.
pub(super) fn comparable(expect: &Json) -> Json {
    if expect["refused"].is_string() {
        return refused();
    }
    let mut expect = expect.clone();
    for message in expect["messages"].as_array_mut().unwrap() {
        if message["refused"].is_string() {
            message["refused"] = Json::Null;
            continue;
        }
        for (part, empty) in [
            ("origin", json!({ "exchange": "", "routing_key": "" })),
            ("properties", json!({})),
            ("headers", json!([])),
            ("body", json!("")),
        ] {
            if message[part].is_null() {
                message[part] = empty;
            }
        }
    }
    expect
}

pub(super) fn batch(batch: &Batch<'_>) -> Json {
    let messages: Vec<_> = batch
        .messages()
        .map(|message| match message {
            Ok(message) => from_message(&message),
            Err(bad) => json!({ "index": bad.index, "refused": null }),
        })
        .collect();
    json!({ "received_micros": batch.received_micros().to_string(), "messages": messages })
}

fn from_message(message: &Message<'_>) -> Json {
    let mut properties = Map::new();
    for property in Property::ALL {
        if let Some(text) = message.property(property) {
            properties.insert(property.name().to_owned(), text.into());
        }
    }
    let headers: Vec<_> = message
        .headers()
        .map(|(name, value)| {
            assert!(message.header(name).is_some());
            json!([name, from_value(value)])
        })
        .collect();
    json!({
        "index": message.index(),
        "redelivered": message.redelivered(),
        "attempt": message.attempt(),
        "delivery_mode": message.delivery_mode(),
        "priority": message.priority(),
        "timestamp": message.timestamp().map(|seconds| seconds.to_string()),
        "body_len": message.body_len(),
        "body_cut": message.body_is_cut(),
        "origin": { "exchange": message.exchange(), "routing_key": message.routing_key() },
        "properties": properties,
        "headers": headers,
        "body": hex(message.body()),
    })
}

fn from_value(value: Value<'_>) -> Json {
    match value {
        Value::Void => json!(["V"]),
        Value::Bool(value) => json!(["t", value]),
        Value::I8(n) => json!(["b", n]),
        Value::U8(n) => json!(["B", n]),
        Value::I16(n) => json!(["s", n]),
        Value::U16(n) => json!(["u", n]),
        Value::I32(n) => json!(["I", n]),
        Value::U32(n) => json!(["i", n]),
        Value::I64(n) => json!(["l", n.to_string()]),
        Value::F32(n) => json!(["f", format!("{:08x}", n.to_bits())]),
        Value::F64(n) => json!(["d", format!("{:016x}", n.to_bits())]),
        Value::Decimal { scale, value } => json!(["D", scale, value]),
        Value::Str(bytes) => json!(["S", hex(bytes)]),
        Value::Bytes(bytes) => json!(["x", hex(bytes)]),
        Value::Timestamp(n) => json!(["T", n.to_string()]),
        Value::Array(array) => json!(["A", array.iter().map(from_value).collect::<Vec<_>>()]),
        Value::Table(table) => {
            let entries = table.iter().map(|(name, value)| json!([name, from_value(value)]));
            json!(["F", entries.collect::<Vec<_>>()])
        }
    }
}

pub(super) fn builder(message: &Json, received_micros: &Json) -> MessageBuilder {
    let mut built = MessageBuilder::new()
        .exchange(text(&message["origin"]["exchange"]))
        .routing_key(text(&message["origin"]["routing_key"]))
        .body(bytes(&message["body"]))
        .redelivered(message["redelivered"].as_bool().unwrap())
        .attempt(number(&message["attempt"]))
        .received_micros(text(received_micros).parse().unwrap());
    for (name, value) in message["properties"].as_object().unwrap() {
        built = built.property(Property::from_name(name).unwrap(), text(value));
    }
    for property in [Property::DeliveryMode, Property::Priority, Property::Timestamp] {
        match &message[property.name()] {
            Json::Null => {}
            Json::String(digits) => built = built.number(property, digits.parse().unwrap()),
            value => built = built.number(property, value.as_u64().unwrap()),
        }
    }
    for header in items(&message["headers"]) {
        with_value(&header[1], &mut |value| {
            built = built.clone().header(text(&header[0]), value);
        });
    }
    built
}

pub(super) fn needs(needs: &Json) -> Needs {
    Needs {
        origin: needs["origin"] == true,
        properties: needs["properties"] == true,
        headers: match &needs["headers"] {
            Json::Bool(true) => Headers::All,
            Json::Array(names) => {
                Headers::Names(names.iter().map(|name| text(name).to_owned()).collect())
            }
            _ => Headers::None,
        },
        body: match &needs["body"] {
            Json::Bool(true) => Body::All,
            Json::Number(_) => Body::Prefix(number(&needs["body"])),
            _ => Body::None,
        },
    }
}

pub(super) fn verdict(verdict: &Json, reasons: &[&Json]) -> Verdict {
    let place = reasons.iter().position(|reason| **reason == verdict["reason"]);
    let reason = Reason(place.map_or(0, |place| u16::try_from(place + 1).unwrap()));
    let words = || text(&verdict["text"]).to_owned();
    match text(&verdict["verdict"]) {
        "pass" => Verdict::Pass,
        "modify" => Verdict::Modify(delta(&verdict["delta"])),
        "route" => Verdict::Route {
            routes: items(&verdict["routes"]).map(|route| text(route).to_owned()).collect(),
            delta: delta(&verdict["delta"]),
        },
        "emit" => Verdict::Emit(
            items(&verdict["children"])
                .map(|child| Emitted {
                    route: child["route"].as_str().map(str::to_owned),
                    delta: delta(&child["delta"]),
                })
                .collect(),
        ),
        "drop" => Verdict::Drop(reason),
        "reject" => Verdict::Reject { reason, text: words() },
        "retry" => Verdict::Retry { after_ms: number(&verdict["after_ms"]), text: words() },
        "fail" => Verdict::Fail {
            failure: match text(&verdict["kind"]) {
                "bad_message" => Failure::BadMessage,
                "dependency" => Failure::Dependency,
                "internal" => Failure::Internal,
                other => panic!("{other}"),
            },
            text: words(),
        },
        other => panic!("{other}"),
    }
}

fn delta(changes: &Json) -> Delta {
    let mut delta = Delta::new();
    for change in items(changes) {
        let property = || Property::from_name(text(&change[1])).unwrap();
        match text(&change[0]) {
            "routing_key" => drop(delta.routing_key(text(&change[1]))),
            "property" => match &change[2] {
                Json::Number(value) => drop(delta.number(property(), value.as_u64().unwrap())),
                value if property().is_text() => drop(delta.property(property(), text(value))),
                digits => drop(delta.number(property(), text(digits).parse().unwrap())),
            },
            "clear_property" => drop(delta.clear_property(property())),
            "header" => with_value(&change[2], &mut |value| {
                delta.header(text(&change[1]), value);
            }),
            "remove_header" => drop(delta.remove_header(text(&change[1]))),
            "clear_headers" => drop(delta.clear_headers()),
            "body" => drop(delta.body(&bytes(&change[1]))),
            other => panic!("{other}"),
        }
    }
    delta
}

/// Calls `use_it` with the value; a view cannot leave the buffers that it looks into.
fn with_value(value: &Json, use_it: &mut dyn FnMut(Value<'_>)) {
    let operand = &value[1];
    let signed = || operand.as_i64().unwrap();
    match text(&value[0]) {
        "V" => use_it(Value::Void),
        "t" => use_it(Value::Bool(operand.as_bool().unwrap())),
        "b" => use_it(Value::I8(signed().try_into().unwrap())),
        "B" => use_it(Value::U8(signed().try_into().unwrap())),
        "s" => use_it(Value::I16(signed().try_into().unwrap())),
        "u" => use_it(Value::U16(signed().try_into().unwrap())),
        "I" => use_it(Value::I32(signed().try_into().unwrap())),
        "i" => use_it(Value::U32(number(operand))),
        "l" => use_it(Value::I64(text(operand).parse().unwrap())),
        "f" => use_it(Value::F32(f32::from_bits(u32::from_str_radix(text(operand), 16).unwrap()))),
        "d" => use_it(Value::F64(f64::from_bits(u64::from_str_radix(text(operand), 16).unwrap()))),
        "D" => use_it(Value::Decimal {
            scale: u8::try_from(number(operand)).unwrap(),
            value: number(&value[2]),
        }),
        "S" => use_it(Value::Str(&bytes(operand))),
        "x" => use_it(Value::Bytes(&bytes(operand))),
        "T" => use_it(Value::Timestamp(text(operand).parse().unwrap())),
        "A" => {
            let mut array = ArrayBuf::new();
            for item in items(operand) {
                with_value(item, &mut |value| assert!(array.push(value)));
            }
            use_it(array.as_value());
        }
        "F" => {
            let mut table = TableBuf::new();
            for entry in items(operand) {
                with_value(&entry[1], &mut |value| assert!(table.push(text(&entry[0]), value)));
            }
            use_it(table.as_value());
        }
        other => panic!("{other}"),
    }
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap()
}

fn number(value: &Json) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
