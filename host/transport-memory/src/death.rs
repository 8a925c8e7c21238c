//! Dead letters: the `x-death` header as RabbitMQ writes it, and circles of dead-lettering.

use std::time::{SystemTime, UNIX_EPOCH};

use lockgate_message::{Message, Table, Value};

/// Why a message left a queue other than by an ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Rejected,
    Expired,
    MaxLength,
    DeliveryLimit,
}

impl Reason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// Most events kept; one is a pair of queue and reason, so only a forged header has more.
const EVENTS_MAX: usize = 100;

/// Writes the death into the headers: one event per queue and reason, counted, the latest in
/// front; `x-first-death-*` once and `x-last-death-*` always. An expiration is taken out and
/// kept in the event, else the message would expire in the dead-letter queue too.
pub(crate) fn record(message: &mut Message, queue: &str, reason: Reason) {
    let head = message.head_mut();
    let mut events = match head.headers.get("x-death") {
        Some(Value::Array(events)) => events.clone(),
        _ => Vec::new(),
    };
    let same = |event: &Value| said(event, "queue", queue) && said(event, "reason", reason.name());
    let mut event = match events.iter().position(same) {
        Some(at) => match events.remove(at) {
            Value::Table(event) => event,
            _ => Table::new(),
        },
        None => Table::with_capacity(7),
    };
    let count = match event.get("count") {
        Some(Value::I64(count)) => count.saturating_add(1),
        _ => 1,
    };
    event.set("count", Value::I64(count));
    event.set("reason", Value::text(reason.name()));
    event.set("queue", Value::text(queue));
    event.set("time", Value::Timestamp(now()));
    event.set("exchange", Value::text(head.exchange.clone()));
    event.set("routing-keys", Value::Array(vec![Value::text(head.routing_key.clone())]));
    if let Some(expiration) = head.properties.expiration.take() {
        event.set("original-expiration", Value::text(expiration));
    }
    events.insert(0, Value::Table(event));
    events.truncate(EVENTS_MAX);
    head.headers.set("x-death", Value::Array(events));

    let exchange = head.exchange.clone();
    let first = head.headers.get("x-first-death-queue").is_none();
    for prefix in ["x-first-death", "x-last-death"].into_iter().skip(usize::from(!first)) {
        head.headers.set(format!("{prefix}-exchange"), Value::text(exchange.clone()));
        head.headers.set(format!("{prefix}-queue"), Value::text(queue));
        head.headers.set(format!("{prefix}-reason"), Value::text(reason.name()));
    }
}

/// Whether dead-lettering to `queue` would go round in a circle that no consumer takes part in:
/// it died there before, and nobody rejected it since.
///
/// RabbitMQ's rule (`rabbit_dead_letter:is_cycle`); it breaks every such circle by dropping.
pub(crate) fn goes_round(message: &Message, queue: &str) -> bool {
    let Some(Value::Array(events)) = message.head().headers.get("x-death") else {
        return false;
    };
    let Some(at) = events.iter().position(|event| said(event, "queue", queue)) else {
        return false;
    };
    events.iter().take(at + 1).all(|event| !said(event, "reason", Reason::Rejected.name()))
}

fn said(event: &Value, name: &str, text: &str) -> bool {
    match event {
        Value::Table(event) => event.get(name).and_then(Value::as_text) == Some(text),
        _ => false,
    }
}

/// Seconds since the epoch, for people; nothing is decided by it.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use lockgate_message::Head;

    use super::*;

    fn events(message: &Message) -> Vec<String> {
        let Some(Value::Array(events)) = message.head().headers.get("x-death") else {
            return Vec::new();
        };
        let text = |event: &Table, name: &str| {
            event.get(name).and_then(Value::as_text).unwrap_or_default().to_owned()
        };
        events
            .iter()
            .map(|event| match event {
                Value::Table(event) => {
                    let Some(Value::I64(count)) = event.get("count") else { panic!("no count") };
                    format!("{} {} {count}", text(event, "queue"), text(event, "reason"))
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn counts_by_queue_and_reason_the_latest_in_front() {
        let mut message = Message::default();
        for (queue, reason) in [
            ("a", Reason::Rejected),
            ("b", Reason::Expired),
            ("a", Reason::Rejected),
            ("a", Reason::MaxLength),
            ("b", Reason::DeliveryLimit),
        ] {
            record(&mut message, queue, reason);
        }
        let expected = ["b delivery_limit 1", "a maxlen 1", "a rejected 2", "b expired 1"];
        assert_eq!(events(&message), expected);
        let header = |name: &str| message.head().headers.get(name).and_then(Value::as_text);
        assert_eq!(header("x-first-death-queue"), Some("a"));
        assert_eq!(header("x-first-death-reason"), Some("rejected"));
        assert_eq!(header("x-last-death-queue"), Some("b"));
        assert_eq!(header("x-last-death-reason"), Some("delivery_limit"));
    }

    #[test]
    fn keeps_the_origin_and_takes_the_expiration_out() {
        let mut message = Message::new(
            Head { exchange: "x".into(), routing_key: "k".into(), ..Head::default() },
            "",
        );
        message.head_mut().properties.expiration = Some("5".into());
        record(&mut message, "q", Reason::Expired);
        assert_eq!(message.head().properties.expiration, None);
        let Some(Value::Array(events)) = message.head().headers.get("x-death") else { panic!() };
        let Value::Table(event) = &events[0] else { panic!() };
        assert_eq!(event.get("original-expiration"), Some(&Value::text("5")));
        assert_eq!(event.get("exchange"), Some(&Value::text("x")));
        assert_eq!(event.get("routing-keys"), Some(&Value::Array(vec![Value::text("k")])));
        assert!(matches!(event.get("time"), Some(Value::Timestamp(1..))));
    }

    #[test]
    fn a_circle_is_one_without_a_reject() {
        for (deaths, queue, expected) in [
            (&[][..], "a", false),
            (&[("a", Reason::Expired)], "a", true),
            (&[("a", Reason::Expired)], "b", false),
            (&[("a", Reason::Rejected)], "a", false),
            (&[("a", Reason::Expired), ("b", Reason::Rejected)], "a", false),
            (&[("b", Reason::Rejected), ("a", Reason::Expired)], "a", true),
        ] {
            let mut message = Message::default();
            for (queue, reason) in deaths {
                record(&mut message, queue, *reason);
            }
            assert_eq!(goes_round(&message, queue), expected, "{deaths:?} {queue}");
        }
    }

    #[test]
    fn forged_headers_do_no_harm() {
        for forged in [
            Value::text("x"),
            Value::Array(vec![Value::Void, Value::I32(1)]),
            Value::Array(vec![Value::Table(Table::new()); 1000]),
        ] {
            let mut message = Message::default();
            message.head_mut().headers.set("x-death", forged);
            record(&mut message, "a", Reason::Expired);
            assert!(goes_round(&message, "a"));
            let Some(Value::Array(events)) = message.head().headers.get("x-death") else {
                panic!()
            };
            assert!(events.len() <= EVENTS_MAX);
        }
    }
}
