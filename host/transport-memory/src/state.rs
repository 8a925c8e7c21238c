//! State: all that the broker's one lock guards.
//!
//! [`store`] takes messages in and buries the dead, [`flow`] hands them out and settles them.
//! Neither wakes anybody: they leave it to the end of the section ([`crate::broker`]).

mod flow;
mod store;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Waker;

use slab::Slab;
use tokio::time::Instant;

use crate::arguments::Limits;
use crate::consumer::{Consumer, ConsumerId, Standing, Window};
use crate::faults::Switches;
use crate::queue::Queue;
use crate::timer::{Deadlines, Due};
use crate::topology::{Topology, same_queue};
use crate::watch::Watcher;
use crate::{BrokerError, QueueOptions};

use store::Grave;
pub(crate) use store::{Publication, Refusal, RouteMemo};

/// Most consumers of the whole broker.
const CONSUMERS_MAX: usize = 10_000;

/// What the broker holds and has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub queues: usize,
    pub exchanges: usize,
    pub bindings: usize,
    pub consumers: usize,
    /// Messages in queues, ready or unsettled.
    pub messages: usize,
    /// Bytes they count against `memory_limit`.
    pub memory: usize,
    pub memory_limit: usize,
    /// Copies stored in queues by publishes; those of dead letters are not among them.
    pub stored: u64,
    /// Deliveries taken by consumers, redeliveries included.
    pub delivered: u64,
    pub acked: u64,
    /// Given back, for whatever reason.
    pub requeued: u64,
    /// Publishes that reached no queue.
    pub unroutable: u64,
    /// Publishes refused by a queue at its limit or for want of memory.
    pub refused: u64,
    /// Copies stored in queues by dead-lettering.
    pub dead_lettered: u64,
    /// Messages that died in a queue without a dead-letter exchange, as its policy has it.
    pub dropped: u64,
    /// Dead letters that found no place: no exchange, no queue, a queue that refuses, a circle,
    /// or memory at twice its limit.
    pub lost: u64,
}

pub(crate) struct State {
    pub(crate) topology: Topology,
    pub(crate) queues: Vec<Queue>,
    consumers: Slab<Consumer>,
    last_serial: u64,
    pub(crate) memory: usize,
    pub(crate) memory_limit: usize,
    pub(crate) deadlines: Deadlines,
    pub(crate) watchers: Vec<Watcher>,
    pub(crate) switches: Switches,
    /// Publishers that wait for room, or to be let on.
    pub(crate) waiting: usize,
    /// They are to look again at the end of the section.
    pub(crate) let_on: bool,
    /// Counts cuts: a sink of an earlier generation is dead.
    pub(crate) generation: u64,
    graves: VecDeque<Grave>,
    wakers: Vec<Waker>,
    stats: Stats,
}

impl State {
    pub(crate) fn new(memory_limit: usize) -> Self {
        Self {
            topology: Topology::new(),
            queues: Vec::new(),
            consumers: Slab::new(),
            last_serial: 0,
            memory: 0,
            memory_limit,
            deadlines: Deadlines::default(),
            watchers: Vec::new(),
            switches: Switches::default(),
            waiting: 0,
            let_on: false,
            generation: 0,
            graves: VecDeque::new(),
            wakers: Vec::new(),
            stats: Stats::default(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let (queues, exchanges, bindings) = self.topology.counts();
        Stats {
            queues,
            exchanges,
            bindings,
            consumers: self.consumers.len(),
            messages: self
                .queues
                .iter()
                .map(Queue::stats)
                .map(|queue| queue.ready + queue.unsettled)
                .sum(),
            memory: self.memory,
            memory_limit: self.memory_limit,
            ..self.stats
        }
    }

    pub(crate) fn queue(&mut self, name: &str) -> Result<&mut Queue, BrokerError> {
        let at = self.topology.queue(name)?;
        self.queues.get_mut(at).ok_or_else(|| BrokerError::no_queue(name))
    }

    pub(crate) fn declare_queue(
        &mut self,
        name: &str,
        options: QueueOptions,
    ) -> Result<(), BrokerError> {
        if let Ok(there) = self.queue(name) {
            return same_queue(name, &there.options, &options);
        }
        let limits = Limits::parse(&options.arguments)
            .map_err(|error| BrokerError::Precondition(format!("queue `{name}`: {error}")))?;
        let name = self.topology.name_queue(name, self.queues.len())?;
        self.queues.push(Queue::new(name, options, limits));
        Ok(())
    }

    pub(crate) fn subscribe(
        &mut self,
        queue: &str,
        window: Window,
        live: Arc<AtomicBool>,
    ) -> Result<ConsumerId, BrokerError> {
        let queue_at = self.topology.queue(queue)?;
        if self.consumers.len() >= CONSUMERS_MAX {
            return Err(BrokerError::Limit(format!("{CONSUMERS_MAX} consumers")));
        }
        self.last_serial += 1;
        let serial = self.last_serial;
        let at = self.consumers.insert(Consumer::new(serial, queue_at, window, live));
        if let Some(queue) = self.queues.get_mut(queue_at) {
            queue.consumers.push_back(at);
        }
        self.dispatch(queue_at);
        Ok(ConsumerId { at, serial })
    }

    pub(crate) fn consumer(&mut self, id: ConsumerId) -> Option<&mut Consumer> {
        self.consumers.get_mut(id.at).filter(|consumer| consumer.serial == id.serial)
    }

    /// Sends it no more; what was sent stays with it.
    pub(crate) fn stand_down(&mut self, id: ConsumerId, standing: Standing) {
        let Some(consumer) = self.consumer(id) else {
            return;
        };
        let queue = consumer.queue;
        let waker = consumer.stand(standing);
        self.wakers.extend(waker);
        self.leave(queue, id.at);
        self.dispatch(queue);
    }

    /// Ends it: all that it has not settled goes back, flagged as redelivered.
    pub(crate) fn unsubscribe(&mut self, id: ConsumerId) {
        if self.consumer(id).is_none() {
            return;
        }
        let Some(consumer) = self.consumers.try_remove(id.at) else {
            return;
        };
        let queue_at = consumer.queue;
        self.leave(queue_at, id.at);
        let (entries, waker) = consumer.end();
        self.wakers.extend(waker);
        self.stats.requeued += entries.len() as u64;
        if let Some(queue) = self.queues.get_mut(queue_at) {
            for mut entry in entries {
                entry.redelivered = true;
                queue.unsettled -= 1;
                queue.put_back(entry);
            }
        }
        self.dispatch(queue_at);
    }

    fn leave(&mut self, queue: usize, consumer: usize) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.consumers.retain(|at| *at != consumer);
        }
    }

    /// Every consumer there is, or those of one queue.
    pub(crate) fn consumer_ids(&self, queue: Option<usize>) -> Vec<ConsumerId> {
        self.consumers
            .iter()
            .filter(|(_, consumer)| queue.is_none_or(|queue| consumer.queue == queue))
            .map(|(at, consumer)| ConsumerId { at, serial: consumer.serial })
            .collect()
    }

    /// Lets pass what is due.
    pub(crate) fn tick(&mut self) {
        if self.deadlines.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some((at, due)) = self.deadlines.pop(now) {
            match due {
                Due::Head { queue } => {
                    let Some(there) = self.queues.get_mut(queue) else { continue };
                    // Another alarm of the same queue came in between otherwise.
                    if there.alarm == Some(at) {
                        there.alarm = None;
                        if !self.dispatch(queue) {
                            break;
                        }
                    }
                }
                Due::Retry { consumer, tag } => self.give_back(consumer, tag),
            }
        }
    }

    /// Ends a section: buries the dead and tells who watches; the wakers are the caller's to
    /// call once the lock is free.
    pub(crate) fn finish(&mut self) -> Vec<Waker> {
        if !self.graves.is_empty() {
            self.bury_all();
        }
        if !self.watchers.is_empty() {
            let queues = &self.queues;
            self.watchers.retain_mut(|watcher| {
                queues.get(watcher.queue).is_some_and(|queue| watcher.look(&queue.stats()))
            });
        }
        std::mem::take(&mut self.wakers)
    }
}

#[cfg(test)]
impl State {
    /// Whether a consumer's source waits in `next`.
    pub(crate) fn waits(&self, id: ConsumerId) -> bool {
        self.consumers.get(id.at).is_some_and(Consumer::is_waiting)
    }
}
