//! Flow: messages from queues to consumers, and back or away when they are settled.

use std::time::Duration;

use lockgate_message::Settlement;
use tokio::time::Instant;

use super::State;
use crate::consumer::{Consumer, ConsumerId};
use crate::death::Reason;
use crate::queue::{Entry, Queue};
use crate::timer::Due;

/// Most messages that expire in one go; then others get the lock first.
const EXPIRE_AT_ONCE: usize = 1024;

impl State {
    /// Sends ready messages to consumers with room, each in its turn, and ends what has expired
    /// at the head. False if there was too much of that: the timer goes on.
    pub(crate) fn dispatch(&mut self, at: usize) -> bool {
        let Some(queue) = self.queues.get_mut(at) else {
            return true;
        };
        let mut expired = 0;
        while let Some(head) = queue.head() {
            if head.expires.is_some() && head.is_expired() {
                if expired == EXPIRE_AT_ONCE {
                    break;
                }
                expired += 1;
                if let Some(entry) = queue.pop() {
                    self.graves.push_back((entry, at, Reason::Expired));
                }
                continue;
            }
            let Some(consumer) = next_consumer(queue, &mut self.consumers) else {
                break;
            };
            let Some(entry) = queue.pop() else { break };
            queue.unsettled += 1;
            self.wakers.extend(consumer.send(entry));
        }
        if let Some(expires) = queue.head().and_then(|head| head.expires)
            && queue.alarm.is_none_or(|alarm| expires < alarm)
        {
            queue.alarm = Some(expires);
            self.deadlines.add(expires, Due::Head { queue: at });
        }
        expired < EXPIRE_AT_ONCE
    }

    /// Takes up to `max` messages that were sent to a consumer. `None` if it is no more.
    pub(crate) fn take(
        &mut self,
        id: ConsumerId,
        max: usize,
        each: impl FnMut(u64, &mut Entry),
    ) -> Option<usize> {
        let taken = self.consumer(id)?.take(max, each);
        self.stats.delivered += taken as u64;
        Some(taken)
    }

    /// Settles one delivery. What is done with is returned, to be dropped outside the lock.
    ///
    /// A tag that is not unsettled, or a consumer that is no more, is ignored.
    pub(crate) fn settle(
        &mut self,
        id: ConsumerId,
        tag: u64,
        settlement: Settlement,
    ) -> Option<Entry> {
        match settlement {
            Settlement::RetryAfter(delay) => {
                self.retry(id, tag, delay);
                None
            }
            Settlement::Requeue => {
                self.give_back(id, tag);
                None
            }
            Settlement::Ack => {
                let (queue, entry) = self.settled(id, tag)?;
                self.stats.acked += 1;
                self.release(&entry);
                self.dispatch(queue);
                Some(entry)
            }
            Settlement::Reject => {
                let (queue, entry) = self.settled(id, tag)?;
                self.graves.push_back((entry, queue, Reason::Rejected));
                self.dispatch(queue);
                None
            }
        }
    }

    fn settled(&mut self, id: ConsumerId, tag: u64) -> Option<(usize, Entry)> {
        let consumer = self.consumer(id)?;
        let entry = consumer.settle(tag)?;
        let queue = consumer.queue;
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.unsettled -= 1;
        }
        Some((queue, entry))
    }

    /// Counts a failure; the message stays unsettled until its delay is over.
    fn retry(&mut self, id: ConsumerId, tag: u64, delay: Duration) {
        let Some(consumer) = self.consumer(id) else {
            return;
        };
        let queue = consumer.queue;
        let Some(entry) = consumer.entry(tag) else {
            return;
        };
        entry.failures = entry.failures.saturating_add(1);
        let failures = entry.failures;
        let limit = self.queues.get(queue).and_then(|queue| queue.limits.delivery_limit);
        if limit.is_some_and(|limit| failures > limit) {
            if let Some((queue, entry)) = self.settled(id, tag) {
                self.graves.push_back((entry, queue, Reason::DeliveryLimit));
                self.dispatch(queue);
            }
        } else if let Some(at) = Instant::now().checked_add(delay)
            && !delay.is_zero()
        {
            self.deadlines.add(at, Due::Retry { consumer: id, tag });
        } else {
            self.give_back(id, tag);
        }
    }

    /// Puts a delivery back to its place in the queue.
    pub(crate) fn give_back(&mut self, id: ConsumerId, tag: u64) {
        let Some((at, mut entry)) = self.settled(id, tag) else {
            return;
        };
        self.stats.requeued += 1;
        entry.redelivered = true;
        if let Some(queue) = self.queues.get_mut(at) {
            queue.put_back(entry);
        }
        self.dispatch(at);
    }

    /// Gives back the memory of a message that is gone.
    pub(crate) fn release(&mut self, entry: &Entry) {
        self.memory -= entry.weight;
        // Not at each message that makes room, but once there is room for many.
        self.let_on |= self.waiting > 0 && self.memory <= self.memory_limit / 8 * 7;
    }

    /// Takes the head of a queue, settled at once.
    pub(crate) fn get(&mut self, at: usize) -> Option<Entry> {
        let queue = self.queues.get_mut(at)?;
        if queue.head()?.is_expired() {
            self.dispatch(at);
        }
        let entry = self.queues.get_mut(at)?.pop()?;
        self.stats.delivered += 1;
        self.stats.acked += 1;
        self.release(&entry);
        Some(entry)
    }
}

/// The consumer whose turn it is, of those with room; it goes to the end of the line.
fn next_consumer<'a>(
    queue: &mut Queue,
    consumers: &'a mut slab::Slab<Consumer>,
) -> Option<&'a mut Consumer> {
    let candidates = match queue.limits.single_active {
        true => queue.consumers.len().min(1),
        false => queue.consumers.len(),
    };
    for _ in 0..candidates {
        let at = *queue.consumers.front()?;
        if candidates > 1 {
            queue.consumers.rotate_left(1);
        }
        if consumers.get(at).is_some_and(Consumer::has_room) {
            return consumers.get_mut(at);
        }
    }
    None
}
