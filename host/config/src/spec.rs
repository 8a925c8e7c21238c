//! The validated description of a pipeline. Its types can only come from [`crate::load`] and
//! [`crate::parse_pipeline`], so whoever holds one need not check it again.

mod delivery;
mod stage;

use std::path::PathBuf;

pub use delivery::{
    Backoff, BatchSpec, DeliverySpec, KeySource, Order, RetryPolicy, RetrySpec, Wait,
};
pub use stage::{Capability, Isolation, LimitsSpec, OnError, PluginRef, Settings, StageSpec};

use crate::file::Place;
use crate::section::Section;

/// One source, one chain of stages, its routes, a dead-letter target, limits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PipelineSpec {
    /// 1 to 64 bytes of `a-z`, `0-9`, `-`, `_`; unique in a run.
    pub name: String,
    pub description: Option<String>,
    /// The file it comes from.
    pub file: PathBuf,
    pub source: Endpoint,
    pub delivery: DeliverySpec,
    pub batch: BatchSpec,
    /// How many lanes; the daemon chooses where none are given. 1 to 256.
    pub lanes: Option<usize>,
    /// At most 64, with distinct names.
    pub stages: Vec<StageSpec>,
    /// At most 256, in the file's order, with distinct names.
    pub routes: Vec<RouteSpec>,
    /// Where messages go that are given up. Without one the broker's own policy decides.
    pub dead_letter: Option<Endpoint>,
    /// The whole file.
    pub section: Section,
}

/// A transport and its settings, as a source or as a target.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Endpoint {
    /// The transport's name, as in `[source.amqp]`: one of those that [`crate::Context`] lists.
    pub kind: String,
    /// The transport's own settings.
    pub settings: Section,
}

/// A named target that a stage may pick.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouteSpec {
    pub name: String,
    pub target: Endpoint,
    pub(crate) place: Place,
}

impl PipelineSpec {
    /// The route of this name.
    pub fn route(&self, name: &str) -> Option<&RouteSpec> {
        self.routes.iter().find(|route| route.name == name)
    }
}
