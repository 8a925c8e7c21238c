//! Lane: the unit of order and of parallelism. A thread that owns its stages and runs batches.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
#[cfg(not(feature = "shuttle"))]
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use lockgate_message::Delivery;
#[cfg(feature = "shuttle")]
use shuttle::sync::{Condvar, Mutex, MutexGuard};

use crate::settings::Order;

/// What waits for one lane. Bounded by the pipeline's in-flight limit: intake takes nothing
/// from the source beyond it.
pub(crate) struct LaneQueue {
    /// Deliveries that make a batch full.
    full: usize,
    order: Order,
    inner: Mutex<Inner>,
    ready: Condvar,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Delivery>,
    /// To be tried again at their time.
    later: Vec<(Instant, Delivery)>,
    /// Keys whose first delivery is to be tried again, and what follows it in order.
    held: HashMap<u64, Held>,
    /// The dispatcher has nothing to do.
    hungry: bool,
    /// The lane's thread is at work, or waits for the dispatcher.
    busy: bool,
    /// Nothing is tried again any more.
    draining: bool,
    closed: bool,
}

struct Held {
    due: Instant,
    deliveries: VecDeque<Delivery>,
}

impl Inner {
    /// Whether it is time for a batch: a full one, or any for a dispatcher that is hungry.
    /// While the dispatcher waits for confirms, small batches would only cost wake-ups.
    fn is_due(&self, max: usize) -> bool {
        self.waiting.len() >= max || (self.hungry && !self.waiting.is_empty())
    }

    /// Moves to the front what is to be tried again by now; says when the next one is.
    fn wake(&mut self) -> Option<Instant> {
        if self.draining || (self.later.is_empty() && self.held.is_empty()) {
            return None;
        }
        let now = Instant::now();
        let due: Vec<u64> =
            self.held.iter().filter(|(_, held)| held.due <= now).map(|(key, _)| *key).collect();
        for held in due.iter().filter_map(|key| self.held.remove(key)) {
            held.deliveries.into_iter().rev().for_each(|next| self.waiting.push_front(next));
        }
        for (_, delivery) in self.later.extract_if(.., |(due, _)| *due <= now) {
            self.waiting.push_front(delivery);
        }
        let later = self.later.iter().map(|(due, _)| *due);
        later.chain(self.held.values().map(|held| held.due)).min()
    }

    /// Puts a delivery behind the one of its key that is waiting to be tried again, if one is.
    /// While draining, that one was given back, and so is this one: into `back`.
    fn follow(
        &mut self,
        order: &Order,
        delivery: Delivery,
        back: &mut Vec<Delivery>,
    ) -> Option<Delivery> {
        if self.held.is_empty() {
            return Some(delivery);
        }
        match order.key(&delivery.message).and_then(|key| self.held.get_mut(&key)) {
            None => return Some(delivery),
            Some(_) if self.draining => back.push(delivery),
            Some(held) => held.deliveries.push_back(delivery),
        }
        None
    }
}

impl LaneQueue {
    pub(crate) fn new(full: usize, order: Order) -> Self {
        Self { full, order, inner: Mutex::default(), ready: Condvar::new() }
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

    /// Tries a delivery again after `delay`, unacked meanwhile; gives it back when there is no
    /// time left for that.
    pub(crate) fn retry(&self, delivery: Delivery, delay: Duration) -> Option<Delivery> {
        let mut inner = self.lock();
        match Instant::now().checked_add(delay) {
            Some(due) if !inner.draining && delivery.ack.is_live() => {
                inner.later.push((due, delivery));
            }
            _ => return Some(delivery),
        }
        drop(inner);
        self.ready.notify_one();
        None
    }

    /// As [`LaneQueue::retry`], and holds what has the same key until then.
    pub(crate) fn hold(&self, delivery: Delivery, delay: Duration) -> Option<Delivery> {
        let Some(key) = self.order.key(&delivery.message) else {
            return self.retry(delivery, delay);
        };
        let mut inner = self.lock();
        if !delivery.ack.is_live() {
            // Nothing of its generation is held any more; what comes again is in order.
            return Some(delivery);
        }
        let due = Instant::now() + delay;
        let held =
            inner.held.entry(key).or_insert_with(|| Held { due, deliveries: VecDeque::new() });
        // An entry without deliveries makes those that follow be given back as well.
        held.deliveries.push_back(delivery);
        let back = if inner.draining {
            inner.held.get_mut(&key).and_then(|held| held.deliveries.pop_back())
        } else {
            None
        };
        drop(inner);
        self.ready.notify_one();
        back
    }

    /// Puts a delivery, already run, behind the one of its key that is held, if one is.
    pub(crate) fn follow(&self, delivery: Delivery, back: &mut Vec<Delivery>) -> Option<Delivery> {
        self.lock().follow(&self.order, delivery, back)
    }

    /// Tries nothing again from now on: gives back what waits for that.
    pub(crate) fn drain(&self) -> Vec<Delivery> {
        let mut inner = self.lock();
        inner.draining = true;
        let later = std::mem::take(&mut inner.later);
        let held = inner.held.values_mut().flat_map(|held| held.deliveries.drain(..));
        later.into_iter().map(|(_, delivery)| delivery).chain(held).collect()
    }

    /// Gives back what the broker delivers again anyway, for its source is gone.
    pub(crate) fn forget_dead(&self) -> Vec<Delivery> {
        let mut inner = self.lock();
        let dead = |delivery: &Delivery| !delivery.ack.is_live();
        let mut gone: Vec<_> =
            inner.later.extract_if(.., |(_, one)| dead(one)).map(|(_, one)| one).collect();
        let (live, waiting) =
            std::mem::take(&mut inner.waiting).into_iter().partition(|one| !dead(one));
        inner.waiting = live;
        gone.extend::<VecDeque<_>>(waiting);
        for held in inner.held.values_mut() {
            let (live, lost) =
                std::mem::take(&mut held.deliveries).into_iter().partition(|one| !dead(one));
            held.deliveries = live;
            gone.extend::<VecDeque<_>>(lost);
        }
        let draining = inner.draining;
        inner.held.retain(|_, held| draining || !held.deliveries.is_empty());
        gone
    }

    /// Ends the lane: no more will come. Gives back what waits, for which there is no time left.
    pub(crate) fn close(&self) -> Vec<Delivery> {
        let mut back = self.drain();
        let mut inner = self.lock();
        inner.closed = true;
        self.ready.notify_all();
        back.extend(std::mem::take(&mut inner.waiting));
        back
    }

    /// Waits until a batch is full or the dispatcher hungry, and takes what is there: at most a
    /// full batch and `max_bytes` of bodies, but always one delivery, into `into` or, where it
    /// cannot be run any more, into `back`. False when closed.
    pub(crate) fn take(
        &self,
        max_bytes: usize,
        into: &mut Vec<Delivery>,
        back: &mut Vec<Delivery>,
    ) -> bool {
        let mut inner = self.lock();
        inner.busy = false;
        while into.is_empty() && back.is_empty() {
            let next = inner.wake();
            if !inner.is_due(self.full) {
                if inner.closed {
                    return false;
                }
                inner = match next {
                    None => self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner),
                    Some(at) => {
                        let wait = at.saturating_duration_since(Instant::now());
                        let woken = self.ready.wait_timeout(inner, wait);
                        woken.unwrap_or_else(PoisonError::into_inner).0
                    }
                };
                continue;
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
                let Some(next) = inner.waiting.pop_front() else {
                    break;
                };
                into.extend(inner.follow(&self.order, next, back));
            }
            inner.busy = !into.is_empty();
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
        let queue = LaneQueue::new(2, Order::None);
        queue.set_hungry(true);
        queue.push([delivery(10), delivery(10), delivery(100), delivery(1), delivery(1)]);
        for expected in [vec![10, 10], vec![100], vec![1, 1]] {
            let mut batch = Vec::new();
            assert!(queue.take(50, &mut batch, &mut Vec::new()));
            let sizes: Vec<_> = batch.iter().map(|d| d.message.body().len()).collect();
            assert_eq!(sizes, expected);
        }
    }

    #[test]
    fn a_batch_is_due_when_it_is_full_or_the_dispatcher_hungry() {
        let queue = Arc::new(LaneQueue::new(2, Order::None));
        let (tell, told) = std::sync::mpsc::channel();
        let lane = queue.clone();
        let thread = std::thread::spawn(move || {
            let mut batch = Vec::new();
            while lane.take(1000, &mut batch, &mut Vec::new()) {
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
        let queue = LaneQueue::new(1, Order::None);
        queue.push([delivery(1), delivery(1)]);
        assert_eq!(queue.close().len(), 2);
        assert_eq!(queue.push([delivery(1)]).len(), 1);
        assert!(!queue.take(1, &mut Vec::new(), &mut Vec::new()));
    }
}
