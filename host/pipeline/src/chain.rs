//! Chain: the ordered stages of a pipeline with a generation number.

use std::sync::Arc;

use crate::settings::RetryPolicy;
use crate::stage::{OnError, Stage, StageFactory};
use crate::stats::StageStats;

/// Immutable; replaced whole. Each lane opens its own stages from it.
pub struct Chain {
    pub generation: u64,
    pub stages: Vec<Arc<dyn StageFactory>>,
}

/// One lane's live stages.
pub(crate) struct OpenChain {
    pub(crate) stages: Vec<OpenStage>,
}

pub(crate) struct OpenStage {
    pub(crate) stage: Box<dyn Stage>,
    pub(crate) name: Arc<str>,
    pub(crate) plugin: Arc<str>,
    pub(crate) on_error: OnError,
    pub(crate) retry: RetryPolicy,
    pub(crate) stats: Arc<StageStats>,
}

impl Chain {
    /// Opens every stage for a lane, on that lane's thread.
    pub(crate) fn open(
        &self,
        lane: usize,
        retry: RetryPolicy,
        stats: &[Arc<StageStats>],
    ) -> Result<OpenChain, String> {
        let mut stages = Vec::with_capacity(self.stages.len());
        for (factory, stats) in self.stages.iter().zip(stats) {
            let stage =
                factory.open(lane).map_err(|error| format!("stage {}: {error}", factory.name()))?;
            stages.push(OpenStage {
                stage,
                name: factory.name().into(),
                plugin: factory.plugin().into(),
                on_error: factory.on_error(),
                retry: factory.retry().unwrap_or(retry),
                stats: stats.clone(),
            });
        }
        Ok(OpenChain { stages })
    }
}
