//! Streams: told from queues, and not taken from.

use lapin::types::{AMQPValue, FieldTable};
use lockgate_message::{Head, Message};
use lockgate_transport::{ConnectError, Outgoing, RoutingKey, Source, SourceConnector};
use lockgate_transport_amqp::{Browser, SourceSettings};

use crate::support::{Bench, connector, limited};

fn refused<T>(result: Result<T, ConnectError>) {
    match result.err() {
        Some(ConnectError::Stream(text)) => assert!(text.contains("is a stream"), "{text}"),
        other => panic!("{other:?}"),
    }
}

async fn browse(url: &str, queue: &str) -> Result<Browser, ConnectError> {
    let settings = format!("url = '{url}'\nqueue = '{queue}'");
    let settings: SourceSettings = toml::from_str(&settings).unwrap();
    Browser::open(&settings.endpoint().unwrap(), queue).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_refused_wherever_messages_are_taken() {
    let Some(bench) = Bench::new().await else { return };
    let stream = bench.name("stream");
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
    bench.declare_queue(&stream, arguments).await;
    let source = bench.source_connector(&stream, 10);
    refused(limited(source.connect()).await);
    refused(limited(source.check()).await);
    // A priority of its own changes nothing.
    let prior = format!("url = '{}'\nqueue = '{stream}'\npriority = 5", bench.url);
    refused(limited(connector(&prior).connect()).await);
    refused(limited(browse(&bench.url, &stream)).await);
    // As a target it is as good as any queue.
    let mut sink = bench.sink("").await;
    let message = Message::new(Head::default(), "kept");
    let routing_key = RoutingKey::Fixed(stream.as_str().into());
    let block = [Outgoing { exchange: "".into(), routing_key, message }];
    assert_eq!(limited(sink.put(&block)).await, [Ok(())]);
    bench.delete_queue(&stream).await;
}

/// Whoever asks whether it is a stream takes nothing from a queue, and keeps nobody else away.
#[tokio::test(flavor = "multi_thread")]
async fn queues_of_every_other_kind_are_checked_without_a_trace() {
    let Some(bench) = Bench::new().await else { return };
    for kind in ["classic", "quorum"] {
        let (exchange, queue) = bench.pair_with("k", [("x-queue-type", kind)]).await;
        bench.fill(&exchange, "k", 3).await;
        let source = bench.source_connector(&queue, 10);
        limited(source.check()).await.unwrap();
        let mut live: Box<dyn Source> = limited(source.connect()).await.unwrap();
        let mut taken = Vec::new();
        while taken.len() < 3 {
            limited(live.next(3, &mut taken)).await.unwrap();
        }
        assert!(taken.iter().all(|delivery| !delivery.redelivered), "{kind}");
    }
}
