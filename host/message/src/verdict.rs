//! Verdict: what a plugin wishes. Fault: why its call failed. Outcome: what happened in the end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Delta;

/// A plugin's reason, as a word it registered in `describe` (so that metric labels stay bounded).
pub type Reason = Arc<str>;

/// What a stage decided about one message.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Next stage, unchanged.
    Pass,
    /// Next stage, changed.
    Modify(Delta),
    /// Leaves the chain to the named routes, changed first.
    Route { routes: Vec<String>, delta: Delta },
    /// Becomes several messages; none at all is a drop without a reason.
    Emit(Vec<Emitted>),
    /// Done on purpose.
    Drop { reason: Option<Reason> },
    /// To the dead-letter target.
    Reject { reason: Option<Reason>, text: String },
    /// Again, at the earliest after this time; attempts are counted.
    Retry { after: Option<Duration>, text: String },
    /// Again after this time. It waits for others (a copy in flight, a limit, a store that is
    /// away), so no attempt is counted; with `away` for the store alone.
    Wait { after: Duration, text: String, away: bool },
    /// The plugin could not do its work on this message.
    Fail { failure: Failure, text: String },
    /// The call itself failed.
    Fault(Fault),
}

/// One child of [`Verdict::Emit`]: the parent with changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Emitted {
    /// The named route to leave by; `None` goes on to the next stage.
    pub route: Option<String>,
    pub delta: Delta,
}

/// A failure that a guest reports about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This message cannot be handled, now or later: dead letter.
    BadMessage,
    /// Something it depends on is away: retry with back-off.
    Dependency,
    /// A defect of the plugin: dead letter.
    Internal,
}

/// Why a guest call failed on one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// What the sandbox said, at most 1 KiB, without control characters.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    Trap,
    Deadline,
    Memory,
    Stack,
    BadOutput,
    OutputTooLarge,
    MissingExport,
    Denied,
    /// The message does not fit the plugin's memory.
    TooLarge,
    /// The stage's breaker is open after repeated faults.
    BreakerOpen,
}

impl FaultKind {
    /// A stable snake_case word for labels and headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::BadOutput => "bad_output",
            Self::OutputTooLarge => "output_too_large",
            Self::MissingExport => "missing_export",
            Self::Denied => "denied",
            Self::TooLarge => "too_large",
            Self::BreakerOpen => "breaker_open",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.text)
    }
}

impl Verdict {
    /// Whether the stage is done with the message, for better or worse, and did not fail on it.
    pub fn is_done(&self) -> bool {
        matches!(
            self,
            Self::Pass | Self::Modify(_) | Self::Route { .. } | Self::Emit(_) | Self::Drop { .. }
        )
    }

    /// A stable snake_case word for labels.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Modify(_) => "modify",
            Self::Route { .. } => "route",
            Self::Emit(_) => "emit",
            Self::Drop { .. } => "drop",
            Self::Reject { .. } => "reject",
            Self::Retry { .. } => "retry",
            Self::Wait { .. } => "wait",
            Self::Fail { .. } => "fail",
            Self::Fault(_) => "fault",
        }
    }
}

/// What became of a delivery in the end. Each ends in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Every copy confirmed by its target.
    Delivered,
    /// A stage dropped it.
    Filtered,
    /// In the dead-letter target (confirmed), or rejected to the broker's own policy.
    DeadLettered,
    /// Given back with a delay; it will come again.
    Deferred,
    /// Given back at once (drain, broker trouble); it will come again.
    Requeued,
}

impl Outcome {
    pub const ALL: [Self; 5] =
        [Self::Delivered, Self::Filtered, Self::DeadLettered, Self::Deferred, Self::Requeued];

    /// A stable snake_case word for labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Filtered => "filtered",
            Self::DeadLettered => "dead_lettered",
            Self::Deferred => "deferred",
            Self::Requeued => "requeued",
        }
    }
}
