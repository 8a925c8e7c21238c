//! Forwarding from one queue to another: the bare client loop beside this crate's source and
//! sink, in turns, with the same blocks, confirms, flags and header.
//!
//! `cargo run --release --example forward -- URL [MESSAGES] [ROUNDS]`

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use lockgate_message::Settlement;
use lockgate_transport::{Outgoing, RoutingKey, SinkConnector, SourceConnector};
use lockgate_transport_amqp::{AmqpSink, AmqpSource, RouteSettings, SourceSettings};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

const BLOCK: usize = 256;
const PREFETCH: u16 = 1000;
const BODY: usize = 1024;
const FROM: &str = "bench.forward.from";
const TO: &str = "bench.forward.to";

#[tokio::main]
async fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("give the URL of a broker")?;
    let count: usize = arguments.next().map_or(Ok(50_000), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let admin = connect(&url).await?.create_channel().await?;
    admin.confirm_select(ConfirmSelectOptions::default()).await?;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // The first of a pair is not always the same.
        for turn in 0..2 {
            prepare(&admin, count).await?;
            let is_bare = (round + turn) % 2 == 0;
            let started = (Instant::now(), cpu());
            if is_bare {
                forward_bare(&url, count).await?
            } else {
                forward(&url, count).await?
            }
            let figures = Figures::since(started, count);
            writeln!(std::io::stdout(), "{} {figures}", if is_bare { "bare" } else { "ours" })?;
            if is_bare { bare.push(figures) } else { ours.push(figures) }
        }
    }
    // Of a pair, both saw the same machine.
    let mut ratios: Vec<f64> =
        ours.iter().zip(&bare).map(|(ours, bare)| ours.rate / bare.rate).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or(0.0);
    let (bare, ours) = (Figures::median(bare), Figures::median(ours));
    writeln!(std::io::stdout(), "median bare {bare}\nmedian ours {ours}")?;
    let more = ours.micros - bare.micros;
    writeln!(
        std::io::stdout(),
        "median pair: rate {ratio:.3} of bare; {more:+.2} us CPU a message"
    )?;
    Ok(())
}

async fn connect(url: &str) -> Fallible<Connection> {
    let url = if url.ends_with('/') { format!("{url}%2f") } else { url.to_owned() };
    Ok(Connection::connect(&url, ConnectionProperties::default()).await?)
}

/// Empty target, full source.
async fn prepare(admin: &Channel, count: usize) -> Fallible<()> {
    for queue in [FROM, TO] {
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        admin.queue_declare(queue.into(), options, FieldTable::default()).await?;
        admin.queue_purge(queue.into(), QueuePurgeOptions::default()).await?;
    }
    let body = vec![b'x'; BODY];
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongString("north".into()));
    headers.insert("version".into(), AMQPValue::LongInt(3));
    for first in (0..count).step_by(1000) {
        let publishes = (first..count.min(first + 1000)).map(|n| {
            let properties = BasicProperties::default()
                .with_content_type("application/json".into())
                .with_message_id(format!("message-{n}").into())
                .with_delivery_mode(2)
                .with_headers(headers.clone());
            let options = BasicPublishOptions::default();
            admin.basic_publish("".into(), FROM.into(), options, &body, properties)
        });
        for published in join_all(publishes).await {
            published?.await?;
        }
    }
    Ok(())
}

async fn forward_bare(url: &str, count: usize) -> Fallible<()> {
    let (consuming, publishing) = (connect(url).await?, connect(url).await?);
    let from = consuming.create_channel().await?;
    from.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let mut consumer = from
        .basic_consume(FROM.into(), "".into(), BasicConsumeOptions::default(), Default::default())
        .await?;
    let to = publishing.create_channel().await?;
    to.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut done = 0;
    while done < count {
        let block = drain(&mut consumer).await?;
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let publishes = block.iter().enumerate().map(|(n, delivery)| {
            let mut headers: BTreeMap<ShortString, AMQPValue> = delivery
                .properties
                .headers()
                .as_ref()
                .map(|headers| headers.inner().clone())
                .unwrap_or_default();
            let id = format!("1-0-{}", done + n);
            headers.insert("lockgate-id".into(), AMQPValue::LongString(id.into()));
            let properties = delivery.properties.clone();
            let properties = properties.with_delivery_mode(2).with_headers(headers.into());
            to.basic_publish("".into(), TO.into(), options, &delivery.data, properties)
        });
        for published in join_all(publishes).await {
            if published?.await? != Confirmation::Ack(None) {
                return Err("not confirmed".into());
            }
        }
        done += block.len();
        if let Some(last) = block.last() {
            from.basic_ack(last.delivery_tag, BasicAckOptions { multiple: true }).await?;
        }
    }
    consuming.close(200, "OK".into()).await?;
    publishing.close(200, "OK".into()).await?;
    Ok(())
}

async fn drain(consumer: &mut Consumer) -> Fallible<Vec<lapin::message::Delivery>> {
    let mut block = vec![consumer.next().await.ok_or("cancelled")??];
    while block.len() < BLOCK
        && let Some(next) = consumer.next().now_or_never()
    {
        block.push(next.ok_or("cancelled")??);
    }
    Ok(block)
}

async fn forward(url: &str, count: usize) -> Fallible<()> {
    let source: SourceSettings =
        toml::from_str(&format!("url = '{url}'\nqueue = '{FROM}'\nprefetch = {PREFETCH}"))?;
    let route: RouteSettings = toml::from_str(&format!("url = '{url}'\nexchange = ''"))?;
    let source = AmqpSource::new(source).map_err(|errors| format!("{errors:?}"))?;
    let sinks = AmqpSink::for_routes(None, [&route]).map_err(|errors| format!("{errors:?}"))?;
    let connector = sinks.sinks.into_iter().next().ok_or("no sink")?;
    let (mut source, mut sink) = (source.connect().await?, connector.connect(0).await?);
    let (mut taken, mut block, mut acks) = (Vec::new(), Vec::new(), Vec::new());
    let mut done = 0;
    while done < count {
        source.next(BLOCK, &mut taken).await?;
        for delivery in taken.drain(..) {
            block.push(Outgoing {
                exchange: "".into(),
                routing_key: RoutingKey::Fixed(TO.into()),
                message: delivery.message,
            });
            acks.push(delivery.ack);
        }
        for result in sink.put(&block).await {
            result?;
        }
        done += block.len();
        block.clear();
        acks.drain(..).for_each(|ack| ack.settle(Settlement::Ack));
    }
    source.close(Duration::from_secs(5)).await;
    sink.close(Duration::from_secs(5)).await;
    Ok(())
}

#[derive(Clone, Copy)]
struct Figures {
    /// Messages a second.
    rate: f64,
    /// CPU time of this process a message, microseconds.
    micros: f64,
}

impl Figures {
    fn since((wall, used): (Instant, Duration), count: usize) -> Self {
        let used = cpu().saturating_sub(used);
        Self {
            rate: count as f64 / wall.elapsed().as_secs_f64(),
            micros: used.as_secs_f64() * 1e6 / count as f64,
        }
    }

    fn median(mut all: Vec<Self>) -> Self {
        let mut micros: Vec<f64> = all.iter().map(|figures| figures.micros).collect();
        micros.sort_by(f64::total_cmp);
        all.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let middle = all.len() / 2;
        Self {
            rate: all.get(middle).map_or(0.0, |figures| figures.rate),
            micros: micros.get(middle).copied().unwrap_or(0.0),
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:7.0}/s {:6.2} us CPU a message", self.rate, self.micros)
    }
}

/// User and system time of this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
