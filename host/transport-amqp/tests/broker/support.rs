//! What the tests need of a broker, past the transport under test.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use lockgate_message::{Properties, Table, Value};
use lockgate_transport::{Sink, SinkConnector, Source, SourceConnector};
use lockgate_transport_amqp::{AmqpSink, AmqpSource, RouteSettings, SourceSettings};

/// Bounds an await; only a hang ever needs it.
pub(crate) async fn limited<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("hangs")
}

pub(crate) fn connector(settings: &str) -> AmqpSource {
    let settings: SourceSettings = toml::from_str(settings).unwrap();
    AmqpSource::new(settings).unwrap()
}

pub(crate) fn route(settings: &str) -> RouteSettings {
    toml::from_str(settings).unwrap()
}

/// A route to every exchange.
pub(crate) fn publish_anywhere(url: &str) -> RouteSettings {
    route(&format!("url = '{url}'\nexchange = ''"))
}

/// A connection of the tests' own.
pub(crate) struct Bench {
    pub(crate) url: String,
    _connection: Connection,
    channel: Channel,
}

impl Bench {
    /// `None`, with a word about it, where no broker is given.
    pub(crate) async fn new() -> Option<Self> {
        let Ok(url) = std::env::var("LOCKGATE_TEST_AMQP_URL") else {
            eprintln!("skipped: LOCKGATE_TEST_AMQP_URL names no broker");
            return None;
        };
        let vhost = if url.ends_with('/') { format!("{url}%2f") } else { url.clone() };
        let connection =
            limited(Connection::connect(&vhost, ConnectionProperties::default())).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Some(Self { url, _connection: connection, channel })
    }

    /// A name that no other test has.
    pub(crate) fn name(&self, what: &str) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("test.{}.{count}.{what}", std::process::id())
    }

    /// A direct exchange and a queue bound to it by `key`.
    pub(crate) async fn pair(&self, key: &str) -> (String, String) {
        self.pair_with(key, []).await
    }

    /// The queue with these text arguments as well.
    pub(crate) async fn pair_with<'a>(
        &self,
        key: &str,
        arguments: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (String, String) {
        let (exchange, queue) = (self.name("exchange"), self.name("queue"));
        let options =
            ExchangeDeclareOptions { auto_delete: true, durable: true, ..Default::default() };
        let table = FieldTable::default;
        self.channel
            .exchange_declare(exchange.as_str().into(), ExchangeKind::Direct, options, table())
            .await
            .unwrap();
        let mut table_of_queue = FieldTable::default();
        table_of_queue.insert("x-expires".into(), 120_000.into());
        for (key, value) in arguments {
            table_of_queue.insert(key.into(), AMQPValue::LongString(value.into()));
        }
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare(queue.as_str().into(), options, table_of_queue).await.unwrap();
        self.channel
            .queue_bind(
                queue.as_str().into(),
                exchange.as_str().into(),
                key.into(),
                QueueBindOptions::default(),
                table(),
            )
            .await
            .unwrap();
        (exchange, queue)
    }

    /// Publishes the numbers up to `count` as bodies.
    pub(crate) async fn fill(&self, exchange: &str, key: &str, count: usize) {
        let mut confirms = Vec::new();
        for n in 0..count {
            let body = n.to_string();
            let published = self
                .channel
                .basic_publish(
                    exchange.into(),
                    key.into(),
                    BasicPublishOptions::default(),
                    body.as_bytes(),
                    BasicProperties::default().with_delivery_mode(2),
                )
                .await;
            confirms.push(published.unwrap());
        }
        for confirm in confirms {
            assert!(confirm.await.unwrap().is_ack());
        }
    }

    /// Publishes one body.
    pub(crate) async fn put(&self, exchange: &str, key: &str, body: &[u8]) {
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_delivery_mode(2);
        let published =
            self.channel.basic_publish(exchange.into(), key.into(), options, body, properties);
        assert!(published.await.unwrap().await.unwrap().is_ack());
    }

    /// Ready messages, once the number stands still.
    pub(crate) async fn depth(&self, queue: &str) -> u32 {
        let mut last = None;
        loop {
            let ready = self.ready(queue).await;
            if last == Some(ready) {
                return ready;
            }
            last = Some(ready);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until so many messages are ready, for what is given back takes the broker a moment,
    /// and sees that it stays so.
    pub(crate) async fn until_ready(&self, queue: &str, count: usize) {
        for _ in 0..300 {
            if self.ready(queue).await as usize == count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.depth(queue).await as usize, count, "messages ready in {queue}");
    }

    /// Ready messages now.
    pub(crate) async fn ready(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let found = self.channel.queue_declare(queue.into(), options, FieldTable::default());
        found.await.unwrap().message_count()
    }

    pub(crate) async fn declare_queue(&self, queue: &str, arguments: FieldTable) {
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare(queue.into(), options, arguments).await.unwrap();
    }

    /// An exchange of this type.
    pub(crate) async fn declare_exchange(
        &self,
        exchange: &str,
        kind: &str,
        internal: bool,
        arguments: FieldTable,
    ) {
        let kind = match kind {
            "direct" => ExchangeKind::Direct,
            "topic" => ExchangeKind::Topic,
            "fanout" => ExchangeKind::Fanout,
            _ => ExchangeKind::Headers,
        };
        let options = ExchangeDeclareOptions { durable: true, internal, ..Default::default() };
        self.channel.exchange_declare(exchange.into(), kind, options, arguments).await.unwrap();
    }

    pub(crate) async fn bind(&self, exchange: &str, queue: &str, key: &str, with: FieldTable) {
        let options = QueueBindOptions::default();
        let bound =
            self.channel.queue_bind(queue.into(), exchange.into(), key.into(), options, with);
        bound.await.unwrap();
    }

    /// What reaches `from` by `key` goes on to `to`.
    pub(crate) async fn bind_exchange(&self, from: &str, to: &str, key: &str, with: FieldTable) {
        let options = ExchangeBindOptions::default();
        let bound = self.channel.exchange_bind(to.into(), from.into(), key.into(), options, with);
        bound.await.unwrap();
    }

    pub(crate) async fn purge(&self, queue: &str) {
        let purged = self.channel.queue_purge(queue.into(), QueuePurgeOptions::default());
        purged.await.unwrap();
    }

    pub(crate) async fn delete_queue(&self, queue: &str) {
        let deleted = self.channel.queue_delete(queue.into(), QueueDeleteOptions::default());
        deleted.await.unwrap();
    }

    pub(crate) async fn delete_exchange(&self, exchange: &str) {
        let options = ExchangeDeleteOptions::default();
        self.channel.exchange_delete(exchange.into(), options).await.unwrap();
    }

    pub(crate) fn source_connector(&self, queue: &str, prefetch: u16) -> AmqpSource {
        connector(&format!("url = '{}'\nqueue = '{queue}'\nprefetch = {prefetch}", self.url))
    }

    pub(crate) async fn source(&self, queue: &str, prefetch: u16) -> Box<dyn Source> {
        limited(self.source_connector(queue, prefetch).connect()).await.unwrap()
    }

    pub(crate) async fn sink(&self, exchange: &str) -> Box<dyn Sink> {
        let route = route(&format!("url = '{}'\nexchange = '{exchange}'", self.url));
        let mut shared = AmqpSink::for_routes(None, [&route]).unwrap();
        limited(shared.sinks.remove(0).connect(0)).await.unwrap()
    }
}

/// A header of every type.
pub(crate) fn every_value() -> Table {
    let mut nested = Table::new();
    nested.set("inner", Value::Array(vec![Value::Void, Value::Table(Table::new())]));
    [
        ("void", Value::Void),
        ("bool", Value::Bool(true)),
        ("i8", Value::I8(-8)),
        ("u8", Value::U8(200)),
        ("i16", Value::I16(-1600)),
        ("u16", Value::U16(60_000)),
        ("i32", Value::I32(i32::MIN)),
        ("u32", Value::U32(u32::MAX)),
        ("i64", Value::I64(i64::MIN)),
        ("f32", Value::F32(1.5)),
        ("f64", Value::F64(-2.25)),
        ("decimal", Value::Decimal { scale: 3, value: 12_345 }),
        ("text", Value::text("übung")),
        ("raw", Value::Str(vec![0xFF, 0x00, 0xFE])),
        ("bytes", Value::Bytes(vec![0, 1, 255])),
        ("time", Value::Timestamp(1_700_000_000)),
        ("array", Value::Array(vec![Value::I32(1), Value::text("two")])),
        ("table", Value::Table(nested)),
        ("", Value::text("a key may be empty")),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// Every property set that passes unchanged.
pub(crate) fn every_property() -> Properties {
    let text = |text: &str| Some(text.to_owned());
    Properties {
        content_type: text("text/plain"),
        content_encoding: text("identity"),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: text("c-1"),
        reply_to: text("answers"),
        expiration: text("600000"),
        message_id: text(&"m".repeat(255)),
        timestamp: Some(1_700_000_000),
        kind: text("order"),
        user_id: None,
        app_id: text("shop"),
        cluster_id: text("c"),
    }
}
