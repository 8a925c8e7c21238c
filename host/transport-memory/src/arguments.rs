//! Queue arguments: from a table to typed limits, and when two tables say the same.

use std::sync::Arc;
use std::time::Duration;

use lockgate_message::{Table, Value};

/// Longest time to live, milliseconds: what RabbitMQ takes (2³² − 1, about 49 days).
pub(crate) const TTL_MAX_MS: u64 = u32::MAX as u64;

/// What the arguments of a queue mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Limits {
    pub(crate) ttl: Option<Duration>,
    /// Most ready messages.
    pub(crate) max_length: Option<usize>,
    /// Most bytes of ready bodies.
    pub(crate) max_bytes: Option<usize>,
    /// Refuse at the limit instead of dropping the oldest.
    pub(crate) reject_publish: bool,
    pub(crate) dead_exchange: Option<Arc<str>>,
    pub(crate) dead_key: Option<Arc<str>>,
    /// Most counted failures that are followed by another delivery.
    pub(crate) delivery_limit: Option<u32>,
    /// Highest priority told apart; without it all are one.
    pub(crate) max_priority: u8,
    /// Only the oldest consumer is served.
    pub(crate) single_active: bool,
}

impl Limits {
    /// Reads the arguments it knows; the others have no meaning here.
    ///
    /// # Errors
    /// The argument that is no value of its kind.
    pub(crate) fn parse(arguments: &Table) -> Result<Self, String> {
        let whole = |name: &str, max: u64| match arguments.get(name) {
            None => Ok(None),
            Some(value) => integer(value)
                .and_then(|number| u64::try_from(number).ok())
                .filter(|number| *number <= max)
                .map(Some)
                .ok_or_else(|| format!("argument `{name}` must be a whole number from 0 to {max}")),
        };
        let text = |name: &str| match arguments.get(name) {
            None => Ok(None),
            Some(value) => match value.as_text() {
                Some(text) => Ok(Some(Arc::<str>::from(text))),
                None => Err(format!("argument `{name}` must be text")),
            },
        };
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let limits = Self {
            ttl: whole("x-message-ttl", TTL_MAX_MS)?.map(Duration::from_millis),
            max_length: whole("x-max-length", i64::MAX as u64)?.map(count),
            max_bytes: whole("x-max-length-bytes", i64::MAX as u64)?.map(count),
            reject_publish: match text("x-overflow")?.as_deref() {
                None | Some("drop-head") => false,
                Some("reject-publish") => true,
                Some(other) => {
                    return Err(format!(
                        "argument `x-overflow` is `{other}`; known are drop-head and reject-publish"
                    ));
                }
            },
            dead_exchange: text("x-dead-letter-exchange")?,
            dead_key: text("x-dead-letter-routing-key")?,
            delivery_limit: match arguments.get("x-delivery-limit").and_then(integer) {
                Some(-1) => None,
                _ => whole("x-delivery-limit", u32::MAX.into())?
                    .and_then(|limit| u32::try_from(limit).ok()),
            },
            max_priority: whole("x-max-priority", 255)?
                .and_then(|highest| u8::try_from(highest).ok())
                .unwrap_or(0),
            single_active: match arguments.get("x-single-active-consumer") {
                None => false,
                Some(Value::Bool(single)) => *single,
                Some(_) => {
                    return Err("argument `x-single-active-consumer` must be a boolean".into());
                }
            },
        };
        if whole("x-expires", TTL_MAX_MS)? == Some(0) {
            return Err("argument `x-expires` must be above 0".into());
        }
        if limits.dead_key.is_some() && limits.dead_exchange.is_none() {
            return Err("argument `x-dead-letter-routing-key` without \
                 `x-dead-letter-exchange`"
                .into());
        }
        Ok(limits)
    }
}

/// The number, whatever integer type carries it.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::I8(n) => Some((*n).into()),
        Value::U8(n) => Some((*n).into()),
        Value::I16(n) => Some((*n).into()),
        Value::U16(n) => Some((*n).into()),
        Value::I32(n) => Some((*n).into()),
        Value::U32(n) => Some((*n).into()),
        Value::I64(n) => Some(*n),
        _ => None,
    }
}

/// Whether two values are one: integers by number, all else by type and content.
pub(crate) fn same_value(one: &Value, other: &Value) -> bool {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// Whether two tables say the same, in whatever order.
pub(crate) fn same_table(one: &Table, other: &Table) -> bool {
    let within = |outer: &Table, inner: &Table| {
        inner.iter().all(|(name, value)| {
            outer.get(name).is_some_and(|counterpart| same_value(counterpart, value))
        })
    };
    one.len() == other.len() && within(one, other) && within(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn reads_what_has_a_meaning() {
        let limits = Limits::parse(&table([
            ("x-message-ttl", Value::I32(50)),
            ("x-max-length", Value::I64(3)),
            ("x-overflow", Value::text("reject-publish")),
            ("x-dead-letter-exchange", Value::text("")),
            ("x-dead-letter-routing-key", Value::text("k")),
            ("x-delivery-limit", Value::U8(2)),
            ("x-max-priority", Value::I16(9)),
            ("x-queue-type", Value::text("quorum")),
        ]));
        let expected = Limits {
            ttl: Some(Duration::from_millis(50)),
            max_length: Some(3),
            max_bytes: None,
            reject_publish: true,
            dead_exchange: Some("".into()),
            dead_key: Some("k".into()),
            delivery_limit: Some(2),
            max_priority: 9,
            single_active: false,
        };
        assert_eq!(limits, Ok(expected));
        let unlimited = Limits::parse(&table([("x-delivery-limit", Value::I32(-1))]));
        assert_eq!(unlimited.map(|limits| limits.delivery_limit), Ok(None));
    }

    #[test]
    fn refuses_what_has_none() {
        for (name, value) in [
            ("x-message-ttl", Value::I32(-1)),
            ("x-message-ttl", Value::I64(1 << 32)),
            ("x-message-ttl", Value::text("5")),
            ("x-expires", Value::I32(0)),
            ("x-max-length", Value::Bool(true)),
            ("x-overflow", Value::text("explode")),
            ("x-max-priority", Value::I32(256)),
            ("x-delivery-limit", Value::I32(-2)),
            ("x-dead-letter-exchange", Value::I32(1)),
            ("x-dead-letter-routing-key", Value::text("k")),
            ("x-single-active-consumer", Value::I32(1)),
        ] {
            let error = Limits::parse(&table([(name, value)])).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn tables_are_the_same_by_value() {
        let one = table([("a", Value::I32(1)), ("b", Value::text("x"))]);
        let other = table([("b", Value::text("x")), ("a", Value::I64(1))]);
        assert!(same_table(&one, &other));
        assert!(!same_table(&one, &table([("a", Value::I32(1))])));
        assert!(!same_table(&one, &table([("a", Value::I32(2)), ("b", Value::text("x"))])));
        assert!(!same_value(&Value::text("1"), &Value::I32(1)));
    }
}
