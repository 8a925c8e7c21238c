//! Aside: what a message must not say while it waits in a queue of ours, kept under other names,
//! and put back when it leaves.

use lockgate_message::{Message, Properties, Table, Value};

/// Under which names it is kept.
pub(crate) struct Aside {
    /// Before the name of what is kept.
    pub(crate) prefix: &'static str,
}

/// In dead letters.
pub(crate) const DEAD_LETTER: Aside = Aside { prefix: "lockgate-original-" };

/// In retry queues.
pub(crate) const RETRY: Aside = Aside { prefix: "lockgate-retry-" };

/// Headers that are renamed: CC and BCC would copy the message elsewhere, the others the broker
/// writes when the message leaves the queue, and continues where it finds them.
const HEADERS: [&str; 9] = [
    "CC",
    "BCC",
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
];

/// Most bytes of a short string (AMQP 0-9-1, 4.2.5.3).
pub(crate) const SHORT_MAX: usize = 255;

const EXCHANGE: &str = "exchange";
const ROUTING_KEY: &str = "routing-key";
const USER_ID: &str = "user-id";
const EXPIRATION: &str = "expiration";
const REPLY_TO: &str = "reply-to";
pub(crate) const CONTENT_TYPE: &str = "content-type";

/// The name of an exchange or a routing key as the value of a header: text where it is that.
pub(crate) fn name_value(name: &[u8]) -> Value {
    match std::str::from_utf8(name) {
        Ok(text) => Value::text(text),
        Err(_) => Value::Bytes(name.to_vec()),
    }
}

impl Aside {
    /// Keeps where the message came from, and what the queue or the publish must not see: an
    /// expiration would delete it, a foreign user-id or a direct reply-to close the channel. Headers
    /// that it came with under these names are somebody else's, and kept as all others are.
    pub(crate) fn put(&self, message: &mut Message, exchange: &[u8], routing_key: &[u8]) {
        let head = message.head_mut();
        let is_kept = |name: &str| HEADERS.contains(&name) || name.starts_with(self.prefix);
        for (name, value) in split_off(&mut head.headers, is_kept) {
            head.headers.push(self.name(&name), value);
        }
        let Properties { user_id, expiration, reply_to, .. } = &mut head.properties;
        let reply_to = reply_to.take_if(|to| to.starts_with("amq.rabbitmq.reply-to"));
        for (name, value) in [
            (USER_ID, user_id.take().map(Value::text)),
            (EXPIRATION, expiration.take().map(Value::text)),
            (REPLY_TO, reply_to.map(Value::text)),
            (EXCHANGE, Some(name_value(exchange))),
            (ROUTING_KEY, Some(name_value(routing_key))),
        ] {
            if let Some(value) = value {
                head.headers.set(self.name(name), value);
            }
        }
    }

    /// Undoes [`Aside::put`]. Headers of the prefix that are none of it are removed.
    pub(crate) fn take_back(&self, message: &mut Message) {
        let head = message.head_mut();
        for name in HEADERS {
            head.headers.remove(name);
        }
        // All of them before the first is put back, whose name may be that of another.
        for (name, value) in split_off(&mut head.headers, |name| name.starts_with(self.prefix)) {
            let name = name.strip_prefix(self.prefix).unwrap_or_default();
            // None of these is longer where a broker carried it; a forged one would fit nowhere.
            let text = || value.as_text().filter(|text| text.len() <= SHORT_MAX).map(str::to_owned);
            match name {
                EXCHANGE => head.exchange = text().unwrap_or_default(),
                ROUTING_KEY => head.routing_key = text().unwrap_or_default(),
                USER_ID => head.properties.user_id = text(),
                EXPIRATION => head.properties.expiration = text(),
                REPLY_TO => head.properties.reply_to = text(),
                CONTENT_TYPE => head.properties.content_type = text(),
                name if HEADERS.contains(&name) || name.starts_with(self.prefix) => {
                    head.headers.push(name.to_owned(), value);
                }
                _ => {}
            }
        }
    }

    /// The header that keeps `what`.
    pub(crate) fn name(&self, what: &str) -> String {
        format!("{}{what}", self.prefix)
    }
}

/// Takes the headers of these names out, in their order.
pub(crate) fn split_off(headers: &mut Table, names: impl Fn(&str) -> bool) -> Table {
    if !headers.iter().any(|(name, _)| names(name)) {
        return Table::new();
    }
    let (taken, rest): (Vec<_>, Vec<_>) =
        std::mem::take(headers).into_iter().partition(|(name, _)| names(name));
    *headers = rest.into_iter().collect();
    taken.into_iter().collect()
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
            aside.put(&mut message, b"in", b"k");
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
        RETRY.put(&mut message, b"in", b"k");
        message.head_mut().headers.set("x-death", Value::Array(vec![Value::Void]));
        message.head_mut().headers.set("x-first-death-queue", Value::text("q.retry.1s"));
        RETRY.take_back(&mut message);
        assert!(message.head().headers.is_empty());
    }

    /// A message may come with headers of these names: from another gate, or forged. None of them is
    /// taken for what was put aside here.
    #[test]
    fn what_was_not_put_aside_is_not_taken_back() {
        for aside in [DEAD_LETTER, RETRY] {
            let mut head =
                Head { exchange: "in".into(), routing_key: "k".into(), ..Head::default() };
            for what in ["expiration", "user-id", "reply-to", "content-type", "exchange", "CC"] {
                head.headers.set(aside.name(what), Value::text("1"));
            }
            let original = Message::new(head, "body");
            let mut message = original.clone();
            aside.put(&mut message, b"in", b"k");
            aside.take_back(&mut message);
            assert_eq!(message, original, "{}", aside.prefix);
        }
    }
}
