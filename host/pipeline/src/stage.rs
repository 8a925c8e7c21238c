//! Stage: one step of a chain.

use lockgate_message::state::Staged;
use lockgate_message::{Input, Verdict};

use crate::settings::RetryPolicy;

/// One live step of a chain, owned by one lane; never shared, so it may keep state.
pub trait Stage {
    /// Judges a batch: appends exactly one verdict per message to `verdicts`, in order.
    ///
    /// Never fails as a whole: what goes wrong is a [`Verdict::Fault`] of the messages it
    /// went wrong for. Runs on the lane's thread and may use all of its time limit.
    fn process(&mut self, batch: &[Input<'_>], verdicts: &mut Vec<Verdict>);

    /// Takes what the last batch staged: the message's position in it, and the changes to state
    /// that go with its outcome.
    fn staged(&mut self) -> Vec<(usize, Staged)> {
        Vec::new()
    }
}

/// Opens a stage for one lane, on that lane's thread.
pub trait StageFactory: Send + Sync {
    /// The stage's name in the pipeline file.
    fn name(&self) -> &str;

    /// Its plugin's identity for dead letters: name, version, digest.
    fn plugin(&self) -> &str {
        ""
    }

    /// Opens it for lane number `lane`.
    ///
    /// # Errors
    /// Why it cannot run; the pipeline then does not start.
    fn open(&self, lane: usize) -> Result<Box<dyn Stage>, String>;

    /// How often this stage lets a message be tried, where it differs from the pipeline's policy.
    fn retry(&self) -> Option<RetryPolicy> {
        None
    }

    /// What becomes of a message that this stage fails on.
    fn on_error(&self) -> OnError {
        OnError::DeadLetter
    }
}

/// What becomes of a message on a fault or a failure that has no verdict of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    DeadLetter,
    Retry,
    Drop,
    Pass,
}
