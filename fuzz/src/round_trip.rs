//! What the host encodes for a plugin, the SDK reads back equal, for any messages and any needs.

use arbitrary::{Result, Unstructured};
use lockgate_message::{Input, Message, Property, Table, Value};
use lockgate_plugin as sdk;

use crate::arbitrary_message;
use crate::frame::encode::{batch_size, measure, write};
use crate::needs::{BodyNeeds, HeaderNeeds, Needs};

pub fn run(data: &[u8]) {
    // Too short for a message: there is nothing to look at.
    let _ = batch(&mut Unstructured::new(data));
}

fn batch(u: &mut Unstructured<'_>) -> Result<()> {
    let needs = needs(u)?;
    let received: u64 = u.arbitrary()?;
    let mut messages = Vec::new();
    while messages.len() < 8 && !u.is_empty() {
        let message = arbitrary_message::message(u)?;
        messages.push((message, u.arbitrary::<bool>()?, u.arbitrary::<u32>()?));
    }
    let inputs: Vec<Input<'_>> = messages
        .iter()
        .map(|(message, redelivered, attempt)| Input {
            message,
            redelivered: *redelivered,
            attempt: *attempt,
        })
        .filter(|input| {
            let fits = measure(input, &needs).is_ok();
            assert_eq!(fits, carries(input.message, &needs), "{:?}", input.message.head());
            fits
        })
        .collect();
    let sizes: Vec<u32> =
        inputs.iter().map(|input| measure(input, &needs).unwrap().try_into().unwrap()).collect();
    let mut out = vec![0xAA; batch_size(&sizes)];
    write(&inputs, &sizes, &needs, received, &mut out).expect("written as it was measured");
    let read = sdk::Batch::read(&out).expect("the SDK reads what the host wrote");
    assert_eq!((read.count() as usize, read.received_micros()), (inputs.len(), received));
    for (input, message) in inputs.iter().zip(read.messages()) {
        check(input, &message.expect("a whole frame"), &needs);
    }
    Ok(())
}

fn needs(u: &mut Unstructured<'_>) -> Result<Needs> {
    let mask: u8 = u.arbitrary()?;
    if mask & 0x80 != 0 {
        return Ok(Needs::ALL);
    }
    Ok(Needs {
        origin: mask & 1 != 0,
        properties: mask & 2 != 0,
        headers: match mask >> 2 & 3 {
            0 => HeaderNeeds::None,
            1 => HeaderNeeds::Named([String::new(), "k".to_owned()].into_iter().collect()),
            _ => HeaderNeeds::All,
        },
        body: match mask >> 4 & 3 {
            0 => BodyNeeds::None,
            1 => BodyNeeds::Prefix(u.arbitrary::<u8>()?.into()),
            _ => BodyNeeds::All,
        },
    })
}

/// Whether the parts that are needed fit the format: texts of 255 bytes, 32 levels.
fn carries(message: &Message, needs: &Needs) -> bool {
    let head = message.head();
    let short = |text: &str| text.len() <= 255;
    let named = |name: &str| match &needs.headers {
        HeaderNeeds::None => false,
        HeaderNeeds::All => true,
        HeaderNeeds::Named(_) => matches!(name, "" | "k"),
    };
    let texts = Property::ALL.into_iter().filter_map(|property| head.properties.text(property));
    (!needs.origin || (short(&head.exchange) && short(&head.routing_key)))
        && (!needs.properties || texts.into_iter().all(short))
        && head
            .headers
            .iter()
            .filter(|(name, _)| named(name))
            .all(|(name, value)| short(name) && value.depth() < 32 && short_names(value))
}

fn short_names(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(short_names),
        Value::Table(table) => {
            table.iter().all(|(name, value)| name.len() <= 255 && short_names(value))
        }
        _ => true,
    }
}

fn check(input: &Input<'_>, read: &sdk::Message<'_>, needs: &Needs) {
    let head = input.message.head();
    assert_eq!((read.redelivered(), read.attempt()), (input.redelivered, input.attempt));
    let properties = &head.properties;
    assert_eq!(read.delivery_mode(), properties.delivery_mode);
    assert_eq!((read.priority(), read.timestamp()), (properties.priority, properties.timestamp));
    let origin = if needs.origin { (&*head.exchange, &*head.routing_key) } else { ("", "") };
    assert_eq!((read.exchange(), read.routing_key()), origin);
    for property in Property::ALL {
        let other = sdk::Property::from_number(property as u8).expect("the same numbers");
        let text = properties.text(property).filter(|_| needs.properties);
        assert_eq!(read.property(other), text);
    }
    let headers: Table = needs.headers.of(&head.headers).cloned().collect();
    assert_eq!(texts(read.headers().map(own)), texts(headers.iter().cloned()));
    let body: &[u8] = input.message.body();
    let given = match needs.body {
        BodyNeeds::None => &[],
        BodyNeeds::All => body,
        BodyNeeds::Prefix(len) => body.get(..len as usize).unwrap_or(body),
    };
    assert_eq!((read.body(), read.body_len() as usize), (given, body.len()));
}

/// As texts, in which a NaN is equal to itself.
fn texts(headers: impl Iterator<Item = (String, Value)>) -> Vec<String> {
    headers.map(|(name, value)| format!("{name:?}: {value:?}")).collect()
}

fn own((name, value): (&str, sdk::Value<'_>)) -> (String, Value) {
    (name.to_owned(), own_value(value))
}

fn own_value(value: sdk::Value<'_>) -> Value {
    match value {
        sdk::Value::Void => Value::Void,
        sdk::Value::Bool(v) => Value::Bool(v),
        sdk::Value::I8(v) => Value::I8(v),
        sdk::Value::U8(v) => Value::U8(v),
        sdk::Value::I16(v) => Value::I16(v),
        sdk::Value::U16(v) => Value::U16(v),
        sdk::Value::I32(v) => Value::I32(v),
        sdk::Value::U32(v) => Value::U32(v),
        sdk::Value::I64(v) => Value::I64(v),
        sdk::Value::F32(v) => Value::F32(v),
        sdk::Value::F64(v) => Value::F64(v),
        sdk::Value::Decimal { scale, value } => Value::Decimal { scale, value },
        sdk::Value::Str(v) => Value::Str(v.to_vec()),
        sdk::Value::Bytes(v) => Value::Bytes(v.to_vec()),
        sdk::Value::Timestamp(v) => Value::Timestamp(v),
        sdk::Value::Array(items) => Value::Array(items.iter().map(own_value).collect()),
        sdk::Value::Table(table) => Value::Table(table.iter().map(own).collect()),
    }
}
