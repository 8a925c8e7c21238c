//! Dead letters: the message as it came, and why it is there.

use std::time::{SystemTime, UNIX_EPOCH};

use lockgate_message::{Delivery, Message, Value};
use lockgate_transport::Outgoing;

use crate::envelope::{ENVELOPE_CONTENT_TYPE, Envelope, content_header};
use crate::job::Cause;
use crate::route::Target;

/// Who writes dead letters, for their headers.
pub(crate) struct Writer {
    pub(crate) pipeline: String,
    pub(crate) generation: u64,
    pub(crate) target: Target,
}

/// Headers and properties that a publish would strip or the dead letter must not obey: CC and
/// BCC would copy it elsewhere, an expiration would delete it from the dead-letter queue, a
/// foreign user-id would close the channel.
const MOVED_HEADERS: [&str; 2] = ["CC", "BCC"];

impl Writer {
    /// The dead letter of `delivery`: its body and headers and the `lockgate-*` headers. An
    /// envelope where it was quarantined, or `as_envelope` says that it does not fit otherwise.
    pub(crate) fn write(&self, delivery: &Delivery, cause: &Cause, as_envelope: bool) -> Outgoing {
        let mut message = match &delivery.quarantine {
            None if !as_envelope => delivery.message.clone(),
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
        self.set_aside(&mut message);
        self.explain(&mut message, delivery, cause);
        self.target.outgoing(message)
    }

    fn set_aside(&self, message: &mut Message) {
        let head = message.head_mut();
        for name in MOVED_HEADERS {
            if let Some(value) = head.headers.get(name).cloned() {
                head.headers.remove(name);
                head.headers.set(format!("lockgate-original-{name}"), value);
            }
        }
        let properties = &mut head.properties;
        let direct = |key: &String| key.starts_with("amq.rabbitmq.reply-to");
        for (name, value) in [
            ("user-id", properties.user_id.take()),
            ("expiration", properties.expiration.take()),
            ("reply-to", properties.reply_to.take_if(|key| direct(key))),
        ] {
            if let Some(value) = value {
                head.headers.set(format!("lockgate-original-{name}"), Value::text(value));
            }
        }
    }

    fn explain(&self, message: &mut Message, delivery: &Delivery, cause: &Cause) {
        let origin = delivery.message.head();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let headers = &mut message.head_mut().headers;
        let mut set = |name: &str, value: Value| headers.set(name, value);
        set("lockgate-pipeline", Value::text(&*self.pipeline));
        set("lockgate-generation", Value::I64(self.generation.cast_signed()));
        set("lockgate-reason", Value::text(&*cause.reason));
        set("lockgate-attempts", Value::I64(delivery.attempt.into()));
        set("lockgate-failed-at", Value::Timestamp(now));
        set("lockgate-original-exchange", Value::text(&*origin.exchange));
        set("lockgate-original-routing-key", Value::text(&*origin.routing_key));
        for (name, text) in [
            ("lockgate-stage", &*cause.stage),
            ("lockgate-plugin", &*cause.plugin),
            ("lockgate-error", &*cause.text),
        ] {
            if !text.is_empty() {
                set(name, Value::text(text));
            }
        }
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
    fn what_was_quarantined_or_does_not_fit_goes_in_an_envelope() {
        let mut quarantined = delivery();
        let raw_header = bytes::Bytes::from_static(b"raw");
        quarantined.quarantine = Some(Box::new(Quarantine { reason: "nesting", raw_header }));
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
}
