//! Memory: what is not in the file, or not yet: claims in flight, counters to be written, and how
//! much each stage uses.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::tables::{Change, prefix_of};
use crate::limits::Quota;

/// A counter as messages see it, until the file has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Counter {
    pub(super) value: i64,
    pub(super) end: u64,
}

/// What a stage uses.
#[derive(Clone, Copy, Default)]
pub(super) struct Used {
    pub(super) keys: u64,
    pub(super) bytes: u64,
    /// Keys, and their bytes, that are not in the file: claims in flight and new counters.
    held_keys: u64,
    held_bytes: u64,
}

#[derive(Default)]
pub(super) struct Memory {
    /// By full key: the number of the claim that holds it.
    claims: HashMap<Vec<u8>, u64>,
    last_claim: u64,
    /// By full key; and whether the file had none.
    counters: HashMap<Vec<u8>, (Counter, bool)>,
    used: HashMap<Vec<u8>, Used>,
}

impl Memory {
    pub(super) fn new(used: HashMap<Vec<u8>, (u64, u64)>) -> Self {
        let used = used
            .into_iter()
            .map(|(prefix, (keys, bytes))| (prefix, Used { keys, bytes, ..Used::default() }));
        Self { used: used.collect(), ..Self::default() }
    }

    /// What the quota leaves no room for, of `bytes` under one more key.
    pub(super) fn lack(&self, prefix: &[u8], bytes: u64, quota: Quota) -> Option<String> {
        let used = self.used.get(prefix).copied().unwrap_or_default();
        if used.keys.saturating_add(used.held_keys) >= quota.keys {
            return Some(format!("{} keys", quota.keys));
        }
        let sum = used.bytes.saturating_add(used.held_bytes).saturating_add(bytes);
        (sum > quota.bytes).then(|| format!("{} bytes", quota.bytes))
    }

    /// Takes a claim, or says that it is taken.
    pub(super) fn claim(&mut self, full: &[u8]) -> Option<u64> {
        let Entry::Vacant(free) = self.claims.entry(full.to_vec()) else {
            return None;
        };
        self.last_claim += 1;
        free.insert(self.last_claim);
        self.hold(full, 1);
        Some(self.last_claim)
    }

    pub(super) fn holds(&self, full: &[u8], claim: u64) -> bool {
        self.claims.get(full) == Some(&claim)
    }

    pub(super) fn is_claimed(&self, full: &[u8]) -> bool {
        self.claims.contains_key(full)
    }

    pub(super) fn release(&mut self, full: &[u8], claim: u64) {
        if self.holds(full, claim) {
            self.claims.remove(full);
            self.hold(full, -1);
        }
    }

    pub(super) fn counter(&self, full: &[u8]) -> Option<Counter> {
        self.counters.get(full).map(|(counter, _)| *counter)
    }

    /// `new`: the file has none.
    pub(super) fn set_counter(&mut self, full: &[u8], counter: Counter, new: bool) {
        if let Some((old, _)) = self.counters.get_mut(full) {
            *old = counter;
            return;
        }
        self.counters.insert(full.to_vec(), (counter, new));
        self.hold(full, i64::from(new));
    }

    /// Counters that the file does not have as they are.
    pub(super) fn unwritten(&self) -> Vec<(Vec<u8>, Counter)> {
        self.counters.iter().map(|(full, (counter, _))| (full.clone(), *counter)).collect()
    }

    /// Forgets those that have not changed since they were written; the file has them.
    pub(super) fn written(&mut self, counters: &[(Vec<u8>, Counter)]) {
        for (full, counter) in counters {
            let Some((now, new)) = self.counters.get_mut(full) else { continue };
            let was_new = std::mem::take(new);
            if now == counter {
                self.counters.remove(full);
            }
            self.hold(full, -i64::from(was_new));
        }
    }

    /// Takes over what a transaction changed.
    pub(super) fn account(&mut self, changed: HashMap<Vec<u8>, Change>) {
        for (prefix, change) in changed {
            let used = self.used.entry(prefix).or_default();
            used.keys = used.keys.saturating_add_signed(change.keys);
            used.bytes = used.bytes.saturating_add_signed(change.bytes);
        }
    }

    /// Starts the accounts anew from what the file says.
    pub(super) fn reopen(&mut self, file: HashMap<Vec<u8>, (u64, u64)>) {
        for used in self.used.values_mut() {
            (used.keys, used.bytes) = (0, 0);
        }
        for (prefix, (keys, bytes)) in file {
            let used = self.used.entry(prefix).or_default();
            (used.keys, used.bytes) = (keys, bytes);
        }
    }

    pub(super) fn used(&self) -> impl Iterator<Item = (&[u8], Used)> {
        self.used.iter().map(|(prefix, used)| (prefix.as_slice(), *used))
    }

    fn hold(&mut self, full: &[u8], sign: i64) {
        let prefix = prefix_of(full);
        let bytes = i64::try_from(full.len() - prefix.len()).unwrap_or(i64::MAX);
        let used = match self.used.get_mut(prefix) {
            Some(used) => used,
            None => self.used.entry(prefix.to_vec()).or_default(),
        };
        used.held_keys = used.held_keys.saturating_add_signed(sign);
        used.held_bytes = used.held_bytes.saturating_add_signed(sign.saturating_mul(bytes));
    }
}
