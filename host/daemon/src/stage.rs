//! The plugin stage: the sandbox behind the pipeline's Stage trait.

use std::sync::Arc;

use lockgate_engine::{Configured, Instance};
use lockgate_message::state::Staged;
use lockgate_message::{Input, Verdict};
use lockgate_pipeline::{OnError, RetryPolicy, Stage, StageFactory};

/// A configured plugin at its place in a chain.
pub(crate) struct PluginStage {
    pub(crate) pipeline: String,
    pub(crate) name: String,
    pub(crate) plugin: String,
    pub(crate) configured: Arc<Configured>,
    pub(crate) on_error: OnError,
    pub(crate) retry: RetryPolicy,
}

struct Open {
    instance: Instance,
    /// Says in the log whose lines those of the plugin and of its sandbox are.
    span: tracing::Span,
}

impl Stage for Open {
    fn process(&mut self, batch: &[Input<'_>], verdicts: &mut Vec<Verdict>) {
        let Self { instance, span } = self;
        span.in_scope(|| instance.process(batch, verdicts));
    }

    fn staged(&mut self) -> Vec<(usize, Staged)> {
        self.instance.staged()
    }
}

impl StageFactory for PluginStage {
    fn name(&self) -> &str {
        &self.name
    }

    fn plugin(&self) -> &str {
        &self.plugin
    }

    fn open(&self, _lane: usize) -> Result<Box<dyn Stage>, String> {
        let Self { pipeline, name, plugin, .. } = self;
        // Of the highest level, for what is written within it is of any.
        let span = tracing::error_span!("stage", pipeline, stage = name, plugin);
        let opened = span.in_scope(|| self.configured.open());
        let instance = opened.map_err(|fault| fault.to_string())?;
        Ok(Box::new(Open { instance, span }))
    }

    fn retry(&self) -> Option<RetryPolicy> {
        Some(self.retry)
    }

    fn on_error(&self) -> OnError {
        self.on_error
    }
}
