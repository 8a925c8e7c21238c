//! Convert: a message as the client publishes it, after checking everything a broker would
//! close the channel or the connection for.

mod duplicates;
mod growth;

use std::sync::Arc;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldTable, ShortString};
use lockgate_message::{Head, Table, Value};
use lockgate_transport::{Outgoing, PutError};

use crate::settings::{Grant, SHORT_STRING_MAX};

pub(crate) use duplicates::Duplicates;
use growth::growth;

/// Every publish carries this header, by which a returned one is known again. Incoming copies
/// are stripped.
pub(crate) const ID_HEADER: &str = "lockgate-id";

/// Most levels of nesting, the header table itself included.
const DEPTH_MAX: usize = crate::guard::DEPTH_MAX;

/// Largest expiration, milliseconds (`rabbit_misc:check_expiry`, 2^32 − 1).
const EXPIRATION_MAX: u64 = u32::MAX as u64;

/// Reply addresses that name a live connection and not a queue.
const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Frame overhead (8), and class, weight, body size and flags of a content header (14).
const HEADER_OVERHEAD: usize = 8 + 14;

/// What may be published, by settings and by the connection.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) persistent: bool,
    pub(crate) grants: Vec<Grant>,
    /// Bytes.
    pub(crate) max_body: u64,
    /// Largest frame, bytes, as agreed with the broker.
    pub(crate) frame_max: usize,
    pub(crate) duplicates: Arc<Duplicates>,
}

impl Limits {
    fn grants(&self, grant: Grant) -> bool {
        self.grants.contains(&grant)
    }

    /// Whether the header of this name stays behind.
    fn strips(&self, name: &str) -> bool {
        match name {
            ID_HEADER => true,
            "CC" => !self.grants(Grant::Cc),
            "BCC" => !self.grants(Grant::Bcc),
            _ => false,
        }
    }
}

/// A publish, checked.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) exchange: ShortString,
    pub(crate) routing_key: ShortString,
    pub(crate) properties: BasicProperties,
}

/// Checks and converts one copy; `id` becomes its [`ID_HEADER`].
///
/// # Errors
/// [`PutError::Invalid`], with the value that does not fit.
pub(crate) fn publish(
    outgoing: &Outgoing,
    id: String,
    limits: &Limits,
) -> Result<Publish, PutError> {
    let body = outgoing.message.body().len() as u64;
    if body > limits.max_body {
        return invalid(format!("body of {body} bytes, more than {}", limits.max_body));
    }
    let exchange = short("exchange", &outgoing.exchange)?;
    let routing_key = short("routing key", outgoing.routing_key())?;
    let mut size = HEADER_OVERHEAD;
    let head = outgoing.message.head();
    let properties = properties(head, limits, &mut size)?;
    let copies = head.headers.get("CC").filter(|_| limits.grants(Grant::Cc));
    let growth = growth(&outgoing.exchange, outgoing.routing_key(), copies, limits.frame_max);
    let headers = headers(&head.headers, id, limits, &mut size)?;
    if size + growth > limits.frame_max {
        return invalid(format!(
            "headers of {size} bytes, with {growth} for what brokers add, are more than a frame of {}",
            limits.frame_max
        ));
    }
    Ok(Publish { exchange, routing_key, properties: properties.with_headers(headers) })
}

/// All properties but the headers; adds what they take to `size`.
fn properties(head: &Head, limits: &Limits, size: &mut usize) -> Result<BasicProperties, PutError> {
    let from = &head.properties;
    let mut to = BasicProperties::default();
    let mut text = |name: &str, value: &Option<String>| {
        value
            .as_deref()
            .map(|value| short(name, value).inspect(|_| *size += 1 + value.len()))
            .transpose()
    };
    if let Some(value) = text("content_type", &from.content_type)? {
        to = to.with_content_type(value);
    }
    if let Some(value) = text("content_encoding", &from.content_encoding)? {
        to = to.with_content_encoding(value);
    }
    if let Some(value) = text("correlation_id", &from.correlation_id)? {
        to = to.with_correlation_id(value);
    }
    if let Some(value) = text("reply_to", &from.reply_to)?
        && (!value.as_str().starts_with(DIRECT_REPLY_TO) || limits.grants(Grant::DirectReplyTo))
    {
        to = to.with_reply_to(value);
    }
    if let Some(value) = text("expiration", &from.expiration)? {
        expiration(value.as_str())?;
        to = to.with_expiration(value);
    }
    if let Some(value) = text("message_id", &from.message_id)? {
        to = to.with_message_id(value);
    }
    if let Some(value) = text("type", &from.kind)? {
        to = to.with_type(value);
    }
    if limits.grants(Grant::UserId)
        && let Some(value) = text("user_id", &from.user_id)?
    {
        to = to.with_user_id(value);
    }
    if let Some(value) = text("app_id", &from.app_id)? {
        to = to.with_app_id(value);
    }
    if let Some(value) = text("cluster_id", &from.cluster_id)? {
        to = to.with_cluster_id(value);
    }
    // Two octets and a timestamp, present or not: ten bytes more or less decide nothing.
    *size += 10;
    let mode = if limits.persistent { Some(2) } else { from.delivery_mode };
    if let Some(mode) = mode {
        to = to.with_delivery_mode(mode);
    }
    if let Some(priority) = from.priority {
        to = to.with_priority(priority);
    }
    if let Some(timestamp) = from.timestamp {
        to = to.with_timestamp(timestamp);
    }
    Ok(to)
}

/// The broker closes the channel for anything but a number of milliseconds it can count to.
fn expiration(text: &str) -> Result<(), PutError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u64>() {
        Ok(ms) if digits && ms <= EXPIRATION_MAX => Ok(()),
        _ => invalid(format!("expiration `{text}` is not 0 to {EXPIRATION_MAX} milliseconds")),
    }
}

fn headers(
    from: &Table,
    id: String,
    limits: &Limits,
    size: &mut usize,
) -> Result<FieldTable, PutError> {
    *size += 4 + 1 + ID_HEADER.len() + 1 + 4 + id.len();
    let mut to = FieldTable::default();
    for (name, value) in from.iter().filter(|(name, _)| !limits.strips(name)) {
        if matches!(name.as_str(), "CC" | "BCC") {
            copies(name, value)?;
        }
        insert(&mut to, name, value, limits, 1)?;
        // After the depth was checked, for this recurses too.
        *size += 1 + name.len() + value.wire_size();
    }
    to.insert(ShortString::try_new(ID_HEADER).unwrap_or_default(), text_value(id));
    Ok(to)
}

fn text_value(text: String) -> AMQPValue {
    AMQPValue::LongString(text.into_bytes().into())
}

/// The broker closes the channel for a `CC` that is anything but an array of texts.
fn copies(name: &str, value: &Value) -> Result<(), PutError> {
    match value {
        Value::Array(keys) if keys.iter().all(|key| matches!(key, Value::Str(_))) => Ok(()),
        _ => invalid(format!("header `{name}` is not an array of texts")),
    }
}

/// Of duplicate names the first counts, as for [`Table::get`].
fn insert(
    to: &mut FieldTable,
    name: &str,
    value: &Value,
    limits: &Limits,
    depth: usize,
) -> Result<(), PutError> {
    let key = short("header name", name)?;
    if to.contains_key(name) {
        limits.duplicates.found(name);
    } else {
        to.insert(key, convert(name, value, limits, depth)?);
    }
    Ok(())
}

/// `depth` is that of the table or array that holds the value.
fn convert(
    name: &str,
    value: &Value,
    limits: &Limits,
    depth: usize,
) -> Result<AMQPValue, PutError> {
    Ok(match value {
        Value::Void => AMQPValue::Void,
        Value::Bool(v) => AMQPValue::Boolean(*v),
        Value::I8(v) => AMQPValue::ShortShortInt(*v),
        Value::U8(v) => AMQPValue::ShortShortUInt(*v),
        Value::I16(v) => AMQPValue::ShortInt(*v),
        Value::U16(v) => AMQPValue::ShortUInt(*v),
        Value::I32(v) => AMQPValue::LongInt(*v),
        Value::U32(v) => AMQPValue::LongUInt(*v),
        Value::I64(v) => AMQPValue::LongLongInt(*v),
        // Erlang has no such floats; the broker closes the connection.
        Value::F32(v) if !v.is_finite() => return not_finite(name),
        Value::F64(v) if !v.is_finite() => return not_finite(name),
        Value::F32(v) => AMQPValue::Float(*v),
        Value::F64(v) => AMQPValue::Double(*v),
        Value::Decimal { scale, value } => {
            AMQPValue::DecimalValue(DecimalValue { scale: *scale, value: *value })
        }
        Value::Str(bytes) => AMQPValue::LongString(bytes.as_slice().into()),
        Value::Bytes(bytes) => AMQPValue::ByteArray(bytes.as_slice().into()),
        Value::Timestamp(v) => AMQPValue::Timestamp(*v),
        Value::Array(_) | Value::Table(_) if depth >= DEPTH_MAX => {
            return invalid(format!("header `{name}` nests deeper than {DEPTH_MAX}"));
        }
        Value::Array(items) => {
            let items: Result<Vec<_>, _> =
                items.iter().map(|item| convert(name, item, limits, depth + 1)).collect();
            AMQPValue::FieldArray(items?.into())
        }
        Value::Table(table) => {
            let mut inner = FieldTable::default();
            for (name, value) in table.iter() {
                insert(&mut inner, name, value, limits, depth + 1)?;
            }
            AMQPValue::FieldTable(inner)
        }
    })
}

fn not_finite(name: &str) -> Result<AMQPValue, PutError> {
    invalid(format!("header `{name}` is not a finite number"))
}

fn short(what: &str, text: &str) -> Result<ShortString, PutError> {
    if text.len() > SHORT_STRING_MAX {
        return invalid(format!("{what} of {} bytes, more than {SHORT_STRING_MAX}", text.len()));
    }
    ShortString::try_new(text).map_err(|error| PutError::Invalid(error.to_string()))
}

fn invalid<T>(why: String) -> Result<T, PutError> {
    Err(PutError::Invalid(why))
}

#[cfg(test)]
mod tests;
