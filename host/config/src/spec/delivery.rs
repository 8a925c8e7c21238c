//! How messages are taken, retried and kept in order.

use std::time::Duration;

use lockgate_message::Property;
use serde::Deserialize;

/// `[delivery]`
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeliverySpec {
    pub order: Order,
    pub retry: RetrySpec,
    /// What gives a message a stable id where it has none of its own.
    pub id: Option<KeySource>,
    /// How long a stop waits for messages in flight. 30 s by default, 1 h at most.
    pub drain_timeout: Duration,
    /// The most messages taken and not yet settled, where the file limits it. 1 to 65,535.
    pub in_flight: Option<u32>,
    /// The most bytes of messages read from the source and still in memory, where the file says.
    /// 64 KiB to 64 GiB; one message is always read, however large.
    pub in_flight_bytes: Option<u64>,
}

/// Which messages must stay in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    None,
    /// Those with the same key.
    Key(KeySource),
    /// All.
    Strict,
}

/// The part of a message that is taken as a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `"header:customer"`
    Header(String),
    /// `"routing_key"`
    RoutingKey,
    /// `"property:message_id"`
    Property(Property),
}

/// How often a message is tried again, when, and where it waits for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetrySpec {
    pub policy: RetryPolicy,
    /// `queue` by default; `memory` where order is held.
    pub wait: Wait,
    /// Whether what must stay in order waits behind a message that is tried again. True by
    /// default; without meaning for [`Order::None`].
    pub hold: bool,
}

/// How often a message is tried again, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts in all, the first included: 5 by default, 1 to 1,000.
    pub attempts: u32,
    pub backoff: Backoff,
}

/// Where a message waits for its next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// In a queue of the source's broker: its attempts survive a restart.
    Queue,
    /// With the daemon, unacked.
    Memory,
}

/// Delays between attempts: `min` after the first, doubling up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// 200 ms by default, at least 1 ms.
    pub min: Duration,
    /// 30 s by default, at most 24 h, not below `min`.
    pub max: Duration,
}

/// `[batch]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchSpec {
    /// The most messages that a stage is called with at once: 64 by default, 1 to 1,024.
    pub max: usize,
}

impl KeySource {
    /// Reads `"header:customer"`, `"routing_key"` or `"property:message_id"`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "routing_key" {
            return Some(Self::RoutingKey);
        }
        match text.split_once(':')? {
            // A header's name is a short string of AMQP.
            ("header", name) if (1..=255).contains(&name.len()) => Some(Self::Header(name.into())),
            ("property", name) => Property::ALL
                .into_iter()
                .find(|property| property.name() == name)
                .map(Self::Property),
            _ => None,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let backoff = Backoff { min: Duration::from_millis(200), max: Duration::from_secs(30) };
        Self { attempts: 5, backoff }
    }
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self { policy: RetryPolicy::default(), wait: Wait::Queue, hold: true }
    }
}

impl Default for DeliverySpec {
    fn default() -> Self {
        Self {
            order: Order::None,
            retry: RetrySpec::default(),
            id: None,
            drain_timeout: Duration::from_secs(30),
            in_flight: None,
            in_flight_bytes: None,
        }
    }
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self { max: 64 }
    }
}
