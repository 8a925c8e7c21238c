//! Ledger: which deliveries are settled, and what the broker is to be told when. No I/O.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use lockgate_message::Settlement;

/// Acks told at once however many more may come; keeps duplicates after a crash few.
pub(super) const FLUSH_COUNT: usize = 64;

/// Longest wait of an ack for more to tell with it.
const FLUSH_AFTER: Duration = Duration::from_millis(2);

/// Longest wait of acks behind one delivery that is not settled yet; then they are told singly,
/// which costs the broker much more. Some times what a block of publishes takes to be confirmed,
/// for lanes overtake each other by a block.
const HOLE_AFTER: Duration = Duration::from_millis(100);

/// Settled entries kept for lack of a reason to move the others.
const COMPACT: usize = 64;

/// What the broker is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// Ack every delivery up to this one that was not told singly before.
    AckTo(u64),
    Ack(u64),
    Requeue(u64),
    Reject(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Handed out, not settled.
    Open,
    /// Acked by us, the broker not told.
    Acked,
    /// To be requeued at its time.
    Waiting,
    /// The broker was told.
    Told,
}

/// Deliveries in tag order. Its size follows the prefetch: what is told leaves.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: VecDeque<(u64, State)>,
    /// Not [`State::Told`].
    untold: usize,
    /// The prefix that may be acked in one: its last tag, its size, since when.
    prefix: Option<(u64, usize, Instant)>,
    /// Acked behind an open one: how many, and since when that one is the first that is open.
    behind: Option<(usize, Instant)>,
    retries: Vec<(Instant, u64)>,
    now: Vec<Tell>,
}

impl Ledger {
    /// Deliveries were handed out; tags ascend.
    pub(super) fn handed(&mut self, tag: u64) {
        self.entries.push_back((tag, State::Open));
        self.untold += 1;
    }

    /// A delivery was settled. A tag that is not open changes nothing.
    pub(super) fn settled(&mut self, tag: u64, settlement: Settlement, now: Instant) {
        let Some(at) = self.find(tag, State::Open) else { return };
        match settlement {
            Settlement::Ack => {
                self.set(at, State::Acked);
                let (count, _) = self.behind.get_or_insert((0, now));
                *count += 1;
            }
            Settlement::Reject => self.tell_now(at, Tell::Reject(tag)),
            Settlement::Requeue => self.tell_now(at, Tell::Requeue(tag)),
            Settlement::RetryAfter(delay) => match now.checked_add(delay) {
                Some(due) => {
                    self.set(at, State::Waiting);
                    self.retries.push((due, tag));
                }
                None => self.tell_now(at, Tell::Requeue(tag)),
            },
        }
    }

    /// What is to be told by now; with `all`, whatever is settled, waiting for nothing.
    pub(super) fn due(&mut self, now: Instant, all: bool, tells: &mut Vec<Tell>) {
        self.retry(now, all);
        self.sweep(now);
        tells.append(&mut self.now);
        let idle = self.untold == 0;
        if let Some((tag, count, since)) = self.prefix
            && (all || idle || count >= FLUSH_COUNT || now >= since + FLUSH_AFTER)
        {
            tells.push(Tell::AckTo(tag));
            self.prefix = None;
        }
        if let Some((_, since)) = self.behind
            && (all || now >= since + HOLE_AFTER)
        {
            for (tag, state) in &mut self.entries {
                if *state == State::Acked {
                    *state = State::Told;
                    self.untold -= 1;
                    tells.push(Tell::Ack(*tag));
                }
            }
            self.behind = None;
        }
        if self.entries.len() > 2 * self.untold + COMPACT {
            self.entries.retain(|(_, state)| *state != State::Told);
        }
    }

    /// After [`Ledger::due`]: when it has something to tell even if nothing more is settled.
    pub(super) fn next(&self) -> Option<Instant> {
        let prefix = self.prefix.map(|(_, _, since)| since + FLUSH_AFTER);
        let behind = self.behind.map(|(_, since)| since + HOLE_AFTER);
        let retry = self.retries.iter().map(|(due, _)| *due).min();
        [prefix, behind, retry].into_iter().flatten().min()
    }

    /// Moves the settled front into the prefix.
    fn sweep(&mut self, now: Instant) {
        while let Some((tag, state)) = self.entries.front().copied() {
            match state {
                State::Open | State::Waiting => break,
                State::Acked => {
                    let (last, count, _) = self.prefix.get_or_insert((tag, 0, now));
                    (*last, *count) = (tag, *count + 1);
                    self.untold -= 1;
                    self.behind = match self.behind {
                        Some((count, _)) if count > 1 => Some((count - 1, now)),
                        _ => None,
                    };
                }
                State::Told => {}
            }
            self.entries.pop_front();
        }
    }

    fn retry(&mut self, now: Instant, all: bool) {
        if self.retries.iter().all(|(due, _)| *due > now) && !all {
            return;
        }
        let retries = std::mem::take(&mut self.retries);
        for (due, tag) in retries {
            if !all && due > now {
                self.retries.push((due, tag));
            } else if let Some(at) = self.find(tag, State::Waiting) {
                self.tell_now(at, Tell::Requeue(tag));
            }
        }
    }

    fn find(&self, tag: u64, state: State) -> Option<usize> {
        let at = self.entries.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        self.entries.get(at).filter(|entry| entry.1 == state)?;
        Some(at)
    }

    fn set(&mut self, at: usize, state: State) {
        if let Some(entry) = self.entries.get_mut(at) {
            entry.1 = state;
        }
    }

    fn tell_now(&mut self, at: usize, tell: Tell) {
        self.set(at, State::Told);
        self.untold -= 1;
        self.now.push(tell);
    }
}

#[cfg(test)]
mod tests;
