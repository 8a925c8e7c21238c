//! Declarations: queues, exchanges and bindings as pipeline files write them, the same for every
//! transport of the AMQP model, so that a pipeline moves between them by the name of a table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;

use crate::DelayQueue;

/// Counts the pipelines of a run that have not made yet what they declare. While there are any,
/// what is missing on a broker may still come.
#[derive(Clone, Debug, Default)]
pub struct Declaring(Arc<AtomicUsize>);

impl Declaring {
    /// A pipeline is to declare.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// One has.
    pub fn done(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether there are any. To be asked before the broker is, so that what was declared in
    /// between is not missed.
    pub fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// One thing wrong with a transport's settings, or risky. Contains no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct SettingsError {
    /// The key below the table, as in `declare.queue` or `declare.bindings[0].exchange`.
    pub path: String,
    pub message: String,
    /// What it is, where that has a code of its own.
    pub kind: ErrorKind,
}

/// Which code people see with a [`SettingsError`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorKind {
    /// None of its own.
    #[default]
    Setting,
    /// A stream where a queue must be.
    Stream,
    /// A URL whose user name or password is not percent-encoded.
    Unescaped,
}

impl SettingsError {
    /// About the value at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), kind: ErrorKind::Setting }
    }

    /// Gives it a code of its own.
    #[must_use]
    pub fn of_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }
}

/// `declare = {…}` of a source: its queue, by the name of the source's `queue`, and what feeds it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclareSource {
    pub queue: Option<DeclareQueue>,
    pub exchange: Option<DeclareExchange>,
    #[serde(default)]
    pub bindings: Vec<Binding>,
}

/// `declare = {…}` of a route: the exchange, by the name of the route's `exchange`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclareTarget {
    #[serde(rename = "type", default = "default_kind")]
    pub kind: String,
    #[serde(default = "default_true")]
    pub durable: bool,
    #[serde(default)]
    pub auto_delete: bool,
    #[serde(default)]
    pub internal: bool,
    #[serde(default)]
    pub arguments: Arguments,
    /// Queues to make and to bind to the exchange.
    #[serde(default)]
    pub queues: Vec<TargetQueue>,
}

/// A queue behind a route.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetQueue {
    pub name: String,
    #[serde(default)]
    pub routing_key: String,
    #[serde(default)]
    pub binding_arguments: Arguments,
    #[serde(default = "default_true")]
    pub durable: bool,
    #[serde(default)]
    pub arguments: Arguments,
}

/// How a queue is declared.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclareQueue {
    #[serde(default = "default_true")]
    pub durable: bool,
    #[serde(default)]
    pub auto_delete: bool,
    #[serde(default)]
    pub exclusive: bool,
    #[serde(default)]
    pub arguments: Arguments,
}

impl DelayQueue {
    /// A quorum queue that hands on at least once (RabbitMQ 3.10, "Dead Letter Exchanges"):
    /// nothing leaves it before the queue it leads to has confirmed it.
    pub fn declaration(&self) -> DeclareQueue {
        let text = |text: &str| Argument::Text(text.to_owned());
        let longest = i64::try_from(self.longest.as_millis()).unwrap_or(i64::MAX);
        let arguments = [
            ("x-queue-type", text("quorum")),
            ("x-message-ttl", Argument::Int(longest)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&self.back_to)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ];
        let arguments = arguments.map(|(name, value)| (name.to_owned(), value));
        DeclareQueue {
            durable: true,
            auto_delete: false,
            exclusive: false,
            arguments: Arguments(arguments.into_iter().collect()),
        }
    }
}

/// An exchange, and how it is declared.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclareExchange {
    pub name: String,
    /// `direct` (default), `topic`, `fanout` or `headers`.
    #[serde(rename = "type", default = "default_kind")]
    pub kind: String,
    #[serde(default = "default_true")]
    pub durable: bool,
    #[serde(default)]
    pub auto_delete: bool,
    #[serde(default)]
    pub internal: bool,
    #[serde(default)]
    pub arguments: Arguments,
}

/// A binding of the source queue.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    #[serde(default)]
    pub routing_key: String,
    /// Default: the exchange declared beside it.
    pub exchange: Option<String>,
    #[serde(default)]
    pub arguments: Arguments,
}

impl Arguments {
    /// Whether a queue with these arguments is a stream.
    pub fn is_stream(&self) -> bool {
        matches!(self.0.get("x-queue-type"), Some(Argument::Text(kind)) if kind == "stream")
    }
}

/// A table of arguments.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Arguments(pub BTreeMap<String, Argument>);

/// One argument, typed as TOML types it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Argument {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Array(Vec<Argument>),
    Table(Arguments),
}

fn default_true() -> bool {
    true
}
fn default_kind() -> String {
    "direct".to_owned()
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde::de::value::{Error, MapDeserializer};

    use super::*;

    /// The keys that a table may have, by the word of the code that reads it.
    fn keys<T: DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
        let unknown = [("no such key", 0)].into_iter();
        let said = T::deserialize(MapDeserializer::<_, Error>::new(unknown)).unwrap_err();
        let said = said.to_string();
        let (_, known) = said.split_once("expected ").unwrap();
        known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// Every key has its row, and every row its key.
    #[test]
    fn the_page_of_settings_has_every_key() {
        let page = include_str!("../../../docs/reference/settings.md");
        let (_, section) = page.split_once("\n## `declare`\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let (source, target) = section.split_once("\n`declare` of `[route").unwrap();
        let rows = |text: &str| -> Vec<String> {
            let rows = text.lines().filter(|line| line.starts_with("| `"));
            let first = rows.filter_map(|row| row.split(" | ").next());
            let names = first.flat_map(|cell| cell.split('`').skip(1).step_by(2));
            let mut names: Vec<_> = names.map(str::to_owned).collect();
            names.sort();
            names
        };
        fn below(parent: &str, keys: Vec<String>) -> impl Iterator<Item = String> {
            keys.into_iter().map(move |key| format!("{parent}.{key}"))
        }
        let mut at_source = keys::<DeclareSource>();
        at_source.extend(below("queue", keys::<DeclareQueue>()));
        at_source.extend(below("exchange", keys::<DeclareExchange>()));
        at_source.extend(below("bindings", keys::<Binding>()));
        at_source.sort();
        assert_eq!(rows(source), at_source);
        let mut at_target = keys::<DeclareTarget>();
        at_target.extend(below("queues", keys::<TargetQueue>()));
        at_target.sort();
        assert_eq!(rows(target), at_target);
        assert!(at_source.len() > 12 && at_target.len() > 8, "{at_source:?} {at_target:?}");
    }
}
