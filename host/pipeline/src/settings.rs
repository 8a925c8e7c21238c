//! What of a pipeline file the core needs, already validated.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use lockgate_message::{Message, Property, PropertyValue};
use lockgate_transport::Backoff;

/// Limits and policies of one pipeline. [`Settings::default`] gives the documented defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    pub order: Order,
    /// What gives a message a stable id where it came without one.
    pub id: Option<KeySource>,
    /// Lanes (threads); [`Order::Strict`] always has one.
    pub lanes: usize,
    /// Most messages in one batch through the chain.
    pub batch_max: usize,
    /// Most body bytes in one batch; a bigger body goes alone.
    pub batch_bytes: usize,
    /// Most deliveries taken and not settled.
    pub in_flight: usize,
    /// Of stages that have none of their own.
    pub retry: RetryPolicy,
    /// Where a message waits for its next try.
    pub wait: Wait,
    /// Hold what must stay behind a message that waits for its next try; else it is overtaken.
    /// Held messages wait in memory.
    pub hold: bool,
    /// Delay between connection attempts.
    pub reconnect: Backoff,
    /// Time for finishing what is in flight after a stop; then the rest is requeued.
    pub drain: Duration,
    /// Stack of a lane's thread, bytes; a sandbox needs a known amount.
    pub lane_stack: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            order: Order::None,
            id: None,
            lanes: std::thread::available_parallelism().map_or(1, usize::from),
            batch_max: 64,
            batch_bytes: 1 << 20,
            in_flight: 1000,
            retry: RetryPolicy {
                attempts: 5,
                backoff: Backoff { min: Duration::from_millis(200), max: Duration::from_secs(30) },
            },
            wait: Wait::Memory,
            hold: true,
            reconnect: Backoff::default(),
            drain: Duration::from_secs(30),
            lane_stack: 4 << 20,
        }
    }
}

/// How often a message is tried, and when again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries of one message, the first included, before it is dead-lettered.
    pub attempts: u32,
    /// Delay between tries of one message.
    pub backoff: Backoff,
}

/// Where a message waits for its next try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// In its lane, unacked. A restart starts its attempts anew.
    Memory,
    /// In a delay queue of the source's broker that leads back to `queue`. Short waits stay in
    /// memory.
    Queue {
        /// Which of the pipeline's sinks reaches that broker.
        sink: usize,
        queue: Arc<str>,
    },
}

/// Which messages keep their order among each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// None do: any lane.
    None,
    /// Those with the same key do: same key, same lane.
    Key(KeySource),
    /// All do: one lane.
    Strict,
}

impl Order {
    /// What `message` has in common with those it must stay in order with; `None` without order.
    pub(crate) fn key(&self, message: &Message) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Key(source) => Some(source.hash(message)),
            Self::Strict => Some(0),
        }
    }
}

/// Where the key of [`Order::Key`] is read. A message without one has the empty key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    RoutingKey,
    Header(String),
    Property(Property),
}

impl KeySource {
    /// The key as text; `None` when the message has none.
    pub(crate) fn text<'m>(&self, message: &'m Message) -> Option<Cow<'m, str>> {
        let head = message.head();
        match self {
            Self::RoutingKey => Some(head.routing_key.as_str().into()),
            Self::Header(name) => {
                let value = head.headers.get(name)?;
                Some(value.as_text().map_or_else(|| format!("{value:?}").into(), Cow::Borrowed))
            }
            Self::Property(property) => match head.properties.get(*property)? {
                PropertyValue::Text(text) => Some(text.into()),
                PropertyValue::Number(number) => Some(number.to_string().into()),
            },
        }
    }

    fn hash(&self, message: &Message) -> u64 {
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        self.text(message).hash(&mut hasher);
        hasher.finish()
    }

    /// The lane of `message` among `lanes`.
    pub(crate) fn lane(&self, message: &Message, lanes: usize) -> usize {
        (self.hash(message) % lanes.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use lockgate_message::{Head, Value};

    use super::*;

    #[test]
    fn the_same_key_gives_the_same_lane() {
        let key = KeySource::Header("customer".into());
        let message = |value: Value| {
            let mut head = Head::default();
            head.headers.set("customer", value);
            Message::new(head, "")
        };
        let lane = key.lane(&message(Value::text("a")), 8);
        assert_eq!(lane, key.lane(&message(Value::text("a")), 8));
        let lanes: std::collections::HashSet<_> =
            (0..100).map(|n| key.lane(&message(Value::I32(n)), 8)).collect();
        assert!(lanes.len() > 4, "keys spread over lanes: {lanes:?}");
    }
}
