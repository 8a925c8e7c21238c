//! Messages through source and sink: whole, in order, settled once, poison set aside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::support::{Bench, every_property, every_value, limited};
use lockgate_message::{Delivery, Head, Message, Settlement, Table, Value};
use lockgate_transport::{ConnectError, Outgoing, PutError, RoutingKey, SinkConnector, Source};
use lockgate_transport::{SourceConnector, SourceError};
use lockgate_transport_amqp::AmqpSink;

const CLOSE: Duration = Duration::from_secs(5);

async fn take(source: &mut dyn Source, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        limited(source.next(count - taken.len(), &mut taken)).await.unwrap();
    }
    taken
}

fn copy(exchange: &str, key: &str, message: Message) -> Outgoing {
    Outgoing { exchange: exchange.into(), routing_key: RoutingKey::Fixed(key.into()), message }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_comes_through() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    let mut source = bench.source(&queue, 10).await;
    let mut sink = bench.sink(&exchange).await;
    let mut headers = every_value();
    let properties = every_property();
    let message = Message::new(
        Head { headers: headers.clone(), properties: properties.clone(), ..Head::default() },
        vec![0x5A; 300_000],
    );
    let empty = Message::default();
    let block = [copy(&exchange, "k", message.clone()), copy(&exchange, "k", empty)];
    assert_eq!(limited(sink.put(&block)).await, [Ok(()), Ok(())]);
    let taken = take(&mut *source, 2).await;
    let head = taken[0].message.head();
    assert_eq!((&*head.exchange, &*head.routing_key), (&*exchange, "k"));
    assert_eq!(head.properties, properties);
    let id = head.headers.get("lockgate-id").cloned().expect("host header");
    headers.set("lockgate-id", id);
    let sorted = |table: &Table| table.iter().cloned().collect::<BTreeMap<_, _>>();
    assert_eq!(sorted(&head.headers), sorted(&headers));
    assert_eq!(taken[0].message.body(), message.body());
    assert_eq!(taken[1].message.body(), "");
    assert!(taken.iter().all(|delivery| !delivery.redelivered && delivery.quarantine.is_none()));
    for delivery in taken {
        delivery.ack.settle(Settlement::Ack);
    }
    source.close(CLOSE).await;
    sink.close(CLOSE).await;
    assert_eq!(bench.depth(&queue).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_are_matched_to_their_messages() {
    const COUNT: usize = 20_000;
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    let mut sink = bench.sink(&exchange).await;
    let unroutable = |n: usize| n * 7919 % 10 == 3;
    for first in (0..COUNT).step_by(500) {
        let block: Vec<_> = (first..first + 500)
            .map(|n| {
                let key = if unroutable(n) { "nowhere" } else { "k" };
                copy(&exchange, key, Message::new(Head::default(), n.to_string()))
            })
            .collect();
        for (at, result) in limited(sink.put(&block)).await.into_iter().enumerate() {
            match result {
                Ok(()) => assert!(!unroutable(first + at), "{} was not returned", first + at),
                Err(PutError::Unroutable(_)) => assert!(unroutable(first + at)),
                Err(other) => panic!("{}: {other}", first + at),
            }
        }
    }
    assert_eq!(bench.depth(&queue).await as usize, (0..COUNT).filter(|n| !unroutable(*n)).count());
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_order_settlements_reach_the_broker() {
    const COUNT: usize = 3_000;
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    bench.fill(&exchange, "k", COUNT).await;
    let mut source = bench.source(&queue, 500).await;
    let (mut open, mut held, mut acked) = (Vec::new(), Vec::new(), BTreeSet::new());
    while acked.len() + held.len() + open.len() < COUNT {
        limited(source.next(64, &mut open)).await.unwrap();
        let mut n = 0;
        open = open
            .into_iter()
            .filter_map(|delivery: Delivery| {
                n += 1;
                let number: usize =
                    str::from_utf8(delivery.message.body()).unwrap().parse().unwrap();
                if number % 500 == 3 {
                    held.push(delivery);
                } else if number % 100 == 7 && !delivery.redelivered {
                    // Given back; it comes again.
                    drop(delivery.ack);
                } else if n % 3 == 0 {
                    // A stride through what is open, so that holes come and go.
                    return Some(delivery);
                } else {
                    assert!(acked.insert(number), "{number} came after its ack");
                    delivery.ack.settle(Settlement::Ack);
                }
                None
            })
            .collect();
        assert!(source_is_live(&open), "an ack closed the channel");
    }
    open.into_iter().for_each(|delivery| delivery.ack.settle(Settlement::Ack));
    // Held to the end without a word: given back at close, and nothing else is.
    let expected = held.len();
    assert_eq!(expected, COUNT / 500);
    held.into_iter().for_each(|delivery| std::mem::forget(delivery.ack));
    source.close(CLOSE).await;
    bench.until_ready(&queue, expected).await;
}

fn source_is_live(open: &[Delivery]) -> bool {
    open.iter().all(|delivery| delivery.ack.is_live())
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_go_out_when_the_last_is_settled() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    bench.fill(&exchange, "k", 3).await;
    let mut source = bench.source(&queue, 1).await;
    // With a prefetch of one the next comes only after the ack of the last.
    for _ in 0..3 {
        for delivery in take(&mut *source, 1).await {
            delivery.ack.settle(Settlement::Ack);
        }
    }
    source.close(CLOSE).await;
    assert_eq!(bench.depth(&queue).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_values_never_close_the_channel() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    let mut sink = bench.sink(&exchange).await;
    let good = || copy(&exchange, "k", Message::new(Head::default(), "good"));
    let bad = |change: &dyn Fn(&mut Head)| {
        let mut head = Head::default();
        change(&mut head);
        copy(&exchange, "k", Message::new(head, "bad"))
    };
    let nested = (0..40).fold(Value::Void, |inner, _| Value::Array(vec![inner]));
    let refused = [
        bad(&|head| head.properties.expiration = Some("soon".into())),
        bad(&|head| head.properties.expiration = Some("-1".into())),
        bad(&|head| head.properties.expiration = Some("99999999999".into())),
        bad(&|head| head.properties.message_id = Some("x".repeat(256))),
        bad(&|head| head.headers.set("deep", nested.clone())),
        bad(&|head| head.headers.set("big", Value::Str(vec![b'x'; 140_000]))),
        bad(&|head| head.headers.set("nan", Value::F64(f64::NAN))),
        bad(&|head| head.headers.set("x".repeat(256), Value::Void)),
        copy(&exchange, "k", Message::new(Head::default(), vec![0; (16 << 20) + 1])),
        copy(&exchange, &"k".repeat(256), Message::default()),
    ];
    let stripped = [
        bad(&|head| head.properties.user_id = Some("somebody".into())),
        bad(&|head| head.headers.set("CC", Value::I32(1))),
        bad(&|head| head.headers.set("BCC", Value::I32(1))),
        bad(&|head| head.headers.set("lockgate-id", Value::I32(1))),
        bad(&|head| head.properties.reply_to = Some("amq.rabbitmq.reply-to".into())),
        bad(&|head| head.properties.expiration = Some("4294967295".into())),
        bad(&|head| head.headers.set("x", Value::Str(vec![b'x'; 122_000]))),
        bad(&|head| {
            head.properties.priority = Some(255);
            head.properties.delivery_mode = Some(77);
        }),
    ];
    let mut block = vec![good()];
    for outgoing in refused.iter().chain(&stripped) {
        block.extend([outgoing.clone(), good()]);
    }
    let results = limited(sink.put(&block)).await;
    for (at, result) in results.iter().enumerate() {
        if at % 2 == 1 && at / 2 < refused.len() {
            assert!(matches!(result, Err(PutError::Invalid(_))), "{at}: {result:?}");
        } else {
            assert_eq!(*result, Ok(()), "{at}");
        }
    }
    assert_eq!(bench.depth(&queue).await as usize, block.len() - refused.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_near_the_frame_size_are_told_apart() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    let mut sink = bench.sink(&exchange).await;
    // Less what is left free for the broker.
    let block: Vec<_> = (122_768..122_880)
        .map(|len| {
            let mut head = Head::default();
            head.headers.set("x", Value::Str(vec![b'x'; len]));
            copy(&exchange, "k", Message::new(head, ""))
        })
        .collect();
    let results = limited(sink.put(&block)).await;
    let fits = results.iter().take_while(|result| result.is_ok()).count();
    assert!((1..block.len()).contains(&fits), "{fits}");
    let rest = &results[fits..];
    assert!(rest.iter().all(|result| matches!(result, Err(PutError::Invalid(_)))), "{rest:?}");
    let mut source = bench.source(&queue, 100).await;
    assert_eq!(take(&mut *source, fits).await.len(), fits);
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_quarantined_and_its_neighbours_flow() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    bench.fill(&exchange, "k", 5).await;
    let poison = crate::raw::poison();
    crate::raw::publish(&bench.url, &exchange, "k", &poison).await;
    bench.fill(&exchange, "k", 5).await;
    let mut source = bench.source(&queue, 100).await;
    let taken = take(&mut *source, 10 + poison.len()).await;
    let reasons: Vec<_> =
        taken.iter().map(|delivery| delivery.quarantine.as_ref().map(|q| q.reason)).collect();
    let mut expected = vec![None; 5];
    expected.extend(poison.iter().map(|(reason, _)| Some(*reason)));
    expected.extend([None; 5]);
    assert_eq!(reasons, expected);
    for delivery in taken {
        if delivery.quarantine.is_some() {
            assert_eq!(delivery.message.body(), "poison");
        }
        delivery.ack.settle(Settlement::Ack);
    }
    source.close(CLOSE).await;
    assert_eq!(bench.depth(&queue).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_ends_the_source_and_connecting_says_why() {
    let Some(bench) = Bench::new().await else { return };
    let (_, queue) = bench.pair("k").await;
    let connector = bench.source_connector(&queue, 10);
    let mut source = limited(connector.connect()).await.unwrap();
    bench.delete_queue(&queue).await;
    let mut taken = Vec::new();
    let ended = limited(source.next(1, &mut taken)).await;
    assert!(matches!(ended, Err(SourceError::Lost(_))), "{ended:?}");
    let again = limited(connector.connect()).await.err();
    let Some(ConnectError::Fatal(text)) = again else { panic!("{again:?}") };
    assert!(text.contains("does not exist"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_errors_say_whether_they_can_heal() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    let url = bench.url.clone();
    let host = url.rsplit_once('@').map_or("127.0.0.1:5672/", |(_, host)| host).to_owned();
    let declared =
        format!("queue = '{queue}'\n[declare.queue]\narguments = {{ x-max-length = 3 }}");
    for (settings, fatal, word) in [
        (format!("url = 'amqp://guest:wrong@{host}'\nqueue = '{queue}'"), true, "login refused"),
        ("url = 'amqp://127.0.0.1:1'\nqueue = 'q'".to_owned(), false, "refused"),
        (format!("url = '{url}'\nqueue = 'nowhere'"), true, "does not exist"),
        (format!("url = '{url}'\n{declared}"), true, "other properties"),
        (
            format!("url = 'amqp://{}/no-such-vhost'\nqueue = 'q'", host.trim_end_matches('/')),
            true,
            "virtual host",
        ),
        (format!("url = 'amqps://{host}'\nqueue = 'q'"), true, "does not speak TLS"),
    ] {
        let connector = crate::support::connector(&settings);
        let error = limited(connector.connect()).await.err();
        let (text, is_fatal) = match &error {
            Some(ConnectError::Fatal(text)) => (text, true),
            Some(ConnectError::Retry(text)) => (text, false),
            other => panic!("{settings}: {other:?}"),
        };
        assert_eq!(is_fatal, fatal, "{text}");
        assert!(text.contains(word), "{text}");
        assert!(!text.contains("wrong"), "a credential is shown: {text}");
    }
    let sink = |exchange: &str| {
        let route = crate::support::route(&format!("exchange = '{exchange}'\nurl = '{url}'"));
        AmqpSink::for_routes(None, [&route]).unwrap().sinks.remove(0)
    };
    let error = limited(sink("nowhere").connect(0)).await.err();
    assert!(matches!(error, Some(ConnectError::FatalRoute(0, _))), "{error:?}");
    // Once it worked, a missing exchange is worth waiting for.
    let sink = Arc::new(sink(&exchange));
    let mut live = limited(sink.connect(0)).await.unwrap();
    bench.delete_exchange(&exchange).await;
    let put = limited(live.put(&[copy(&exchange, "k", Message::default())])).await;
    assert!(matches!(put[..], [Err(PutError::Unknown(_))]), "{put:?}");
    drop(live);
    let error = limited(sink.connect(0)).await.err();
    assert!(matches!(error, Some(ConnectError::Retry(_))), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topology_is_declared_and_the_declared_is_accepted_again() {
    let Some(bench) = Bench::new().await else { return };
    let name = bench.name("declared");
    let settings = format!(
        r#"
        url = '{}'
        queue = '{name}'
        [declare]
        queue = {{ arguments = {{ x-max-length = 100, x-dead-letter-exchange = "", x-queue-type = "classic" }} }}
        exchange = {{ name = "{name}", type = "headers" }}
        bindings = [{{ arguments = {{ x-match = "any", kind = "a", n = 3, on = true }} }}]
        "#,
        bench.url
    );
    for _ in 0..2 {
        let source = limited(crate::support::connector(&settings).connect()).await.unwrap();
        source.close(CLOSE).await;
    }
    let mut sink = bench.sink(&name).await;
    let with = |key: &str, value: Value| {
        let mut head = Head::default();
        head.headers.set(key, value);
        copy(&name, "", Message::new(head, ""))
    };
    let block =
        [with("kind", Value::text("a")), with("n", Value::I64(3)), with("kind", Value::text("b"))];
    let results = limited(sink.put(&block)).await;
    assert!(matches!(results[..], [Ok(()), Ok(()), Err(PutError::Unroutable(_))]), "{results:?}");
    bench.delete_queue(&name).await;
    bench.delete_exchange(&name).await;
}
