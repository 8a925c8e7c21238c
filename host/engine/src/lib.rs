//! The plugin sandbox; the only crate that names wasmtime.
//!
//! [`Engine::load`] takes a module's bytes to a [`Plugin`]: pre-checked, compiled under limits or
//! taken from the cache, linked to its grants. [`Plugin::configure`] gives it the settings of a
//! stage, [`Configured::open`] opens one [`Instance`] a lane, and [`Instance::process`] turns a
//! batch of messages into one verdict each, whatever the guest does.

// Before any guest runs
mod cache;
mod carry;
mod compile;
mod configured;
mod describe;
mod engine;
mod inspect;
mod json;
mod plugin;
mod precheck;
mod samples;
// On the message path
mod bindings;
mod breaker;
mod deadline;
mod doors;
mod frame;
mod instance;
mod needs;
mod pace;
mod sandbox;
// What a guest may use
mod capabilities;
mod host;
mod limiter;
mod limits;
// What went wrong, and how often
mod error;
mod fault;
mod machine;
mod stats;
mod text;

pub use capabilities::kv::KvAccess;
pub use capabilities::metrics::{GuestMetric, GuestValue};
pub use capabilities::{Capability, Grants};
pub use carry::{is_precompiled, precompile};
pub use compile::{Compiler, compile_child};
pub use configured::Configured;
pub use describe::{CONTRACT, Description, SettingError};
pub use doors::Door;
pub use engine::{Digest, Engine, EngineConfig, MEMORY_RESERVATION};
pub use error::{ConfigureError, LoadError};
pub use inspect::{Inspection, inspect};
pub use instance::Instance;
pub use limits::{BreakerLimits, Isolation, Limits, MIN_THREAD_STACK};
pub use needs::{BodyNeeds, HeaderNeeds, Names, Needs};
pub use plugin::Plugin;
pub use precheck::MAX_MODULE;
pub use stats::StatsSnapshot;
pub use text::{clean, steers};
