//! The codec against the golden vectors of `plugin-sdk/frame`, and against damage.

use std::time::Duration;

use lockgate_message::{
    Change, Emitted, Failure, Head, Input, Message, Property, PropertyValue, Reason, Table, Value,
    Verdict,
};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::decode::{Bounds, read};
use super::encode::{batch_size, measure, write};
use crate::needs::Needs;

fn vectors(file: &str) -> Vec<Json> {
    let path = format!("{}/../../plugin-sdk/frame/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read(path).unwrap();
    let json: Json = serde_json::from_slice(&text).unwrap();
    json["vectors"].as_array().unwrap().clone()
}

fn hex(json: &Json) -> Vec<u8> {
    let text = json.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn text(json: &Json) -> String {
    json.as_str().unwrap().to_owned()
}

/// A number, be it written as one or as a decimal string.
fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(json: &Json) -> T {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned).parse().unwrap()
}

fn value(json: &Json) -> Value {
    let arg = &json[1];
    let bits = || u64::from_str_radix(arg.as_str().unwrap(), 16).unwrap();
    match json[0].as_str().unwrap() {
        "V" => Value::Void,
        "t" => Value::Bool(arg.as_bool().unwrap()),
        "b" => Value::I8(number(arg)),
        "B" => Value::U8(number(arg)),
        "s" => Value::I16(number(arg)),
        "u" => Value::U16(number(arg)),
        "I" => Value::I32(number(arg)),
        "i" => Value::U32(number(arg)),
        "l" => Value::I64(number(arg)),
        "f" => Value::F32(f32::from_bits(u32::try_from(bits()).unwrap())),
        "d" => Value::F64(f64::from_bits(bits())),
        "D" => Value::Decimal { scale: number(arg), value: number(&json[2]) },
        "S" => Value::Str(hex(arg)),
        "x" => Value::Bytes(hex(arg)),
        "T" => Value::Timestamp(number(arg)),
        "A" => Value::Array(arg.as_array().unwrap().iter().map(value).collect()),
        "F" => Value::Table(table(arg)),
        tag => panic!("tag {tag}"),
    }
}

fn table(json: &Json) -> Table {
    json.as_array().unwrap().iter().map(|entry| (text(&entry[0]), value(&entry[1]))).collect()
}

fn property(name: &str) -> Property {
    Property::ALL.into_iter().find(|property| property.name() == name).unwrap()
}

fn message(json: &Json) -> Message {
    let mut head = Head {
        exchange: text(&json["origin"]["exchange"]),
        routing_key: text(&json["origin"]["routing_key"]),
        headers: table(&json["headers"]),
        ..Head::default()
    };
    for (name, value) in json["properties"].as_object().unwrap() {
        head.properties.put(property(name), Some(PropertyValue::Text(text(value))));
    }
    for name in ["delivery_mode", "priority", "timestamp"] {
        if !json[name].is_null() {
            let value = PropertyValue::Number(number(&json[name]));
            assert!(head.properties.put(property(name), Some(value)));
        }
    }
    Message::new(head, hex(&json["body"]))
}

fn encode(messages: &[(Message, bool, u32)], needs: &Needs, received_us: u64) -> Vec<u8> {
    let inputs: Vec<Input<'_>> = messages
        .iter()
        .map(|(message, redelivered, attempt)| Input {
            message,
            redelivered: *redelivered,
            attempt: *attempt,
        })
        .collect();
    let sizes: Vec<u32> =
        inputs.iter().map(|input| measure(input, needs).unwrap().try_into().unwrap()).collect();
    let mut out = vec![0xAA; batch_size(&sizes)];
    write(&inputs, &sizes, needs, received_us, &mut out).unwrap();
    // One byte less or more is refused rather than written past or left open.
    assert!(write(&inputs, &sizes, needs, received_us, &mut vec![0; out.len() - 1]).is_none());
    assert!(write(&inputs, &sizes, needs, received_us, &mut vec![0; out.len() + 1]).is_none());
    out
}

#[test]
fn batches_are_written_as_the_vectors_say() {
    let mut seen = 0;
    for vector in vectors("batches.json").iter().filter(|vector| vector.get("encode").is_some()) {
        let encoded = &vector["encode"];
        let messages = encoded["messages"].as_array().unwrap();
        let messages: Vec<_> = messages
            .iter()
            .map(|m| (message(m), m["redelivered"].as_bool().unwrap(), number(&m["attempt"])))
            .collect();
        let needs = Needs::parse(&encoded["needs"]).unwrap();
        let bytes = encode(&messages, &needs, number(&encoded["received_micros"]));
        assert!(bytes == hex(&vector["bytes"]), "{}: {bytes:02x?}", vector["name"]);
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

fn change(json: &Json) -> Change {
    match json[0].as_str().unwrap() {
        "routing_key" => Change::RoutingKey(text(&json[1])),
        "property" => {
            let property = property(json[1].as_str().unwrap());
            let value = match property.is_number() {
                true => PropertyValue::Number(number(&json[2])),
                false => PropertyValue::Text(text(&json[2])),
            };
            Change::SetProperty(property, value)
        }
        "clear_property" => Change::ClearProperty(property(json[1].as_str().unwrap())),
        "header" => Change::SetHeader(text(&json[1]), value(&json[2])),
        "remove_header" => Change::RemoveHeader(text(&json[1])),
        "clear_headers" => Change::ClearHeaders,
        "body" => Change::Body(hex(&json[1]).into()),
        other => panic!("{other}"),
    }
}

fn delta(json: &Json) -> lockgate_message::Delta {
    lockgate_message::Delta(json.as_array().unwrap().iter().map(change).collect())
}

fn verdict(json: &Json) -> Option<Verdict> {
    let reason = || json["reason"].as_str().map(Reason::from);
    Some(match json["verdict"].as_str().unwrap() {
        "fault" => return None,
        "pass" => Verdict::Pass,
        "modify" => Verdict::Modify(delta(&json["delta"])),
        "route" => Verdict::Route {
            routes: json["routes"].as_array().unwrap().iter().map(text).collect(),
            delta: delta(&json["delta"]),
        },
        "emit" => {
            let children = json["children"].as_array().unwrap().iter();
            Verdict::Emit(
                children
                    .map(|child| Emitted {
                        route: child["route"].as_str().map(str::to_owned),
                        delta: delta(&child["delta"]),
                    })
                    .collect(),
            )
        }
        "drop" => Verdict::Drop { reason: reason() },
        "reject" => Verdict::Reject { reason: reason(), text: text(&json["text"]) },
        "retry" => Verdict::Retry {
            after: Some(number(&json["after_ms"])).filter(|ms| *ms > 0).map(Duration::from_millis),
            text: text(&json["text"]),
        },
        "fail" => Verdict::Fail {
            failure: match json["kind"].as_str().unwrap() {
                "bad_message" => Failure::BadMessage,
                "dependency" => Failure::Dependency,
                _ => Failure::Internal,
            },
            text: text(&json["text"]),
        },
        other => panic!("{other}"),
    })
}

/// What the engine makes of an output: `None` for a fault.
fn decode(bytes: &[u8], count: usize, reasons: &[Reason]) -> Vec<Option<Verdict>> {
    let mut slots = vec![None; count];
    if read(bytes, &Bounds { reasons, emitted: 1000 }, &mut slots).is_err() {
        return vec![None; count];
    }
    slots.into_iter().map(|slot| slot.filter(|v| !matches!(v, Verdict::Fault(_)))).collect()
}

fn outputs() -> impl Iterator<Item = (Json, usize, Vec<Reason>)> {
    vectors("outputs.json").into_iter().map(|vector| {
        let reasons = vector["reasons"].as_array().unwrap().iter();
        let reasons = reasons.map(|reason| reason.as_str().unwrap().into()).collect();
        let count = number(&vector["count"]);
        (vector, count, reasons)
    })
}

#[test]
fn outputs_are_read_as_the_vectors_say() {
    for (vector, count, reasons) in outputs() {
        let bytes = hex(&vector["bytes"]);
        let expected: Vec<_> = vector["expect"].as_array().unwrap().iter().map(verdict).collect();
        let got = decode(&bytes, count, &reasons);
        // By their text, for a NaN is not equal to itself.
        assert_eq!(format!("{got:?}"), format!("{expected:?}"), "{}", vector["name"]);
        if vector["canonical"] != true {
            continue;
        }
        for cut in (0..bytes.len()).filter(|cut| cut % 7 == 0 || bytes.len() < 500) {
            let mut cut = bytes[..cut].to_vec();
            assert!(decode(&cut, count, &reasons).iter().all(Option::is_none));
            if cut.len() >= 16 {
                let len = u32::try_from(cut.len()).unwrap();
                cut[12..16].copy_from_slice(&len.to_le_bytes());
                assert!(decode(&cut, count, &reasons).iter().all(Option::is_none));
            }
        }
    }
}

#[test]
fn what_one_verdict_builds_is_bounded() {
    let output = |verdict: u8, payload: &[u8]| {
        let mut bytes = b"LGV1\x01\0\0\0\x01\0\0\0".to_vec();
        let len = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
        bytes.extend(len(28 + payload.len()));
        bytes.extend([0, 0, 0, 0, verdict, 1, 0, 0]);
        bytes.extend(len(payload.len()));
        bytes.extend(payload);
        bytes
    };
    let kind = |bytes: &[u8]| {
        let mut slots = [None];
        read(bytes, &Bounds { reasons: &[], emitted: 10 }, &mut slots).unwrap();
        match &slots[0] {
            Some(Verdict::Fault(fault)) => Some(fault.kind.name()),
            _ => None,
        }
    };
    assert_eq!(kind(&output(1, &[7; 65_536])), None);
    assert_eq!(kind(&output(1, &[7; 65_537])), Some("output_too_large"));
    let mut voids = b"\x04\x01aA".to_vec();
    voids.extend(100_000u32.to_le_bytes());
    voids.extend([b'V'; 100_000]);
    assert_eq!(kind(&output(1, &voids)), Some("output_too_large"));
    assert_eq!(kind(&output(3, &[11, 0, 0, 0])), Some("output_too_large"));
}

proptest! {
    #[test]
    fn random_outputs_never_panic(bytes: Vec<u8>, count in 0usize..5) {
        decode(&bytes, count, &["r".into()]);
    }

    #[test]
    fn damaged_outputs_never_panic(
        which: prop::sample::Index,
        damage: Vec<(prop::sample::Index, u8)>,
    ) {
        let all: Vec<_> = outputs().collect();
        let (vector, count, reasons) = which.get(&all);
        let mut bytes = hex(&vector["bytes"]);
        for (at, byte) in damage.into_iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        decode(&bytes, *count, reasons);
    }
}

#[test]
fn what_a_frame_cannot_carry_is_refused() {
    use super::encode::Unfit;
    let check = |head: Head, expected| {
        let message = Message::new(head, "");
        let input = Input { message: &message, redelivered: false, attempt: 1 };
        assert_eq!(measure(&input, &Needs::ALL).map(|_| ()), expected);
    };
    let nested = |levels: usize| {
        let value = (1..levels).fold(Value::Void, |value, _| Value::Array(vec![value]));
        Head { headers: [("h".to_owned(), value)].into_iter().collect(), ..Head::default() }
    };
    check(nested(32), Ok(()));
    check(nested(33), Err(Unfit::Nesting));
    check(Head { exchange: "x".repeat(256), ..Head::default() }, Err(Unfit::LongText));
    let name = [("n".repeat(256), Value::Void)];
    check(Head { headers: name.into_iter().collect(), ..Head::default() }, Err(Unfit::LongText));
}
