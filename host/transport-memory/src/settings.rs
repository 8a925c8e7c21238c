//! Settings: the tables `[source.memory]` and `[route.X] memory = {…}` of a pipeline file.
//!
//! The shapes are those of the AMQP transport, so that a pipeline moves between the two by the
//! name of a table. A route may besides declare queues, for nobody else can make them here.

use std::collections::BTreeMap;

use lockgate_message::{Table, Value};
use serde::Deserialize;

use crate::topology::SHORT_STRING_MAX;
use crate::{Broker, BrokerError, ExchangeOptions, QueueOptions};

/// One thing wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct SettingsError {
    /// The key below the table, as in `declare.queue`.
    pub path: String,
    pub message: String,
}

/// `[source.memory]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    pub queue: String,
    /// Most deliveries unsettled at a time, 1 to 65535.
    #[serde(default = "default_prefetch")]
    pub prefetch: u16,
    /// Created where missing; without it the queue must be there already.
    pub declare: Option<DeclareSource>,
}

/// `[route.X] memory = {…}` and `[dead_letter] memory = {…}`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// Empty for the default exchange, whose routing key is a queue's name.
    pub exchange: String,
    /// `{{routing_key}}` and `{{exchange}}` stand for the message's own; none keeps its key.
    pub routing_key: Option<String>,
    pub declare: Option<DeclareTarget>,
}

/// `[source.memory.declare]`.
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

fn default_prefetch() -> u16 {
    1000
}
fn default_true() -> bool {
    true
}
fn default_kind() -> String {
    "direct".to_owned()
}

impl Arguments {
    fn to_table(&self) -> Table {
        self.0.iter().map(|(name, argument)| (name.clone(), argument.to_value())).collect()
    }
}

impl Argument {
    /// Recursive: a parsed file has bounded nesting.
    fn to_value(&self) -> Value {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::I64(*value),
            Self::Float(value) => Value::F64(*value),
            Self::Text(text) => Value::text(text.clone()),
            Self::Array(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Self::Table(table) => Value::Table(table.to_table()),
        }
    }
}

impl SourceSettings {
    /// Everything that is wrong; empty when it can be used. Tried on a broker of its own, so
    /// nothing but what the file says is judged.
    pub fn validate(&self) -> Vec<SettingsError> {
        let mut errors = Vec::new();
        if self.prefetch == 0 {
            errors.push(error("prefetch", "0 means no limit; give 1 to 65535"));
        }
        if self.queue.is_empty() {
            errors.push(error("queue", "must not be empty"));
        }
        let Some(declare) = &self.declare else {
            return errors;
        };
        let broker = Broker::new();
        if let Some(queue) = &declare.queue
            && let Err(wrong) = broker.declare_queue(&self.queue, queue.options())
        {
            errors.push(error("declare.queue", wrong));
        }
        if let Some(exchange) = &declare.exchange {
            let declared = exchange
                .options()
                .and_then(|options| broker.declare_exchange(&exchange.name, options));
            if let Err(wrong) = declared {
                errors.push(error("declare.exchange", wrong));
            }
        }
        if !errors.is_empty() {
            return errors;
        }
        if declare.queue.is_none() {
            // It is to be there already, with whatever options.
            errors.extend(
                broker
                    .declare_queue(&self.queue, QueueOptions::default())
                    .err()
                    .map(|wrong| error("queue", wrong)),
            );
        }
        for (n, binding) in declare.bindings.iter().enumerate() {
            let path = format!("declare.bindings[{n}]");
            let beside = declare.exchange.as_ref().map(|exchange| exchange.name.as_str());
            let Some(exchange) = binding.exchange.as_deref().or(beside) else {
                errors.push(error(&path, "names no exchange, and none is declared beside it"));
                continue;
            };
            let arguments = binding.arguments.to_table();
            match broker.bind_queue(exchange, &self.queue, &binding.routing_key, &arguments) {
                // An exchange declared elsewhere cannot be judged here.
                Ok(()) | Err(BrokerError::NotFound { .. }) => {}
                Err(wrong) => errors.push(error(&path, wrong)),
            }
        }
        errors
    }

    /// Declares what is to be declared and sees that the queue is there.
    ///
    /// # Errors
    /// What the broker refuses.
    pub fn apply(&self, broker: &Broker) -> Result<(), BrokerError> {
        let declare = self.declare.as_ref();
        if let Some(queue) = declare.and_then(|declare| declare.queue.as_ref()) {
            broker.declare_queue(&self.queue, queue.options())?;
        }
        let exchange = declare.and_then(|declare| declare.exchange.as_ref());
        if let Some(exchange) = exchange {
            broker.declare_exchange(&exchange.name, exchange.options()?)?;
        }
        let default = exchange.map_or("", |exchange| &exchange.name);
        for binding in declare.map_or(&[][..], |declare| &declare.bindings) {
            let exchange = binding.exchange.as_deref().unwrap_or(default);
            let arguments = binding.arguments.to_table();
            broker.bind_queue(exchange, &self.queue, &binding.routing_key, &arguments)?;
        }
        broker.verify_queue(&self.queue)
    }
}

impl RouteSettings {
    /// Everything that is wrong; empty when it can be used.
    pub fn validate(&self) -> Vec<SettingsError> {
        let mut errors = Vec::new();
        for (path, text) in
            [("exchange", Some(&self.exchange)), ("routing_key", self.routing_key.as_ref())]
        {
            if text.is_some_and(|text| text.len() > SHORT_STRING_MAX) {
                errors.push(error(path, format!("is longer than {SHORT_STRING_MAX} bytes")));
            }
        }
        if self.declare.is_some()
            && let Err(wrong) = self.apply(&Broker::new())
        {
            errors.push(error("declare", wrong));
        }
        errors
    }

    /// Declares what is to be declared and sees that the exchange can be published to.
    ///
    /// # Errors
    /// What the broker refuses.
    pub fn apply(&self, broker: &Broker) -> Result<(), BrokerError> {
        if let Some(declare) = &self.declare {
            declare.apply(broker, &self.exchange)?;
        }
        broker.with(|state| state.topology.door(&self.exchange)).map(drop)
    }
}

impl DeclareTarget {
    fn apply(&self, broker: &Broker, exchange: &str) -> Result<(), BrokerError> {
        let options = ExchangeOptions {
            kind: self.kind.parse().map_err(BrokerError::Precondition)?,
            durable: self.durable,
            auto_delete: self.auto_delete,
            internal: self.internal,
            arguments: self.arguments.to_table(),
        };
        broker.declare_exchange(exchange, options)?;
        for queue in &self.queues {
            let options = QueueOptions {
                durable: queue.durable,
                arguments: queue.arguments.to_table(),
                ..QueueOptions::default()
            };
            broker.declare_queue(&queue.name, options)?;
            let arguments = queue.binding_arguments.to_table();
            broker.bind_queue(exchange, &queue.name, &queue.routing_key, &arguments)?;
        }
        Ok(())
    }
}

impl DeclareQueue {
    fn options(&self) -> QueueOptions {
        QueueOptions {
            durable: self.durable,
            exclusive: self.exclusive,
            auto_delete: self.auto_delete,
            arguments: self.arguments.to_table(),
        }
    }
}

impl DeclareExchange {
    fn options(&self) -> Result<ExchangeOptions, BrokerError> {
        Ok(ExchangeOptions {
            kind: self.kind.parse().map_err(BrokerError::Precondition)?,
            durable: self.durable,
            auto_delete: self.auto_delete,
            internal: self.internal,
            arguments: self.arguments.to_table(),
        })
    }
}

fn error(path: &str, message: impl std::fmt::Display) -> SettingsError {
    SettingsError { path: path.to_owned(), message: message.to_string() }
}

#[cfg(test)]
mod tests;
