//! Messages a second from a source to a sink on the embedded broker, without a pipeline: take a
//! block, put it, ack it. One thread does it all; the last line has two pairs on two threads.
//!
//! `cargo bench -p lockgate-transport-memory`

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::time::{Duration, Instant};

use lockgate_message::{Delivery, Head, Message, Properties, Settlement, Value};
use lockgate_transport::{Outgoing, RoutingKey, Sink, SinkConnector, Source, SourceConnector};
use lockgate_transport_memory::{
    Broker, MemorySinkConnector, MemorySourceConnector, QueueOptions, SourceSettings,
};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Messages moved in one round; a round stays far below the memory limit.
const ROUND: usize = 50_000;
const ROUNDS: usize = 20;
const BODY: usize = 1024;
const PREFETCH: u16 = 1000;

fn main() -> Fallible<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for headers in [0, 8] {
        for block in [1, 64, 256] {
            let broker = Broker::new();
            let times = runtime.block_on(pair(broker, "a", headers, block))?;
            report(&format!("{headers} headers, blocks of {block:>3}"), &times);
        }
    }
    let broker = Broker::new();
    let both: Vec<_> = ["a", "b"]
        .map(|name| {
            let broker = broker.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(pair(broker, name, 8, 64))
            })
        })
        .into_iter()
        .collect();
    for (n, thread) in both.into_iter().enumerate() {
        let times = thread.join().map_err(|_| "a thread panicked")??;
        report(&format!("8 headers, blocks of  64, pair {} of 2", n + 1), &times);
    }
    Ok(())
}

/// The time of one round, by what it went to.
#[derive(Clone, Copy, Default)]
struct Times {
    take: Duration,
    put: Duration,
    settle: Duration,
}

impl Times {
    fn all(&self) -> Duration {
        self.take + self.put + self.settle
    }
}

/// Prints the median of the rounds, the spread, and where the time of the fastest went.
fn report(what: &str, times: &[Times]) {
    let mut rates: Vec<_> =
        times.iter().map(|time| ROUND as f64 / time.all().as_secs_f64()).collect();
    rates.sort_by(f64::total_cmp);
    let at = |n: usize| rates.get(n).copied().unwrap_or_default();
    let (low, median, high) = (at(0), at(rates.len() / 2), at(rates.len().saturating_sub(1)));
    let fastest = times.iter().min_by_key(|times| times.all()).copied().unwrap_or_default();
    let each = |time: Duration| time.as_nanos() / ROUND as u128;
    println!(
        "{what}: {median:>9.0} messages/s ({low:.0} to {high:.0}); at best {} ns each: take {}, \
         put {}, settle {}",
        each(fastest.all()),
        each(fastest.take),
        each(fastest.put),
        each(fastest.settle)
    );
}

/// Moves the rounds from one queue to another; the time of each.
async fn pair(broker: Broker, name: &str, headers: usize, block: usize) -> Fallible<Vec<Times>> {
    let (from, to) = (format!("{name}.in"), format!("{name}.out"));
    for queue in [&from, &to] {
        broker.declare_queue(queue, QueueOptions::default())?;
    }
    let settings = SourceSettings { queue: from.clone(), prefetch: PREFETCH, declare: None };
    let mut source = MemorySourceConnector::new(&broker, settings).connect().await?;
    let mut sink = MemorySinkConnector::new(&broker, Vec::new()).connect(0).await?;
    let target = RoutingKey::Fixed(to.as_str().into());
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        for _ in 0..ROUND {
            broker.publish("", &from, message(headers))?;
        }
        let mut round = Times::default();
        let mut moved = 0;
        while moved < ROUND {
            moved += step(&mut *source, &mut *sink, &target, block, &mut round).await?;
        }
        times.push(round);
        broker.drain(&to)?;
    }
    Ok(times)
}

async fn step(
    source: &mut dyn Source,
    sink: &mut dyn Sink,
    target: &RoutingKey,
    block: usize,
    times: &mut Times,
) -> Fallible<usize> {
    let begin = Instant::now();
    let mut taken: Vec<Delivery> = Vec::with_capacity(block);
    source.next(block, &mut taken).await?;
    let took = Instant::now();
    let outgoing: Vec<_> = taken
        .iter()
        .map(|delivery| Outgoing {
            exchange: "".into(),
            routing_key: target.clone(),
            message: delivery.message.clone(),
        })
        .collect();
    for result in sink.put(&outgoing).await {
        result?;
    }
    let count = taken.len();
    drop(outgoing);
    let put = Instant::now();
    for delivery in taken {
        delivery.ack.settle(Settlement::Ack);
    }
    times.take += took - begin;
    times.put += put - took;
    times.settle += put.elapsed();
    Ok(count)
}

fn message(headers: usize) -> Message {
    let head = Head {
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            delivery_mode: Some(2),
            message_id: Some("0123456789abcdef".to_owned()),
            ..Properties::default()
        },
        headers: (0..headers)
            .map(|n| (format!("header-{n}"), Value::text("a value of some length")))
            .collect(),
        ..Head::default()
    };
    Message::new(head, vec![b'x'; BODY])
}
