//! The pipeline core: one source, one chain, its routes, a dead-letter target.
//!
//! The way of a message: [`intake`] takes it from the source and gives it to a lane ([`lane`]);
//! the lane's thread runs the chain over a batch ([`executor`]) and leaves a [`job`] per message;
//! the lane's [`dispatch`] task publishes the copies, waits for the confirms, writes the dead
//! letters ([`dead_letter`], [`envelope`]) and settles. Knows neither the sandbox nor a broker.

mod aside;
mod chain;
mod condition;
mod dead_letter;
mod dispatch;
mod envelope;
mod executor;
mod history;
mod intake;
mod job;
mod lane;
mod letter_log;
mod life;
mod pipeline;
mod retry;
mod route;
mod settings;
mod stage;
mod stats;

pub use chain::Chain;
pub use condition::{Component, Conditions};
pub use dead_letter::replayable;
pub use envelope::{ENVELOPE_CONTENT_TYPE, Envelope};
pub use lockgate_message::Input;
pub use pipeline::{Parts, PipelineError, Prepared, Running, prepare, start};
pub use route::{Routes, Target};
pub use settings::{KeySource, Order, RetryPolicy, Settings, Wait};
pub use stage::{OnError, Stage, StageFactory};
pub use stats::{Histogram, Snapshot, StageStats, Stats};

/// For the fuzz targets; no part of the API.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    use bytes::Bytes;
    use lockgate_message::Head;

    /// What a dead letter's envelope keeps of `head`.
    pub fn content_header(head: &Head, body_len: usize) -> Bytes {
        crate::envelope::content_header(head, body_len)
    }
}
