//! TLS, silence and long lives of connections, behind a proxy.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::proxy::{Proxy, file};
use crate::support::{Bench, limited};
use lockgate_message::{Head, Message, Settlement};
use lockgate_transport::{ConnectError, Outgoing, PutError, RoutingKey};
use lockgate_transport::{SinkConnector, SourceConnector};
use lockgate_transport_amqp::AmqpSink;

fn outgoing(exchange: &str) -> Outgoing {
    let message = Message::new(Head::default(), vec![7; 400_000]);
    Outgoing { exchange: exchange.into(), routing_key: RoutingKey::Fixed("k".into()), message }
}

fn sink(settings: &str) -> AmqpSink {
    AmqpSink::for_routes(None, [&crate::support::route(settings)]).unwrap().sinks.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_through_tls_both_ways() {
    let Some(bench) = Bench::new().await else { return };
    let proxy = Proxy::tls(&bench.url).await;
    let (exchange, queue) = bench.pair("k").await;
    let login = format!(
        "url = 'amqps://{}'\ntls = {{ ca_file = '{}', cert_file = '{}', key_file = '{}' }}",
        proxy.authority,
        file("ca.pem"),
        file("client.pem"),
        file("client.key"),
    );
    let from = crate::support::connector(&format!("{login}\nqueue = '{queue}'"));
    let to = sink(&format!("{login}\nexchange = '{exchange}'"));
    let mut source = limited(from.connect()).await.unwrap();
    let mut sink = limited(to.connect(0)).await.unwrap();
    assert!(from.status().is_connected() && to.status().is_connected());
    let block: Vec<_> = std::iter::repeat_with(|| outgoing(&exchange)).take(20).collect();
    assert!(limited(sink.put(&block)).await.iter().all(Result::is_ok));
    let mut taken = Vec::new();
    while taken.len() < block.len() {
        limited(source.next(100, &mut taken)).await.unwrap();
    }
    for delivery in taken {
        assert_eq!(delivery.message.body(), block[0].message.body());
        delivery.ack.settle(Settlement::Ack);
    }
    sink.close(Duration::from_secs(5)).await;
    source.close(Duration::from_secs(5)).await;
    assert!(!from.status().is_connected() && !to.status().is_connected());
    assert_eq!(bench.depth(&queue).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_mismatch_is_fatal_and_clear() {
    let Some(bench) = Bench::new().await else { return };
    let proxy = Proxy::tls(&bench.url).await;
    let by_address = proxy.authority.replace("localhost", "127.0.0.1");
    let (ca, other) = (file("ca.pem"), file("other_ca.pem"));
    let client = format!("cert_file = '{}', key_file = '{}'", file("client.pem"), file("ca.pem"));
    for (url, tls, word) in [
        (format!("amqps://{}", proxy.authority), String::new(), "TLS"),
        (format!("amqps://{}", proxy.authority), format!("ca_file = '{other}'"), "certificate"),
        (format!("amqps://{by_address}"), format!("ca_file = '{ca}'"), "certificate"),
        (format!("amqps://{}", proxy.authority), format!("ca_file = '{ca}'"), "ertificate"),
        (format!("amqps://{}", proxy.authority), "ca_file = '/nowhere'".into(), "/nowhere"),
        (format!("amqps://{}", proxy.authority), format!("ca_file = '{ca}', {client}"), "ca.pem"),
        (format!("amqp://{}", proxy.authority), String::new(), "TLS"),
    ] {
        let tls = if tls.is_empty() { tls } else { format!("tls = {{ {tls} }}") };
        let login = format!("url = '{url}'\n{tls}");
        let source = crate::support::connector(&format!("{login}\nqueue = 'q'"));
        let sink = sink(&format!("{login}\nexchange = 'x'"));
        let errors = [limited(source.connect()).await.err(), limited(sink.connect(0)).await.err()];
        for error in errors {
            let Some(ConnectError::Fatal(text)) = error else { panic!("{login}: {error:?}") };
            assert!(text.contains(word) && !text.contains("guest:guest"), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_blocks_is_waited_for() {
    let Some(bench) = Bench::new().await else { return };
    let proxy = Proxy::start(&bench.url).await;
    let (exchange, _) = bench.pair("k").await;
    let url = proxy.url();
    let to = sink(&format!("url = '{url}'\nexchange = '{exchange}'\nconfirm_timeout = 3"));
    let mut sink = limited(to.connect(0)).await.unwrap();
    proxy.inject(&[0, 10, 0, 60, 3, b'm', b'e', b'm']);
    limited(async {
        while !to.status().is_blocked() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    // Longer than a confirm may take otherwise.
    let block = [outgoing(&exchange)];
    let mut put = std::pin::pin!(sink.put(&block));
    let waiting = tokio::time::timeout(Duration::from_millis(5_000), &mut put).await;
    assert!(waiting.is_err(), "{waiting:?}");
    proxy.inject(&[0, 10, 0, 61]);
    assert_eq!(limited(put).await, [Ok(())]);
    assert!(!to.status().is_blocked());
}

/// Hosts of a broker are tried in turn, for a source and for a sink, at every connect.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_host_is_tried_where_one_cannot_be_had() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    bench.fill(&exchange, "k", 1).await;
    // Nobody listens there once the listener is dropped.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let dead = format!("amqp://guest:guest@127.0.0.1:{port}/");
    let urls = format!("url = ['{dead}', '{}']", bench.url);
    let from = crate::support::connector(&format!("{urls}\nqueue = '{queue}'"));
    let to = sink(&format!("{urls}\nexchange = '{exchange}'"));
    for _ in 0..2 {
        let mut source = limited(from.connect()).await.unwrap();
        let mut taken = Vec::new();
        limited(source.next(1, &mut taken)).await.unwrap();
        assert_eq!(taken.len(), 1);
        drop(taken);
        limited(source.close(Duration::from_secs(5))).await;
        let mut sink = limited(to.connect(0)).await.unwrap();
        assert_eq!(limited(sink.put(&[outgoing(&exchange)])).await, [Ok(())]);
        limited(sink.close(Duration::from_secs(5))).await;
    }
    let none = sink(&format!("url = '{dead},{dead}'\nexchange = '{exchange}'"));
    let error = limited(none.connect(0)).await.err();
    let Some(ConnectError::Retry(text)) = error else { panic!("{error:?}") };
    assert_eq!(text.matches(&port.to_string()).count(), 2, "{text}");
    assert!(!text.contains("guest:guest"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_the_outcome_is_unknown() {
    let Some(bench) = Bench::new().await else { return };
    let proxy = Proxy::start(&bench.url).await;
    let (exchange, _) = bench.pair("k").await;
    let url = proxy.url();
    let to = sink(&format!("url = '{url}'\nexchange = '{exchange}'\nconfirm_timeout = 1"));
    let mut sink = limited(to.connect(0)).await.unwrap();
    proxy.hold_still();
    for _ in 0..2 {
        let put = limited(sink.put(&[outgoing(&exchange)])).await;
        assert!(matches!(put[..], [Err(PutError::Unknown(_))]), "{put:?}");
    }
    limited(sink.close(Duration::from_millis(100))).await;
}

/// Between two puts nobody asks the connection anything; its loss is noticed all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_has_nothing_to_put_notices_its_loss() {
    let Some(bench) = Bench::new().await else { return };
    let proxy = Proxy::start(&bench.url).await;
    let (exchange, _) = bench.pair("k").await;
    let to = sink(&format!("url = '{}'\nexchange = '{exchange}'", proxy.url()));
    let mut sink = limited(to.connect(0)).await.unwrap();
    assert!(sink.lost().now_or_never().is_none(), "it is there");
    proxy.cut();
    limited(sink.lost()).await;
    let put = limited(sink.put(&[outgoing(&exchange)])).await;
    assert!(matches!(put[..], [Err(PutError::Unknown(_))]), "{put:?}");
}

/// What left one confirm out may leave out all: the lanes that share the connection leave it too.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_an_answer_is_not_used_again() {
    let Some(bench) = Bench::new().await else { return };
    let proxy = Proxy::start(&bench.url).await;
    let (exchange, _) = bench.pair("k").await;
    let url = proxy.url();
    let to = sink(&format!(
        "url = '{url}'\nexchange = '{exchange}'\nconfirm_timeout = 1\nheartbeat = 300"
    ));
    let mut one = limited(to.connect(0)).await.unwrap();
    let mut two = limited(to.connect(1)).await.unwrap();
    proxy.hold_still();
    let put = limited(one.put(&[outgoing(&exchange)])).await;
    assert!(matches!(put[..], [Err(PutError::Unknown(_))]), "{put:?}");
    // Nothing was closed, and heartbeats are far away.
    limited(two.lost()).await;
}

/// A broker sends heartbeats only when it sends nothing else, and the guard takes all else out:
/// it must stand in, or the client believes the broker dead while messages flow.
#[tokio::test(flavor = "multi_thread")]
async fn traffic_is_a_sign_of_life() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    let settings = format!("url = '{}'\nqueue = '{queue}'\nheartbeat = 1", bench.url);
    let mut source = limited(crate::support::connector(&settings).connect()).await.unwrap();
    let started = Instant::now();
    let mut taken = Vec::new();
    // The client gives up after two seconds of silence.
    while started.elapsed() < Duration::from_secs(4) {
        bench.fill(&exchange, "k", 1).await;
        limited(source.next(1, &mut taken)).await.unwrap();
        taken.drain(..).for_each(|delivery| delivery.ack.settle(Settlement::Ack));
    }
}

/// Needs no broker: a peer that accepts and says nothing.
#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_and_hung_up_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://guest:guest@{}", listener.local_addr().unwrap());
    let source = crate::support::connector(&format!("url = '{url}'\nqueue = 'q'"));
    let sink = sink(&format!("url = '{url}'\nexchange = 'x'"));
    for error in [source.connect().await.err(), sink.connect(0).await.err()] {
        assert!(matches!(error, Some(ConnectError::Retry(_))), "{error:?}");
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut said = Vec::new();
        // To its end: nobody holds the socket any more.
        peer.read_to_end(&mut said).await.unwrap();
        assert!(b"AMQP\0\0\x09\x01".starts_with(&said), "{said:?}");
    }
}

/// The client does not always notice a connection that is cut while it logs in; nobody is to wait
/// for its deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_during_the_login_is_given_up_at_once() {
    let Some(bench) = Bench::new().await else { return };
    let proxy = Proxy::start(&bench.url).await;
    let (exchange, queue) = bench.pair("k").await;
    let to = sink(&format!("url = '{}'\nexchange = '{exchange}'", proxy.url()));
    let from = crate::support::connector(&format!("url = '{}'\nqueue = '{queue}'", proxy.url()));
    let mut late = Vec::new();
    for round in 0..120 {
        let cut = async {
            tokio::time::sleep(Duration::from_micros(round * 50)).await;
            proxy.cut();
        };
        let (to, from, ()) = tokio::join!(to.connect(0), from.connect(), cut);
        let texts = [to.err(), from.err()].into_iter().flatten().map(|error| error.to_string());
        late.extend(texts.filter(|text| text.contains("within 10s")));
    }
    assert!(late.is_empty(), "{late:?}");
}
