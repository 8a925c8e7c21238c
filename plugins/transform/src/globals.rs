//! What a program reads of a message beside its body: `$headers`, `$properties`, `$routing_key` and
//! `$exchange`.

use std::rc::Rc;

use jq::{Map, Num, Val};
use lockgate_plugin::{Message, Property, Value};

/// The value of a variable, of a message as it came.
pub(crate) fn global(name: &str, message: &Message<'_>) -> Val {
    match name {
        "headers" => {
            let mut headers = Map::default();
            for (name, value) in message.headers() {
                // Of a name that stands there twice the first one counts, as everywhere.
                if headers.get(name).is_none() {
                    headers.insert(Rc::from(name), of(value));
                }
            }
            Val::from(headers)
        }
        "properties" => Property::ALL
            .into_iter()
            .filter_map(|property| {
                Some((Rc::from(property.name()), of_property(property, message)?))
            })
            .collect(),
        "routing_key" => Val::from(message.routing_key()),
        "exchange" => Val::from(message.exchange()),
        _ => Val::Null,
    }
}

fn of_property(property: Property, message: &Message<'_>) -> Option<Val> {
    match property {
        Property::DeliveryMode => message.delivery_mode().map(|mode| Val::from(i64::from(mode))),
        Property::Priority => message.priority().map(|priority| Val::from(i64::from(priority))),
        Property::Timestamp => message.timestamp().map(whole),
        text => message.property(text).map(Val::from),
    }
}

/// A header's value. What is not text reads with U+FFFD for what is none; bytes are null.
fn of(value: Value<'_>) -> Val {
    match value {
        Value::Void | Value::Bytes(_) => Val::Null,
        Value::Bool(truth) => Val::Bool(truth),
        // The digits that a float of 32 bits has, and not those that it gets as a double.
        Value::F32(number) => {
            let text = number.to_string();
            Num::from_json(&text).map_or(Val::from(f64::from(number)), Val::Num)
        }
        Value::F64(number) => Val::from(number),
        Value::Decimal { scale, value } => decimal(scale, value),
        Value::Str(bytes) => Val::from(&*String::from_utf8_lossy(bytes)),
        Value::Timestamp(seconds) => whole(seconds),
        Value::Array(elements) => elements.iter().map(of).collect(),
        Value::Table(members) => {
            members.iter().map(|(name, value)| (Rc::from(name), of(value))).collect()
        }
        number => number.as_i64().map_or(Val::Null, Val::from),
    }
}

fn whole(number: u64) -> Val {
    Num::from_json(&number.to_string()).map_or(Val::Null, Val::Num)
}

/// `value / 10^scale`, with all its digits.
fn decimal(scale: u8, value: u32) -> Val {
    let scale = usize::from(scale);
    let mut text = format!("{value:0>width$}", width = scale + 1);
    if scale > 0 {
        text.insert(text.len() - scale, '.');
    }
    Num::from_json(&text).map_or(Val::Null, Val::Num)
}
