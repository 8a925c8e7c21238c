//! The conformance suite on the embedded broker, and what it cannot ask of every transport.

use std::sync::atomic::{AtomicUsize, Ordering};

use lockgate_message::{Head, Message, Value};
use lockgate_transport::conformance::{CASES, Check, Fixture, Topology};
use lockgate_transport::{SinkConnector, SourceConnector};

use super::*;
use crate::{ExchangeKind, ExchangeOptions, MemorySinkConnector, QueueOptions};

#[derive(Default)]
struct Memory {
    broker: Broker,
    count: AtomicUsize,
}

#[async_trait]
impl Fixture for Memory {
    async fn fresh(&self) -> Result<Topology, String> {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let topology = Topology {
            exchange: format!("x{n}"),
            key: "in".into(),
            queue: format!("q{n}"),
            dead: format!("dead{n}"),
        };
        let declare = || {
            let options = QueueOptions::with([
                ("x-dead-letter-exchange", Value::text("")),
                ("x-dead-letter-routing-key", Value::text(topology.dead.as_str())),
            ]);
            self.broker.declare_queue(&topology.dead, QueueOptions::default())?;
            self.broker.declare_queue(&topology.queue, options)?;
            let options = ExchangeOptions::new(ExchangeKind::Direct);
            self.broker.declare_exchange(&topology.exchange, options)?;
            let arguments = Default::default();
            self.broker.bind_queue(&topology.exchange, &topology.queue, &topology.key, &arguments)
        };
        declare().map_err(|error: crate::BrokerError| error.to_string())?;
        Ok(topology)
    }

    fn source(&self, queue: &str, prefetch: u16) -> Box<dyn SourceConnector> {
        Box::new(MemorySourceConnector::new(&self.broker, settings(queue, prefetch)))
    }

    fn sink(&self) -> Box<dyn SinkConnector> {
        Box::new(MemorySinkConnector::new(&self.broker, Vec::new()))
    }

    async fn publish(&self, exchange: &str, key: &str, message: Message) -> Check {
        self.broker.publish(exchange, key, message).map(drop).map_err(|error| error.to_string())
    }

    async fn depth(&self, queue: &str) -> Result<usize, String> {
        self.broker.depth(queue).map_err(|error| error.to_string())
    }

    async fn until_depth(&self, queue: &str, depth: usize) -> Check {
        self.broker.until_depth(queue, depth).await.map_err(|error| error.to_string())
    }

    async fn cut(&self) -> Result<bool, String> {
        self.broker.cut();
        Ok(true)
    }
}

fn settings(queue: &str, prefetch: u16) -> SourceSettings {
    SourceSettings { queue: queue.to_owned(), prefetch, declare: None }
}

async fn conforms() {
    let memory = Memory::default();
    for case in CASES {
        if let Err(error) = case.run(&memory).await {
            panic!("{}: {error}", case.name);
        }
    }
}

#[tokio::test]
async fn conforms_on_one_thread() {
    conforms().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_on_several_threads() {
    conforms().await;
}

async fn source(broker: &Broker, queue: &str, prefetch: u16) -> Box<dyn Source> {
    MemorySourceConnector::new(broker, settings(queue, prefetch)).connect().await.unwrap()
}

async fn take(source: &mut dyn Source, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        source.next(count - taken.len(), &mut taken).await.unwrap();
    }
    taken
}

fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries
        .iter()
        .map(|delivery| std::str::from_utf8(delivery.message.body()).unwrap())
        .collect()
}

fn broker(options: QueueOptions, count: usize) -> Broker {
    let broker = Broker::new();
    broker.declare_queue("q", options).unwrap();
    for n in 0..count {
        broker.publish("", "q", Message::new(Head::default(), n.to_string())).unwrap();
    }
    broker
}

#[tokio::test]
async fn competing_consumers_take_turns() {
    let broker = broker(QueueOptions::default(), 0);
    let mut sources = Vec::new();
    for prefetch in [10, 1, 10] {
        sources.push(source(&broker, "q", prefetch).await);
    }
    for n in 0..8 {
        broker.publish("", "q", Message::new(Head::default(), n.to_string())).unwrap();
    }
    // The second is full after its first, and the others go on in turns.
    for (source, expected) in
        sources.iter_mut().zip([&["0", "3", "5", "7"][..], &["1"], &["2", "4", "6"]])
    {
        let taken = take(&mut **source, expected.len()).await;
        assert_eq!(bodies(&taken), expected);
        std::mem::forget(taken);
    }
}

#[tokio::test]
async fn bytes_in_hand_hold_a_consumer_but_never_its_first_message() {
    let broker = broker(QueueOptions::default(), 0);
    for size in [100, 100, 100, 100, 900, 100] {
        broker.publish("", "q", Message::new(Head::default(), vec![0; size])).unwrap();
    }
    let connector = MemorySourceConnector::new(&broker, settings("q", 50)).bounded(300);
    let mut source = connector.connect().await.unwrap();
    let mut batches = Vec::new();
    for ready in [3, 1, 0] {
        let mut taken = Vec::new();
        source.next(50, &mut taken).await.unwrap();
        assert_eq!(broker.depth("q"), Ok(ready));
        batches.push(taken.len());
        taken.into_iter().for_each(|one| one.ack.settle(Settlement::Ack));
    }
    assert_eq!(batches, [3, 2, 1]);
}

#[tokio::test]
async fn a_single_active_consumer_is_followed_by_the_next() {
    let options = QueueOptions::with([("x-single-active-consumer", Value::Bool(true))]);
    let broker = broker(options, 5);
    let mut first = source(&broker, "q", 3).await;
    let mut second = source(&broker, "q", 10).await;
    let taken = take(&mut *first, 3).await;
    assert_eq!(bodies(&taken), ["0", "1", "2"]);
    assert_eq!(broker.depth("q"), Ok(2));
    drop(first);
    assert_eq!(bodies(&take(&mut *second, 5).await), ["0", "1", "2", "3", "4"]);
    drop(taken);
}

#[tokio::test]
async fn counted_failures_end_at_the_delivery_limit() {
    let options = QueueOptions::with([
        ("x-delivery-limit", Value::I32(2)),
        ("x-dead-letter-exchange", Value::text("")),
        ("x-dead-letter-routing-key", Value::text("dead")),
    ]);
    let broker = broker(options, 1);
    broker.declare_queue("dead", QueueOptions::default()).unwrap();
    let mut source = source(&broker, "q", 10).await;
    let retry = Settlement::RetryAfter(Duration::ZERO);
    // Uncounted ones in between change nothing.
    for settlement in [retry, Settlement::Requeue, Settlement::Requeue, retry, retry] {
        let delivery = take(&mut *source, 1).await.pop().unwrap();
        delivery.ack.settle(settlement);
    }
    assert_eq!(broker.depth("q"), Ok(0));
    let letter = broker.get("dead").unwrap().unwrap();
    let reason = letter.head().headers.get("x-first-death-reason").and_then(Value::as_text);
    assert_eq!(reason, Some("delivery_limit"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_unsettled_and_keeps_its_place() {
    let broker = broker(QueueOptions::default(), 2);
    let mut consuming = source(&broker, "q", 1).await;
    let delay = Duration::from_secs(30);
    let before = tokio::time::Instant::now();
    take(&mut *consuming, 1).await.pop().unwrap().ack.settle(Settlement::RetryAfter(delay));
    let stats = broker.queue_stats("q").unwrap();
    assert_eq!((stats.ready, stats.unsettled), (1, 1));
    // The prefetch is 1, so the other message has to wait with it.
    let again = take(&mut *consuming, 1).await.pop().unwrap();
    assert!(before.elapsed() >= delay);
    assert_eq!(again.message.body(), "0");
    assert!(again.redelivered);
    // Lost while it waits, it comes back at once, and the old deadline hits nobody.
    again.ack.settle(Settlement::RetryAfter(delay));
    drop(consuming);
    let mut other = source(&broker, "q", 10).await;
    let held = take(&mut *other, 2).await;
    assert_eq!(bodies(&held), ["0", "1"]);
    assert!(before.elapsed() < 2 * delay);
    tokio::time::advance(2 * delay).await;
    let stats = broker.queue_stats("q").unwrap();
    assert_eq!((stats.ready, stats.unsettled), (0, 2));
}

#[tokio::test]
async fn cancelled_by_the_broker_what_was_sent_still_counts() {
    let broker = broker(QueueOptions::default(), 4);
    let mut source = source(&broker, "q", 3).await;
    let first = take(&mut *source, 1).await.pop().unwrap();
    broker.cancel_consumers("q").unwrap();
    let rest = take(&mut *source, 2).await;
    let mut none = Vec::new();
    let error = source.next(1, &mut none).await.unwrap_err();
    assert!(matches!(error, SourceError::Lost(_)), "{error}");
    for delivery in rest.into_iter().chain([first]) {
        assert!(delivery.ack.is_live());
        delivery.ack.settle(Settlement::Ack);
    }
    let stats = broker.queue_stats("q").unwrap();
    assert_eq!((stats.ready, stats.unsettled, stats.consumers), (1, 0, 0));
}

#[tokio::test]
async fn a_waiting_source_is_woken_by_all_that_concerns_it() {
    for act in [Broker::cut_sources, Broker::cut, |broker: &Broker| {
        broker.cancel_consumers("q").unwrap();
    }] {
        let broker = broker(QueueOptions::default(), 0);
        let mut source = source(&broker, "q", 3).await;
        let waits = tokio::spawn(async move { source.next(1, &mut Vec::new()).await });
        while broker.with(|state| !state.consumer_ids(None).iter().any(|id| state.waits(*id))) {
            tokio::task::yield_now().await;
        }
        act(&broker);
        assert!(matches!(waits.await.unwrap(), Err(SourceError::Lost(_))));
    }
}

#[tokio::test]
async fn connecting_fails_for_good_without_the_queue_and_as_switched() {
    let broker = Broker::new();
    let connector = MemorySourceConnector::new(&broker, settings("nowhere", 1));
    assert!(matches!(connector.connect().await, Err(ConnectError::Fatal(_))));
    broker.declare_queue("nowhere", QueueOptions::default()).unwrap();
    broker.fail_next_connect(ConnectError::Retry("away".into()));
    assert!(matches!(connector.connect().await, Err(ConnectError::Retry(_))));
    assert!(connector.connect().await.is_ok());
}
