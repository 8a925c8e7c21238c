//! Lane: the unit of order and of parallelism. A thread that owns its stages and runs batches.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};

use lockgate_message::Delivery;

use crate::stats::lock;

/// What waits for one lane. Bounded by the pipeline's in-flight limit: intake takes nothing
/// from the source beyond it.
pub(crate) struct LaneQueue {
    inner: Mutex<Inner>,
    ready: Condvar,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Delivery>,
    closed: bool,
}

impl LaneQueue {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::default(), ready: Condvar::new() }
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.inner).waiting.len()
    }

    /// Appends; gives back what came after the queue was closed.
    pub(crate) fn push(&self, deliveries: impl IntoIterator<Item = Delivery>) -> Vec<Delivery> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return deliveries.into_iter().collect();
        }
        inner.waiting.extend(deliveries);
        drop(inner);
        self.ready.notify_one();
        Vec::new()
    }

    /// Ends the lane: no more will come. Gives back what waits, for which there is no time left.
    pub(crate) fn close(&self) -> VecDeque<Delivery> {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        self.ready.notify_all();
        std::mem::take(&mut inner.waiting)
    }

    /// Waits until something is there and takes it: at most `max` deliveries and `max_bytes` of
    /// bodies, but always one. Never waits to fill a batch. False when closed.
    pub(crate) fn take(&self, max: usize, max_bytes: usize, into: &mut Vec<Delivery>) -> bool {
        let mut inner = lock(&self.inner);
        while inner.waiting.is_empty() {
            if inner.closed {
                return false;
            }
            inner = self.ready.wait(inner).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        let mut bytes = 0;
        while into.len() < max {
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
}

#[cfg(test)]
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
        let queue = LaneQueue::new();
        queue.push([delivery(10), delivery(10), delivery(100), delivery(1), delivery(1)]);
        for expected in [vec![10, 10], vec![100], vec![1, 1]] {
            let mut batch = Vec::new();
            assert!(queue.take(2, 50, &mut batch));
            let sizes: Vec<_> = batch.iter().map(|d| d.message.body().len()).collect();
            assert_eq!(sizes, expected);
        }
    }

    #[test]
    fn a_closed_queue_gives_back_what_waits_and_what_comes_late() {
        let queue = LaneQueue::new();
        queue.push([delivery(1), delivery(1)]);
        assert_eq!(queue.close().len(), 2);
        assert_eq!(queue.push([delivery(1)]).len(), 1);
        assert!(!queue.take(1, 1, &mut Vec::new()));
    }
}
