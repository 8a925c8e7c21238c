//! How an evaluation ends before its end, and the words of jq's errors.

use crate::json::to_json;
use crate::value::Val;

/// Why an evaluation stops.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// An error, with its value: what `catch` gets.
    Error(Val),
    /// A `break` to the label with this number.
    Break(u64),
    /// `halt`, or `halt_error` with a status and what it said.
    Halt(i32, Option<Val>),
    /// What no `try` may catch: a bound of the interpreter.
    Limit(&'static str),
}

/// An evaluation's outcome.
pub(crate) type Res<T = ()> = Result<T, Stop>;

/// An error with a text.
pub(crate) fn error<T>(text: impl Into<String>) -> Res<T> {
    Err(Stop::Error(Val::from(text.into())))
}

/// `KIND (VALUE) MESSAGE`.
pub(crate) fn type_error<T>(value: &Val, message: &str) -> Res<T> {
    error(format!("{} ({}) {message}", value.kind(), short(value, 14)))
}

/// `KIND (VALUE) and KIND (VALUE) MESSAGE`.
pub(crate) fn type_error2<T>(left: &Val, right: &Val, message: &str) -> Res<T> {
    let (left_text, right_text) = (short(left, 14), short(right, 14));
    error(format!("{} ({left_text}) and {} ({right_text}) {message}", left.kind(), right.kind()))
}

/// The JSON of a value, cut after so many bytes with three dots at their end.
pub(crate) fn short(value: &Val, max: usize) -> String {
    let text = to_json(value);
    if text.len() <= max {
        return text.to_string();
    }
    let mut end = max.saturating_sub(3);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", text.get(..end).unwrap_or_default())
}
