//! Topology: queues, exchanges and bindings, declared where the settings say so and verified
//! otherwise.

mod nature;

pub(crate) use nature::Nature;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use lockgate_transport::declare::{
    Binding, DeclareExchange, DeclareQueue, DeclareTarget, TargetQueue,
};
use lockgate_transport::{ConnectError, DelayQueue};

use crate::connection::{CONNECT, Link};
use crate::fault::{Refusal, connect, refusal, said};
use crate::settings::{Endpoint, RouteSettings, SourceSettings, field_table};

/// Says what goes wrong on one connection.
#[derive(Clone, Copy)]
pub(crate) struct Topology<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) link: &'a Link,
}

impl Topology<'_> {
    /// Makes the source's queue, exchange and bindings, or finds the queue there.
    pub(crate) async fn source(&self, settings: &SourceSettings) -> Result<(), ConnectError> {
        let channel = self.channel().await?;
        let declare = settings.declare.clone().unwrap_or_default();
        if let Some(exchange) = &declare.exchange {
            self.declare_exchange(&channel, exchange).await?;
        }
        match &declare.queue {
            Some(queue) => self.declare_queue(&channel, &settings.queue, queue).await?,
            None => self.verify_queue(&channel, &settings.queue).await?,
        }
        let own = declare.exchange.as_ref().map(|exchange| exchange.name.as_str());
        for binding in &declare.bindings {
            let exchange = binding.exchange.as_deref().or(own).unwrap_or_default();
            self.bind(&channel, &settings.queue, exchange, binding).await?;
        }
        self.close(&channel).await;
        Ok(())
    }

    /// Makes a route's exchange, or finds it there.
    ///
    /// `first` says that the route never worked: then a missing exchange is fatal, later it is
    /// retried, for whoever deleted it may bring it back.
    pub(crate) async fn target(
        &self,
        exchange: &str,
        declare: Option<&DeclareTarget>,
        first: bool,
    ) -> Result<(), ConnectError> {
        // The default exchange is everywhere and may not be asked for.
        if exchange.is_empty() {
            return Ok(());
        }
        let channel = self.channel().await?;
        match declare {
            Some(target) => {
                let declare = DeclareExchange {
                    name: exchange.to_owned(),
                    kind: target.kind.clone(),
                    durable: target.durable,
                    auto_delete: target.auto_delete,
                    internal: target.internal,
                    arguments: target.arguments.clone(),
                };
                self.declare_exchange(&channel, &declare).await?;
                for queue in &target.queues {
                    self.target_queue(&channel, exchange, queue).await?;
                }
            }
            None => self.verify_exchange(&channel, exchange, first).await?,
        }
        self.close(&channel).await;
        Ok(())
    }

    /// Makes a delay queue.
    pub(crate) async fn delay_queue(&self, queue: &DelayQueue) -> Result<(), ConnectError> {
        let channel = self.channel().await?;
        self.declare_queue(&channel, &queue.name, &queue.declaration()).await?;
        self.close(&channel).await;
        Ok(())
    }

    async fn target_queue(
        &self,
        channel: &Channel,
        exchange: &str,
        queue: &TargetQueue,
    ) -> Result<(), ConnectError> {
        let declare = DeclareQueue {
            durable: queue.durable,
            auto_delete: false,
            exclusive: false,
            arguments: queue.arguments.clone(),
        };
        self.declare_queue(channel, &queue.name, &declare).await?;
        let binding = Binding {
            routing_key: queue.routing_key.clone(),
            exchange: None,
            arguments: queue.binding_arguments.clone(),
        };
        self.bind(channel, &queue.name, exchange, &binding).await
    }

    async fn channel(&self) -> Result<Channel, ConnectError> {
        let channel = self.answer(self.link.connection.create_channel()).await;
        channel.map_err(|error| connect(self.endpoint, &error, self.link.fate()))
    }

    async fn close(&self, channel: &Channel) {
        // A channel left open harms nobody.
        let _ = self.answer(channel.close(200, crate::connection::ok())).await;
    }

    async fn answer<T>(&self, request: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
        self.link.answer(CONNECT, request).await
    }

    async fn declare_queue(
        &self,
        channel: &Channel,
        name: &str,
        queue: &DeclareQueue,
    ) -> Result<(), ConnectError> {
        let options = QueueDeclareOptions {
            durable: queue.durable,
            auto_delete: queue.auto_delete,
            exclusive: queue.exclusive,
            ..Default::default()
        };
        let arguments = field_table(&queue.arguments);
        let declared = self.answer(channel.queue_declare(short(name)?, options, arguments)).await;
        declared.map(drop).map_err(|error| self.refused("queue", name, &error, true))
    }

    async fn verify_queue(&self, channel: &Channel, name: &str) -> Result<(), ConnectError> {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let declare = channel.queue_declare(short(name)?, options, FieldTable::default());
        let found = self.answer(declare).await;
        found.map(drop).map_err(|error| self.refused("queue", name, &error, true))
    }

    async fn declare_exchange(
        &self,
        channel: &Channel,
        exchange: &DeclareExchange,
    ) -> Result<(), ConnectError> {
        let options = ExchangeDeclareOptions {
            durable: exchange.durable,
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            ..Default::default()
        };
        let name = short(&exchange.name)?;
        let kind = ExchangeKind::Custom(exchange.kind.clone());
        let arguments = field_table(&exchange.arguments);
        let declared = self.answer(channel.exchange_declare(name, kind, options, arguments)).await;
        declared.map_err(|error| self.refused("exchange", &exchange.name, &error, true))
    }

    async fn verify_exchange(
        &self,
        channel: &Channel,
        name: &str,
        first: bool,
    ) -> Result<(), ConnectError> {
        let options = ExchangeDeclareOptions { passive: true, ..Default::default() };
        let (kind, arguments) = (ExchangeKind::Direct, FieldTable::default());
        let declare = channel.exchange_declare(short(name)?, kind, options, arguments);
        let found = self.answer(declare).await;
        found.map_err(|error| self.refused("exchange", name, &error, first))
    }

    async fn bind(
        &self,
        channel: &Channel,
        queue: &str,
        exchange: &str,
        binding: &Binding,
    ) -> Result<(), ConnectError> {
        let (queue, key) = (short(queue)?, short(&binding.routing_key)?);
        let options = QueueBindOptions::default();
        let arguments = field_table(&binding.arguments);
        let bind = channel.queue_bind(queue, short(exchange)?, key, options, arguments);
        let bound = self.answer(bind).await;
        bound.map_err(|error| self.refused("exchange", exchange, &error, true))
    }

    /// The error for a thing that the broker would not find, make or open. `missing_is_fatal`
    /// decides about one that is not there.
    pub(crate) fn refused(
        &self,
        what: &str,
        name: &str,
        error: &lapin::Error,
        missing_is_fatal: bool,
    ) -> ConnectError {
        let (endpoint, said) = (self.endpoint, said(error));
        match refusal(error) {
            Refusal::Passing => {
                let error = self.link.explain(error);
                ConnectError::Retry(format!("{endpoint}: {what} `{name}`: {error}"))
            }
            Refusal::NotFound => {
                let text = format!(
                    "{endpoint}: {what} `{name}` does not exist ({said}); \
                     create it, or let `declare` create it"
                );
                if missing_is_fatal { ConnectError::Fatal(text) } else { ConnectError::Retry(text) }
            }
            Refusal::Different => ConnectError::Fatal(format!(
                "{endpoint}: {what} `{name}` exists with other properties ({said}); \
                 make `declare` equal to it, or delete it on the broker"
            )),
            Refusal::Forbidden | Refusal::Key => ConnectError::Fatal(format!(
                "{endpoint}: no permission for {what} `{name}` ({said})"
            )),
            Refusal::Unsupported => {
                ConnectError::Fatal(format!("{endpoint}: {what} `{name}`: {said}"))
            }
        }
    }
}

/// A short string; settings are validated, so this fails for nobody who did that.
pub(crate) fn short(text: &str) -> Result<ShortString, ConnectError> {
    ShortString::try_new(text).map_err(|error| ConnectError::Fatal(error.to_string()))
}

/// An exchange that a sink publishes to.
#[derive(Clone, Debug)]
pub(crate) struct TargetExchange {
    pub(crate) name: String,
    pub(crate) declare: Option<DeclareTarget>,
}

impl From<&RouteSettings> for TargetExchange {
    fn from(route: &RouteSettings) -> Self {
        Self { name: route.exchange.clone(), declare: route.declare.clone() }
    }
}
