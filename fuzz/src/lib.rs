//! Fuzz targets: one function each, over any bytes, that panics only where an invariant is broken.
//!
//! libFuzzer runs them (`make fuzz`), and so does a test over the kept inputs and mutations of
//! them (`make test`). A target is a module with a `run`; its inputs are in `corpus/<target>`, what
//! once broke it in `regressions/<target>`.

// What is read from guests and brokers, and what is written for them
pub mod amqp_frames;
pub mod batch;
pub mod content_header;
pub mod guest_output;
pub mod round_trip;
// What is read from people
pub mod admin;
pub mod pipeline_toml;
// What the shipped plugins make of it
pub mod plugin_bodies;
pub mod predicate;

mod arbitrary_message;
mod bytes_to_verdicts;

// Files of the host, taken in as they are: a dependency on the engine would build wasmtime with
// instrumentation, and the daemon is no library. `app` and `metrics` stand in for the daemon's.
#[expect(dead_code, reason = "the targets use a part of it")]
#[path = "../../host/engine/src"]
mod engine {
    pub(crate) mod frame;
    pub(crate) mod json;
    pub(crate) mod needs;
    pub(crate) mod text;
}
use engine::{frame, json, needs, text};

mod app;
#[expect(dead_code, reason = "the target has no listener")]
#[path = "../../host/daemon/src/admin.rs"]
mod host_admin;
mod metrics;

/// A target and how often `make test` runs it on a mutation: the slow ones seldom.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    pub mutations: usize,
}

/// All targets.
pub const TARGETS: [Target; 9] = [
    Target { name: "admin", run: admin::run, mutations: 5_000 },
    Target { name: "amqp_frames", run: amqp_frames::run, mutations: 20_000 },
    Target { name: "batch", run: batch::run, mutations: 50_000 },
    Target { name: "content_header", run: content_header::run, mutations: 20_000 },
    Target { name: "guest_output", run: guest_output::run, mutations: 50_000 },
    Target { name: "pipeline_toml", run: pipeline_toml::run, mutations: 1_500 },
    Target { name: "plugin_bodies", run: plugin_bodies::run, mutations: 20_000 },
    Target { name: "predicate", run: predicate::run, mutations: 20_000 },
    Target { name: "round_trip", run: round_trip::run, mutations: 20_000 },
];
