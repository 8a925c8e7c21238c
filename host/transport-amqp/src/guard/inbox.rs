//! Inbox: deliveries on their way from the guard to the source.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{GuardError, Taken};

/// A queue with one writer and one reader. The prefetch bounds it: what stands in it is
/// unacknowledged, and a broker that sends more breaks its word.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Mutex<VecDeque<Taken>>,
    arrived: Notify,
    limit: usize,
}

impl Inbox {
    pub(crate) fn new(prefetch: u16) -> Self {
        Self { queue: Mutex::default(), arrived: Notify::new(), limit: prefetch.into() }
    }

    /// Appends all of `taken`.
    pub(super) fn push(&self, taken: &mut Vec<Taken>) -> Result<(), GuardError> {
        let mut queue = self.lock();
        if queue.len() + taken.len() > self.limit {
            return Err(GuardError::Flooded);
        }
        queue.extend(taken.drain(..));
        drop(queue);
        self.arrived.notify_one();
        Ok(())
    }

    /// Moves at most `max` deliveries out.
    pub(crate) fn take(&self, max: usize, each: impl FnMut(Taken)) -> usize {
        let mut queue = self.lock();
        let count = queue.len().min(max);
        queue.drain(..count).for_each(each);
        count
    }

    /// Resolves after a push; may also resolve without one. Look before and after.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Taken>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
