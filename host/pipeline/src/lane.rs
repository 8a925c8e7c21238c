//! Lane: the unit of order and of parallelism. A thread that owns its stages and runs batches.

use std::collections::VecDeque;
use std::sync::PoisonError;
#[cfg(not(feature = "shuttle"))]
use std::sync::{Condvar, Mutex, MutexGuard};

use lockgate_message::Delivery;
#[cfg(feature = "shuttle")]
use shuttle::sync::{Condvar, Mutex, MutexGuard};

/// What waits for one lane. Bounded by the pipeline's in-flight limit: intake takes nothing
/// from the source beyond it.
pub(crate) struct LaneQueue {
    /// Deliveries that make a batch full.
    full: usize,
    inner: Mutex<Inner>,
    ready: Condvar,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Delivery>,
    /// The dispatcher has nothing to do.
    hungry: bool,
    /// The lane's thread is at work, or waits for the dispatcher.
    busy: bool,
    closed: bool,
}

impl Inner {
    /// Whether it is time for a batch: a full one, or any for a dispatcher that is hungry.
    /// While the dispatcher waits for confirms, small batches would only cost wake-ups.
    fn is_due(&self, max: usize) -> bool {
        self.waiting.len() >= max || (self.hungry && !self.waiting.is_empty())
    }
}

impl LaneQueue {
    pub(crate) fn new(full: usize) -> Self {
        Self { full, inner: Mutex::default(), ready: Condvar::new() }
    }

    /// What waits, and how much more the batch takes that is being filled: nothing while the
    /// lane's thread is at work.
    pub(crate) fn load(&self) -> (usize, usize) {
        let inner = self.lock();
        let waiting = inner.waiting.len();
        (waiting, if inner.busy { 0 } else { self.full.saturating_sub(waiting) })
    }

    /// The dispatcher says whether it has nothing to do.
    pub(crate) fn set_hungry(&self, hungry: bool) {
        let mut inner = self.lock();
        inner.hungry = hungry;
        let due = inner.is_due(self.full);
        drop(inner);
        if due {
            self.ready.notify_one();
        }
    }

    /// Appends; gives back what came after the queue was closed.
    pub(crate) fn push(&self, deliveries: impl IntoIterator<Item = Delivery>) -> Vec<Delivery> {
        let mut inner = self.lock();
        if inner.closed {
            return deliveries.into_iter().collect();
        }
        inner.waiting.extend(deliveries);
        let due = inner.is_due(self.full);
        drop(inner);
        if due {
            self.ready.notify_one();
        }
        Vec::new()
    }

    /// Ends the lane: no more will come. Gives back what waits, for which there is no time left.
    pub(crate) fn close(&self) -> VecDeque<Delivery> {
        let mut inner = self.lock();
        inner.closed = true;
        self.ready.notify_all();
        std::mem::take(&mut inner.waiting)
    }

    /// Waits until a batch is full or the dispatcher hungry, and takes what is there: at most a
    /// full batch and `max_bytes` of bodies, but always one delivery. False when closed.
    pub(crate) fn take(&self, max_bytes: usize, into: &mut Vec<Delivery>) -> bool {
        let mut inner = self.lock();
        inner.busy = false;
        while !inner.is_due(self.full) {
            if inner.closed {
                return false;
            }
            inner = self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner.busy = true;
        let mut bytes = 0;
        while into.len() < self.full {
            let Some(next) = inner.waiting.front() else {
                break;
            };
            bytes += next.message.body().len();
            if bytes > max_bytes && !into.is_empty() {
                break;
            }
            into.extend(inner.waiting.pop_front());
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, feature = "shuttle"))]
mod schedules;

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::sync::Arc;

    use lockgate_message::{AckHandle, Message, Settle, Settlement};

    use super::*;

    struct Ignore;
    impl Settle for Ignore {
        fn settle(&self, _: u64, _: Settlement) {}
    }

    fn delivery(body: usize) -> Delivery {
        let message = Message::new(Default::default(), vec![0; body]);
        Delivery::new(message, false, AckHandle::new(Arc::new(Ignore), 1))
    }

    #[test]
    fn batches_are_bounded_by_count_and_bytes() {
        let queue = LaneQueue::new(2);
        queue.set_hungry(true);
        queue.push([delivery(10), delivery(10), delivery(100), delivery(1), delivery(1)]);
        for expected in [vec![10, 10], vec![100], vec![1, 1]] {
            let mut batch = Vec::new();
            assert!(queue.take(50, &mut batch));
            let sizes: Vec<_> = batch.iter().map(|d| d.message.body().len()).collect();
            assert_eq!(sizes, expected);
        }
    }

    #[test]
    fn a_batch_is_due_when_it_is_full_or_the_dispatcher_hungry() {
        let queue = Arc::new(LaneQueue::new(2));
        let (tell, told) = std::sync::mpsc::channel();
        let lane = queue.clone();
        let thread = std::thread::spawn(move || {
            let mut batch = Vec::new();
            while lane.take(1000, &mut batch) {
                tell.send(batch.drain(..).count()).unwrap();
            }
        });
        queue.push([delivery(1)]);
        assert_eq!(queue.load(), (1, 1));
        queue.push([delivery(1), delivery(1)]);
        assert_eq!(told.recv(), Ok(2));
        assert!(told.try_recv().is_err());
        queue.set_hungry(true);
        assert_eq!(told.recv(), Ok(1));
        queue.push([delivery(1)]);
        assert_eq!(told.recv(), Ok(1));
        queue.close();
        thread.join().unwrap();
    }

    #[test]
    fn a_closed_queue_gives_back_what_waits_and_what_comes_late() {
        let queue = LaneQueue::new(1);
        queue.push([delivery(1), delivery(1)]);
        assert_eq!(queue.close().len(), 2);
        assert_eq!(queue.push([delivery(1)]).len(), 1);
        assert!(!queue.take(1, &mut Vec::new()));
    }
}
