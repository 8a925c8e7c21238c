//! Sink: puts messages, and says of each what the broker made of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lockgate_message::Message;

use crate::{ConnectError, PutError};

/// Makes one sink generation.
#[async_trait]
pub trait SinkConnector: Send + Sync {
    /// Connects; every step has a deadline of its own. `lane` numbers the one lane that will use the
    /// sink; sinks of several lanes may share a connection, never a channel.
    async fn connect(&self, lane: usize) -> Result<Box<dyn Sink>, ConnectError>;

    /// Makes what the settings declare, and asks for nothing else: another pipeline may need it.
    async fn declare(&self) -> Result<(), ConnectError> {
        Ok(())
    }

    /// Makes or finds what the sink needs, as [`SinkConnector::connect`] does, and says everything that
    /// is wrong.
    async fn check(&self) -> Vec<ConnectError> {
        match self.connect(0).await {
            Ok(sink) => {
                sink.close(Duration::from_secs(2)).await;
                Vec::new()
            }
            Err(error) => vec![error],
        }
    }

    /// What it connects to, for people: no credentials.
    fn describe(&self) -> String;

    /// Why puts make no progress now though connected, for people; `None` when nothing is wrong.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Header values left out of what was published, because the client knows one value a name and
    /// the message had two.
    fn duplicate_headers(&self) -> u64 {
        0
    }
}

/// Where messages go, for one lane.
#[async_trait]
pub trait Sink: Send {
    /// Puts a block and resolves when the broker has decided about every message of it, or a
    /// deadline has passed: exactly one result per message, in the block's order.
    ///
    /// `Ok` means stored in every queue the message was routed to, and there was at least one.
    /// After any [`PutError::Unknown`] the sink is dead and must be replaced.
    ///
    /// What only the broker can judge, by hanging up, is `Unknown` in a block of several and may be
    /// [`PutError::Invalid`] in a block of one; the sink is dead then too, and says so when next asked.
    async fn put(&mut self, block: &[Outgoing]) -> Vec<Result<(), PutError>>;

    /// Makes a delay queue where it is missing, so that a put can name it.
    ///
    /// # Errors
    /// [`ConnectError::Fatal`] where this broker or its permissions do not allow it.
    async fn declare(&mut self, queue: &DelayQueue) -> Result<(), ConnectError>;

    /// Resolves, with why, when the sink is dead while nothing is asked of it. A sink whose loss
    /// shows only in [`Sink::put`] never does.
    ///
    /// Cancel-safe.
    async fn lost(&mut self) -> String {
        std::future::pending().await
    }

    /// Closes, spending at most `deadline`.
    async fn close(self: Box<Self>, deadline: Duration);
}

/// A queue in which messages wait, each for its expiration, before the broker puts them into
/// another: at least once, as everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayQueue {
    pub name: String,
    /// The queue that they go to.
    pub back_to: String,
    /// Longest wait.
    pub longest: Duration,
}

/// One copy of a message on its way to a target.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where to publish; overrides the message's own exchange, which is its origin.
    pub exchange: Arc<str>,
    pub routing_key: RoutingKey,
    pub message: Message,
}

/// The routing key of one copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutingKey {
    /// The message's own.
    Same,
    Fixed(Arc<str>),
}

impl Outgoing {
    /// The routing key to publish with.
    pub fn routing_key(&self) -> &str {
        match &self.routing_key {
            RoutingKey::Same => &self.message.head().routing_key,
            RoutingKey::Fixed(key) => key,
        }
    }
}
