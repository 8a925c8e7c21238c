//! Delivery: a message as taken from a source.

use std::time::Instant;

use bytes::Bytes;

use crate::{AckHandle, Message};

/// A message taken from a source, with the one right to settle it.
#[derive(Debug)]
pub struct Delivery {
    pub message: Message,
    /// The broker says that it was delivered before.
    pub redelivered: bool,
    /// 1 on the first try; counted by the pipeline, not by the broker.
    pub attempt: u32,
    /// When an attempt first failed, seconds since the Unix epoch.
    pub first_failed: Option<u64>,
    pub received: Instant,
    /// Set when the transport could not read the message's head; such a delivery never reaches
    /// a plugin.
    pub quarantine: Option<Box<Quarantine>>,
    pub ack: AckHandle,
}

/// One message as a stage sees it.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub message: &'a Message,
    pub redelivered: bool,
    /// 1 on the first try.
    pub attempt: u32,
}

/// What a transport could not carry, kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Why, as a stable snake_case word: `nesting`, `not_utf8`, `malformed`, `header_too_large`.
    pub reason: &'static str,
    /// The raw content-header frame payload, byte for byte.
    pub raw_header: Bytes,
    /// Where it was published, byte for byte: the message's own names are empty where these are not
    /// UTF-8.
    pub exchange: Bytes,
    pub routing_key: Bytes,
}

impl Delivery {
    /// A first attempt, received now.
    pub fn new(message: Message, redelivered: bool, ack: AckHandle) -> Self {
        let received = Instant::now();
        Self {
            message,
            redelivered,
            attempt: 1,
            first_failed: None,
            received,
            quarantine: None,
            ack,
        }
    }
}
