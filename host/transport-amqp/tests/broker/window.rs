//! How much a source has in hand: a small window at first, and bytes.

use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use lockgate_message::Settlement;
use lockgate_transport::{Source, SourceConnector};

use crate::support::{Bench, limited};

fn arguments(pairs: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// Fills `queue` by way of the default exchange.
async fn filled(bench: &Bench, queue: &str, with: &[(&str, AMQPValue)], count: usize) {
    bench.declare_queue(queue, arguments(with)).await;
    bench.fill("", queue, count).await;
}

async fn next(source: &mut dyn Source) -> Vec<lockgate_message::Delivery> {
    let mut taken = Vec::new();
    limited(source.next(100, &mut taken)).await.unwrap();
    taken
}

/// A consumer of a quorum queue has one message in hand at first, and all that its prefetch allows
/// once it has settled some.
#[tokio::test(flavor = "multi_thread")]
async fn the_window_of_a_quorum_queue_begins_small_and_grows() {
    const FULL: usize = 16;
    let Some(bench) = Bench::new().await else { return };
    let queue = bench.name("grows");
    filled(&bench, &queue, &[("x-queue-type", text("quorum"))], 200).await;
    // The file does not declare it: what it is, only the broker knows.
    let mut source = bench.source(&queue, FULL as u16).await;
    let mut held = next(&mut *source).await;
    assert_eq!(held.len(), 1);
    bench.until_ready(&queue, 199).await;
    let settle = |delivery: lockgate_message::Delivery| {
        let body = delivery.message.body().to_vec();
        delivery.ack.settle(Settlement::Ack);
        body
    };
    let mut seen: Vec<_> = held.drain(..).map(settle).collect();
    while seen.len() < 100 {
        seen.extend(next(&mut *source).await.into_iter().map(settle));
    }
    while held.len() < FULL {
        held.extend(next(&mut *source).await);
    }
    assert_eq!(held.len(), FULL);
    bench.until_ready(&queue, 200 - seen.len() - FULL).await;
    source.close(Duration::from_secs(5)).await;
    bench.delete_queue(&queue).await;
}

/// What a crash loop can lose is said of queues that the file does not declare, by what the broker
/// tells of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_limit_without_dead_letters_is_found() {
    let Some(bench) = Bench::new().await else { return };
    let quorum = ("x-queue-type", text("quorum"));
    let limit = ("x-delivery-limit", AMQPValue::LongInt(7));
    let bound = ("x-max-length", AMQPValue::LongInt(1_000));
    let dead = ("x-dead-letter-exchange", text("nowhere"));
    for (with, expected) in [
        (vec![], None),
        (vec![bound.clone()], None),
        (vec![dead.clone()], None),
        (vec![quorum.clone()], Some("from RabbitMQ 4 on")),
        (vec![quorum.clone(), limit.clone()], Some("after 7 failed deliveries")),
        (vec![quorum.clone(), limit.clone(), bound], Some("after 7 failed deliveries")),
        (vec![quorum, limit, dead], None),
    ] {
        let queue = bench.name("nature");
        bench.declare_queue(&queue, arguments(&with)).await;
        let source = bench.source_connector(&queue, 10);
        limited(source.check()).await.unwrap();
        let found = source.found();
        match expected {
            None => assert_eq!(found, None, "{with:?}"),
            Some(part) => assert!(found.as_ref().unwrap().contains(part), "{with:?}: {found:?}"),
        }
        bench.delete_queue(&queue).await;
    }
}

/// A question never makes a queue, nor does it keep a source from a queue that it may not configure.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_makes_no_queue() {
    let Some(bench) = Bench::new().await else { return };
    let queue = bench.name("none");
    let source = bench.source_connector(&queue, 10);
    assert!(limited(source.check()).await.is_err());
    assert!(limited(source.check()).await.is_err());
    assert_eq!(source.found(), None);
}

/// Bodies that are not let go of hold the connection, which stays; it goes on when they are.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_in_hand_hold_the_source_and_nothing_breaks() {
    const SIZE: usize = 1_000_000;
    let Some(bench) = Bench::new().await else { return };
    let queue = bench.name("bytes");
    bench.declare_queue(&queue, arguments(&[])).await;
    for n in 0..20u8 {
        bench.put("", &queue, &vec![n; SIZE]).await;
    }
    let url = &bench.url;
    let settings = format!("url = '{url}'\nqueue = '{queue}'\nprefetch = 100\nheartbeat = 1");
    let connector = crate::support::connector(&settings).bounded(3 * SIZE + SIZE / 2);
    let mut source = limited(connector.connect()).await.unwrap();
    let mut held = Vec::new();
    while held.len() < 3 {
        held.extend(next(&mut *source).await);
    }
    assert_eq!(held.len(), 3);
    // No more comes, for longer than the client and the broker are patient without heartbeats.
    let more = tokio::time::timeout(Duration::from_secs(5), source.next(100, &mut held)).await;
    assert!(more.is_err(), "{} in hand", held.len());
    let mut seen = Vec::new();
    while seen.len() < 20 {
        for delivery in held.drain(..) {
            seen.push(delivery.message.body().first().copied());
            assert_eq!(delivery.message.body().len(), SIZE);
            assert!(!delivery.redelivered);
            delivery.ack.settle(Settlement::Ack);
        }
        if seen.len() < 20 {
            held = next(&mut *source).await;
            assert!(held.len() <= 3);
        }
    }
    assert_eq!(seen, (0..20).map(Some).collect::<Vec<_>>());
    source.close(Duration::from_secs(5)).await;
    bench.until_ready(&queue, 0).await;
    bench.delete_queue(&queue).await;
}

/// The answer to a cancel stands behind what is not read: it is found all the same, and what there
/// was no room for is given back.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_held_can_be_cancelled() {
    const SIZE: usize = 1_000_000;
    let Some(bench) = Bench::new().await else { return };
    let queue = bench.name("held");
    bench.declare_queue(&queue, arguments(&[])).await;
    for n in 0..30u8 {
        bench.put("", &queue, &vec![n; SIZE]).await;
    }
    let connector = bench.source_connector(&queue, 100).bounded(2 * SIZE);
    let mut source = limited(connector.connect()).await.unwrap();
    let mut held = next(&mut *source).await;
    bench.until_ready(&queue, 0).await;
    limited(source.cancel()).await;
    while limited(source.next(100, &mut held)).await.is_ok() {}
    let taken = held.len();
    assert!((1..=2).contains(&taken), "{taken}");
    for delivery in held {
        delivery.ack.settle(Settlement::Ack);
    }
    source.close(Duration::from_secs(5)).await;
    bench.until_ready(&queue, 30 - taken).await;
    bench.delete_queue(&queue).await;
}
