//! Timer: what is due when, and the task that sees to it.
//!
//! Deadlines are also looked at whenever somebody takes the broker's lock, so the task matters
//! only while nobody does. It lives while there is a deadline, on the runtime that set the first;
//! outside a runtime there is none, and deadlines pass at the next use.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::Shared;
use crate::consumer::ConsumerId;

/// What happens at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The head of a queue expires.
    Head { queue: usize },
    /// A delivery that was to be tried later goes back to its queue.
    Retry { consumer: ConsumerId, tag: u64 },
}

struct Deadline {
    at: Instant,
    due: Due,
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Deadline {}
impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

/// The deadlines to come.
#[derive(Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<Deadline>>,
    /// Whether the task lives.
    pub(crate) watched: bool,
    /// The task must look again: the first deadline is another.
    pub(crate) changed: bool,
}

impl Deadlines {
    pub(crate) fn add(&mut self, at: Instant, due: Due) {
        self.changed |= self.first().is_none_or(|first| at < first);
        self.heap.push(Reverse(Deadline { at, due }));
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(deadline)| deadline.at)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Takes the first deadline if it has passed.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, Due)> {
        if self.first()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(deadline)| (deadline.at, deadline.due))
    }
}

/// Starts the task, where there is a runtime. The lock must be free: a runtime that is ending
/// drops the task at once, which takes it.
pub(crate) fn start(shared: &Arc<Shared>) {
    let task = Task { shared: Arc::downgrade(shared), wake: shared.earlier.clone(), lives: true };
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(task.run());
    }
}

struct Task {
    shared: Weak<Shared>,
    wake: Arc<Notify>,
    /// Until it has said itself that it ends.
    lives: bool,
}

impl Task {
    async fn run(mut self) {
        while let Some(at) = self.next() {
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Lets pass what is due and says when to look again; `None` ends the task.
    fn next(&mut self) -> Option<Instant> {
        let shared = self.shared.upgrade()?;
        let first = shared.with(|state| {
            let first = state.deadlines.first();
            state.deadlines.watched = first.is_some();
            first
        });
        self.lives = first.is_some();
        first
    }
}

impl Drop for Task {
    /// A runtime that ends drops its tasks anywhere; another use of the broker starts it again.
    fn drop(&mut self) {
        if self.lives
            && let Some(shared) = self.shared.upgrade()
        {
            shared.lock().deadlines.watched = false;
        }
    }
}
