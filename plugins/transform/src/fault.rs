//! Why a message cannot be transformed, and the reason code that stands for it.

use content::Undecodable;
use jq::{NotJson, RunError, TooDeep};
use lockgate_plugin::Reason;
use thiserror::Error;

/// The words of [`Fault::reason`] and [`EMPTY_RESULT`], in the order of their numbers.
pub(crate) const REASONS: [&str; 8] = [
    "empty_result",
    "not_json",
    "too_deep",
    "too_large",
    "jq_error",
    "bad_result",
    "bad_text",
    "bad_encoding",
];

/// The program had no result.
pub(crate) const EMPTY_RESULT: Reason = Reason(1);

/// Why a message cannot be transformed.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Body(#[from] NotJson),
    #[error("the body has {length} bytes, above max_body ({max})")]
    Large { length: u32, max: u32 },
    #[error(transparent)]
    Content(#[from] Undecodable),
    #[error("jq: {0}")]
    Run(#[from] RunError),
    #[error(transparent)]
    Result(#[from] TooDeep),
    #[error("the results have more than {max} bytes in all")]
    Results { max: usize },
    #[error("{what} would be longer than 255 bytes")]
    Long { what: String },
    #[error("{what} is `{text}`, which is not a {wanted}")]
    Type { what: String, text: String, wanted: &'static str },
}

impl Fault {
    /// What it is counted as.
    pub(crate) fn reason(&self) -> Reason {
        Reason(match self {
            Self::Body(NotJson::Empty | NotJson::Syntax(..) | NotJson::Text(_)) => 2,
            Self::Body(NotJson::Depth) => 3,
            Self::Large { .. } | Self::Content(Undecodable::Long(_)) => 4,
            Self::Run(RunError::Raised(_) | RunError::Halted(..)) => 5,
            Self::Run(RunError::Results) | Self::Result(_) | Self::Results { .. } => 6,
            Self::Long { .. } | Self::Type { .. } => 7,
            Self::Content(Undecodable::Damaged(_)) => 8,
        })
    }
}
