//! Limits: what one plugin may use, with the defaults of the sandbox.

use std::time::Duration;

/// Bytes of wasm stack of one call.
pub(crate) const WASM_STACK: usize = 512 << 10;

/// Stack that a thread needs which calls plugins: the guest's, and as much again three times for
/// the host functions that a guest at its limit may still call.
pub const MIN_THREAD_STACK: usize = 4 * WASM_STACK;

/// Bytes of a description, of an init result, and of settings.
pub(crate) const JSON_LIMIT: usize = 1 << 20;

/// Bytes of one output whatever the message.
pub(crate) const MIN_OUTPUT: usize = 1 << 20;

/// How long guest memory lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Until it is recycled.
    #[default]
    Instance,
    /// One batch.
    Batch,
    /// One message.
    Message,
}

/// What one plugin stage may use. `Default` is the safe set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time for one message, when it runs alone.
    pub time: Duration,
    /// Time for one batch, when `time` of each would be more.
    pub batch_time: Duration,
    /// Time for each of: instantiate, describe, init.
    pub init_time: Duration,
    /// Bytes of linear memory, all memories of the plugin together.
    pub memory: usize,
    /// Elements of all its tables together.
    pub table_elements: usize,
    /// Messages in one batch; the plugin's `max_batch` can only lower it.
    pub batch: usize,
    /// Bytes of one batch; a larger message goes alone.
    pub batch_bytes: usize,
    /// Bytes of the output for one message, at most; within it four times the message, or
    /// 1 MiB where that is more.
    pub output: usize,
    /// Children of one emit.
    pub emitted: usize,
    /// Lines of log a second, over all lanes; more are dropped and counted.
    pub log_lines: u32,
    /// How long guest memory lives.
    pub isolation: Isolation,
    /// Guest calls after which a sandbox is made anew; `None` for never.
    pub recycle_calls: Option<u64>,
    /// Bytes of guest memory from which on, at the end of a batch, a sandbox is made anew if it
    /// has grown since it was made; `None` for three quarters of `memory`.
    pub recycle_memory: Option<usize>,
    /// When repeated faults pause the stage.
    pub breaker: BreakerLimits,
}

/// When repeated faults pause a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Faults within `window` that open it; 0 means never.
    pub faults: usize,
    /// The time that `faults` are counted over.
    pub window: Duration,
    /// First pause; doubles with each failed probe.
    pub pause: Duration,
    /// Longest pause.
    pub max_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(100),
            batch_time: Duration::from_millis(250),
            init_time: Duration::from_secs(5),
            memory: 64 << 20,
            table_elements: 10_000,
            batch: 64,
            batch_bytes: 1 << 20,
            output: 16 << 20,
            emitted: 1000,
            log_lines: 100,
            isolation: Isolation::Instance,
            recycle_calls: None,
            recycle_memory: None,
            breaker: BreakerLimits::default(),
        }
    }
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self {
            faults: 20,
            window: Duration::from_secs(10),
            pause: Duration::from_secs(1),
            max_pause: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// Bytes of the largest message, as packed for the plugin: a quarter of its memory.
    pub(crate) fn message_bytes(&self) -> usize {
        (self.memory / 4).min(u32::MAX as usize)
    }

    /// Bytes that the output for an input of this size may have.
    pub(crate) fn output_bytes(&self, input: usize) -> usize {
        input.saturating_mul(4).max(MIN_OUTPUT).min(self.output)
    }
}
