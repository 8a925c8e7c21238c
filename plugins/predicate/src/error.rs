//! Errors: what is wrong with an expression, and why one has no answer for a message.

use thiserror::Error;

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message} (at byte {offset})")]
pub struct CompileError {
    /// Where in the expression, in bytes.
    pub offset: u32,
    /// What is wrong, as one sentence without place.
    pub message: String,
}

impl CompileError {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset: u32::try_from(offset).unwrap_or(u32::MAX), message: message.into() }
    }
}

/// Why a predicate has no answer for a message. In CEL an error is a value: `error || true` is
/// true, `error && false` is false, and only what is left at the top comes out as one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EvalError {
    /// A key that is not there, an index beyond the end, or a step into what is no container.
    #[error("a key or element that the expression reads is missing")]
    Missing,
    /// Values that an operator or function does not take.
    #[error("an operator or function does not take values of these types")]
    Type,
    /// Integers that leave their 64 bits, or that a message brings longer than that, or a division
    /// by zero.
    #[error("arithmetic overflow or division by zero")]
    Arithmetic,
    /// A function refused its argument, such as `int("x")`.
    #[error("a function refused its argument")]
    Function,
    /// A number that has more digits than a double, compared with the double that it would be
    /// rounded to; or one whose exponent is out of all bounds.
    #[error("a number has too many digits to be compared with a double, or too large an exponent")]
    Number,
    /// The answer is neither true nor false.
    #[error("the answer is neither true nor false")]
    NotBool,
    /// The interpreter would need more than [`crate::MAX_VALUES`] values of this message.
    #[error("the message has too many values for this expression")]
    TooLarge,
}
