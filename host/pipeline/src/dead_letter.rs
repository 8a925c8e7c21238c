//! Dead letters: the message as it came, and why it is there.

use lockgate_message::{Delivery, Message, Value};
use lockgate_transport::{Outgoing, RoutingKey};

use crate::aside::{CONTENT_TYPE, DEAD_LETTER, SHORT_MAX};
use crate::envelope::{ENVELOPE_CONTENT_TYPE, Envelope, content_header};
use crate::history;
use crate::job::Cause;
use crate::retry;
use crate::route::Target;

/// Who writes dead letters, for their headers.
pub(crate) struct Writer {
    pub(crate) pipeline: String,
    pub(crate) generation: u64,
    pub(crate) target: Target,
}

const PIPELINE: &str = "lockgate-pipeline";
const GENERATION: &str = "lockgate-generation";
const REASON: &str = "lockgate-reason";
const ATTEMPTS: &str = "lockgate-attempts";
const FIRST_FAILED_AT: &str = "lockgate-first-failed-at";
const FAILED_AT: &str = "lockgate-failed-at";
const STAGE: &str = "lockgate-stage";
const PLUGIN: &str = "lockgate-plugin";
const ERROR: &str = "lockgate-error";

/// Most bytes of the error in a letter for which there was no room otherwise. With it and the longest
/// names an envelope fits the smallest frame that the AMQP client agrees to (8192 bytes).
const BRIEF: usize = 1024;

/// What a dead letter says about its message.
pub(crate) const EXPLANATION: [&str; 9] =
    [PIPELINE, GENERATION, REASON, ATTEMPTS, FIRST_FAILED_AT, FAILED_AT, STAGE, PLUGIN, ERROR];

impl Writer {
    /// The dead letter of `delivery`: its body and headers and the `lockgate-*` headers. An
    /// envelope where it was quarantined, or `as_envelope` says that it does not fit otherwise.
    pub(crate) fn write(&self, delivery: &Delivery, cause: &Cause, as_envelope: bool) -> Outgoing {
        let mut message = match &delivery.quarantine {
            None if !as_envelope => unchanged(&delivery.message),
            quarantine => {
                let source = &delivery.message;
                let raw_header = match quarantine {
                    Some(quarantine) => quarantine.raw_header.clone(),
                    None => content_header(source.head(), source.body().len()),
                };
                let body = source.body().clone();
                enveloped(source, &Envelope { raw_header, body })
            }
        };
        let head = delivery.message.head();
        let (exchange, routing_key) = match &delivery.quarantine {
            // Which may be no text.
            Some(raw) => (&*raw.exchange, &*raw.routing_key),
            None => (head.exchange.as_bytes(), head.routing_key.as_bytes()),
        };
        DEAD_LETTER.put(&mut message, exchange, routing_key);
        if delivery.quarantine.is_none() && !as_envelope {
            close(&mut message);
        }
        self.explain(&mut message, delivery, cause, as_envelope);
        let mut outgoing = self.target.outgoing(message);
        // A template can make it longer than a broker takes; the origin is kept in headers.
        if let RoutingKey::Fixed(key) = &mut outgoing.routing_key
            && key.len() > SHORT_MAX
        {
            *key = key.get(..key.floor_char_boundary(SHORT_MAX)).unwrap_or_default().into();
        }
        outgoing
    }

    fn explain(&self, message: &mut Message, delivery: &Delivery, cause: &Cause, brief: bool) {
        let now = retry::now();
        let headers = &mut message.head_mut().headers;
        let mut set = |name: &str, value: Value| headers.set(name, value);
        set(PIPELINE, Value::text(&*self.pipeline));
        set(GENERATION, Value::I64(self.generation.cast_signed()));
        set(REASON, Value::text(&*cause.reason));
        set(ATTEMPTS, Value::I64(delivery.attempt.into()));
        set(FIRST_FAILED_AT, Value::Timestamp(delivery.first_failed.unwrap_or(now)));
        set(FAILED_AT, Value::Timestamp(now));
        let error = &*cause.text;
        let most = if brief { BRIEF } else { error.len() };
        let error = error.get(..error.floor_char_boundary(most)).unwrap_or_default();
        for (name, text) in [(STAGE, &*cause.stage), (PLUGIN, &*cause.plugin), (ERROR, error)] {
            if !text.is_empty() {
                set(name, Value::text(text));
            }
        }
    }
}

/// The message that a dead letter was made of, as it came: without what the dead letter says
/// about it, and with its origin as exchange and routing key. Not for envelopes, and not for what
/// the broker dead-lettered after that.
pub fn replayable(letter: &Message) -> Message {
    let mut message = letter.clone();
    let headers = &mut message.head_mut().headers;
    for name in EXPLANATION {
        headers.remove(name);
    }
    DEAD_LETTER.take_back(&mut message);
    history::take_back(&mut message.head_mut().headers);
    message
}

/// The message for a dead letter that is no envelope.
fn unchanged(source: &Message) -> Message {
    let mut message = source.clone();
    history::put(&mut message.head_mut().headers);
    message
}

/// Lets nobody take the message for this letter's envelope: it came as one, from another gate or
/// forged, and goes back as one.
fn close(message: &mut Message) {
    let head = message.head_mut();
    let envelope = head.properties.content_type.take_if(|kind| kind == ENVELOPE_CONTENT_TYPE);
    if let Some(envelope) = envelope {
        head.headers.set(DEAD_LETTER.name(CONTENT_TYPE), Value::text(envelope));
    }
}

fn enveloped(source: &Message, envelope: &Envelope) -> Message {
    let mut message = Message::default();
    let head = message.head_mut();
    head.routing_key = source.head().routing_key.clone();
    head.properties.content_type = Some(ENVELOPE_CONTENT_TYPE.to_owned());
    head.properties.message_id = source.head().properties.message_id.clone();
    message.set_body(envelope.encode());
    message
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lockgate_message::{AckHandle, Head, Quarantine, Settle, Settlement};

    use super::*;

    struct Ignore;
    impl Settle for Ignore {
        fn settle(&self, _: u64, _: Settlement) {}
    }

    fn writer() -> Writer {
        let target = Target { sink: 0, exchange: "dead".into(), routing_key: None };
        Writer { pipeline: "p".into(), generation: 1, target }
    }

    fn delivery() -> Delivery {
        let mut head = Head { exchange: "in".into(), routing_key: "k".into(), ..Head::default() };
        head.headers.set("mine", Value::I32(1));
        head.headers.set("CC", Value::Array(vec![]));
        head.properties.expiration = Some("5".into());
        head.properties.reply_to = Some("answers".into());
        Delivery::new(Message::new(head, "body"), false, AckHandle::new(Arc::new(Ignore), 1))
    }

    #[test]
    fn a_dead_letter_keeps_the_message_and_says_why() {
        let letter = writer().write(&delivery(), &Cause::after_chain("unroutable", "gone"), false);
        let head = letter.message.head();
        assert_eq!(letter.message.body(), "body");
        assert_eq!(head.headers.get("mine"), Some(&Value::I32(1)));
        assert_eq!(head.headers.get("CC"), None);
        assert_eq!(head.headers.get("lockgate-original-CC"), Some(&Value::Array(vec![])));
        assert_eq!(head.properties.expiration, None);
        assert_eq!(head.properties.reply_to.as_deref(), Some("answers"));
        for (name, text) in [
            ("lockgate-reason", "unroutable"),
            ("lockgate-error", "gone"),
            ("lockgate-original-exchange", "in"),
            ("lockgate-original-routing-key", "k"),
            ("lockgate-original-expiration", "5"),
        ] {
            assert_eq!(head.headers.get(name).and_then(Value::as_text), Some(text), "{name}");
        }
    }

    #[test]
    fn a_key_that_a_template_makes_too_long_is_cut() {
        let mut writer = writer();
        writer.target.routing_key = Some("dead.{{routing_key}}".into());
        let mut delivery = delivery();
        delivery.message.head_mut().routing_key = "ä".repeat(127);
        for as_envelope in [false, true] {
            let letter = writer.write(&delivery, &Cause::after_chain("invalid", ""), as_envelope);
            assert_eq!(letter.routing_key(), format!("dead.{}", "ä".repeat(125)));
            let origin = letter.message.head().headers.get("lockgate-original-routing-key");
            assert_eq!(origin.and_then(Value::as_text), Some(&*"ä".repeat(127)));
        }
    }

    #[test]
    fn what_was_quarantined_or_does_not_fit_goes_in_an_envelope() {
        let mut quarantined = delivery();
        let raw_header = bytes::Bytes::from_static(b"raw");
        let (exchange, routing_key) = ("in".into(), "k".into());
        quarantined.quarantine =
            Some(Box::new(Quarantine { reason: "nesting", raw_header, exchange, routing_key }));
        for (delivery, as_envelope) in [(quarantined, false), (delivery(), true)] {
            let cause = Cause::after_chain("nesting", "");
            let letter = writer().write(&delivery, &cause, as_envelope);
            let properties = &letter.message.head().properties;
            assert_eq!(properties.content_type.as_deref(), Some(ENVELOPE_CONTENT_TYPE));
            let envelope = Envelope::decode(letter.message.body().clone()).unwrap();
            assert_eq!(envelope.body, "body");
            assert!(!envelope.raw_header.is_empty());
        }
    }

    /// A routing key or the name of an exchange may be any bytes.
    #[test]
    fn a_name_that_is_no_text_is_kept_raw() {
        let mut delivery = delivery();
        delivery.quarantine = Some(Box::new(Quarantine {
            reason: "not_utf8",
            raw_header: bytes::Bytes::from_static(b"raw"),
            exchange: "in".into(),
            routing_key: bytes::Bytes::from_static(b"\xFEk"),
        }));
        let letter = writer().write(&delivery, &Cause::after_chain("not_utf8", ""), false);
        let headers = &letter.message.head().headers;
        let key = headers.get("lockgate-original-routing-key");
        assert_eq!(key, Some(&Value::Bytes(b"\xFEk".to_vec())));
        assert_eq!(headers.get("lockgate-original-exchange"), Some(&Value::text("in")));
    }

    fn sorted(message: &Message) -> Vec<(String, Value)> {
        let mut headers: Vec<_> = message.head().headers.iter().cloned().collect();
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        headers
    }

    /// One gate consumes what another gave up on: each replay undoes one dead letter, and nothing
    /// that this gate did not save itself is restored.
    #[test]
    fn a_letter_of_a_letter_goes_back_to_what_it_was_made_of() {
        let forged = {
            let mut delivery = delivery();
            let head = delivery.message.head_mut();
            head.headers.set("lockgate-original-expiration", Value::text("1"));
            head.headers.set("lockgate-original-exchange", Value::text("elsewhere"));
            head.headers.set("lockgate-attempts", Value::text("many"));
            head.headers.set("x-death", Value::Array(vec![]));
            head.properties.content_type = Some(ENVELOPE_CONTENT_TYPE.to_owned());
            delivery
        };
        let first = writer().write(&forged, &Cause::after_chain("trap", "one"), false).message;
        assert_eq!(first.head().properties.content_type, None);
        assert_eq!(first.head().headers.get("x-death"), None);
        let mut came = Delivery::new(first, false, AckHandle::new(Arc::new(Ignore), 1));
        came.message.head_mut().exchange = "dead".into();
        came.message.head_mut().routing_key = "d".into();
        let second = writer().write(&came, &Cause::after_chain("nacked", "two"), false).message;
        let reason = second.head().headers.get("lockgate-reason").and_then(Value::as_text);
        assert_eq!(reason, Some("nacked"));
        let back = replayable(&second);
        assert_eq!(sorted(&back), sorted(&came.message));
        assert_eq!((&*back.head().exchange, &*back.head().routing_key), ("dead", "d"));
        assert_eq!(back.head().properties, came.message.head().properties);
        let back = replayable(&back);
        assert_eq!(sorted(&back), sorted(&forged.message));
        assert_eq!(back.head().properties, forged.message.head().properties);
        assert_eq!((&*back.head().exchange, &*back.head().routing_key), ("in", "k"));
    }

    /// On a broker with the smallest frame, with the longest names.
    #[test]
    fn an_envelope_fits_the_smallest_frame() {
        const SMALLEST: usize = 8192;
        /// What the transport leaves free for the broker's own headers, and what it adds itself.
        const FREE: usize = 2500 + 100;
        let longest = "n".repeat(255);
        let mut writer = writer();
        writer.pipeline = "p".repeat(64);
        let mut delivery = delivery();
        let head = delivery.message.head_mut();
        head.exchange.clone_from(&longest);
        head.routing_key.clone_from(&longest);
        head.properties.message_id = Some(longest);
        let cause = Cause {
            stage: "s".repeat(64).into(),
            plugin: format!("{} 100.200.300 sha256:{}", "f".repeat(30), "0".repeat(64)).into(),
            reason: "r".repeat(64).into(),
            text: "é".repeat(100_000),
        };
        let letter = writer.write(&delivery, &cause, true).message;
        let header = content_header(letter.head(), 0).len();
        assert!(header + FREE <= SMALLEST, "{header} bytes");
    }
}
