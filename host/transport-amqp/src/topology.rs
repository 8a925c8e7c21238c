//! Topology: queues, exchanges and bindings, declared where the settings say so and verified
//! otherwise.

mod nature;

pub(crate) use nature::Nature;

use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use lockgate_transport::declare::{
    Binding, DeclareExchange, DeclareQueue, DeclareSource, DeclareTarget, TargetQueue,
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
    /// Makes what a source declares, but for its bindings: they may be to another's exchange.
    pub(crate) async fn declare_source(
        &self,
        queue: &str,
        declare: &DeclareSource,
    ) -> Result<(), ConnectError> {
        let channel = self.channel().await?;
        if let Some(exchange) = &declare.exchange {
            self.declare_exchange(&channel, exchange).await?;
        }
        if let Some(declared) = &declare.queue {
            self.declare_queue(&channel, queue, declared).await?;
        }
        self.close(&channel).await;
        Ok(())
    }

    /// Makes the source's queue, exchange and bindings, or finds the queue there.
    ///
    /// `last` says that nobody is about to declare anything more: what is missing then is fatal.
    pub(crate) async fn source(
        &self,
        settings: &SourceSettings,
        last: bool,
    ) -> Result<(), ConnectError> {
        let declare = settings.declare.clone().unwrap_or_default();
        self.declare_source(&settings.queue, &declare).await?;
        let channel = self.channel().await?;
        if declare.queue.is_none() {
            self.verify_queue(&channel, &settings.queue, last).await?;
        }
        let own = declare.exchange.as_ref().map(|exchange| exchange.name.as_str());
        for binding in &declare.bindings {
            let exchange = binding.exchange.as_deref().or(own).unwrap_or_default();
            self.bind(&channel, &settings.queue, exchange, binding, last).await?;
        }
        self.close(&channel).await;
        Ok(())
    }

    /// Makes a route's exchange, or finds it there.
    ///
    /// `first` says that the route never worked and nobody is about to declare anything more: then a
    /// missing exchange is fatal, else it is retried, for whoever deleted it may bring it back.
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

    /// Fails where the queue is a stream, which a passive declaration does not tell. Asks for a
    /// consumer that no kind of queue grants: a stream wants a prefetch, and no other knows its
    /// offset. A broker that grants it all the same, or says something else, has told nothing.
    pub(crate) async fn no_stream(&self, name: &str) -> Result<(), ConnectError> {
        let channel = self.channel().await?;
        let refused = |error| self.refused("queue", name, &error, true);
        // Or a prefetch that the broker is set up with would do.
        let unlimited = channel.basic_qos(0, BasicQosOptions::default());
        self.answer(unlimited).await.map_err(refused)?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-stream-offset".into(), AMQPValue::LongString("next".into()));
        let options = BasicConsumeOptions::default();
        let consume = channel.basic_consume(short(name)?, short("")?, options, arguments);
        let told = self.answer(consume).await;
        self.close(&channel).await;
        match told {
            Err(error) if refusal(&error) == Refusal::Stream => Err(refused(error)),
            _ => Ok(()),
        }
    }

    /// The type of an exchange that is there; `None` where the broker does not tell, for the user
    /// may not configure the exchange.
    ///
    /// Declares it with properties that no exchange of use has, which the broker refuses with the
    /// type that it has.
    pub(crate) async fn kind(&self, exchange: &str) -> Result<Option<String>, ConnectError> {
        let channel = self.channel().await?;
        let options =
            ExchangeDeclareOptions { auto_delete: true, internal: true, ..Default::default() };
        let (name, table) = (short(exchange)?, FieldTable::default());
        let declare = channel.exchange_declare(name, ExchangeKind::Headers, options, table);
        let told = match self.answer(declare).await {
            Err(error) => kind_in(&said(&error)),
            Ok(()) => {
                // It was deleted a moment ago, and this made another: that one goes too.
                let options = ExchangeDeleteOptions { if_unused: true, ..Default::default() };
                let _ = self.answer(channel.exchange_delete(short(exchange)?, options)).await;
                None
            }
        };
        self.close(&channel).await;
        Ok(told)
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
        self.bind(channel, &queue.name, exchange, &binding, true).await
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

    async fn verify_queue(
        &self,
        channel: &Channel,
        name: &str,
        last: bool,
    ) -> Result<(), ConnectError> {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let declare = channel.queue_declare(short(name)?, options, FieldTable::default());
        let found = self.answer(declare).await;
        found.map(drop).map_err(|error| self.refused("queue", name, &error, last))
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
        last: bool,
    ) -> Result<(), ConnectError> {
        let (queue, key) = (short(queue)?, short(&binding.routing_key)?);
        let options = QueueBindOptions::default();
        let arguments = field_table(&binding.arguments);
        let bind = channel.queue_bind(queue, short(exchange)?, key, options, arguments);
        let bound = self.answer(bind).await;
        bound.map_err(|error| self.refused("exchange", exchange, &error, last))
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
            Refusal::Stream => ConnectError::Stream(format!(
                "{endpoint}: {what} `{name}` is a stream, which keeps no record of what was settled; \
                 take from a quorum or classic queue"
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

/// The type of an exchange in the words with which RabbitMQ 3.10 to 4.3 refuse another declaration
/// of it.
fn kind_in(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("PRECONDITION_FAILED - inequivalent arg '")?;
    if !rest.starts_with("type'") {
        // Then it was the type that was asked for.
        return Some("headers".to_owned());
    }
    let (_, kind) = rest.rsplit_once("but current is ")?;
    Some(kind.trim_matches('\'').to_owned())
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

#[cfg(test)]
mod tests {
    use super::kind_in;

    /// As RabbitMQ 3.10 says it, which puts types of plugins in quotes twice.
    #[test]
    fn the_type_of_an_exchange_is_read_out_of_a_refusal() {
        let differs = |what: &str| format!("PRECONDITION_FAILED - inequivalent arg {what}");
        for (said, expected) in [
            (
                differs(
                    "'type' for exchange 'e' in vhost '/': received 'headers' but current is \
                     'topic'",
                ),
                Some("topic"),
            ),
            (
                differs(
                    "'type' for exchange 'but current is ' in vhost '/': received 'headers' but \
                     current is ''x-delayed-message''",
                ),
                Some("x-delayed-message"),
            ),
            (
                differs(
                    "'durable' for exchange 'e' in vhost '/': received 'false' but current is \
                     'true'",
                ),
                Some("headers"),
            ),
            (
                "ACCESS_REFUSED - access to exchange 'e' in vhost '/' refused for user 'u'".into(),
                None,
            ),
        ] {
            assert_eq!(kind_in(&said).as_deref(), expected, "{said}");
        }
    }
}
