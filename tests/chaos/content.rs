//! Content: the properties and headers of a message, and what came of one, in a form in which clients
//! can be compared: that of `tools/lab.py`, in which every value names its type.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, ByteArray, FieldArray, FieldTable, LongString, ShortString};
use serde_json::{Map, Value, json};

use crate::message::{self, Kind};

/// What the host adds to a message on its way.
const HOST: &str = "lockgate-";

/// A message as a consumer has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) body: Vec<u8>,
    /// The routing key.
    pub(crate) key: String,
    pub(crate) properties: Map<String, Value>,
    pub(crate) headers: Map<String, Value>,
    pub(crate) redelivered: bool,
}

/// Properties of message `seq`: those that the run needs, and of the others about half, so that a
/// few hundred messages have every mixture.
pub(crate) fn properties(run: &str, seq: u64) -> Map<String, Value> {
    let dice = message::checksum(&seq.to_le_bytes());
    let optional = [
        ("priority", json!(seq % 10)),
        ("correlation_id", json!(format!("c-{seq}"))),
        ("timestamp", json!(1_700_000_000 + seq)),
        ("type", json!("order.created")),
        ("app_id", json!("shop ✓")),
    ];
    let mut properties = chosen(dice, optional);
    properties.insert("content_type".into(), "application/json".into());
    properties.insert("delivery_mode".into(), 2.into());
    properties.insert("message_id".into(), format!("{run}-{seq}").into());
    properties
}

/// Headers of message `seq`: its key, and about half of one for each type that both clients write.
pub(crate) fn headers(seq: u64) -> Map<String, Value> {
    let dice = message::checksum(&(!seq).to_le_bytes());
    let long = (1_u64 << 40) + seq;
    let optional = [
        ("x-text", json!({"text": "grün – 絵文字 🐇"})),
        ("x-empty", json!({"text": ""})),
        ("x-seq", json!({"int": seq})),
        ("x-long", json!({"int": long})),
        ("x-even", json!({"bool": seq % 2 == 0})),
        ("x-sent", json!({"timestamp": 1_700_000_000 + seq})),
        ("x-nothing", json!({"void": true})),
        ("x-bytes", json!({"bytes": hex(&seq.to_be_bytes())})),
        ("x-array", json!({"array": [{"int": 1}, {"text": "two"}, {"array": []}]})),
        ("x-table", json!({"table": {"deep": {"table": {"n": {"int": long}}}}})),
    ];
    let mut headers = chosen(dice, optional);
    headers.insert("x-key".into(), json!({"text": message::key(seq).to_string()}));
    headers
}

fn chosen<const N: usize>(dice: u64, all: [(&str, Value); N]) -> Map<String, Value> {
    let all = all.into_iter().enumerate();
    let some = all.filter(|(at, _)| dice >> (at + 16) & 1 == 1);
    some.map(|(_, (name, value))| (name.to_owned(), value)).collect()
}

impl Arrival {
    /// Message `seq` as it must come to `outlet`, but for what the host adds.
    pub(crate) fn sent(run: &str, seq: u64, outlet: &str) -> Self {
        let (mut properties, mut headers) = (properties(run, seq), headers(seq));
        if Kind::of(seq) == Kind::Split {
            let part = u8::from(outlet == "right");
            properties.insert("message_id".into(), format!("{run}-{seq}/{part}").into());
        }
        if outlet == "dead" {
            headers.insert(format!("{HOST}reason"), json!({"text": "unroutable"}));
        }
        let (body, key) = (message::body(run, seq), outlet.to_owned());
        Self { body, key, properties, headers, redelivered: false }
    }

    /// As lapin delivers it.
    pub(crate) fn by_lapin(delivery: &Delivery) -> Self {
        let headers = delivery.properties.headers().as_ref().map(table).unwrap_or_default();
        Self {
            body: delivery.data.clone(),
            key: delivery.routing_key.to_string(),
            properties: plain(&delivery.properties),
            headers,
            redelivered: delivery.redelivered,
        }
    }

    /// As `tools/traffic.py` says it: the queue and the arrival. `None` for anything else.
    pub(crate) fn by_pika(line: &str) -> Option<(String, Self)> {
        let mut record: Value = serde_json::from_str(line).ok()?;
        let map = |value: Option<&mut Value>| match value.map(Value::take) {
            Some(Value::Object(map)) => Some(map),
            _ => None,
        };
        let properties = map(record.get_mut("properties"))?;
        let headers = map(record.get_mut("headers"))?;
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        // Each byte of the body is a character there.
        let body = text("body")?.chars().map(u8::try_from).collect::<Result<_, _>>().ok()?;
        let redelivered = record.get("redelivered").and_then(Value::as_bool)?;
        let (queue, key) = (text("queue")?.to_owned(), text("key")?.to_owned());
        Some((queue, Self { body, key, properties, headers, redelivered }))
    }

    /// What is wrong with it as message `seq` at `outlet`, the body aside.
    pub(crate) fn differs(&self, run: &str, seq: u64, outlet: &str) -> Option<String> {
        let expected = Self::sent(run, seq, outlet);
        // A dead letter goes by the routing key of the pipeline file: the name of the queue.
        if outlet != "dead" && self.key != expected.key {
            return Some(format!("routing key {:?}", self.key));
        }
        let reason = format!("{HOST}reason");
        let mut headers = self.headers.clone();
        headers.retain(|name, _| *name == reason || !name.starts_with(HOST));
        let parts = [
            ("headers", &headers, &expected.headers),
            ("properties", &self.properties, &expected.properties),
        ];
        let (what, came, sent) = parts.into_iter().find(|(_, came, sent)| came != sent)?;
        let names = came.keys().chain(sent.keys());
        let name = names.into_iter().find(|name| came.get(*name) != sent.get(*name))?;
        let said = |map: &Map<String, Value>| map.get(name).map_or("none".into(), Value::to_string);
        Some(format!("{what}: {name} is {} instead of {}", said(came), said(sent)))
    }
}

/// Properties and headers for lapin.
pub(crate) fn for_lapin(run: &str, seq: u64) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers(seq) {
        table.insert(name.into(), typed(&value));
    }
    let mut made = BasicProperties::default().with_headers(table);
    for (name, value) in properties(run, seq) {
        let text = || ShortString::from(value.as_str().unwrap_or_default());
        let number = value.as_u64().unwrap_or_default();
        made = match &*name {
            "content_type" => made.with_content_type(text()),
            "delivery_mode" => made.with_delivery_mode(number as u8),
            "priority" => made.with_priority(number as u8),
            "correlation_id" => made.with_correlation_id(text()),
            "message_id" => made.with_message_id(text()),
            "timestamp" => made.with_timestamp(number),
            "type" => made.with_type(text()),
            "app_id" => made.with_app_id(text()),
            _ => made,
        };
    }
    made
}

/// The value that a comparable form stands for; one that is none is left out by its type.
fn typed(value: &Value) -> AMQPValue {
    let Some((kind, value)) = value.as_object().and_then(|map| map.iter().next()) else {
        return AMQPValue::Void;
    };
    match (&**kind, value) {
        ("text", Value::String(text)) => AMQPValue::LongString(LongString::from(text.as_bytes())),
        ("bytes", Value::String(text)) => AMQPValue::ByteArray(ByteArray::from(unhex(text))),
        ("bool", Value::Bool(value)) => AMQPValue::Boolean(*value),
        ("int", value) => {
            let number = value.as_i64().unwrap_or_default();
            i32::try_from(number).map_or(AMQPValue::LongLongInt(number), AMQPValue::LongInt)
        }
        ("timestamp", value) => AMQPValue::Timestamp(value.as_u64().unwrap_or_default()),
        ("array", Value::Array(items)) => {
            AMQPValue::FieldArray(FieldArray::from(items.iter().map(typed).collect::<Vec<_>>()))
        }
        ("table", Value::Object(map)) => {
            let mut table = FieldTable::default();
            for (name, value) in map {
                table.insert(name.as_str().into(), typed(value));
            }
            AMQPValue::FieldTable(table)
        }
        _ => AMQPValue::Void,
    }
}

/// The comparable form of a value. Integers are compared as numbers: pika picks their width.
fn canon(value: &AMQPValue) -> Value {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "bytes": hex(bytes) }),
    };
    match value {
        AMQPValue::Boolean(value) => json!({ "bool": value }),
        AMQPValue::LongInt(value) => json!({ "int": value }),
        AMQPValue::LongLongInt(value) => json!({ "int": value }),
        AMQPValue::LongString(value) => text(value.as_bytes()),
        AMQPValue::Timestamp(value) => json!({ "timestamp": value }),
        AMQPValue::ByteArray(value) => json!({ "bytes": hex(value.as_slice()) }),
        AMQPValue::FieldArray(items) => {
            json!({ "array": items.as_slice().iter().map(canon).collect::<Vec<_>>() })
        }
        AMQPValue::FieldTable(fields) => json!({ "table": table(fields) }),
        AMQPValue::Void => json!({ "void": true }),
        other => json!({ "other": format!("{other:?}") }),
    }
}

fn table(fields: &FieldTable) -> Map<String, Value> {
    fields.inner().iter().map(|(name, value)| (name.to_string(), canon(value))).collect()
}

fn plain(properties: &BasicProperties) -> Map<String, Value> {
    let texts = [
        ("content_type", properties.content_type()),
        ("content_encoding", properties.content_encoding()),
        ("correlation_id", properties.correlation_id()),
        ("reply_to", properties.reply_to()),
        ("expiration", properties.expiration()),
        ("message_id", properties.message_id()),
        ("type", properties.kind()),
        ("user_id", properties.user_id()),
        ("app_id", properties.app_id()),
        ("cluster_id", properties.cluster_id()),
    ];
    let texts = texts.into_iter().filter_map(|(name, value)| {
        value.as_ref().map(|text| (name.to_owned(), Value::from(text.as_str())))
    });
    let small =
        [("delivery_mode", *properties.delivery_mode()), ("priority", *properties.priority())];
    let small = small.into_iter().filter_map(|(name, value)| Some((name, u64::from(value?))));
    let timestamp = properties.timestamp().map(|time| ("timestamp", time));
    let numbers = small.chain(timestamp).map(|(name, value)| (name.to_owned(), Value::from(value)));
    texts.chain(numbers).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..text.len()).step_by(2).filter_map(digit).collect()
}

#[test]
fn what_lapin_is_given_is_what_it_gives() {
    let (mut names, mut kinds) = (Map::new(), Map::new());
    for seq in 0..400 {
        let made = for_lapin("r", seq);
        assert_eq!(plain(&made), properties("r", seq));
        let headers = headers(seq);
        assert_eq!(made.headers().as_ref().map(table).unwrap(), headers);
        names.extend(properties("r", seq));
        kinds.extend(headers);
    }
    assert_eq!((names.len(), kinds.len()), (8, 11), "{names:?} {kinds:?}");
}
