//! Inbox: deliveries on their way from the guard to the source.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::{Budget, GuardError, Taken};

/// A queue with one writer and one reader. The prefetch bounds it: what stands in it is
/// unacknowledged, and a broker that sends more breaks its word. A budget bounds its bytes.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    arrived: Notify,
    limit: usize,
    budget: Arc<Budget>,
    /// Nothing is read from the broker, for want of room.
    held: AtomicBool,
    /// Turns true when the consumer is being cancelled.
    ending: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Queue {
    deliveries: VecDeque<Taken>,
    /// There was no room for one while ending, so neither it nor any behind it is handed out: the
    /// broker still has them, unacknowledged.
    shut: bool,
}

impl Inbox {
    pub(crate) fn new(prefetch: u16, budget: Arc<Budget>) -> Self {
        let (queue, arrived, held, ending) = Default::default();
        Self { queue, arrived, limit: prefetch.into(), budget, held, ending }
    }

    /// Appends all of `taken`.
    pub(super) fn push(&self, taken: &mut Vec<Taken>) -> Result<(), GuardError> {
        let ending = *self.ending.borrow();
        let mut queue = self.lock();
        if queue.deliveries.len() + taken.len() > self.limit {
            return Err(GuardError::Flooded);
        }
        for mut taken in taken.drain(..) {
            let body = taken.message.body();
            queue.shut |= ending && !self.budget.has_room(body.len());
            if !queue.shut {
                taken.message.set_body(self.budget.keep(body.clone()));
                queue.deliveries.push_back(taken);
            }
        }
        drop(queue);
        self.arrived.notify_one();
        Ok(())
    }

    /// Moves at most `max` deliveries out.
    pub(crate) fn take(&self, max: usize, each: impl FnMut(Taken)) -> usize {
        let mut queue = self.lock();
        let count = queue.deliveries.len().min(max);
        queue.deliveries.drain(..count).for_each(each);
        count
    }

    /// How many stand in it.
    pub(crate) fn len(&self) -> usize {
        self.lock().deliveries.len()
    }

    /// Resolves after a push; may also resolve without one. Look before and after.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// The consumer is being cancelled. The broker's answer comes behind what it has sent already,
    /// so everything is read from now on; what there is no room for is not kept.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Whether the next message may be read, with a body of so many bytes.
    pub(super) fn has_room(&self, body: usize) -> bool {
        *self.ending.borrow() || self.budget.has_room(body)
    }

    /// Says whether the broker is read.
    pub(super) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }

    /// Whether nothing is read from the broker, its answers included, for want of room.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Waits until [`Inbox::has_room`]. Cancel-safe.
    pub(super) async fn room(&self, body: usize) {
        let mut ending = self.ending.subscribe();
        tokio::select! {
            () = self.budget.room(body) => {}
            // The sender lives as long as this inbox.
            _ = ending.wait_for(|ending| *ending) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
