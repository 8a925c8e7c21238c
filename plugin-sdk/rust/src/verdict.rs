//! Verdict: what a plugin decided about one message.

use crate::Delta;

/// What becomes of the message.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Next stage, unchanged.
    Pass,
    /// Next stage, changed.
    Modify(Delta),
    /// Leaves the chain to the named routes, changed first.
    Route {
        /// At most 255 of those that [`crate::Init::routes`] lists.
        routes: Vec<String>,
        /// May be empty.
        delta: Delta,
    },
    /// Becomes several messages; none at all is a drop without a reason.
    Emit(Vec<Emitted>),
    /// Done on purpose.
    Drop(Reason),
    /// To the dead-letter target.
    Reject {
        /// For counting.
        reason: Reason,
        /// For people; cut after 1,024 bytes.
        text: String,
    },
    /// Again later; attempts are counted.
    Retry {
        /// Milliseconds; 0 for the pipeline's own back-off.
        after_ms: u32,
        /// For people; cut after 1,024 bytes.
        text: String,
    },
    /// The plugin could not do its work on this message.
    Fail {
        /// Decides what the host does about it.
        failure: Failure,
        /// For people; cut after 1,024 bytes.
        text: String,
    },
}

/// Why, as 1 + the position of the word in [`crate::Description::reasons`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reason(pub u16);

impl Reason {
    /// No reason given.
    pub const NONE: Self = Self(0);
}

/// One child of [`Verdict::Emit`]: the message with changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Emitted {
    /// The named route to leave by; `None` goes on to the next stage.
    pub route: Option<String>,
    /// May be empty.
    pub delta: Delta,
}

/// A failure that a plugin reports about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Failure {
    /// This message cannot be handled, now or later: dead letter.
    BadMessage = 1,
    /// Something it depends on is away: retried with back-off.
    Dependency = 3,
    /// A defect of the plugin: dead letter.
    Internal = 4,
}
