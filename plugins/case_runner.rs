//! Runner: reads a folder of case files and runs every case. A case has settings, a message, and
//! either a verdict or the errors in the settings. Shared by the plugins.

use std::collections::BTreeMap;

use lockgate_plugin::testing::{MessageBuilder, Session, confirm, forget_state};
use lockgate_plugin::{Change, Delta, Plugin, Property, Reason, Value, Verdict};
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
    /// The same message came before, and is `confirmed` or `in flight`.
    before: Option<String>,
    /// The verdict, its reason, and its routes or text, as words.
    verdict: Option<String>,
    /// The changes that the verdict makes, as words; of an emitted message after `--`.
    #[serde(default)]
    changes: Vec<String>,
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
    properties: BTreeMap<String, toml::Value>,
    exchange: String,
    routing_key: String,
    attempt: Option<u32>,
    received_micros: u64,
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
    let mut failures: Vec<String> = Vec::new();
    for path in files {
        let file: File = toml::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let place = |case: &Case| format!("{}: {}", path.display(), case.name);
        let failed =
            file.case.iter().filter_map(|case| Some((place(case), check::<P>(case).err()?)));
        failures.extend(failed.map(|(place, failure)| format!("{place}\n{failure}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn check<P: Plugin>(case: &Case) -> Result<(), String> {
    let settings = serde_json::to_string(&case.settings).unwrap();
    match Session::<P>::open(&settings) {
        Ok(mut session) => {
            forget_state();
            if let Some(before) = &case.before {
                session.handle(&message(&case.message));
                match before.as_str() {
                    "confirmed" => confirm(),
                    "in flight" => {}
                    other => panic!("no such past: {other}"),
                }
            }
            let verdict = session.handle(&message(&case.message));
            let (words, changes) = words(&verdict, P::DESCRIPTION.reasons);
            same((Some(words), &changes), (case.verdict.clone(), &case.changes))
        }
        Err(errors) => {
            let errors = errors.into_iter().map(|error| Error {
                pointer: error.pointer,
                offset: error.offset,
                message: error.message,
            });
            same(Some(errors.collect::<Vec<_>>()).as_ref(), case.errors.as_ref())
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("   found: {found:?}\nexpected: {expected:?}"))
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
        .received_micros(input.received_micros)
        .body(body);
    for (name, value) in &input.properties {
        let property = Property::from_name(name).unwrap_or_else(|| panic!("no property: {name}"));
        message = match value {
            toml::Value::String(text) => message.property(property, text),
            toml::Value::Integer(number) => message.number(property, (*number).try_into().unwrap()),
            other => panic!("no property's value: {other}"),
        };
    }
    for (name, value) in &input.headers {
        let value = match value {
            toml::Value::String(text) => Value::Str(text.as_bytes()),
            toml::Value::Integer(number) => Value::I64(*number),
            toml::Value::Float(number) => Value::F64(*number),
            toml::Value::Boolean(value) => Value::Bool(*value),
            other => panic!("no header value: {other}"),
        };
        message = message.header(name, value);
    }
    message
}

/// The verdict as words, and its changes.
fn words(verdict: &Verdict, reasons: &[&str]) -> (String, Vec<String>) {
    let word = |reason: &Reason| match usize::from(reason.0).checked_sub(1) {
        Some(at) => format!(" {}", reasons[at]),
        None => String::new(),
    };
    match verdict {
        Verdict::Pass => ("pass".to_owned(), Vec::new()),
        Verdict::Modify(delta) => ("modify".to_owned(), changes(delta)),
        Verdict::Drop(reason) => (format!("drop{}", word(reason)), Vec::new()),
        Verdict::Reject { reason, text } => (format!("reject{}: {text}", word(reason)), Vec::new()),
        Verdict::Route { routes, delta } => (format!("route {}", routes.join(" ")), changes(delta)),
        Verdict::Emit(children) => {
            let each = children.iter().map(|child| {
                assert_eq!(child.route, None);
                changes(&child.delta)
            });
            let all = each.collect::<Vec<_>>().join(&"--".to_owned());
            (format!("emit {}", children.len()), all)
        }
        other => (format!("{other:?}"), Vec::new()),
    }
}

fn changes(delta: &Delta) -> Vec<String> {
    let word = |change: Change<'_>| match change {
        Change::RoutingKey(key) => format!("routing_key = {key}"),
        Change::Property(property, text) => format!("property {} = {text}", property.name()),
        Change::Number(property, number) => format!("property {} = {number}", property.name()),
        Change::ClearProperty(property) => format!("clear property {}", property.name()),
        Change::Header(name, value) => format!("header {name} = {}", value_word(value)),
        Change::RemoveHeader(name) => format!("remove header {name}"),
        Change::ClearHeaders => "clear headers".to_owned(),
        Change::Body(body) => format!("body = {}", String::from_utf8_lossy(body)),
    };
    delta.changes().map(word).collect()
}

fn value_word(value: Value<'_>) -> String {
    match value {
        Value::Str(text) => format!("{:?}", String::from_utf8_lossy(text)),
        Value::Bool(truth) => truth.to_string(),
        Value::I64(number) => number.to_string(),
        // Far fewer digits than a score has: enough to tell, and no matter of the last bit.
        Value::F64(number) => format!("{number:.2}"),
        other => format!("{other:?}"),
    }
}
