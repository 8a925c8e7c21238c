//! Settings: the tables `[source.memory]` and `[route.X] memory = {…}` of a pipeline file.
//!
//! The shapes are those of the AMQP transport, so that a pipeline moves between the two by the
//! name of a table. A route may besides declare queues, for nobody else can make them here.

use lockgate_message::{Table, Value};
use lockgate_transport::declare::{
    Argument, Arguments, DeclareExchange, DeclareQueue, DeclareSource, DeclareTarget, ErrorKind,
    SettingsError,
};
use serde::Deserialize;

use crate::topology::SHORT_STRING_MAX;
use crate::{Broker, BrokerError, ExchangeOptions, QueueOptions};

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

fn default_prefetch() -> u16 {
    1000
}

fn table(arguments: &Arguments) -> Table {
    arguments.0.iter().map(|(name, argument)| (name.clone(), value(argument))).collect()
}

/// Recursive: a parsed file has bounded nesting.
fn value(argument: &Argument) -> Value {
    match argument {
        Argument::Bool(value) => Value::Bool(*value),
        Argument::Int(value) => Value::I64(*value),
        Argument::Float(value) => Value::F64(*value),
        Argument::Text(text) => Value::text(text.clone()),
        Argument::Array(items) => Value::Array(items.iter().map(value).collect()),
        Argument::Table(arguments) => Value::Table(table(arguments)),
    }
}

impl SourceSettings {
    /// Everything that is wrong; empty when it can be used. Tried on a broker of its own, so
    /// nothing but what the file says is judged.
    pub fn validate(&self) -> Vec<SettingsError> {
        let mut errors = Vec::new();
        if self.prefetch == 0 {
            errors.push(error("prefetch", "0 would be no limit: the whole queue in memory; give 1 to 65535, or leave it out for 1000"));
        }
        if self.queue.is_empty() {
            errors.push(error("queue", "must not be empty"));
        }
        let Some(declare) = &self.declare else {
            return errors;
        };
        let broker = Broker::new();
        if declare.queue.as_ref().is_some_and(|queue| queue.arguments.is_stream()) {
            // As on a RabbitMQ, which pipelines of this transport are made for.
            let text = "a stream keeps no record of what was settled; use a quorum queue";
            let path = "declare.queue.arguments.x-queue-type";
            errors.push(error(path, text).of_kind(ErrorKind::Stream));
        } else if let Some(queue) = &declare.queue
            && let Err(wrong) = broker.declare_queue(&self.queue, queue_options(queue))
        {
            errors.push(error("declare.queue", wrong));
        }
        if let Some(exchange) = &declare.exchange {
            let declared = exchange_options(exchange)
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
            let arguments = table(&binding.arguments);
            match broker.bind_queue(exchange, &self.queue, &binding.routing_key, &arguments) {
                // An exchange declared elsewhere cannot be judged here.
                Ok(()) | Err(BrokerError::NotFound { .. }) => {}
                Err(wrong) => errors.push(error(&path, wrong)),
            }
        }
        errors
    }

    /// Declares what is to be declared, but for the bindings: they may be to another's exchange.
    ///
    /// # Errors
    /// What the broker refuses.
    pub(crate) fn make(&self, broker: &Broker) -> Result<(), BrokerError> {
        let declare = self.declare.as_ref();
        if let Some(queue) = declare.and_then(|declare| declare.queue.as_ref()) {
            broker.declare_queue(&self.queue, queue_options(queue))?;
        }
        let exchange = declare.and_then(|declare| declare.exchange.as_ref());
        if let Some(exchange) = exchange {
            broker.declare_exchange(&exchange.name, exchange_options(exchange)?)?;
        }
        Ok(())
    }

    /// Declares what is to be declared and sees that the queue is there.
    ///
    /// # Errors
    /// What the broker refuses.
    pub fn apply(&self, broker: &Broker) -> Result<(), BrokerError> {
        self.make(broker)?;
        let declare = self.declare.as_ref();
        let exchange = declare.and_then(|declare| declare.exchange.as_ref());
        let default = exchange.map_or("", |exchange| &exchange.name);
        for binding in declare.map_or(&[][..], |declare| &declare.bindings) {
            let exchange = binding.exchange.as_deref().unwrap_or(default);
            let arguments = table(&binding.arguments);
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
            apply_target(declare, broker, &self.exchange)?;
        }
        broker.with(|state| state.topology.door(&self.exchange)).map(drop)
    }
}

fn apply_target(
    declare: &DeclareTarget,
    broker: &Broker,
    exchange: &str,
) -> Result<(), BrokerError> {
    let options = ExchangeOptions {
        kind: declare.kind.parse().map_err(BrokerError::Precondition)?,
        durable: declare.durable,
        auto_delete: declare.auto_delete,
        internal: declare.internal,
        arguments: table(&declare.arguments),
    };
    broker.declare_exchange(exchange, options)?;
    for queue in &declare.queues {
        let options = QueueOptions {
            durable: queue.durable,
            arguments: table(&queue.arguments),
            ..QueueOptions::default()
        };
        broker.declare_queue(&queue.name, options)?;
        let arguments = table(&queue.binding_arguments);
        broker.bind_queue(exchange, &queue.name, &queue.routing_key, &arguments)?;
    }
    Ok(())
}

pub(crate) fn queue_options(queue: &DeclareQueue) -> QueueOptions {
    QueueOptions {
        durable: queue.durable,
        exclusive: queue.exclusive,
        auto_delete: queue.auto_delete,
        arguments: table(&queue.arguments),
    }
}

fn exchange_options(exchange: &DeclareExchange) -> Result<ExchangeOptions, BrokerError> {
    Ok(ExchangeOptions {
        kind: exchange.kind.parse().map_err(BrokerError::Precondition)?,
        durable: exchange.durable,
        auto_delete: exchange.auto_delete,
        internal: exchange.internal,
        arguments: table(&exchange.arguments),
    })
}

fn error(path: &str, message: impl std::fmt::Display) -> SettingsError {
    SettingsError::new(path, message.to_string())
}

#[cfg(test)]
mod tests;
