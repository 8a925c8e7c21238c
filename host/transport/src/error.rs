//! Errors by what the caller must do.

/// Why a connection could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// It can heal by itself: try again with back-off.
    #[error("{0}")]
    Retry(String),
    /// It cannot heal without a change of configuration: stop this pipeline and say so.
    #[error("{0}")]
    Fatal(String),
    /// As [`ConnectError::Fatal`]: the queue is a stream, from which nothing can be taken as from a
    /// queue.
    #[error("{0}")]
    Stream(String),
    /// As [`ConnectError::Fatal`], about one of a sink's routes, by its number among them.
    #[error("{1}")]
    FatalRoute(usize, String),
}

impl ConnectError {
    /// The error of a sink's route number `n`.
    #[must_use]
    pub fn of_route(self, n: usize) -> Self {
        match self {
            Self::Fatal(text) => Self::FatalRoute(n, text),
            other => other,
        }
    }
}

/// Why a source gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// The connection is gone; every unsettled delivery will come back. Connect again.
    #[error("source lost: {0}")]
    Lost(String),
    /// Cancelled by us, and all that was buffered has been taken.
    #[error("source ended")]
    End,
}

/// Why one message of a block is not known to be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The broker had nowhere to put it. Not stored.
    #[error("unroutable: {0}")]
    Unroutable(String),
    /// The broker refused to take it (overflow, internal error). Not stored; may work later.
    #[error("refused by the broker: {0}")]
    Nacked(String),
    /// The message itself cannot be put (too big, a value the broker would refuse). Not stored,
    /// and never will be.
    #[error("cannot be published: {0}")]
    Invalid(String),
    /// The connection is gone or did not answer in time; it may have been stored or not.
    /// The sink is dead: connect again.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}
