//! What a sink answers when memory is full, when it is held back, and when it is made to fail.

use std::sync::Arc;

use lockgate_message::{Head, Message};

use super::*;
use crate::QueueOptions;

const BODY: usize = 10_000;

fn outgoing(key: &str, body: usize) -> Outgoing {
    Outgoing {
        exchange: "".into(),
        routing_key: RoutingKey::Fixed(key.into()),
        message: Message::new(Head::default(), vec![0; body]),
    }
}

fn broker(memory: usize) -> Broker {
    let broker = Broker::with_memory_limit(memory);
    broker.declare_queue("q", QueueOptions::default()).unwrap();
    broker
}

async fn sink(broker: &Broker) -> Box<dyn Sink> {
    MemorySinkConnector::new(broker, Vec::new()).connect(0).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn full_memory_is_a_nack_after_the_deadline() {
    let broker = broker(10 * BODY);
    let mut sink = sink(&broker).await;
    let before = Instant::now();
    let results = sink.put(&vec![outgoing("q", BODY); 12]).await;
    assert!(before.elapsed() >= DEADLINE);
    let stored = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(broker.depth("q"), Ok(stored));
    assert!((8..10).contains(&stored), "{stored}");
    for result in results.iter().skip(stored) {
        assert!(matches!(result, Err(PutError::Nacked(text)) if text.contains("memory limit")));
    }
    let stats = broker.stats();
    assert!(stats.memory <= stats.memory_limit);
    assert_eq!(stats.refused, 12 - stored as u64);
    // It is no end of the sink.
    broker.drain("q").unwrap();
    assert_eq!(broker.stats().memory, 0);
    assert_eq!(sink.put(&[outgoing("q", BODY)]).await, [Ok(())]);
}

#[tokio::test(start_paused = true)]
async fn room_lets_a_waiting_put_on() {
    let broker = broker(10 * BODY);
    let mut sink = sink(&broker).await;
    let put = tokio::spawn(async move { sink.put(&vec![outgoing("q", BODY); 30]).await });
    let mut taken = 0;
    while taken < 30 {
        broker.until("q", |queue| queue.ready > 0).await.unwrap();
        taken += broker.drain("q").unwrap().len();
    }
    assert_eq!(put.await.unwrap(), vec![Ok(()); 30]);
    assert_eq!(broker.with(|state| state.waiting), 0);
}

#[tokio::test]
async fn a_dropped_put_waits_no_more() {
    let broker = broker(2 * BODY);
    let mut sink = sink(&broker).await;
    let block = vec![outgoing("q", BODY); 3];
    tokio::select! {
        biased;
        _ = sink.put(&block) => panic!("there is no room"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(broker.with(|state| state.waiting), 0);
}

#[tokio::test]
async fn what_can_never_be_stored_is_invalid() {
    let broker = broker(10 * BODY);
    let mut sink = sink(&broker).await;
    let mut timed = outgoing("q", 1);
    timed.message.head_mut().properties.expiration = Some("+5".into());
    let mut block = vec![outgoing("q", 11 * BODY), timed, outgoing(&"k".repeat(256), 1)];
    for text in ["", "x", "-1", "4294967296", "1.5"] {
        let mut timed = outgoing("q", 1);
        timed.message.head_mut().properties.expiration = Some(text.into());
        block.push(timed);
    }
    for (n, result) in sink.put(&block).await.into_iter().enumerate() {
        assert!(matches!(result, Err(PutError::Invalid(_))), "{n}: {result:?}");
    }
    let mut nowhere = outgoing("q", 1);
    nowhere.exchange = "nowhere".into();
    let result = sink.put(&[nowhere]).await;
    assert!(matches!(result.as_slice(), [Err(PutError::Unroutable(_))]), "{result:?}");
}

#[tokio::test]
async fn switched_faults_hit_one_put_each() {
    let broker = broker(100 * BODY);
    let mut sink = sink(&broker).await;
    let block = vec![outgoing("q", 1); 3];
    for error in [
        PutError::Nacked("n".into()),
        PutError::Unroutable("u".into()),
        PutError::Invalid("i".into()),
    ] {
        broker.fail_next_put(error.clone());
        assert_eq!(sink.put(&[]).await, []);
        assert_eq!(sink.put(&block).await, vec![Err(error); 3]);
        assert_eq!(broker.depth("q"), Ok(0));
        assert_eq!(sink.put(&block).await, vec![Ok(()); 3]);
        broker.drain("q").unwrap();
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_the_end_of_a_sink() {
    let fail: Arc<dyn Fn(&Broker)> =
        Arc::new(|broker| broker.fail_next_put(PutError::Unknown("gone".into())));
    let lose: Arc<dyn Fn(&Broker)> = Arc::new(Broker::lose_next_confirm);
    let cut: Arc<dyn Fn(&Broker)> = Arc::new(Broker::cut);
    for (act, stored) in [(fail, 0), (lose, 2), (cut, 0)] {
        let broker = broker(100 * BODY);
        let mut sink = sink(&broker).await;
        act(&broker);
        for _ in 0..2 {
            for result in sink.put(&vec![outgoing("q", 1); 2]).await {
                assert!(matches!(result, Err(PutError::Unknown(_))), "{result:?}");
            }
        }
        assert_eq!(broker.depth("q"), Ok(stored));
    }
}

#[tokio::test(start_paused = true)]
async fn blocked_puts_wait_until_released_or_late() {
    let broker = broker(100 * BODY);
    broker.block_puts();
    let mut waits = sink(&broker).await;
    let put = tokio::spawn(async move { waits.put(&vec![outgoing("q", 1); 2]).await });
    while broker.with(|state| state.waiting == 0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(broker.depth("q"), Ok(0));
    broker.release_puts();
    assert_eq!(put.await.unwrap(), vec![Ok(()); 2]);

    broker.block_puts();
    let result = sink(&broker).await.put(&[outgoing("q", 1)]).await;
    assert!(matches!(result.as_slice(), [Err(PutError::Unknown(_))]), "{result:?}");
}

#[tokio::test]
async fn connecting_declares_its_routes() {
    let broker = Broker::new();
    let route = |exchange: &str| RouteSettings {
        exchange: exchange.to_owned(),
        routing_key: None,
        declare: None,
    };
    let missing = MemorySinkConnector::new(&broker, vec![route("x")]);
    assert!(matches!(missing.connect(0).await, Err(ConnectError::FatalRoute(0, _))));
    let there = MemorySinkConnector::new(&broker, vec![route("amq.topic"), route("")]);
    assert!(there.connect(0).await.is_ok());
}
