//! Queue: ready messages in order of priority and age.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use lockgate_message::{Head, Message};
use tokio::time::Instant;

use crate::QueueOptions;
use crate::arguments::Limits;
use crate::watch::QueueStats;

/// One message in one queue, ready or with a consumer.
pub(crate) struct Entry {
    message: Message,
    /// Written into the head when somebody first looks: by then the head is mostly not shared
    /// any more, and nothing has to be copied.
    origin: Option<Origin>,
    /// Its place in the queue; kept for life, so that a requeue finds it again.
    position: u64,
    pub(crate) expires: Option<Instant>,
    /// Bytes it counts against the broker's memory limit.
    pub(crate) weight: usize,
    /// Counted failures.
    pub(crate) failures: u32,
    priority: u8,
    pub(crate) redelivered: bool,
}

/// Where a message was published, when its head says otherwise.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) exchange: Arc<str>,
    /// `None`: the head's own.
    pub(crate) key: Option<Arc<str>>,
}

impl Origin {
    pub(crate) fn write(&self, message: &mut Message) {
        let head = message.head_mut();
        head.exchange.clear();
        head.exchange.push_str(&self.exchange);
        if let Some(key) = &self.key {
            head.routing_key.clear();
            head.routing_key.push_str(key);
        }
    }
}

/// Bytes that a message takes here: body, names, headers as on the wire, and the fixed parts.
/// An estimate; strings of properties and spare capacity are left out.
pub(crate) fn weight(message: &Message) -> usize {
    const FIXED: usize = size_of::<Entry>() + size_of::<Head>() + 64;
    const HEADER: usize = 64;
    let head = message.head();
    let headers = match head.headers.len() {
        0 => 0,
        count => head.headers.wire_size() + count * HEADER,
    };
    FIXED + message.body().len() + head.exchange.len() + head.routing_key.len() + headers
}

impl Entry {
    pub(crate) fn new(message: Message, origin: Option<Origin>, weight: usize) -> Self {
        let priority = message.head().properties.priority.unwrap_or(0);
        Self {
            message,
            origin,
            position: 0,
            expires: None,
            weight,
            failures: 0,
            priority,
            redelivered: false,
        }
    }

    /// The message with its origin.
    pub(crate) fn message(&mut self) -> &mut Message {
        if let Some(origin) = self.origin.take() {
            origin.write(&mut self.message);
        }
        &mut self.message
    }

    pub(crate) fn into_message(mut self) -> Message {
        self.message();
        self.message
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn body_len(&self) -> usize {
        self.message.body().len()
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expires.is_some_and(|at| at <= Instant::now())
    }
}

pub(crate) struct Queue {
    pub(crate) name: Arc<str>,
    pub(crate) options: QueueOptions,
    pub(crate) limits: Limits,
    /// By priority, the highest last; each in order of position.
    levels: Vec<VecDeque<Entry>>,
    ready: usize,
    ready_bytes: usize,
    pub(crate) unsettled: usize,
    next_position: u64,
    /// Who is served next is in front.
    pub(crate) consumers: VecDeque<usize>,
    /// When the timer will look at the head.
    pub(crate) alarm: Option<Instant>,
}

impl Queue {
    pub(crate) fn new(name: Arc<str>, options: QueueOptions, limits: Limits) -> Self {
        let levels = (0..=limits.max_priority).map(|_| VecDeque::new()).collect();
        Self {
            name,
            options,
            limits,
            levels,
            ready: 0,
            ready_bytes: 0,
            unsettled: 0,
            next_position: 0,
            consumers: VecDeque::new(),
            alarm: None,
        }
    }

    pub(crate) fn stats(&self) -> QueueStats {
        QueueStats {
            ready: self.ready,
            ready_bytes: self.ready_bytes,
            unsettled: self.unsettled,
            consumers: self.consumers.len(),
        }
    }

    /// Whether one more body of this length would pass a limit that refuses.
    pub(crate) fn refuses(&self, body: usize) -> bool {
        self.limits.reject_publish
            && (self.limits.max_length.is_some_and(|max| self.ready >= max)
                || self.limits.max_bytes.is_some_and(|max| self.ready_bytes + body > max))
    }

    /// Whether the head has to go for a limit that drops.
    pub(crate) fn overflows(&self) -> bool {
        self.ready > 0
            && (self.limits.max_length.is_some_and(|max| self.ready > max)
                || self.limits.max_bytes.is_some_and(|max| self.ready_bytes > max))
    }

    /// Appends a new message.
    pub(crate) fn push(&mut self, mut entry: Entry) {
        entry.position = self.next_position;
        self.next_position += 1;
        self.count_in(&entry);
        if let Some(level) = self.level(entry.priority) {
            level.push_back(entry);
        }
    }

    /// Puts a message back where it was. Cheapest for the oldest, so of many the youngest first.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        self.count_in(&entry);
        if let Some(level) = self.level(entry.priority) {
            let at = match level.front() {
                Some(front) if front.position < entry.position => {
                    level.partition_point(|there| there.position < entry.position)
                }
                _ => 0,
            };
            level.insert(at, entry);
        }
    }

    pub(crate) fn head(&self) -> Option<&Entry> {
        self.levels.iter().rev().find_map(VecDeque::front)
    }

    /// Takes the head: the oldest of the highest priority.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.levels.iter_mut().rev().find_map(VecDeque::pop_front)?;
        self.ready -= 1;
        self.ready_bytes -= entry.body_len();
        Some(entry)
    }

    fn count_in(&mut self, entry: &Entry) {
        self.ready += 1;
        self.ready_bytes += entry.body_len();
    }

    fn level(&mut self, priority: u8) -> Option<&mut VecDeque<Entry>> {
        let level = priority.min(self.limits.max_priority);
        self.levels.get_mut(usize::from(level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(body: &str, priority: u8) -> Entry {
        let mut message = Message::new(Head::default(), body.to_owned());
        message.head_mut().properties.priority = Some(priority);
        Entry::new(message, None, 0)
    }

    fn queue(max_priority: u8) -> Queue {
        let limits = Limits { max_priority, ..Limits::default() };
        Queue::new("q".into(), QueueOptions::default(), limits)
    }

    fn drain(queue: &mut Queue) -> String {
        std::iter::from_fn(|| queue.pop())
            .map(|entry| String::from_utf8(entry.into_message().body().to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn serves_by_priority_then_age() {
        let mut queue = queue(5);
        for (body, priority) in [("c", 1), ("a", 9), ("d", 0), ("b", 5), ("e", 0)] {
            queue.push(entry(body, priority));
        }
        assert_eq!(drain(&mut queue), "abcde");
        assert_eq!(queue.stats(), QueueStats::default());
    }

    #[test]
    fn without_priorities_all_are_one() {
        let mut queue = queue(0);
        queue.push(entry("a", 0));
        queue.push(entry("b", 9));
        assert_eq!(drain(&mut queue), "ab");
    }

    #[test]
    fn requeues_to_the_original_position() {
        for order in [[0, 2, 3], [3, 2, 0], [2, 0, 3], [3, 0, 2]] {
            let mut queue = queue(0);
            for body in ["a", "b", "c", "d", "e"] {
                queue.push(entry(body, 0));
            }
            let mut taken: Vec<_> = (0..4).map(|_| queue.pop()).collect();
            for at in order {
                queue.put_back(taken[at].take().unwrap());
            }
            assert_eq!(drain(&mut queue), "acde");
        }
    }

    #[test]
    fn the_origin_is_written_once_somebody_looks() {
        let message = Message::new(
            Head { exchange: "in".into(), routing_key: "k".into(), ..Head::default() },
            "",
        );
        let origin = Origin { exchange: "out".into(), key: None };
        let mut entry = Entry::new(message.clone(), Some(origin), 0);
        assert_eq!(entry.message().head().exchange, "out");
        assert_eq!(entry.message().head().routing_key, "k");
        assert_eq!(message.head().exchange, "in");
    }
}
