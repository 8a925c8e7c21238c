//! Letter: what a dead letter says about itself, and the message inside an envelope.

use bytes::Bytes;
use lockgate_message::{Delivery, Head, Value};
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
/// Written by quorum queues.
pub(super) const DELIVERY_COUNT: &str = "x-delivery-count";

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

    /// The text of a header.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.head().headers.get(name).and_then(Value::as_text)
    }

    /// The number in a header.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match self.head().headers.get(name)? {
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

    /// Why it is here, as a word. Messages that another dead-lettering brought here have the
    /// broker's reason, if any.
    pub(super) fn reason(&self) -> &str {
        match self.text(REASON).or_else(|| self.text("x-first-death-reason")) {
            Some(reason) => reason,
            None if self.delivery.quarantine.is_some() => "unreadable",
            None => "unknown",
        }
    }

    /// Seconds since 1970.
    pub(super) fn failed_at(&self) -> Option<u64> {
        self.number(FAILED_AT).and_then(|at| u64::try_from(at).ok())
    }

    /// Exchange and routing key that its message was published with.
    pub(super) fn origin(&self) -> Option<(&str, &str)> {
        Some((self.text(ORIGINAL_EXCHANGE)?, self.text(ORIGINAL_ROUTING_KEY)?))
    }

    /// What is inside, if it is an envelope.
    pub(super) fn open(&self) -> Option<Opened> {
        if self.head().properties.content_type.as_deref() != Some(ENVELOPE_CONTENT_TYPE) {
            return None;
        }
        let Envelope { raw_header, body } = Envelope::decode(self.delivery.message.body().clone())?;
        let head = read_header(&raw_header);
        Some(Opened { raw_header, head, body })
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
        assert_eq!(from_origin("trap").origin(), Some(("in", "k")));
    }
}
