//! Runner: reads a folder of case files and runs every case. Shared by the plugins that decide by
//! predicates.

use std::collections::BTreeMap;

use lockgate_plugin::testing::{MessageBuilder, run as run_plugin};
use lockgate_plugin::{Plugin, Property, Value, Verdict};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    settings: toml::Value,
    #[serde(default)]
    message: Input,
    /// The verdict, its reason, and its routes or text, as words.
    verdict: Option<String>,
    errors: Option<Vec<Error>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Input {
    body: String,
    body_bytes: Vec<u8>,
    /// Put after the body so often.
    repeat: Option<(String, usize)>,
    /// Put after that.
    tail: String,
    headers: BTreeMap<String, toml::Value>,
    content_type: Option<String>,
    exchange: String,
    routing_key: String,
    attempt: Option<u32>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Error {
    pointer: String,
    offset: Option<u32>,
    message: String,
}

/// Runs all cases of the folder; says which of them failed.
pub fn run<P: Plugin>(folder: &str) {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no cases in {folder}");
    for path in files {
        let file: File = toml::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for case in file.case {
            check::<P>(&case, &format!("{}: {}", path.display(), case.name));
        }
    }
}

fn check<P: Plugin>(case: &Case, place: &str) {
    let settings = serde_json::to_string(&case.settings).unwrap();
    match run_plugin::<P>(&settings, &message(&case.message)) {
        Ok(verdict) => {
            let words = words(&verdict, P::DESCRIPTION.reasons);
            assert_eq!(Some(words), case.verdict, "{place}");
        }
        Err(errors) => {
            let errors = errors.into_iter().map(|error| Error {
                pointer: error.pointer,
                offset: error.offset,
                message: error.message,
            });
            assert_eq!(Some(errors.collect()), case.errors, "{place}");
        }
    }
}

fn message(input: &Input) -> MessageBuilder {
    let mut body = [input.body.as_bytes(), &input.body_bytes].concat();
    if let Some((text, times)) = &input.repeat {
        body.extend(text.repeat(*times).into_bytes());
    }
    body.extend(input.tail.as_bytes());
    let mut message = MessageBuilder::new()
        .exchange(&input.exchange)
        .routing_key(&input.routing_key)
        .attempt(input.attempt.unwrap_or(1))
        .body(body);
    if let Some(text) = &input.content_type {
        message = message.property(Property::ContentType, text);
    }
    for (name, value) in &input.headers {
        let value = match value {
            toml::Value::String(text) => Value::Str(text.as_bytes()),
            toml::Value::Integer(number) => Value::I64(*number),
            toml::Value::Boolean(value) => Value::Bool(*value),
            other => panic!("no header value: {other}"),
        };
        message = message.header(name, value);
    }
    message
}

fn words(verdict: &Verdict, reasons: &[&str]) -> String {
    let word = |reason: &lockgate_plugin::Reason| reasons[usize::from(reason.0) - 1];
    match verdict {
        Verdict::Pass => "pass".to_owned(),
        Verdict::Drop(reason) => format!("drop {}", word(reason)),
        Verdict::Reject { reason, text } => format!("reject {}: {text}", word(reason)),
        Verdict::Route { routes, delta } => {
            assert!(delta.is_empty());
            format!("route {}", routes.join(" "))
        }
        other => format!("{other:?}"),
    }
}
