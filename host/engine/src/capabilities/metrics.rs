//! Capability `metrics`: up to 64 names a plugin, finite values, shared by its lanes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Names that one plugin may register.
const MAX_NAMES: usize = 64;
/// Bytes of one name.
const MAX_NAME: usize = 64;

/// What a guest registered and counted, read at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestMetric {
    /// `[a-z][a-z0-9_]{0,63}`
    pub name: String,
    pub value: GuestValue,
}

/// A guest metric's value; finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GuestValue {
    /// The sum of what was added.
    Counter(f64),
    /// Samples observed: how many, and their sum.
    Samples { count: u64, sum: f64 },
}

/// Slots by id. Registering takes a lock, adding does not.
#[derive(Debug)]
pub(crate) struct GuestMetrics {
    slots: [OnceLock<Slot>; MAX_NAMES],
    register: Mutex<()>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    /// Sums as the bits of an `f64`.
    added: AtomicU64,
    observed: AtomicU64,
    samples: AtomicU64,
}

impl Default for GuestMetrics {
    fn default() -> Self {
        Self { slots: [const { OnceLock::new() }; MAX_NAMES], register: Mutex::new(()) }
    }
}

impl GuestMetrics {
    /// The id of a name, the same for the same name; `None` for a name that is not one, or when
    /// all ids are taken.
    pub(crate) fn register(&self, name: &[u8]) -> Option<u32> {
        let name = std::str::from_utf8(name).ok().filter(|name| is_name(name))?;
        let _one_at_a_time = self.register.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, _) = (0..).zip(&self.slots).find(|(_, slot)| {
            let zero = || AtomicU64::new(0f64.to_bits());
            let new = || Slot {
                name: name.to_owned(),
                added: zero(),
                observed: zero(),
                samples: AtomicU64::new(0),
            };
            slot.get_or_init(new).name == name
        })?;
        Some(id)
    }

    /// Adds to a counter. Ids nobody registered and values a counter cannot take (negative, not
    /// finite) are ignored.
    pub(crate) fn add(&self, id: u32, delta: f64) {
        if delta.is_finite()
            && delta >= 0.0
            && let Some(slot) = self.slot(id)
        {
            add(&slot.added, delta);
        }
    }

    /// Counts a sample; what is not finite is ignored.
    pub(crate) fn observe(&self, id: u32, sample: f64) {
        if let Some(slot) = self.slot(id).filter(|_| sample.is_finite()) {
            add(&slot.observed, sample);
            slot.samples.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn slot(&self, id: u32) -> Option<&Slot> {
        self.slots.get(id as usize)?.get()
    }

    /// A name that was observed reads as samples, any other as a counter.
    pub(crate) fn snapshot(&self) -> Vec<GuestMetric> {
        let sum = |bits: &AtomicU64| f64::from_bits(bits.load(Ordering::Relaxed));
        self.slots
            .iter()
            .filter_map(OnceLock::get)
            .map(|slot| {
                let value = match slot.samples.load(Ordering::Relaxed) {
                    0 => GuestValue::Counter(sum(&slot.added)),
                    count => GuestValue::Samples { count, sum: sum(&slot.observed) },
                };
                GuestMetric { name: slot.name.clone(), value }
            })
            .collect()
    }
}

/// Adds unless the sum would stop being finite.
fn add(bits: &AtomicU64, value: f64) {
    // A sum that overflows stays as it was.
    let _ = bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
        Some(f64::from_bits(old) + value).filter(|sum| sum.is_finite()).map(f64::to_bits)
    });
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few_and_values_finite() {
        let metrics = GuestMetrics::default();
        let id = metrics.register(b"hits").unwrap();
        assert_eq!(metrics.register(b"hits"), Some(id));
        for bad in [&b""[..], b"Up", b"a b", b"\xff", &[b'a'; 65]] {
            assert_eq!(metrics.register(bad), None, "{bad:?}");
        }
        for n in 1..MAX_NAMES {
            assert!(metrics.register(format!("n{n}").as_bytes()).is_some());
        }
        assert_eq!(metrics.register(b"one_too_many"), None);
        for value in [2.0, f64::NAN, f64::INFINITY, -1.0, 0.5] {
            metrics.add(id, value);
        }
        metrics.add(999, 1.0);
        metrics.observe(1, -3.0);
        metrics.observe(1, f64::NAN);
        let seen = metrics.snapshot();
        assert_eq!(seen[0], GuestMetric { name: "hits".into(), value: GuestValue::Counter(2.5) });
        assert_eq!(seen[1].value, GuestValue::Samples { count: 1, sum: -3.0 });
    }
}
