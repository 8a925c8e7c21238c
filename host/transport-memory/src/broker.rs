//! Broker: the handle, the lock, and the direct interface for demos and tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockgate_message::{Message, Table};
use lockgate_transport::PutError;
use tokio::sync::{Notify, oneshot};

use crate::state::{Publication, Refusal, RouteMemo, State};
use crate::watch::Watcher;
use crate::{BrokerError, ExchangeOptions, QueueOptions, QueueStats, Stats, timer};

/// Memory for messages unless told otherwise: 256 MiB.
const MEMORY_LIMIT: usize = 256 << 20;

/// An embedded broker. Clones are one broker; it ends with the last of them and of the sources
/// and sinks on it.
#[derive(Clone)]
pub struct Broker {
    pub(crate) shared: Arc<Shared>,
}

/// What all clones share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Tells publishers that wait to look again.
    pub(crate) room: Notify,
    /// Tells the timer's task that the first deadline is another.
    pub(crate) earlier: Arc<Notify>,
}

impl Shared {
    /// The bare lock. A panic inside leaves counters off by one message at worst, so a poisoned
    /// lock is used on.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One stay inside the lock: lets pass what is due, does `work`, buries the dead, and, once
    /// the lock is free, wakes whoever waits for what has changed.
    pub(crate) fn with<R>(self: &Arc<Self>, work: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        state.tick();
        let result = work(&mut state);
        let wakers = state.finish();
        let let_on = std::mem::take(&mut state.let_on);
        let unwatched = !state.deadlines.is_empty() && !state.deadlines.watched;
        state.deadlines.watched |= unwatched;
        let earlier = std::mem::take(&mut state.deadlines.changed);
        drop(state);
        if unwatched {
            timer::start(self);
        } else if earlier {
            self.earlier.notify_one();
        }
        if let_on {
            self.room.notify_waiters();
        }
        for waker in wakers {
            waker.wake();
        }
        result
    }
}

impl Default for Broker {
    fn default() -> Self {
        Self::with_memory_limit(MEMORY_LIMIT)
    }
}

impl Broker {
    /// With 256 MiB for messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// With so many bytes for messages: bodies, headers and about 600 bytes for each message,
    /// counted once per queue that holds it.
    pub fn with_memory_limit(bytes: usize) -> Self {
        let shared = Shared {
            state: Mutex::new(State::new(bytes)),
            room: Notify::new(),
            earlier: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        self.shared.with(work)
    }

    /// Makes a queue, or sees that it is there with the same options.
    ///
    /// # Errors
    /// [`BrokerError::Precondition`] when it is there with others or an argument has no meaning,
    /// [`BrokerError::Refused`] for a reserved name, [`BrokerError::Limit`] at 10,000 queues.
    pub fn declare_queue(&self, name: &str, options: QueueOptions) -> Result<(), BrokerError> {
        self.with(|state| state.declare_queue(name, options))
    }

    /// Makes an exchange, or sees that it is there with the same options.
    ///
    /// # Errors
    /// As [`Self::declare_queue`]; at most 10,000 exchanges.
    pub fn declare_exchange(
        &self,
        name: &str,
        options: ExchangeOptions,
    ) -> Result<(), BrokerError> {
        self.with(|state| state.topology.declare_exchange(name, options))
    }

    /// Sees that a queue is there: a passive declare.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    pub fn verify_queue(&self, name: &str) -> Result<(), BrokerError> {
        self.with(|state| state.topology.queue(name)).map(drop)
    }

    /// Sees that an exchange is there: a passive declare.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    pub fn verify_exchange(&self, name: &str) -> Result<(), BrokerError> {
        self.with(|state| state.topology.any_door(name)).map(drop)
    }

    /// Binds a queue to an exchange, unless it is so already. `arguments` matter to headers
    /// exchanges only.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`]; [`BrokerError::Refused`] for the default exchange;
    /// [`BrokerError::Precondition`] for arguments without a meaning; [`BrokerError::Limit`] at
    /// 100,000 bindings.
    pub fn bind_queue(
        &self,
        exchange: &str,
        queue: &str,
        key: &str,
        arguments: &Table,
    ) -> Result<(), BrokerError> {
        self.with(|state| state.topology.bind_queue(exchange, queue, key, arguments))
    }

    /// Binds an exchange to another: what reaches `source` by `key` goes on to `destination`.
    /// Circles are harmless.
    ///
    /// # Errors
    /// As [`Self::bind_queue`].
    pub fn bind_exchange(
        &self,
        source: &str,
        destination: &str,
        key: &str,
        arguments: &Table,
    ) -> Result<(), BrokerError> {
        self.with(|state| state.topology.bind_exchange(source, destination, key, arguments))
    }

    /// Publishes one message, mandatory and confirmed; says how many queues have it. Waits for
    /// nothing: where memory is full, it is refused.
    ///
    /// # Errors
    /// As [`lockgate_transport::Sink::put`], never [`PutError::Unknown`].
    pub fn publish(
        &self,
        exchange: &str,
        key: &str,
        mut message: Message,
    ) -> Result<usize, PutError> {
        if message.head().exchange != exchange || message.head().routing_key != key {
            let head = message.head_mut();
            exchange.clone_into(&mut head.exchange);
            key.clone_into(&mut head.routing_key);
        }
        self.with(|state| {
            let publication = Publication { exchange, key, message: &message, origin: None };
            state.publish(publication, &mut RouteMemo::default()).map_err(|refusal| match refusal {
                Refusal::Error(error) => error,
                Refusal::Full => state.refuse_for_memory(1),
            })
        })
    }

    /// Takes the oldest ready message of a queue, settled at once.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    pub fn get(&self, queue: &str) -> Result<Option<Message>, BrokerError> {
        self.with(|state| {
            let at = state.topology.queue(queue)?;
            Ok(state.get(at).map(|entry| entry.into_message()))
        })
    }

    /// Takes all ready messages of a queue, settled at once.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    pub fn drain(&self, queue: &str) -> Result<Vec<Message>, BrokerError> {
        self.with(|state| {
            let at = state.topology.queue(queue)?;
            let entries = std::iter::from_fn(|| state.get(at));
            Ok(entries.map(|entry| entry.into_message()).collect())
        })
    }

    /// How many messages of a queue are ready, that is, with no consumer.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    pub fn depth(&self, queue: &str) -> Result<usize, BrokerError> {
        self.queue_stats(queue).map(|stats| stats.ready)
    }

    /// What a queue holds.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    pub fn queue_stats(&self, queue: &str) -> Result<QueueStats, BrokerError> {
        self.with(|state| Ok(state.queue(queue)?.stats()))
    }

    /// What the broker holds and has done.
    pub fn stats(&self) -> Stats {
        self.with(|state| state.stats())
    }

    /// Waits until a queue is as `wanted` says, and returns what it holds then. `wanted` is
    /// asked whenever something has changed, inside the broker's lock: it must not call back.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    pub async fn until(
        &self,
        queue: &str,
        wanted: impl Fn(&QueueStats) -> bool + Send + 'static,
    ) -> Result<QueueStats, BrokerError> {
        let (tell, told) = oneshot::channel();
        self.with(|state| {
            let watcher = Watcher {
                queue: state.topology.queue(queue)?,
                wanted: Box::new(wanted),
                tell: Some(tell),
            };
            state.watchers.push(watcher);
            Ok(())
        })?;
        // The sender goes only by telling, for `self` keeps the broker alive.
        told.await.map_err(|_| BrokerError::no_queue(queue))
    }

    /// Waits until a queue has exactly `depth` ready messages.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    pub async fn until_depth(&self, queue: &str, depth: usize) -> Result<(), BrokerError> {
        self.until(queue, move |stats| stats.ready == depth).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
