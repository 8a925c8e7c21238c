//! Consumer: one subscription's window of unsettled messages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use slab::Slab;

use crate::queue::Entry;

/// Names one consumer of all that ever were: `at` is used again, `serial` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerId {
    pub(crate) at: usize,
    pub(crate) serial: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    /// By its own wish.
    Cancelled,
    /// By the broker.
    Evicted,
}

/// What a consumer may have unsettled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Most messages; at least one.
    pub(crate) prefetch: u16,
    /// It is sent no more while it has so many bytes of bodies.
    pub(crate) bytes: usize,
}

pub(crate) struct Consumer {
    pub(crate) serial: u64,
    pub(crate) queue: usize,
    prefetch: usize,
    /// Most bytes of bodies unsettled, before one more is sent.
    bytes_max: usize,
    /// Bytes of the bodies of `unsettled`.
    bytes: usize,
    pub(crate) standing: Standing,
    /// Unsettled messages; a delivery tag is a place in it. Never more than the prefetch.
    unsettled: Slab<Entry>,
    /// Those of them that have not been taken yet, in order.
    sent: VecDeque<usize>,
    waker: Option<Waker>,
    /// Shared with the source's handles; false once settling is pointless.
    live: Arc<AtomicBool>,
}

impl Consumer {
    pub(crate) fn new(serial: u64, queue: usize, window: Window, live: Arc<AtomicBool>) -> Self {
        Self {
            serial,
            queue,
            prefetch: window.prefetch.max(1).into(),
            bytes_max: window.bytes,
            bytes: 0,
            standing: Standing::Active,
            unsettled: Slab::new(),
            sent: VecDeque::new(),
            waker: None,
            live,
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.unsettled.len() < self.prefetch && (self.bytes == 0 || self.bytes < self.bytes_max)
    }

    /// Hands it a message; the caller wakes it.
    pub(crate) fn send(&mut self, mut entry: Entry) -> Option<Waker> {
        self.bytes += entry.message().body().len();
        self.sent.push_back(self.unsettled.insert(entry));
        self.waker.take()
    }

    /// Takes up to `max` of what was sent.
    pub(crate) fn take(&mut self, max: usize, mut each: impl FnMut(u64, &mut Entry)) -> usize {
        let count = max.min(self.sent.len());
        for tag in self.sent.drain(..count) {
            if let Some(entry) = self.unsettled.get_mut(tag) {
                each(tag as u64, entry);
            }
        }
        count
    }

    pub(crate) fn entry(&mut self, tag: u64) -> Option<&mut Entry> {
        self.unsettled.get_mut(usize::try_from(tag).ok()?)
    }

    pub(crate) fn settle(&mut self, tag: u64) -> Option<Entry> {
        let mut entry = self.unsettled.try_remove(usize::try_from(tag).ok()?)?;
        self.bytes = self.bytes.saturating_sub(entry.message().body().len());
        Some(entry)
    }

    /// Who to wake when something is sent or the standing changes.
    pub(crate) fn wait(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(there) => there.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    pub(crate) fn stand(&mut self, standing: Standing) -> Option<Waker> {
        self.standing = standing;
        self.waker.take()
    }

    /// Ends it: what is unsettled, the youngest first, and who waits for it.
    pub(crate) fn end(mut self) -> (Vec<Entry>, Option<Waker>) {
        self.live.store(false, Ordering::Release);
        let mut unsettled: Vec<_> = self.unsettled.drain().collect();
        unsettled.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.position()));
        (unsettled, self.waker.take())
    }
}

#[cfg(test)]
impl Consumer {
    pub(crate) fn is_waiting(&self) -> bool {
        self.waker.is_some()
    }
}
