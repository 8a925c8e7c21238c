//! Sinks: one for each exchange that letters go to, opened when the first one comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use lockgate_transport::{ConnectError, Outgoing, PutError, Sink, SinkConnector};
use lockgate_transport_amqp::settings::Endpoint;
use lockgate_transport_amqp::{AmqpSink, RawNames, RouteSettings};
use serde_json::json;

use super::Refused;

/// Exchanges of one replay: each has a connection.
const EXCHANGES_MAX: usize = 64;

/// Time for saying goodbye.
const CLOSE: Duration = Duration::from_secs(5);

/// A sink, or why there is none for that exchange.
type Opened = Result<Box<dyn Sink>, String>;

/// Publishes to the exchanges of one broker.
pub(super) struct Sinks {
    endpoint: Endpoint,
    max_body: Option<u64>,
    open: HashMap<String, Opened>,
    /// Those of exchanges and routing keys that are no text.
    pub(super) names: Arc<RawNames>,
}

impl Sinks {
    pub(super) fn new(endpoint: Endpoint, max_body: Option<u64>) -> Self {
        Self { endpoint, max_body, open: HashMap::new(), names: Arc::default() }
    }

    /// Publishes a block, all of it to `exchange`: one result each.
    ///
    /// # Errors
    /// The broker cannot be reached; nothing was published.
    pub(super) async fn put(
        &mut self,
        exchange: &str,
        block: &[Outgoing],
    ) -> anyhow::Result<Vec<Result<(), PutError>>> {
        Ok(match self.sink(exchange).await? {
            Ok(sink) => sink.put(block).await,
            Err(why) => block.iter().map(|_| Err(PutError::Unroutable(why.clone()))).collect(),
        })
    }

    /// The sink of an exchange, opened where it is not yet; or why it cannot be, for people.
    pub(super) async fn sink(&mut self, exchange: &str) -> anyhow::Result<&mut Opened> {
        if !self.open.contains_key(exchange) {
            let opened = if self.open.len() < EXCHANGES_MAX {
                self.connect(exchange).await?
            } else {
                Err(format!("more than {EXCHANGES_MAX} exchanges in one replay; use --where"))
            };
            self.open.insert(exchange.to_owned(), opened);
        }
        self.open.get_mut(exchange).context("no sink")
    }

    async fn connect(&self, exchange: &str) -> anyhow::Result<Opened> {
        let mut settings = json!({ "exchange": exchange });
        if let (Some(all), Some(max_body)) = (settings.as_object_mut(), self.max_body) {
            all.insert("max_body".to_owned(), max_body.into());
        }
        let settings: RouteSettings = serde_json::from_value(settings)?;
        let sinks = match AmqpSink::for_routes(Some(&self.endpoint), [&settings]) {
            Ok(shared) => shared.sinks,
            Err(errors) => {
                let texts: Vec<_> = errors.into_iter().map(|(_, error)| error.message).collect();
                return Ok(Err(texts.join("; ")));
            }
        };
        let sink = sinks.into_iter().next().context("no sink")?;
        let sink = sink.with_raw_names(self.names.clone());
        match sink.connect(0).await {
            Ok(sink) => Ok(Ok(sink)),
            Err(ConnectError::FatalRoute(_, why)) => Ok(Err(why)),
            Err(error) => Err(Refused::from(error).into()),
        }
    }

    pub(super) async fn close(self) {
        for sink in self.open.into_values().flatten() {
            sink.close(CLOSE).await;
        }
    }
}
