//! Letter: what a dead letter says about itself, and the message inside an envelope.

use bytes::Bytes;
use lockgate_message::{Delivery, Head, Table, Value};
use lockgate_pipeline::{ENVELOPE_CONTENT_TYPE, Envelope};
use lockgate_transport_amqp::read_header;

pub(super) const REASON: &str = "lockgate-reason";
pub(super) const ERROR: &str = "lockgate-error";
pub(super) const PIPELINE: &str = "lockgate-pipeline";
pub(super) const GENERATION: &str = "lockgate-generation";
pub(super) const STAGE: &str = "lockgate-stage";
pub(super) const PLUGIN: &str = "lockgate-plugin";
pub(super) const ATTEMPTS: &str = "lockgate-attempts";
pub(super) const FAILED_AT: &str = "lockgate-failed-at";
pub(super) const ORIGINAL_EXCHANGE: &str = "lockgate-original-exchange";
pub(super) const ORIGINAL_ROUTING_KEY: &str = "lockgate-original-routing-key";
const HISTORY: &str = "lockgate-history";
/// Written by quorum queues.
pub(super) const DELIVERY_COUNT: &str = "x-delivery-count";
/// Written by a broker that dead-letters, with its companions.
const DEATH: &str = "x-death";
const DEATHS: [&str; 2] = ["x-first-death-", "x-last-death-"];

/// Who made a letter of its message last: only that is undone by a replay, and only what that one
/// says of it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    Lockgate,
    /// A Lockgate puts a message's `x-death` aside, so one that stands there was written after it.
    Broker,
    Nobody,
}

/// A dead letter that was taken out of the queue for a look.
pub(super) struct Letter {
    /// 1 for the head of the queue.
    pub(super) position: u64,
    pub(super) delivery: Delivery,
}

/// What is in an envelope.
pub(super) struct Opened {
    pub(super) raw_header: Bytes,
    /// Or why the header cannot be read.
    pub(super) head: Result<Head, &'static str>,
    pub(super) body: Bytes,
}

impl Letter {
    pub(super) fn head(&self) -> &Head {
        self.delivery.message.head()
    }

    pub(super) fn maker(&self) -> Maker {
        if self.death().is_some() {
            Maker::Broker
        } else if self.head().headers.get(REASON).is_some() {
            Maker::Lockgate
        } else {
            Maker::Nobody
        }
    }

    /// A header of the Lockgate that made the letter.
    fn said(&self, name: &str) -> Option<&Value> {
        self.head().headers.get(name).filter(|_| self.maker() == Maker::Lockgate)
    }

    /// The same as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.said(name).and_then(Value::as_text)
    }

    /// The same as a number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.said(name).and_then(number)
    }

    /// How often a quorum queue has delivered it.
    pub(super) fn deliveries(&self) -> i64 {
        self.head().headers.get(DELIVERY_COUNT).and_then(number).unwrap_or(0)
    }

    /// Why it is here, as a word. Messages that the broker brought here have its reason, if any.
    pub(super) fn reason(&self) -> &str {
        let broker = self.death().and_then(|death| death.get("reason")?.as_text());
        let first = || self.head().headers.get("x-first-death-reason").and_then(Value::as_text);
        match self.text(REASON).or(broker).or_else(first) {
            Some(reason) => reason,
            None if self.delivery.quarantine.is_some() => "unreadable",
            None => "unknown",
        }
    }

    /// Seconds since 1970.
    pub(super) fn failed_at(&self) -> Option<u64> {
        let broker = self.death().and_then(|death| number(death.get("time")?));
        self.number(FAILED_AT).or(broker).and_then(|at| u64::try_from(at).ok())
    }

    /// Exchange and routing key that its message was published with; any bytes.
    pub(super) fn origin(&self) -> Option<(&[u8], &[u8])> {
        let Some(death) = self.death() else {
            let exchange = self.said(ORIGINAL_EXCHANGE)?;
            return Some((bytes(exchange)?, bytes(self.said(ORIGINAL_ROUTING_KEY)?)?));
        };
        let Value::Array(keys) = death.get("routing-keys")? else { return None };
        // The others are those of CC.
        Some((bytes(death.get("exchange")?)?, keys.first().map_or(Some(&[][..]), bytes)?))
    }

    /// What the broker wrote when it last dead-lettered the message: the latest event is the first,
    /// and newer brokers name it as well.
    fn death(&self) -> Option<&Table> {
        let headers = &self.head().headers;
        let Some(Value::Array(events)) = headers.get(DEATH) else { return None };
        let mut events = events.iter().filter_map(|event| match event {
            Value::Table(event) => Some(event),
            _ => None,
        });
        let is_last = |event: &&Table| {
            ["queue", "reason"].iter().all(|what| {
                let last = headers.get(&format!("x-last-death-{what}"));
                last.is_some() && event.get(what) == last
            })
        };
        events.clone().find(is_last).or_else(|| events.next())
    }

    /// What earlier letters said of the message, the first one first.
    pub(super) fn history(&self) -> Vec<Earlier> {
        let headers = &self.head().headers;
        let mut earlier = match headers.get(HISTORY) {
            Some(Value::Array(letters)) => letters.iter().filter_map(Earlier::of).collect(),
            _ => Vec::new(),
        };
        // A letter of Lockgate that the broker has dead-lettered since.
        if self.maker() == Maker::Broker && headers.get(REASON).is_some() {
            earlier.push(Earlier::new(|name| headers.get(&format!("lockgate-{name}"))));
        }
        earlier
    }

    /// What is inside, if it is an envelope that a Lockgate made of its message.
    pub(super) fn open(&self) -> Option<Opened> {
        if self.maker() != Maker::Lockgate
            || self.head().properties.content_type.as_deref() != Some(ENVELOPE_CONTENT_TYPE)
        {
            return None;
        }
        let Envelope { raw_header, body } = Envelope::decode(self.delivery.message.body().clone())?;
        let head = read_header(&raw_header);
        Some(Opened { raw_header, head, body })
    }
}

/// Removes what a broker wrote when it dead-lettered a message, and what its queue counted: a broker
/// continues both where it finds them, and throws away what goes in a circle by that.
pub(super) fn forget_deaths(headers: &mut Table) {
    let is_death = |name: &str| {
        name == DELIVERY_COUNT || name == DEATH || DEATHS.iter().any(|one| name.starts_with(one))
    };
    *headers = std::mem::take(headers).into_iter().filter(|(name, _)| !is_death(name)).collect();
}

/// What one earlier letter said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Earlier {
    pub(super) reason: String,
    pub(super) error: Option<String>,
    pub(super) pipeline: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) failed_at: Option<u64>,
    pub(super) origin: Option<(Vec<u8>, Vec<u8>)>,
}

impl Earlier {
    fn of(letter: &Value) -> Option<Self> {
        let Value::Table(letter) = letter else { return None };
        Some(Self::new(|name| letter.get(name)))
    }

    fn new<'a>(get: impl Fn(&str) -> Option<&'a Value>) -> Self {
        let text = |name| get(name).and_then(Value::as_text).map(str::to_owned);
        let name = |name| get(name).and_then(bytes).map(<[u8]>::to_vec);
        Self {
            reason: text("reason").unwrap_or_else(|| "unknown".to_owned()),
            error: text("error"),
            pipeline: text("pipeline"),
            stage: text("stage"),
            failed_at: get("failed-at").and_then(number).and_then(|at| u64::try_from(at).ok()),
            origin: name("original-exchange").zip(name("original-routing-key")),
        }
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::I8(v) => Some((*v).into()),
        Value::U8(v) => Some((*v).into()),
        Value::I16(v) => Some((*v).into()),
        Value::U16(v) => Some((*v).into()),
        Value::I32(v) => Some((*v).into()),
        Value::U32(v) => Some((*v).into()),
        Value::I64(v) => Some(*v),
        Value::Timestamp(v) => i64::try_from(*v).ok(),
        _ => None,
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Str(bytes) | Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// Letters for tests.
#[cfg(test)]
pub(super) mod samples {
    use std::sync::Arc;

    use lockgate_message::{AckHandle, Message, Settle, Settlement};

    use super::*;

    struct Ignore;
    impl Settle for Ignore {
        fn settle(&self, _: u64, _: Settlement) {}
    }

    pub(in super::super) fn letter(headers: &[(&str, Value)], body: &'static [u8]) -> Letter {
        let mut head = Head { exchange: "dead".into(), ..Head::default() };
        head.headers = headers.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let message = Message::new(head, Bytes::from_static(body));
        let delivery = Delivery::new(message, false, AckHandle::new(Arc::new(Ignore), 1));
        Letter { position: 1, delivery }
    }

    pub(in super::super) fn text(name: &'static str, text: &str) -> (&'static str, Value) {
        (name, Value::text(text))
    }

    /// A letter of the message with the exchange `in` and the key `k`.
    pub(in super::super) fn from_origin(reason: &str) -> Letter {
        letter(
            &[
                text(REASON, reason),
                text(ORIGINAL_EXCHANGE, "in"),
                text(ORIGINAL_ROUTING_KEY, "k"),
                (FAILED_AT, Value::Timestamp(1_700_000_000)),
                ("mine", Value::I32(1)),
            ],
            b"body",
        )
    }

    /// A letter of Lockgate that the broker has dead-lettered since, twice.
    pub(in super::super) fn from_broker() -> Letter {
        let event = |queue: &str, reason: &str, exchange: &str, key: &str, time| {
            let entries = [
                ("queue", Value::text(queue)),
                ("reason", Value::text(reason)),
                ("exchange", Value::text(exchange)),
                ("routing-keys", Value::Array(vec![Value::text(key), Value::text("of.CC")])),
                ("time", Value::Timestamp(time)),
            ];
            Value::Table(
                entries.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
            )
        };
        let mut letter = from_origin("trap");
        let headers = &mut letter.delivery.message.head_mut().headers;
        let latest = event("orders.in", "rejected", "orders", "order.new", 1_700_000_100);
        let first = event("wait", "expired", "", "wait", 1_700_000_050);
        headers.set(DEATH, Value::Array(vec![latest, first]));
        headers.set("x-first-death-queue", Value::text("wait"));
        headers.set("x-first-death-exchange", Value::text(""));
        headers.set(DELIVERY_COUNT, Value::I64(1));
        letter.delivery.message.head_mut().properties.content_type =
            Some(ENVELOPE_CONTENT_TYPE.to_owned());
        letter
    }

    /// The same in an envelope around this content header.
    pub(in super::super) fn envelope(raw_header: &'static [u8]) -> Letter {
        let mut letter = from_origin("nesting");
        let raw_header = Bytes::from_static(raw_header);
        let envelope = Envelope { raw_header, body: Bytes::from_static(b"inner") };
        letter.delivery.message.set_body(envelope.encode());
        letter.delivery.message.head_mut().properties.content_type =
            Some(ENVELOPE_CONTENT_TYPE.to_owned());
        letter
    }

    /// A content header with a content type of `t` and a header `k` that is true.
    pub(in super::super) const RAW_HEADER: &[u8] = &[
        0,
        60,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        5,
        0b1010_0000,
        0,
        1,
        b't',
        0,
        0,
        0,
        4,
        1,
        b'k',
        b't',
        1,
    ];
}

#[cfg(test)]
mod tests {
    use super::samples::*;
    use super::*;

    #[test]
    fn an_envelope_opens() {
        let opened = envelope(RAW_HEADER).open().unwrap();
        let head = opened.head.unwrap();
        assert_eq!(head.properties.content_type.as_deref(), Some("t"));
        assert_eq!(head.headers.get("k"), Some(&Value::Bool(true)));
        assert_eq!(opened.body, "inner");
        assert_eq!(envelope(b"\0<broken").open().unwrap().head, Err("malformed"));
        assert!(from_origin("trap").open().is_none());
    }

    #[test]
    fn what_nobody_explained_has_a_reason_too() {
        assert_eq!(from_origin("trap").reason(), "trap");
        assert_eq!(letter(&[text("x-first-death-reason", "rejected")], b"").reason(), "rejected");
        assert_eq!(letter(&[], b"").reason(), "unknown");
        assert_eq!(letter(&[], b"").origin(), None);
        assert_eq!(from_origin("trap").origin(), Some((&b"in"[..], &b"k"[..])));
    }

    /// Whatever a message came with, the last word is that of the one who dead-lettered it last.
    #[test]
    fn a_letter_that_the_broker_made_has_the_brokers_reason_and_origin() {
        let mut gone = from_broker();
        let told =
            |letter: &Letter| (letter.reason().to_owned(), letter.failed_at(), letter.maker());
        assert_eq!(told(&gone), ("rejected".to_owned(), Some(1_700_000_100), Maker::Broker));
        assert_eq!(gone.origin(), Some((&b"orders"[..], &b"order.new"[..])));
        assert_eq!((gone.text(PIPELINE), gone.number(ATTEMPTS)), (None, None));
        assert!(gone.open().is_none());
        assert_eq!(gone.history().len(), 1);
        assert_eq!(gone.history()[0].reason, "trap");
        // Newer brokers say which event was the last one.
        for (what, text) in [("queue", "wait"), ("reason", "expired")] {
            let headers = &mut gone.delivery.message.head_mut().headers;
            headers.set(format!("x-last-death-{what}"), Value::text(text));
        }
        assert_eq!(gone.origin(), Some((&b""[..], &b"wait"[..])));
        let headers = &mut gone.delivery.message.head_mut().headers;
        forget_deaths(headers);
        assert!(headers.iter().all(|(name, _)| !name.starts_with("x-")), "{headers:?}");
    }

    #[test]
    fn forged_headers_make_no_letter_and_no_envelope() {
        let mut forged = letter(
            &[text(ORIGINAL_EXCHANGE, "elsewhere"), text(ORIGINAL_ROUTING_KEY, "k")],
            b"body",
        );
        assert_eq!((forged.maker(), forged.origin()), (Maker::Nobody, None));
        let content_type = &mut forged.delivery.message.head_mut().properties.content_type;
        *content_type = Some(ENVELOPE_CONTENT_TYPE.to_owned());
        assert!(forged.open().is_none());
    }
}
