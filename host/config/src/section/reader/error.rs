//! ReadError: why a value is not what was asked for, without repeating the value.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::{Section, State};
use crate::diagnostic::{Code, Diagnostic};
use crate::document::{Node, Value};
use crate::section::without_private;
use crate::suggest;
use crate::units::{ByteSize, Time};

#[derive(Debug)]
pub(super) struct ReadError<'a> {
    problem: Problem,
    /// Where it is.
    pub(super) at: Option<&'a Node>,
    /// The innermost table entry or array element around it: what to leave out to go on.
    pub(super) entry: Option<&'a Node>,
}

#[derive(Debug)]
enum Problem {
    Custom(String),
    /// What was expected, if known; what was found is known from the node.
    Type(String),
    Missing(&'static str),
    /// Not one of these.
    Choice(String, &'static [&'static str]),
    OneOf(&'static [&'static str]),
    /// A choice that takes a value, without it.
    NoValue(String),
    /// Reported already.
    Silent,
}

impl<'a> ReadError<'a> {
    fn new(problem: Problem) -> Self {
        Self { problem, at: None, entry: None }
    }

    pub(super) fn silent() -> Self {
        Self::new(Problem::Silent)
    }

    pub(super) fn one_of(variants: &'static [&'static str]) -> Self {
        Self::new(Problem::OneOf(variants))
    }

    /// As the error of the plain string `choice`: some choices take a value.
    pub(super) fn without_value(mut self, choice: &str) -> Self {
        // Serde's words for what a plain string is not.
        if matches!(&self.problem, Problem::Type(expected) if expected.ends_with(" variant")) {
            self.problem = Problem::NoValue(choice.to_owned());
        }
        self
    }

    /// The error for people, unless it follows from one they have.
    pub(super) fn diagnose(&self, section: &'a Section, state: &State<'a>) -> Option<Diagnostic> {
        let node = self.at.unwrap_or(section.node());
        let place = section.place_of(node.span.clone());
        let diagnostic = match &self.problem {
            Problem::Silent => return None,
            Problem::Missing(key) => {
                if node.entry(key).is_some_and(|entry| state.is_left_out(&entry.node)) {
                    return None;
                }
                Diagnostic::new(Code::MissingKey, format!("the key `{key}` is missing"))
                    .help(format!("add `{key} = …`"))
            }
            Problem::Custom(message) => {
                Diagnostic::new(Code::WrongType, without_private(node, message))
            }
            Problem::Type(expected) => {
                let message = format!("expected {expected}, found {}", node.describe());
                let diagnostic = Diagnostic::new(Code::WrongType, message);
                match spelled_otherwise(expected, node) {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                }
            }
            Problem::NoValue(choice) => {
                let message = format!("`{choice}` alone does not say enough: it takes a value");
                Diagnostic::new(Code::WrongType, message).help(match choice.as_str() {
                    "key" => "write `{ key = \"header:<name>\" }`, `{ key = \"routing_key\" }` or \
                              `{ key = \"property:<name>\" }`"
                        .to_owned(),
                    _ => format!("write `{{ {choice} = \"…\" }}`"),
                })
            }
            Problem::Choice(given, known) => {
                let private = matches!(&node.value, Value::Text(text) if text.is_private());
                let given = if private { "***" } else { given };
                let known = known.iter().copied();
                Diagnostic::new(Code::WrongType, format!("`{given}` is not one of the choices"))
                    .help(suggest::way_out(given, known))
            }
            Problem::OneOf(known) => {
                let choices = suggest::one_of(known.iter().copied());
                let message = format!("expected {choices}, found {}", node.describe());
                Diagnostic::new(Code::WrongType, message)
            }
        };
        Some(diagnostic.at(place))
    }
}

impl Error for ReadError<'_> {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Custom(message.to_string()))
    }

    /// Without the value that serde would repeat: it may be a credential.
    fn invalid_type(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Problem::Type(plain(&expected.to_string())))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Problem::Choice(variant.to_owned(), expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::Missing(field))
    }
}

impl fmt::Display for ReadError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.problem)
    }
}

impl std::error::Error for ReadError<'_> {}

/// The way out for a value that means the right thing in another notation.
fn spelled_otherwise(expected: &str, node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) if text.is_private() && expected.contains("number") => {
            Some("the variable's value is no such number".to_owned())
        }
        Value::Text(text) if expected.contains("number") => {
            if let Some(Time(time)) = Time::parse(&text.value) {
                let seconds = time.as_secs();
                return Some(format!("write a plain number: `{seconds}`; times are seconds here"));
            }
            if let Some(ByteSize(bytes)) = ByteSize::parse(&text.value) {
                return Some(format!("write a plain number: `{bytes}`; sizes are bytes here"));
            }
            let number = text.value.trim().parse::<f64>().is_ok();
            number.then(|| format!("take the quotes away: `{}`", text.value.trim()))
        }
        Value::Text(text) if expected.starts_with("`true`") => {
            let flag = text.value.trim().parse::<bool>().ok()?;
            Some(format!("take the quotes away: `{flag}`"))
        }
        Value::Integer(number) if expected.starts_with("a duration") => {
            Some(format!("write it with its unit: \"{number}s\" or \"{number}ms\""))
        }
        Value::Integer(number) if expected.starts_with("a size") => {
            Some(format!("write it with its unit: \"{number}B\" or \"{number}MiB\""))
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) if expected == "a string" => {
            Some("put it between quotes".to_owned())
        }
        _ => None,
    }
}

/// Rust's words for types in plain ones.
fn plain(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".into(),
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" => "a whole number from 0 to 4294967295".into(),
        "u64" | "usize" => "a whole number, 0 or above".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "`true` or `false`".into(),
        "a sequence" => "an array".into(),
        "a map" => "a table".into(),
        _ if expected.starts_with("struct ") => "a table".into(),
        _ => expected.to_owned(),
    }
}
