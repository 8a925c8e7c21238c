//! Native stand-ins of the host's functions: they record, per thread, what a plugin did.

pub(crate) mod state;

use std::cell::RefCell;

use super::Level;

pub(super) use state::{kv_add, kv_claim, kv_delete, kv_get, kv_put};

thread_local! {
    static RECORD: RefCell<Record> = const { RefCell::new(Record::new()) };
}

/// What the plugins of this thread did.
struct Record {
    logs: Vec<(Level, String)>,
    /// Name and sum of what was added; the position is the id.
    metrics: Vec<(String, f64)>,
    now_micros: u64,
    /// State of the random generator (SplitMix64), the same in every run.
    seed: u64,
}

impl Record {
    const fn new() -> Self {
        Self { logs: Vec::new(), metrics: Vec::new(), now_micros: 0, seed: 0 }
    }
}

pub(super) fn log(level: Level, text: &str) {
    RECORD.with_borrow_mut(|record| record.logs.push((level, text.to_owned())));
}

pub(super) fn metric_register(name: &str) -> i32 {
    RECORD.with_borrow_mut(|record| {
        let known = record.metrics.iter().position(|(known, _)| known == name);
        let id = known.unwrap_or_else(|| {
            record.metrics.push((name.to_owned(), 0.0));
            record.metrics.len() - 1
        });
        i32::try_from(id).unwrap_or(i32::MAX)
    })
}

pub(super) fn metric_add(id: i32, delta: f64) {
    RECORD.with_borrow_mut(|record| {
        let metric = usize::try_from(id).ok().and_then(|id| record.metrics.get_mut(id));
        if let Some((_, sum)) = metric {
            *sum += delta;
        }
    });
}

pub(super) fn metric_observe(id: i32, sample: f64) {
    metric_add(id, sample);
}

pub(super) fn now_micros() -> u64 {
    RECORD.with_borrow(|record| record.now_micros)
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
pub(super) fn random(buffer: &mut [u8]) {
    RECORD.with_borrow_mut(|record| {
        for chunk in buffer.chunks_mut(8) {
            record.seed = record.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = record.seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            for (byte, random) in chunk.iter_mut().zip(z.to_le_bytes()) {
                *byte = random;
            }
        }
    });
}

pub(crate) fn take_logs() -> Vec<(Level, String)> {
    RECORD.with_borrow_mut(|record| std::mem::take(&mut record.logs))
}

pub(crate) fn metric(name: &str) -> f64 {
    RECORD.with_borrow(|record| {
        record.metrics.iter().find(|(known, _)| known == name).map_or(0.0, |(_, sum)| *sum)
    })
}

pub(crate) fn set_clock(now_micros: u64) {
    RECORD.with_borrow_mut(|record| record.now_micros = now_micros);
}
