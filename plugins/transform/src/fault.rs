//! Why a message cannot be transformed, and the reason code that stands for it.

use lockgate_plugin::Reason;
use thiserror::Error;

use crate::json::{NotJson, Unwritable};
use crate::program::RunError;

/// The words of [`Fault::reason`] and [`EMPTY_RESULT`], in the order of their numbers.
pub(crate) const REASONS: [&str; 7] =
    ["empty_result", "not_json", "too_deep", "too_large", "jq_error", "bad_result", "bad_text"];

/// The program had no result: a drop that is meant.
pub(crate) const EMPTY_RESULT: Reason = Reason(1);

/// Why a message cannot be transformed.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Body(#[from] NotJson),
    #[error("the body has {length} bytes, above max_body ({max})")]
    Large { length: u32, max: u32 },
    #[error("jq: {0}")]
    Run(#[from] RunError),
    #[error(transparent)]
    Result(#[from] Unwritable),
    #[error("the results have more than {max} bytes in all")]
    Results { max: usize },
    #[error("{what} would be longer than 255 bytes")]
    Long { what: String },
    #[error("{what} is `{text}`, which is not a number that fits")]
    Number { what: String, text: String },
}

impl Fault {
    /// What it is counted as.
    pub(crate) fn reason(&self) -> Reason {
        Reason(match self {
            Self::Body(NotJson::Empty | NotJson::Syntax(_) | NotJson::Text(_)) => 2,
            Self::Body(NotJson::Depth) => 3,
            Self::Large { .. } => 4,
            Self::Run(RunError::Raised(_) | RunError::Halted(_)) => 5,
            Self::Run(RunError::Results) | Self::Result(_) | Self::Results { .. } => 6,
            Self::Long { .. } | Self::Number { .. } => 7,
        })
    }
}
