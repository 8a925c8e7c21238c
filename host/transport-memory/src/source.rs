//! Source: one consumer behind the transport's trait.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lockgate_message::{AckHandle, Delivery, Settle, Settlement};
use lockgate_transport::declare::Declaring;
use lockgate_transport::{ConnectError, Source, SourceConnector, SourceError};

use crate::consumer::{ConsumerId, Standing, Window};
use crate::{Broker, SourceSettings};

/// Makes sources on one queue.
pub struct MemorySourceConnector {
    broker: Broker,
    settings: SourceSettings,
    bytes: usize,
    declaring: Declaring,
}

impl MemorySourceConnector {
    pub fn new(broker: &Broker, settings: SourceSettings) -> Self {
        let (bytes, declaring) = (usize::MAX, Declaring::default());
        Self { broker: broker.clone(), settings, bytes, declaring }
    }

    /// Takes on only while the bodies of what is not settled have less than so many bytes.
    #[must_use]
    pub fn bounded(self, in_flight_bytes: usize) -> Self {
        Self { bytes: in_flight_bytes, ..self }
    }

    /// Lets it wait for what is missing while pipelines of this run still declare.
    #[must_use]
    pub fn beside(self, declaring: &Declaring) -> Self {
        Self { declaring: declaring.clone(), ..self }
    }
}

#[async_trait]
impl SourceConnector for MemorySourceConnector {
    async fn declare(&self) -> Result<(), ConnectError> {
        let made = self.settings.make(&self.broker);
        made.map_err(|error| ConnectError::Fatal(error.to_string()))
    }

    async fn check(&self) -> Result<(), ConnectError> {
        let fatal = |error: crate::BrokerError| ConnectError::Fatal(error.to_string());
        self.settings.apply(&self.broker).map_err(fatal)?;
        self.broker.depth(&self.settings.queue).map(drop).map_err(fatal)
    }

    /// Declares and consumes. What the broker refuses is fatal: nothing heals it here.
    async fn connect(&self) -> Result<Box<dyn Source>, ConnectError> {
        if let Some(error) = self.broker.with(|state| state.switches.connects.pop_front()) {
            return Err(error);
        }
        let declaring = self.declaring.any();
        let fatal = |error: crate::BrokerError| {
            let text = error.to_string();
            let may_come = error.may_come(declaring);
            if may_come { ConnectError::Retry(text) } else { ConnectError::Fatal(text) }
        };
        self.settings.apply(&self.broker).map_err(fatal)?;
        let live = Arc::new(AtomicBool::new(true));
        let SourceSettings { queue, prefetch, .. } = &self.settings;
        let window = Window { prefetch: *prefetch, bytes: self.bytes };
        let id = self
            .broker
            .with(|state| state.subscribe(queue, window, live.clone()))
            .map_err(fatal)?;
        let subscription = Arc::new(Subscription { broker: self.broker.clone(), id, live });
        Ok(Box::new(MemorySource(subscription)))
    }

    fn describe(&self) -> String {
        format!("memory queue {}", self.settings.queue)
    }
}

struct MemorySource(Arc<Subscription>);

/// What a source shares with its handles.
struct Subscription {
    broker: Broker,
    id: ConsumerId,
    live: Arc<AtomicBool>,
}

impl Settle for Subscription {
    fn settle(&self, tag: u64, settlement: Settlement) {
        if self.is_live() {
            // Dropped here, where the lock is free again.
            drop(self.broker.with(|state| state.settle(self.id, tag, settlement)));
        }
    }

    fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn next(&mut self, max: usize, into: &mut Vec<Delivery>) -> Result<(), SourceError> {
        // A source that always has something must still let other tasks run.
        tokio::task::consume_budget().await;
        poll_fn(|cx| self.poll(cx, max, into)).await
    }

    async fn cancel(&mut self) {
        self.0.broker.with(|state| state.stand_down(self.0.id, Standing::Cancelled));
    }

    async fn close(self: Box<Self>, _deadline: Duration) {}
}

impl MemorySource {
    fn poll(
        &self,
        cx: &mut Context<'_>,
        max: usize,
        into: &mut Vec<Delivery>,
    ) -> Poll<Result<(), SourceError>> {
        let subscription = &self.0;
        let received = Instant::now();
        subscription.broker.with(|state| {
            let taken = state.take(subscription.id, max, |tag, entry| {
                let ack = AckHandle::new(subscription.clone(), tag);
                into.push(Delivery {
                    first_failed: None,
                    message: entry.message().clone(),
                    redelivered: entry.redelivered,
                    attempt: 1,
                    received,
                    quarantine: None,
                    ack,
                });
            });
            let Some(consumer) = state.consumer(subscription.id) else {
                return Poll::Ready(Err(SourceError::Lost("the connection was cut".into())));
            };
            match consumer.standing {
                _ if taken > Some(0) || max == 0 => Poll::Ready(Ok(())),
                Standing::Active => {
                    consumer.wait(cx.waker());
                    Poll::Pending
                }
                Standing::Cancelled => Poll::Ready(Err(SourceError::End)),
                Standing::Evicted => {
                    let text = "the broker cancelled the consumer";
                    Poll::Ready(Err(SourceError::Lost(text.into())))
                }
            }
        })
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        self.0.broker.with(|state| state.unsubscribe(self.0.id));
    }
}

#[cfg(test)]
mod tests;
