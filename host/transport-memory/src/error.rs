//! What the broker refuses, in the classes of AMQP.

/// Why a declaration or another request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    #[error("no {what} `{name}`")]
    NotFound {
        /// `queue` or `exchange`.
        what: &'static str,
        name: String,
    },
    /// It exists with other properties, or an argument has no meaning.
    #[error("precondition failed: {0}")]
    Precondition(String),
    #[error("access refused: {0}")]
    Refused(String),
    /// One of the broker's own limits is reached.
    #[error("limit reached: {0}")]
    Limit(String),
}

impl BrokerError {
    pub(crate) fn no_queue(name: &str) -> Self {
        Self::NotFound { what: "queue", name: name.to_owned() }
    }

    pub(crate) fn no_exchange(name: &str) -> Self {
        Self::NotFound { what: "exchange", name: name.to_owned() }
    }
}

impl BrokerError {
    /// Whether it may heal while pipelines of this run still declare.
    pub(crate) fn may_come(&self, declaring: bool) -> bool {
        declaring && matches!(self, Self::NotFound { .. })
    }
}
