//! Looking at a queue: each message once, none more than asked for, all given back.

use std::time::Duration;

use lockgate_message::{Delivery, Settlement};
use lockgate_transport_amqp::Browser;
use lockgate_transport_amqp::settings::Endpoint;

use crate::support::{Bench, limited};

const CLOSE: Duration = Duration::from_secs(10);

fn endpoint(bench: &Bench) -> Endpoint {
    endpoint_at(&bench.url)
}

fn endpoint_at(url: &str) -> Endpoint {
    let settings: lockgate_transport_amqp::SourceSettings =
        toml::from_str(&format!("url = '{url}'\nqueue = 'q'")).unwrap();
    settings.endpoint().unwrap()
}

async fn browse(bench: &Bench, queue: &str) -> Browser {
    limited(Browser::open(&endpoint(bench), queue)).await.unwrap()
}

/// Everything, `max` at a time.
async fn all(browser: &mut Browser, max: usize) -> Vec<Delivery> {
    let mut seen = Vec::new();
    loop {
        let page = limited(browser.next(max)).await.unwrap();
        assert!(page.len() <= max);
        if page.is_empty() {
            return seen;
        }
        seen.extend(page);
    }
}

fn bodies(seen: &[Delivery]) -> Vec<String> {
    let text = |one: &Delivery| String::from_utf8_lossy(one.message.body()).into_owned();
    seen.iter().map(text).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Fewer channels than pages: the last one takes the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_few_channels_is_enough() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    bench.fill(&exchange, "k", 60).await;
    bench.until_ready(&queue, 60).await;
    let few = endpoint_at(&format!("{}?channel_max=4", bench.url));
    let mut browser = limited(Browser::open(&few, &queue)).await.unwrap();
    let seen = all(&mut browser, 5).await;
    assert_eq!(bodies(&seen), numbers(0..60));
    limited(browser.close(CLOSE)).await.unwrap();
    bench.until_ready(&queue, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_seen_once_and_given_back_in_order() {
    let Some(bench) = Bench::new().await else { return };
    for arguments in [&[][..], &[("x-queue-type", "quorum")][..]] {
        let (exchange, queue) = bench.pair_with("k", arguments.iter().copied()).await;
        bench.fill(&exchange, "k", 700).await;
        for _ in 0..2 {
            bench.until_ready(&queue, 700).await;
            let mut browser = browse(&bench, &queue).await;
            assert_eq!(browser.ready(), 700);
            let seen = all(&mut browser, 300).await;
            assert_eq!(bodies(&seen), numbers(0..700), "{arguments:?}");
            limited(browser.close(CLOSE)).await.unwrap();
            drop(seen);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_make_no_room_for_more_than_was_there() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    bench.fill(&exchange, "k", 40).await;
    let mut browser = browse(&bench, &queue).await;
    let mut count = 0;
    loop {
        let page = limited(browser.next(7)).await.unwrap();
        if page.is_empty() {
            break;
        }
        for delivery in page {
            count += 1;
            // As a replay that dies again would.
            bench.fill(&exchange, "k", 1).await;
            delivery.ack.settle(Settlement::Ack);
        }
    }
    assert_eq!(count, 40);
    limited(browser.close(CLOSE)).await.unwrap();
    bench.until_ready(&queue, 40).await;
    let mut browser = browse(&bench, &queue).await;
    let seen = all(&mut browser, 100).await;
    assert_eq!(bodies(&seen), vec!["0"; 40]);
    limited(browser.close(CLOSE)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_where_somebody_else_takes_the_rest() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    bench.fill(&exchange, "k", 20).await;
    let mut browser = browse(&bench, &queue).await;
    let first = limited(browser.next(5)).await.unwrap();
    let mut other = browse(&bench, &queue).await;
    let rest = all(&mut other, 100).await;
    assert_eq!(bodies(&rest), numbers(5..20));
    rest.into_iter().for_each(|delivery| delivery.ack.settle(Settlement::Ack));
    limited(other.close(CLOSE)).await.unwrap();
    assert_eq!(bodies(&all(&mut browser, 100).await), Vec::<String>::new());
    limited(browser.close(CLOSE)).await.unwrap();
    assert_eq!(bodies(&first), numbers(0..5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there_is_said() {
    let Some(bench) = Bench::new().await else { return };
    let error = limited(Browser::open(&endpoint(&bench), "no.such.queue")).await.unwrap_err();
    assert!(error.to_string().contains("no.such.queue` does not exist"), "{error}");
}
