//! The AMQP model by cases: declaring, time to live, limits, dead letters, priorities; and that
//! random traffic loses and doubles nothing.

use std::time::Duration;

use lockgate_message::{Head, Settlement, Value};
use lockgate_transport::{Source, SourceConnector};
use proptest::prelude::*;

use super::*;
use crate::{ExchangeKind, MemorySourceConnector, SourceSettings};

fn text(text: &str) -> Value {
    Value::text(text)
}

fn message(body: impl ToString) -> Message {
    Message::new(Head::default(), body.to_string())
}

fn publish(broker: &Broker, queue: &str, bodies: &[&str]) {
    for body in bodies {
        broker.publish("", queue, message(body)).unwrap();
    }
}

fn bodies(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|one| String::from_utf8(one.body().to_vec()).unwrap()).collect()
}

fn drained(broker: &Broker, queue: &str) -> Vec<String> {
    bodies(&broker.drain(queue).unwrap())
}

/// `queue` with the arguments given, dead-lettering to `dead`.
fn with_dead<const N: usize>(arguments: [(&str, Value); N]) -> Broker {
    let broker = Broker::new();
    let mut options = QueueOptions::with(arguments);
    options.arguments.set("x-dead-letter-exchange", text(""));
    options.arguments.set("x-dead-letter-routing-key", text("dead"));
    broker.declare_queue("queue", options).unwrap();
    broker.declare_queue("dead", QueueOptions::default()).unwrap();
    broker
}

fn reason(letter: &Message) -> Option<&str> {
    letter.head().headers.get("x-first-death-reason").and_then(Value::as_text)
}

#[test]
fn declaring_again_needs_the_same() {
    let broker = Broker::new();
    let options = QueueOptions::with([("x-max-length", Value::I32(3))]);
    broker.declare_queue("q", options.clone()).unwrap();
    let same = QueueOptions::with([("x-max-length", Value::I64(3))]);
    assert_eq!(broker.declare_queue("q", same), Ok(()));
    for (other, argument) in [
        (QueueOptions { durable: false, ..options.clone() }, "durable"),
        (QueueOptions { exclusive: true, ..options.clone() }, "exclusive"),
        (QueueOptions { auto_delete: true, ..options }, "auto_delete"),
        (QueueOptions::default(), "x-max-length"),
        (QueueOptions::with([("x-max-length", Value::I32(4))]), "x-max-length"),
    ] {
        let error = broker.declare_queue("q", other).unwrap_err();
        assert!(matches!(&error, BrokerError::Precondition(text) if text.contains(argument)));
    }
    let options = ExchangeOptions::new(ExchangeKind::Topic);
    broker.declare_exchange("x", options.clone()).unwrap();
    assert_eq!(broker.declare_exchange("x", options.clone()), Ok(()));
    let others = [
        (ExchangeOptions { durable: false, ..options.clone() }, "durable"),
        (ExchangeOptions { internal: true, ..options.clone() }, "internal"),
        (ExchangeOptions { kind: ExchangeKind::Direct, ..options }, "type"),
    ];
    for (other, argument) in others {
        let error = broker.declare_exchange("x", other).unwrap_err();
        assert!(matches!(&error, BrokerError::Precondition(text) if text.contains(argument)));
    }
}

#[test]
fn refuses_what_cannot_be_declared_or_found() {
    let broker = Broker::new();
    let options = QueueOptions::default();
    for name in ["", &"n".repeat(256)] {
        let error = broker.declare_queue(name, options.clone()).unwrap_err();
        assert!(matches!(error, BrokerError::Precondition(_)), "{error}");
    }
    let error = broker.declare_queue("amq.mine", options).unwrap_err();
    assert!(matches!(error, BrokerError::Refused(_)), "{error}");
    let wrong = QueueOptions::with([("x-message-ttl", text("5"))]);
    assert!(matches!(broker.declare_queue("q", wrong), Err(BrokerError::Precondition(_))));
    let none = Table::new();
    for error in [
        broker.verify_queue("q").unwrap_err(),
        broker.verify_exchange("x").unwrap_err(),
        broker.depth("q").unwrap_err(),
        broker.get("q").unwrap_err(),
        broker.bind_queue("amq.direct", "q", "", &none).unwrap_err(),
        broker.bind_exchange("x", "amq.direct", "", &none).unwrap_err(),
    ] {
        assert!(matches!(error, BrokerError::NotFound { .. }), "{error}");
    }
    let error = broker.bind_exchange("", "amq.direct", "", &none).unwrap_err();
    assert!(matches!(error, BrokerError::Refused(_)), "{error}");
    assert_eq!(broker.verify_exchange("amq.headers"), Ok(()));
    assert_eq!(broker.verify_exchange(""), Ok(()));
}

#[test]
fn internal_exchanges_are_reached_through_bindings_only() {
    let broker = Broker::new();
    let options = ExchangeOptions { internal: true, ..ExchangeOptions::new(ExchangeKind::Fanout) };
    broker.declare_exchange("inner", options).unwrap();
    broker.declare_queue("q", QueueOptions::default()).unwrap();
    broker.bind_queue("inner", "q", "", &Table::new()).unwrap();
    broker.bind_exchange("amq.topic", "inner", "#", &Table::new()).unwrap();
    let refused = broker.publish("inner", "k", message(1));
    assert!(matches!(refused, Err(PutError::Invalid(_))), "{refused:?}");
    assert_eq!(broker.publish("amq.topic", "k", message(2)), Ok(1));
    assert_eq!(drained(&broker, "q"), ["2"]);
}

#[test]
fn a_message_says_where_it_was_published() {
    let broker = Broker::new();
    for queue in ["a", "b"] {
        broker.declare_queue(queue, QueueOptions::default()).unwrap();
        broker.bind_queue("amq.topic", queue, "k.*", &Table::new()).unwrap();
    }
    assert_eq!(broker.publish("amq.topic", "k.1", message(1)), Ok(2));
    for queue in ["a", "b"] {
        let got = broker.get(queue).unwrap().unwrap();
        assert_eq!(got.head().exchange, "amq.topic");
        assert_eq!(got.head().routing_key, "k.1");
    }
    assert_eq!(broker.get("a"), Ok(None));
    assert_eq!(broker.stats().memory, 0);
}

#[tokio::test(start_paused = true)]
async fn messages_expire_at_the_head_by_the_shorter_of_two_times() {
    let broker = with_dead([("x-message-ttl", Value::I32(1000))]);
    let start = tokio::time::Instant::now();
    let mut short = message("short");
    short.head_mut().properties.expiration = Some("100".into());
    let mut long = message("long");
    long.head_mut().properties.expiration = Some("5000".into());
    broker.publish("", "queue", short).unwrap();
    broker.publish("", "queue", long).unwrap();
    // Nobody uses the broker meanwhile: the timer does it.
    broker.until_depth("dead", 1).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert!(start.elapsed() < Duration::from_millis(1000));
    broker.until_depth("dead", 2).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(1000));
    let letters = broker.drain("dead").unwrap();
    assert_eq!(bodies(&letters), ["short", "long"]);
    assert!(letters.iter().all(|letter| reason(letter) == Some("expired")));
    assert!(letters.iter().all(|letter| letter.head().properties.expiration.is_none()));
    assert_eq!(broker.depth("queue"), Ok(0));
}

#[tokio::test(start_paused = true)]
async fn an_expired_message_is_never_delivered() {
    let broker = with_dead([("x-message-ttl", Value::I32(10))]);
    publish(&broker, "queue", &["a"]);
    let held = broker.clone();
    tokio::time::advance(Duration::from_millis(20)).await;
    assert_eq!(held.get("queue"), Ok(None));
    assert_eq!(drained(&broker, "dead"), ["a"]);
    // Not even the moment it is published, with a time to live of nothing.
    let mut now = message("now");
    now.head_mut().properties.expiration = Some("0".into());
    broker.publish("", "queue", now).unwrap();
    broker.until_depth("dead", 1).await.unwrap();
}

#[test]
fn without_a_runtime_deadlines_pass_at_the_next_use() {
    let broker = with_dead([("x-message-ttl", Value::I32(1))]);
    publish(&broker, "queue", &["a"]);
    while broker.depth("dead") == Ok(0) {
        std::hint::spin_loop();
    }
    // And a runtime that comes later is used, and outlived.
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            broker.drain("dead").unwrap();
            publish(&broker, "queue", &["b"]);
            broker.until("dead", |queue| queue.ready > 0).await.unwrap();
            publish(&broker, "queue", &["c"]);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn very_many_expire_at_once() {
    const COUNT: usize = 5000;
    let broker = with_dead([("x-message-ttl", Value::I32(10))]);
    for n in 0..COUNT {
        broker.publish("", "queue", message(n)).unwrap();
    }
    broker.until_depth("dead", COUNT).await.unwrap();
    let expected: Vec<_> = (0..COUNT).map(|n| n.to_string()).collect();
    assert_eq!(drained(&broker, "dead"), expected);
}

#[test]
fn a_full_queue_drops_its_head_or_refuses() {
    let full = PutError::Nacked(String::new());
    for (arguments, kept, dead, refused) in [
        (vec![("x-max-length", Value::I32(2))], vec!["cc", "dd"], vec!["aa", "bb"], 0),
        (vec![("x-max-length-bytes", Value::I32(5))], vec!["cc", "dd"], vec!["aa", "bb"], 0),
        (vec![("x-max-length", Value::I32(0))], vec![], vec!["aa", "bb", "cc", "dd"], 0),
        (
            vec![("x-max-length", Value::I32(3)), ("x-overflow", text("reject-publish"))],
            vec!["aa", "bb", "cc"],
            vec![],
            1,
        ),
        (
            vec![("x-max-length-bytes", Value::I32(5)), ("x-overflow", text("reject-publish"))],
            vec!["aa", "bb"],
            vec![],
            2,
        ),
    ] {
        let mut options = QueueOptions::default();
        for (name, value) in arguments {
            options.arguments.set(name, value);
        }
        options.arguments.set("x-dead-letter-exchange", text("amq.fanout"));
        let broker = Broker::new();
        broker.declare_queue("q", options).unwrap();
        broker.declare_queue("dead", QueueOptions::default()).unwrap();
        broker.bind_queue("amq.fanout", "dead", "", &Table::new()).unwrap();
        let mut nacks = 0;
        for body in ["aa", "bb", "cc", "dd"] {
            match broker.publish("", "q", message(body)) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&full));
                    nacks += 1;
                }
            }
        }
        assert_eq!(nacks, refused);
        assert_eq!(drained(&broker, "q"), kept);
        let letters = broker.drain("dead").unwrap();
        assert_eq!(bodies(&letters), dead);
        assert!(letters.iter().all(|letter| reason(letter) == Some("maxlen")));
        assert_eq!(broker.stats().memory, 0);
    }
}

#[test]
fn a_queue_that_refuses_keeps_no_other_from_storing() {
    let broker = Broker::new();
    let refusing = QueueOptions::with([
        ("x-max-length", Value::I32(0)),
        ("x-overflow", text("reject-publish")),
    ]);
    broker.declare_queue("full", refusing).unwrap();
    broker.declare_queue("free", QueueOptions::default()).unwrap();
    for queue in ["full", "free"] {
        broker.bind_queue("amq.fanout", queue, "", &Table::new()).unwrap();
    }
    assert!(matches!(broker.publish("amq.fanout", "", message(1)), Err(PutError::Nacked(_))));
    assert_eq!(broker.depth("free"), Ok(1));
}

#[test]
fn priorities_are_served_first() {
    let broker = Broker::new();
    broker.declare_queue("q", QueueOptions::with([("x-max-priority", Value::I32(5))])).unwrap();
    for (body, priority) in [("d", None), ("b", Some(3)), ("a", Some(200)), ("c", Some(3))] {
        let mut one = message(body);
        one.head_mut().properties.priority = priority;
        broker.publish("", "q", one).unwrap();
    }
    assert_eq!(drained(&broker, "q"), ["a", "b", "c", "d"]);
}

#[test]
fn automatic_circles_of_dead_letters_end() {
    let dead = |queue: &str| {
        QueueOptions::with([
            ("x-max-length", Value::I32(0)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(queue)),
        ])
    };
    for ring in [&["a"][..], &["a", "b"], &["a", "b", "c"]] {
        let broker = Broker::new();
        for (queue, next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            broker.declare_queue(queue, dead(next)).unwrap();
        }
        broker.publish("", "a", message(1)).unwrap();
        let stats = broker.stats();
        assert_eq!((stats.messages, stats.memory, stats.lost), (0, 0, 1), "{ring:?}");
    }
}

#[test]
fn a_fan_out_of_full_queues_into_one_another_ends() {
    let broker = Broker::new();
    let options = QueueOptions::with([
        ("x-max-length", Value::I32(0)),
        ("x-dead-letter-exchange", text("amq.fanout")),
    ]);
    for n in 0..30 {
        let queue = format!("q{n}");
        broker.declare_queue(&queue, options.clone()).unwrap();
        broker.bind_queue("amq.fanout", &queue, "", &Table::new()).unwrap();
    }
    broker.publish("", "q0", message(1)).unwrap();
    let stats = broker.stats();
    assert_eq!((stats.messages, stats.memory), (0, 0));
    assert!(stats.dead_lettered <= 1000, "{stats:?}");
}

#[test]
fn dead_letters_are_bounded_by_twice_the_memory() {
    let broker = Broker::with_memory_limit(100_000);
    broker
        .declare_queue(
            "q",
            QueueOptions::with([
                ("x-max-length", Value::I32(0)),
                ("x-dead-letter-exchange", text("amq.fanout")),
            ]),
        )
        .unwrap();
    for n in 0..50 {
        let queue = format!("dead{n}");
        broker.declare_queue(&queue, QueueOptions::default()).unwrap();
        broker.bind_queue("amq.fanout", &queue, "", &Table::new()).unwrap();
    }
    let big = Message::new(Head::default(), vec![0; 20_000]);
    broker.publish("", "q", big).unwrap();
    let stats = broker.stats();
    assert!(stats.memory <= 200_000 && stats.messages > 5, "{stats:?}");
}

#[tokio::test]
async fn until_tells_what_holds_and_forgets_who_left() {
    let broker = Broker::new();
    broker.declare_queue("q", QueueOptions::default()).unwrap();
    {
        let left = broker.until_depth("q", 5);
        tokio::select! {
            biased;
            _ = left => panic!("nothing is there"),
            () = std::future::ready(()) => {}
        }
    }
    let waits = tokio::spawn({
        let broker = broker.clone();
        async move { broker.until("q", |queue| queue.ready >= 2).await }
    });
    while broker.with(|state| state.watchers.len()) != 1 {
        tokio::task::yield_now().await;
    }
    publish(&broker, "q", &["a", "b"]);
    assert_eq!(waits.await.unwrap().unwrap().ready, 2);
    assert_eq!(broker.with(|state| state.watchers.len()), 0);
    assert!(broker.until_depth("nowhere", 1).await.is_err());
}

/// One step of random traffic; numbers pick among what there is.
#[derive(Clone, Debug)]
enum Step {
    Publish(u8),
    Connect(u16),
    Take { source: usize, max: usize },
    Settle { delivery: usize, how: u8 },
    Disconnect(usize),
    Cut,
    Evict,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..6u8).prop_map(Step::Publish),
        1 => (1..5u16).prop_map(Step::Connect),
        4 => (any::<usize>(), 1..6usize).prop_map(|(source, max)| Step::Take { source, max }),
        6 => (any::<usize>(), 0..5u8).prop_map(|(delivery, how)| Step::Settle { delivery, how }),
        1 => any::<usize>().prop_map(Step::Disconnect),
        1 => Just(Step::Cut),
        1 => Just(Step::Evict),
    ];
    proptest::collection::vec(step, 1..80)
}

/// Takes what is there, waiting for nothing.
async fn take_now(source: &mut dyn Source, max: usize) -> Vec<lockgate_message::Delivery> {
    let mut taken = Vec::new();
    tokio::select! {
        biased;
        _ = source.next(max, &mut taken) => {}
        () = std::future::ready(()) => {}
    }
    taken
}

/// Runs the steps, then checks that each message is in one place, and the rest in order.
async fn traffic(steps: Vec<Step>, max_length: Option<i32>) -> Result<(), TestCaseError> {
    let broker = match max_length {
        Some(most) => with_dead([("x-max-length", Value::I32(most))]),
        None => with_dead([]),
    };
    let settings = |prefetch| SourceSettings { queue: "queue".to_owned(), prefetch, declare: None };
    let (mut sources, mut held, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    let mut published = 0;
    for step in steps {
        match step {
            Step::Publish(count) => {
                for _ in 0..count {
                    broker.publish("", "queue", message(format!("{published:05}"))).unwrap();
                    published += 1;
                }
            }
            Step::Connect(prefetch) => {
                let connector = MemorySourceConnector::new(&broker, settings(prefetch));
                sources.push(connector.connect().await.unwrap());
            }
            Step::Take { source, max } if !sources.is_empty() => {
                let at = source % sources.len();
                held.extend(take_now(&mut *sources[at], max).await);
            }
            Step::Settle { delivery, how } if !held.is_empty() => {
                let delivery = held.swap_remove(delivery % held.len());
                let live = delivery.ack.is_live();
                match how {
                    0 | 1 => {
                        if live {
                            gone.extend(bodies(std::slice::from_ref(&delivery.message)));
                        }
                        delivery.ack.settle(Settlement::Ack);
                    }
                    2 => delivery.ack.settle(Settlement::Requeue),
                    3 => delivery.ack.settle(Settlement::RetryAfter(Duration::ZERO)),
                    _ => delivery.ack.settle(Settlement::Reject),
                }
            }
            Step::Disconnect(source) if !sources.is_empty() => {
                drop(sources.swap_remove(source % sources.len()));
            }
            Step::Cut => broker.cut(),
            Step::Evict => broker.cancel_consumers("queue").unwrap(),
            Step::Take { .. } | Step::Settle { .. } | Step::Disconnect(_) => {}
        }
    }
    drop(sources);
    let stats = broker.queue_stats("queue").unwrap();
    prop_assert_eq!((stats.unsettled, stats.consumers), (0, 0));
    let rest = drained(&broker, "queue");
    prop_assert!(rest.is_sorted(), "out of order: {:?}", rest);
    let mut all = [gone, rest, drained(&broker, "dead")].concat();
    all.sort();
    let expected: Vec<_> = (0..published).map(|n| format!("{n:05}")).collect();
    prop_assert_eq!(all, expected);
    let stats = broker.stats();
    prop_assert_eq!((stats.messages, stats.memory, stats.lost), (0, 0, 0));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn random_traffic_loses_and_doubles_nothing(
        steps in steps(),
        max_length in proptest::option::of(0..10i32),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(traffic(steps, max_length))?;
    }
}
