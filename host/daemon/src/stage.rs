//! The plugin stage: the sandbox behind the pipeline's Stage trait.

use std::sync::Arc;

use lockgate_engine::{Configured, Instance};
use lockgate_message::state::Staged;
use lockgate_message::{Input, Verdict};
use lockgate_pipeline::{OnError, RetryPolicy, Stage, StageFactory};

/// A configured plugin at its place in a chain.
pub(crate) struct PluginStage {
    pub(crate) name: String,
    pub(crate) plugin: String,
    pub(crate) configured: Arc<Configured>,
    pub(crate) on_error: OnError,
    pub(crate) retry: RetryPolicy,
}

struct Open(Instance);

impl Stage for Open {
    fn process(&mut self, batch: &[Input<'_>], verdicts: &mut Vec<Verdict>) {
        self.0.process(batch, verdicts);
    }

    fn staged(&mut self) -> Vec<(usize, Staged)> {
        self.0.staged()
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
        let instance = self.configured.open().map_err(|fault| fault.to_string())?;
        Ok(Box::new(Open(instance)))
    }

    fn retry(&self) -> Option<RetryPolicy> {
        Some(self.retry)
    }

    fn on_error(&self) -> OnError {
        self.on_error
    }
}
