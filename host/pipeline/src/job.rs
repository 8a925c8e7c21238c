//! Job: what the chain left of one delivery, for the dispatcher to carry out.

use std::sync::Arc;
use std::time::Duration;

use lockgate_message::Delivery;
use lockgate_message::state::Staged;
use lockgate_transport::Outgoing;

/// One delivery and what is to become of it. The whole job is done, and the delivery settled,
/// when every copy is confirmed: acknowledgement is counted per message, whatever the batch.
pub(crate) struct Job {
    /// The message as it came: the dead letter is made of it, not of what stages made.
    pub(crate) delivery: Delivery,
    pub(crate) copies: Vec<Copy>,
    /// The worst that any child of the message met decides.
    pub(crate) fate: Fate,
    /// What stages want changed with the outcome, first stage first; only of a job that is done.
    pub(crate) staged: Vec<Staged>,
    /// Messages and body bytes that the chain made of it, against the limits.
    pub(crate) emitted: usize,
    pub(crate) emitted_bytes: usize,
    /// It has copies to publish: in the end it is delivered, not filtered.
    pub(crate) delivered: bool,
}

/// One copy on its way to one target.
pub(crate) struct Copy {
    pub(crate) sink: usize,
    pub(crate) outgoing: Outgoing,
}

/// In ascending order of badness.
#[derive(Debug)]
pub(crate) enum Fate {
    /// Delivered when there are copies, filtered when there are none.
    Done,
    DeadLetter(Cause),
    /// Repeats the source message after `delay`; nothing of it is published this time. `counted`
    /// when it uses up one of the message's attempts.
    Retry {
        delay: Duration,
        counted: bool,
    },
}

/// Why a message was dead-lettered or tried again; becomes headers of the dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The stage where it happened; empty after the chain.
    pub(crate) stage: Arc<str>,
    /// The plugin's identity; empty after the chain.
    pub(crate) plugin: Arc<str>,
    /// A stable word: a fault kind, a plugin's reason, `unroutable` …
    pub(crate) reason: Arc<str>,
    pub(crate) text: String,
}

impl Fate {
    fn badness(&self) -> u8 {
        match self {
            Self::Done => 0,
            Self::DeadLetter(_) => 1,
            Self::Retry { .. } => 2,
        }
    }
}

impl Job {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            copies: Vec::new(),
            fate: Fate::Done,
            staged: Vec::new(),
            emitted: 0,
            emitted_bytes: 0,
            delivered: false,
        }
    }

    /// Takes `fate` on if it is worse than what the job has; the first of equals stays.
    pub(crate) fn worsen(&mut self, fate: Fate) {
        if fate.badness() > self.fate.badness() {
            self.fate = fate;
        }
    }
}

impl Cause {
    /// A cause outside any stage.
    pub(crate) fn after_chain(reason: &str, text: impl Into<String>) -> Self {
        Self { stage: "".into(), plugin: "".into(), reason: reason.into(), text: text.into() }
    }
}
