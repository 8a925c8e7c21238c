//! Aside: what a message must not say while it waits in a queue of ours, kept under other names,
//! and put back when it leaves.

use lockgate_message::{Message, Properties, Value};

/// Which headers are renamed, and to what.
pub(crate) struct Aside {
    /// Before the name of what is kept.
    pub(crate) prefix: &'static str,
    headers: &'static [&'static str],
}

/// In dead letters: CC and BCC would copy it elsewhere.
pub(crate) const DEAD_LETTER: Aside =
    Aside { prefix: "lockgate-original-", headers: &["CC", "BCC"] };

/// In retry queues: also what the broker writes when the message leaves them.
pub(crate) const RETRY: Aside = Aside {
    prefix: "lockgate-retry-",
    headers: &[
        "CC",
        "BCC",
        "x-death",
        "x-first-death-exchange",
        "x-first-death-queue",
        "x-first-death-reason",
        "x-last-death-exchange",
        "x-last-death-queue",
        "x-last-death-reason",
    ],
};

/// Most bytes of a short string (AMQP 0-9-1, 4.2.5.3).
pub(crate) const SHORT_MAX: usize = 255;

const EXCHANGE: &str = "exchange";
const ROUTING_KEY: &str = "routing-key";
const USER_ID: &str = "user-id";
const EXPIRATION: &str = "expiration";
const REPLY_TO: &str = "reply-to";

impl Aside {
    /// Keeps where the message came from, and what the queue or the publish must not see: an
    /// expiration would delete it, a foreign user-id or a direct reply-to close the channel.
    pub(crate) fn put(&self, message: &mut Message, exchange: &str, routing_key: &str) {
        let head = message.head_mut();
        for name in self.headers {
            if let Some(value) = head.headers.get(name).cloned() {
                head.headers.remove(name);
                head.headers.set(self.name(name), value);
            }
        }
        let Properties { user_id, expiration, reply_to, .. } = &mut head.properties;
        let reply_to = reply_to.take_if(|to| to.starts_with("amq.rabbitmq.reply-to"));
        for (name, value) in [
            (USER_ID, user_id.take()),
            (EXPIRATION, expiration.take()),
            (REPLY_TO, reply_to),
            (EXCHANGE, Some(exchange.to_owned())),
            (ROUTING_KEY, Some(routing_key.to_owned())),
        ] {
            if let Some(value) = value {
                head.headers.set(self.name(name), Value::text(value));
            }
        }
    }

    /// Undoes [`Aside::put`]. Headers of the prefix that are none of it are removed.
    pub(crate) fn take_back(&self, message: &mut Message) {
        let head = message.head_mut();
        for name in self.headers {
            head.headers.remove(name);
        }
        let kept: Vec<_> = head
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(self.prefix)?, value)))
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        for (name, value) in kept {
            head.headers.remove(&self.name(&name));
            // None of these is longer where a broker carried it; a forged one would fit nowhere.
            let text = || value.as_text().filter(|text| text.len() <= SHORT_MAX).map(str::to_owned);
            match name.as_str() {
                EXCHANGE => head.exchange = text().unwrap_or_default(),
                ROUTING_KEY => head.routing_key = text().unwrap_or_default(),
                USER_ID => head.properties.user_id = text(),
                EXPIRATION => head.properties.expiration = text(),
                REPLY_TO => head.properties.reply_to = text(),
                name if self.headers.contains(&name) => head.headers.set(name, value),
                _ => {}
            }
        }
    }

    /// The header that keeps `what`.
    pub(crate) fn name(&self, what: &str) -> String {
        format!("{}{what}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use lockgate_message::Head;

    use super::*;

    #[test]
    fn what_is_set_aside_comes_back() {
        let mut head = Head { exchange: "in".into(), routing_key: "k".into(), ..Head::default() };
        head.headers.set("mine", Value::I32(1));
        head.headers.set("lockgate-reason", Value::text("of another gate"));
        head.headers.set("CC", Value::Array(vec![Value::text("q")]));
        head.headers.set("x-death", Value::Array(vec![]));
        head.properties.expiration = Some("5".into());
        head.properties.user_id = Some("guest".into());
        head.properties.reply_to = Some("amq.rabbitmq.reply-to.abc".into());
        let original = Message::new(head, "body");
        for aside in [DEAD_LETTER, RETRY] {
            let mut message = original.clone();
            aside.put(&mut message, "in", "k");
            let head = message.head_mut();
            assert_eq!(head.properties, Properties::default());
            assert_eq!(head.headers.get("CC"), None);
            head.exchange = String::new();
            head.routing_key = "queue".into();
            aside.take_back(&mut message);
            let sorted = |message: &Message| {
                let mut headers: Vec<_> = message.head().headers.iter().cloned().collect();
                headers.sort_by(|a, b| a.0.cmp(&b.0));
                headers
            };
            assert_eq!(sorted(&message), sorted(&original));
            assert_eq!(message.head().properties, original.head().properties);
            assert_eq!(message.head().exchange, "in");
            assert_eq!(message.head().routing_key, "k");
        }
    }

    #[test]
    fn what_the_broker_wrote_meanwhile_goes() {
        let mut message = Message::default();
        RETRY.put(&mut message, "in", "k");
        message.head_mut().headers.set("x-death", Value::Array(vec![Value::Void]));
        message.head_mut().headers.set("x-first-death-queue", Value::text("q.retry.1s"));
        RETRY.take_back(&mut message);
        assert!(message.head().headers.is_empty());
    }
}
