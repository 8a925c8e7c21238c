//! Host: what a plugin may call. Logs and metrics are granted by default and rate-limited; clock,
//! random numbers and state ([`kv`]) must be in [`crate::Description::capabilities`] and granted in
//! the pipeline file, else the host refuses to load the plugin.
//!
//! Natively (`cargo test`) the calls are recorded, see [`crate::testing`].

pub mod kv;

#[cfg(target_arch = "wasm32")]
mod imports;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod recorded;

#[cfg(target_arch = "wasm32")]
use imports as call;
#[cfg(not(target_arch = "wasm32"))]
use recorded as call;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum Level {
    /// Every step.
    Trace = 0,
    /// For the plugin's author.
    Debug = 1,
    /// For the operator, in normal operation.
    Info = 2,
    /// Something is odd.
    Warn = 3,
    /// Something is broken.
    Error = 4,
}

/// A metric that [`metric_register`] made known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Metric(i32);

/// Writes a line to the host's log, under the plugin's name.
pub fn log(level: Level, text: &str) {
    call::log(level, text);
}

/// Makes a metric known by its name, `[a-z][a-z0-9_]{0,63}`; in `init`, at most 64 a plugin. The
/// same name gives the same metric; what is added to one that the host refused goes nowhere.
pub fn metric_register(name: &str) -> Metric {
    Metric(call::metric_register(name))
}

/// Adds to a counter.
pub fn metric_add(metric: Metric, delta: f64) {
    call::metric_add(metric.0, delta);
}

/// Records one sample of a distribution.
pub fn metric_observe(metric: Metric, sample: f64) {
    call::metric_observe(metric.0, sample);
}

/// The time now, in microseconds since the Unix epoch. Capability `clock`;
/// [`crate::Message::received_micros`] needs none.
pub fn now_micros() -> u64 {
    call::now_micros()
}

/// Fills a buffer with random bytes. Capability `random`.
pub fn random(buffer: &mut [u8]) {
    call::random(buffer);
}

/// Sends what a panic says to the log; the sandbox then traps without a word.
pub(crate) fn log_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
}
