//! Grow: replaces a consumer by one that may have more in hand.
//!
//! AMQP 0-9-1 gives a consumer its prefetch for life, and quorum queues know no limit for a whole
//! channel. So it is cancelled and a new one made, on the same channel: what the old one was sent
//! stays in hand, and is settled as ever.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use lockgate_transport::ConnectError;

use crate::connection::{CONNECT, Link};
use crate::guard::Inbox;
use crate::settle::Settler;
use crate::topology::short;

/// Longest wait for what is in hand to be settled, where otherwise more than the prefetch would be.
const ROOM: Duration = Duration::from_secs(1);
/// How often it is looked whether it is.
const LOOK: Duration = Duration::from_millis(5);

/// What a consumer is made of.
#[derive(Clone)]
pub(super) struct Consuming {
    pub(super) queue: String,
    pub(super) options: BasicConsumeOptions,
    pub(super) arguments: FieldTable,
    /// The prefetch of the settings.
    pub(super) full: u16,
    pub(super) link: Arc<Link>,
    pub(super) channel: Channel,
    pub(super) inbox: Arc<Inbox>,
    pub(super) settler: Arc<Settler>,
}

impl Consuming {
    /// A consumer with a prefetch of `size`.
    pub(super) async fn consume(&self, size: u16) -> Result<lapin::Result<Consumer>, ConnectError> {
        let queue = short(&self.queue)?;
        let qos = self.channel.basic_qos(size, BasicQosOptions::default());
        if let Err(error) = self.answer(qos).await {
            return Ok(Err(error));
        }
        let (options, arguments) = (self.options, self.arguments.clone());
        let consume = self.channel.basic_consume(queue, short("")?, options, arguments);
        Ok(self.answer(consume).await)
    }

    /// Replaces the consumer `tag` by one with a prefetch of `size`, or of less where too much is
    /// still in hand; says which.
    pub(super) async fn grow(self, tag: ShortString, size: u16) -> Result<(Consumer, u16), String> {
        let said = |error: &lapin::Error| self.link.explain(error);
        let cancel = self.channel.basic_cancel(tag, BasicCancelOptions::default());
        self.answer(cancel).await.map_err(|error| said(&error))?;
        let room = || self.full.saturating_sub(u16::try_from(self.open()).unwrap_or(u16::MAX));
        let settled = async {
            while room() < size {
                tokio::time::sleep(LOOK).await;
            }
        };
        // After that it is less, and grows again later.
        let _ = tokio::time::timeout(ROOM, settled).await;
        let size = size.min(room()).max(1);
        let consumer = self.consume(size).await.map_err(|error| error.to_string())?;
        Ok((consumer.map_err(|error| said(&error))?, size))
    }

    /// Waits until the broker has taken the settlements: a quorum queue may hear of the end of a
    /// connection before it hears of acks that came just before, and delivers those again. This asks
    /// the queue itself, on the same channel, and so is answered after them.
    pub(super) async fn arrived(&self) {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let Ok(queue) = short(&self.queue) else { return };
        let ask = self.channel.queue_declare(queue, options, FieldTable::default());
        // Whatever the answer, it came after them.
        let _ = self.answer(ask).await;
    }

    /// Deliveries in hand, handed out or not.
    pub(super) fn open(&self) -> usize {
        self.settler.open() + self.inbox.len()
    }

    /// Awaits an answer. One that stands behind what is not read for want of memory has time.
    async fn answer<T>(&self, request: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
        self.link.answer_unless(CONNECT, request, || self.inbox.is_held()).await
    }
}
