//! Host and pipeline TOML: parse, validate, diagnose. No I/O but file reads.
//!
//! A [`SourceFile`] is parsed into a tree of spanned nodes with `${VAR}` and `secret_file` already
//! resolved; a [`Section`] is one table of it, read through serde into plain structs with every
//! unknown key and wrong type reported. From sections come the validated specs. Whatever is wrong
//! is a [`Diagnostic`] with a [`Code`], a place and a way out, in which no credential appears.

mod file;
mod read;
mod secret;
mod suggest;

mod diagnostic;
mod document;
mod section;
mod units;

mod host;
mod load;
mod pipeline;
mod routes;
mod spec;

pub use diagnostic::{Code, Diagnostic, Severity, has_errors, render_text};
pub use file::{Place, SourceFile};
pub use host::{AdminSpec, EngineSpec, HostSpec, LogFormat, LogSpec, StateSpec, load_host};
pub use load::{Context, Loaded, Transport, load, parse_pipeline};
pub use routes::{StageRoutes, validate_routes};
pub use secret::Secret;
pub use section::Section;
pub use spec::{
    Backoff, BatchSpec, Capability, DeliverySpec, Endpoint, Isolation, KeySource, LimitsSpec,
    OnError, Order, PipelineSpec, PluginRef, RetryPolicy, RetrySpec, RouteSpec, Settings,
    StageSpec, Wait,
};
pub use suggest::nearest;
pub use units::{ByteSize, Time, TimeRange};
