//! The transport's conformance suite, through a proxy that can cut connections.

use crate::proxy::Proxy;
use crate::support::Bench;
use async_trait::async_trait;
use lockgate_message::Message;
use lockgate_transport::conformance::{CASES, Fixture, Topology};
use lockgate_transport::{Outgoing, RoutingKey, SinkConnector, SourceConnector};
use lockgate_transport_amqp::AmqpSink;

/// Cases that are run on quorum queues as well.
const QUORUM: [&str; 4] = [
    "ack_removes",
    "a_dropped_source_redelivers",
    "reject_dead_letters",
    "what_is_returned_in_order_keeps_it",
];

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_promises() {
    let Some(bench) = Bench::new().await else { return };
    let proxy = Proxy::start(&bench.url).await;
    let direct =
        AmqpSink::for_routes(None, [&crate::support::publish_anywhere(&bench.url)]).unwrap();
    let publisher = direct.sinks.into_iter().next().unwrap().connect(0).await.unwrap();
    let mut fixture = Rabbit { bench, proxy, publisher: publisher.into(), kind: "classic" };
    let mut failed = Vec::new();
    for case in CASES {
        // Erlang has no infinite floats: RabbitMQ closes the connection for one (541), so the
        // sink refuses it.
        let refused = |error: &String| error.contains("`infinite` is not a finite number");
        if let Some(error) = case.run(&fixture).await.err().filter(|error| !refused(error)) {
            failed.push(format!("{}: {error}", case.name));
        }
    }
    // The kinds of queue differ in what they do with what comes back.
    fixture.kind = "quorum";
    for case in CASES.iter().filter(|case| QUORUM.contains(&case.name)) {
        let result = case.run(&fixture).await;
        failed.extend(result.err().map(|error| format!("quorum: {}: {error}", case.name)));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

struct Rabbit {
    bench: Bench,
    proxy: Proxy,
    publisher: tokio::sync::Mutex<Box<dyn lockgate_transport::Sink>>,
    /// Of the queues.
    kind: &'static str,
}

#[async_trait]
impl Fixture for Rabbit {
    async fn fresh(&self) -> Result<Topology, String> {
        let (dead_exchange, dead) =
            self.bench.pair_with("dead", [("x-queue-type", self.kind)]).await;
        let arguments = [("x-queue-type", self.kind), ("x-dead-letter-exchange", &*dead_exchange)];
        let dead_key = [("x-dead-letter-routing-key", "dead")];
        let (exchange, queue) =
            self.bench.pair_with("key", arguments.into_iter().chain(dead_key)).await;
        Ok(Topology { exchange, key: "key".to_owned(), queue, dead })
    }

    fn source(&self, queue: &str, prefetch: u16) -> Box<dyn SourceConnector> {
        let url = self.proxy.url();
        let settings = format!("url = '{url}'\nqueue = '{queue}'\nprefetch = {prefetch}");
        // The suite looks at the order in which a queue gets back what it gave, which the replacing of
        // a consumer, for its window to grow, would change.
        Box::new(crate::support::connector(&settings).ordered(true))
    }

    fn sink(&self) -> Box<dyn SinkConnector> {
        let route = crate::support::publish_anywhere(&self.proxy.url());
        Box::new(AmqpSink::for_routes(None, [&route]).unwrap().sinks.remove(0))
    }

    async fn publish(&self, exchange: &str, key: &str, message: Message) -> Result<(), String> {
        let routing_key = RoutingKey::Fixed(key.into());
        let outgoing = [Outgoing { exchange: exchange.into(), routing_key, message }];
        for result in self.publisher.lock().await.put(&outgoing).await {
            result.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn depth(&self, queue: &str) -> Result<usize, String> {
        Ok(self.bench.ready(queue).await as usize)
    }

    async fn cut(&self) -> Result<bool, String> {
        self.proxy.cut();
        Ok(true)
    }
}
