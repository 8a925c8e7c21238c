//! Store: messages into queues, and the dead into dead-letter exchanges.

use std::time::Duration;

use lockgate_message::Message;
use lockgate_transport::PutError;
use tokio::time::Instant;

use super::State;
use crate::arguments::TTL_MAX_MS;
use crate::death::{Reason, goes_round, record};
use crate::queue::{Entry, Origin, weight};
use crate::topology::SHORT_STRING_MAX;

/// Most dead letters that one dead message may become, dead-lettered dead letters included.
/// Circles end by themselves; this ends fan-outs of full queues into one another.
const LETTERS_MAX: usize = 1000;

/// A message that died in a queue.
pub(crate) type Grave = (Entry, usize, Reason);

/// One publish.
pub(crate) struct Publication<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) key: &'a str,
    pub(crate) message: &'a Message,
    /// Exchange and key, to be written into the head.
    pub(crate) origin: Option<Origin>,
}

/// Why a publish was not stored.
pub(crate) enum Refusal {
    /// Memory is full; there may be room later.
    Full,
    Error(PutError),
}

/// Where the last publish went, for the next one with the same exchange and key. Good within one
/// section only.
#[derive(Default)]
pub(crate) struct RouteMemo {
    exchange: String,
    key: String,
    valid: bool,
    queues: Vec<usize>,
}

impl RouteMemo {
    pub(crate) fn forget(&mut self) {
        self.valid = false;
    }
}

impl State {
    /// Routes a message and stores it in every queue it reaches, or in none for want of memory.
    ///
    /// A queue that refuses does not keep the others from storing it, as in RabbitMQ.
    pub(crate) fn publish(
        &mut self,
        publication: Publication<'_>,
        memo: &mut RouteMemo,
    ) -> Result<usize, Refusal> {
        let Publication { exchange, key, message, mut origin } = publication;
        if !(memo.valid && memo.exchange == exchange && memo.key == key) {
            self.look_up(exchange, key, message, memo)?;
        }
        let ttl = expiration(message)?;
        let Some((last, others)) = memo.queues.split_last() else {
            self.stats.unroutable += 1;
            let text = format!("no queue takes key `{key}` of exchange `{exchange}`");
            return Err(Refusal::Error(PutError::Unroutable(text)));
        };
        let weight = weight(message);
        self.check_room(weight, memo.queues.len())?;
        let mut message = message.clone();
        let mut stored = 0;
        if !others.is_empty()
            && let Some(origin) = origin.take()
        {
            // Written once for all of them.
            origin.write(&mut message);
        }
        for at in others {
            stored += self.enqueue(*at, Entry::new(message.clone(), None, weight), ttl);
        }
        stored += self.enqueue(*last, Entry::new(message, origin, weight), ttl);
        self.stats.stored += stored as u64;
        if stored < memo.queues.len() {
            self.stats.refused += 1;
            let full = PutError::Nacked(format!("a queue behind exchange `{exchange}` is full"));
            return Err(Refusal::Error(full));
        }
        Ok(stored)
    }

    fn check_room(&self, weight: usize, copies: usize) -> Result<(), Refusal> {
        let (all, limit) = (weight.saturating_mul(copies), self.memory_limit);
        if all > limit {
            let text = format!("{all} bytes for {copies} queues pass the memory limit of {limit}");
            return Err(Refusal::Error(PutError::Invalid(text)));
        }
        match self.memory.saturating_add(all) > limit {
            true => Err(Refusal::Full),
            false => Ok(()),
        }
    }

    /// Counts publishes that are refused for want of memory, and says so.
    pub(crate) fn refuse_for_memory(&mut self, count: usize) -> PutError {
        self.stats.refused += count as u64;
        PutError::Nacked(format!("memory limit of {} bytes reached", self.memory_limit))
    }

    fn look_up(
        &mut self,
        exchange: &str,
        key: &str,
        message: &Message,
        memo: &mut RouteMemo,
    ) -> Result<(), Refusal> {
        memo.valid = false;
        if key.len() > SHORT_STRING_MAX {
            let text = "the routing key is longer than 255 bytes";
            return Err(Refusal::Error(PutError::Invalid(text.into())));
        }
        let door = self.topology.door(exchange).map_err(|error| {
            Refusal::Error(match error {
                crate::BrokerError::NotFound { .. } => PutError::Unroutable(error.to_string()),
                _ => PutError::Invalid(error.to_string()),
            })
        })?;
        let headers = &message.head().headers;
        memo.valid = self.topology.route(&door, key, headers, &mut memo.queues);
        if memo.valid {
            exchange.clone_into(&mut memo.exchange);
            key.clone_into(&mut memo.key);
        }
        Ok(())
    }

    /// Appends to one queue, unless it refuses; says how many copies it took.
    fn enqueue(&mut self, at: usize, mut entry: Entry, ttl: Option<Duration>) -> usize {
        let Some(queue) = self.queues.get_mut(at) else {
            return 0;
        };
        if queue.refuses(entry.body_len()) {
            return 0;
        }
        let ttl = match (ttl, queue.limits.ttl) {
            (Some(own), Some(queue)) => Some(own.min(queue)),
            (own, queue) => own.or(queue),
        };
        entry.expires = ttl.map(|ttl| Instant::now() + ttl);
        self.memory += entry.weight;
        queue.push(entry);
        self.dispatch(at);
        while let Some(queue) = self.queues.get_mut(at)
            && queue.overflows()
            && let Some(entry) = queue.pop()
        {
            self.graves.push_back((entry, at, Reason::MaxLength));
        }
        1
    }

    /// Dead-letters what died in this section, and what that kills in turn.
    pub(crate) fn bury_all(&mut self) {
        let mut letters = self.graves.len().saturating_mul(LETTERS_MAX);
        let mut memo = RouteMemo::default();
        while let Some((entry, at, reason)) = self.graves.pop_front() {
            self.release(&entry);
            let Some(queue) = self.queues.get(at) else { continue };
            let Some(exchange) = queue.limits.dead_exchange.clone() else {
                self.stats.dropped += 1;
                continue;
            };
            let (name, key) = (queue.name.clone(), queue.limits.dead_key.clone());
            let mut message = entry.into_message();
            record(&mut message, &name, reason);
            let head = message.head_mut();
            exchange.as_ref().clone_into(&mut head.exchange);
            if let Some(key) = key {
                key.as_ref().clone_into(&mut head.routing_key);
            }
            let stored = self.bury(&message, reason, &mut memo, &mut letters);
            self.stats.dead_lettered += stored as u64;
            if stored == 0 {
                self.stats.lost += 1;
                tracing::debug!(queue = &*name, reason = reason.name(), "dead letter lost");
            }
        }
    }

    /// Stores one dead letter wherever its exchange leads; says in how many queues.
    fn bury(
        &mut self,
        message: &Message,
        reason: Reason,
        memo: &mut RouteMemo,
        letters: &mut usize,
    ) -> usize {
        let head = message.head();
        let Ok(door) = self.topology.any_door(&head.exchange) else {
            return 0;
        };
        self.topology.route(&door, &head.routing_key, &head.headers, &mut memo.queues);
        let weight = weight(message);
        let mut stored = 0;
        for at in &memo.queues {
            let Some(queue) = self.queues.get(*at) else { continue };
            let circle = reason != Reason::Rejected && goes_round(message, &queue.name);
            let room = self.memory.saturating_add(weight) <= self.memory_limit.saturating_mul(2);
            if circle || !room || *letters == 0 {
                continue;
            }
            *letters -= 1;
            stored += self.enqueue(*at, Entry::new(message.clone(), None, weight), None);
        }
        stored
    }
}

/// The message's own time to live.
fn expiration(message: &Message) -> Result<Option<Duration>, Refusal> {
    let Some(text) = &message.head().properties.expiration else {
        return Ok(None);
    };
    match text.parse::<u64>() {
        // A sign is no digit, though the parser takes it.
        Ok(ms) if ms <= TTL_MAX_MS && !text.starts_with('+') => Ok(Some(Duration::from_millis(ms))),
        _ => Err(Refusal::Error(PutError::Invalid(format!(
            "expiration `{}` is no number of milliseconds up to {TTL_MAX_MS}",
            text.escape_debug().take(40).collect::<String>()
        )))),
    }
}
