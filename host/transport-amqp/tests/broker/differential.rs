//! The embedded broker against a real one: the same random topology and the same traffic, through
//! the transports' own sources and sinks, give the same results and the same deliveries.
//!
//! `LOCKGATE_LONG=1` runs more. A difference prints its seed; `LOCKGATE_SEED` repeats that run.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::types::{AMQPValue, FieldTable};
use lockgate_message::{Delivery, Head, Message, Settlement, Table, Value};
use lockgate_transport::{Outgoing, PutError, RoutingKey, Sink, SinkConnector};
use lockgate_transport::{Source, SourceConnector};
use lockgate_transport_memory as memory;
use memory::{Broker, ExchangeKind, ExchangeOptions, QueueOptions};

use crate::support::{Bench, limited, publish_anywhere};

const RUNS: u64 = 50;
const RUNS_LONG: u64 = 1_000;
const KINDS: [ExchangeKind; 4] =
    [ExchangeKind::Direct, ExchangeKind::Topic, ExchangeKind::Fanout, ExchangeKind::Headers];
const KEYS: [&str; 9] = ["", "a", "b", "a.b", "a.b.c", "b.a", "a..b", ".", "a.c"];
const PATTERNS: [&str; 10] = ["", "a", "#", "*", "a.*", "a.#", "#.b", "*.b.*", "a.#.b", "*.*"];
/// Time a broker gets to show what it has been told.
const SHOWN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_broker_does_as_the_real_one() {
    let Some(bench) = Bench::new().await else { return };
    let long = std::env::var("LOCKGATE_LONG").is_ok_and(|long| long == "1");
    let (seed, runs) = match std::env::var("LOCKGATE_SEED") {
        Ok(seed) => (seed.parse().unwrap(), 1),
        Err(_) => (now(), if long { RUNS_LONG } else { RUNS }),
    };
    eprintln!("seed: LOCKGATE_SEED={seed}");
    let url = publish_anywhere(&bench.url);
    let mut shared = lockgate_transport_amqp::AmqpSink::for_routes(None, [&url]).unwrap();
    let connector = shared.sinks.remove(0);
    let mut operations = 0;
    for run in seed..seed + runs {
        let real = limited(connector.connect(0)).await.unwrap();
        operations += Run::new(&bench, run, real).await.go().await;
    }
    eprintln!("{runs} runs, {operations} operations, the same on both brokers");
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos() % u128::from(u64::MAX / 2)).unwrap()
}

struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        // splitmix64: runs that follow each other have nothing in common.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 16) as usize % bound
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

struct Run<'a> {
    bench: &'a Bench,
    seed: u64,
    draw: Draw,
    broker: Broker,
    exchanges: Vec<String>,
    queues: Vec<String>,
    /// Where the queues' dead letters go: a queue without limits.
    grave: String,
    /// The exchange that leads there, whatever the key.
    tomb: String,
    /// Queues in which nothing stays.
    short_lived: Vec<String>,
    real: Box<dyn Sink>,
    model: Box<dyn Sink>,
    log: Vec<String>,
}

impl<'a> Run<'a> {
    /// Makes the same topology on both.
    async fn new(bench: &'a Bench, seed: u64, real: Box<dyn Sink>) -> Self {
        let mut draw = Draw(seed);
        let broker = Broker::new();
        let any =
            memory::RouteSettings { exchange: String::new(), routing_key: None, declare: None };
        let model = memory::MemorySinkConnector::new(&broker, vec![any]).connect(0).await.unwrap();
        let exchanges = (0..1 + draw.below(4)).map(|_| bench.name("exchange")).collect();
        let queues = (0..1 + draw.below(4)).map(|_| bench.name("queue")).collect();
        let grave = bench.name("grave");
        let tomb = bench.name("tomb");
        let log = Vec::new();
        let mut run = Self {
            bench,
            seed,
            draw,
            broker,
            exchanges,
            queues,
            grave,
            tomb,
            short_lived: Vec::new(),
            real,
            model,
            log,
        };
        run.declare().await;
        run
    }

    async fn declare(&mut self) {
        let grave = self.grave.clone();
        self.queue(&grave, Table::new()).await;
        for name in self.exchanges.clone() {
            let kind = self.draw.pick(&KINDS);
            let mut arguments = Table::new();
            if self.draw.one_in(4) {
                let other = self.draw.below(self.exchanges.len());
                arguments.set("alternate-exchange", Value::text(self.exchanges[other].clone()));
            }
            self.exchange(&name, kind, arguments).await;
        }
        let tomb = self.tomb.clone();
        self.exchange(&tomb, ExchangeKind::Fanout, Table::new()).await;
        self.broker.bind_queue(&tomb, &grave, "", &Table::new()).unwrap();
        self.bench.bind(&tomb, &grave, "", FieldTable::default()).await;
        for name in self.queues.clone() {
            let arguments = self.arguments(&name);
            self.queue(&name, arguments).await;
        }
        for _ in 0..self.draw.below(10) {
            let exchange = self.exchanges[self.draw.below(self.exchanges.len())].clone();
            let queue = self.queues[self.draw.below(self.queues.len())].clone();
            let other = self.exchanges[self.draw.below(self.exchanges.len())].clone();
            let key = self.draw.pick(&PATTERNS);
            let mut arguments = Table::new();
            if self.draw.one_in(2) {
                arguments.set("x-match", Value::text(self.draw.pick(&["all", "any"])));
                for name in ["h", "i"] {
                    if self.draw.one_in(2) {
                        arguments.set(name, self.header());
                    }
                }
            }
            if self.draw.one_in(4) {
                self.log.push(format!("bind {other} to {exchange} by {key:?} {arguments:?}"));
                self.broker.bind_exchange(&exchange, &other, key, &arguments).unwrap();
                self.bench.bind_exchange(&exchange, &other, key, fields(&arguments)).await;
            } else {
                self.log.push(format!("bind {queue} to {exchange} by {key:?} {arguments:?}"));
                self.broker.bind_queue(&exchange, &queue, key, &arguments).unwrap();
                self.bench.bind(&exchange, &queue, key, fields(&arguments)).await;
            }
        }
    }

    async fn exchange(&mut self, name: &str, kind: ExchangeKind, arguments: Table) {
        self.log.push(format!("exchange {name} {kind} {arguments:?}"));
        let fields = fields(&arguments);
        let options = ExchangeOptions { arguments, ..ExchangeOptions::new(kind) };
        self.broker.declare_exchange(name, options).unwrap();
        self.bench.declare_exchange(name, &kind.to_string(), false, fields).await;
    }

    async fn queue(&mut self, name: &str, arguments: Table) {
        self.log.push(format!("queue {name} {arguments:?}"));
        let options = QueueOptions { arguments: arguments.clone(), ..QueueOptions::default() };
        self.broker.declare_queue(name, options).unwrap();
        self.bench.declare_queue(name, fields(&arguments)).await;
    }

    fn arguments(&mut self, name: &str) -> Table {
        let mut arguments = Table::new();
        match self.draw.below(4) {
            0 => {
                arguments.set("x-dead-letter-exchange", Value::text(""));
                arguments.set("x-dead-letter-routing-key", Value::text(self.grave.clone()));
            }
            1 => arguments.set("x-dead-letter-exchange", Value::text(self.tomb.clone())),
            2 => {
                arguments.set("x-dead-letter-exchange", Value::text(self.tomb.clone()));
                arguments.set("x-dead-letter-routing-key", Value::text("dead"));
            }
            _ => {}
        }
        if self.draw.one_in(3) {
            let longest = self.draw.below(4) as i32;
            arguments.set("x-max-length", Value::I32(longest));
            if self.draw.one_in(2) {
                let overflow = self.draw.pick(&["drop-head", "reject-publish"]);
                arguments.set("x-overflow", Value::text(overflow));
            }
        } else if self.draw.one_in(4) {
            // Over at once, or never while the test runs.
            let ttl = self.draw.pick(&[1, 600_000]);
            arguments.set("x-message-ttl", Value::I32(ttl));
            if ttl == 1 {
                self.short_lived.push(name.to_owned());
            }
        }
        arguments
    }

    fn header(&mut self) -> Value {
        match self.draw.below(5) {
            0 => Value::I32(1),
            1 => Value::I64(1),
            2 => Value::Bool(true),
            3 => Value::Void,
            _ => Value::text("x"),
        }
    }

    /// Traffic, then what is left everywhere.
    async fn go(mut self) -> usize {
        let count = 5 + self.draw.below(20);
        for n in 0..count {
            match self.draw.below(6) {
                0 => self.consume().await,
                _ => self.publish(n).await,
            }
        }
        let mut all = self.queues.clone();
        all.push(self.grave.clone());
        for queue in &all {
            self.same_depth(queue).await;
            let depth = self.broker.depth(queue).unwrap();
            let (mut model, mut real) = self.take(queue, 1_000, depth).await;
            let (mut left, mut right) = (shown(&model), shown(&real));
            if *queue == self.grave {
                // Letters of several queues come in no order.
                left.sort();
                right.sort();
            }
            self.same(&left, &right, queue);
            for delivery in model.drain(..).chain(real.drain(..)) {
                delivery.ack.settle(Settlement::Ack);
            }
        }
        for queue in &all {
            self.bench.delete_queue(queue).await;
        }
        for exchange in self.exchanges.iter().chain([&self.tomb]) {
            self.bench.delete_exchange(exchange).await;
        }
        count
    }

    fn same<T: PartialEq + std::fmt::Debug>(&self, model: &T, real: &T, what: &str) {
        let (seed, log) = (self.seed, self.log.join("\n"));
        let why =
            || format!("{what}, LOCKGATE_SEED={seed}\nmodel {model:?}\n real {real:?}\n{log}");
        assert!(model == real, "{}", why());
    }

    /// Blocks of a few messages; the results must be the same.
    async fn publish(&mut self, n: usize) {
        let mut block = Vec::new();
        for copy in 0..1 + self.draw.below(3) {
            let exchange = match self.draw.one_in(4) {
                true => String::new(),
                false => self.exchanges[self.draw.below(self.exchanges.len())].clone(),
            };
            let key = match exchange.is_empty() {
                true => self.queues[self.draw.below(self.queues.len())].clone(),
                false => self.draw.pick(&KEYS).to_owned(),
            };
            let mut head = Head::default();
            for name in ["h", "i"] {
                if self.draw.one_in(2) {
                    let value = self.header();
                    head.headers.set(name, value);
                }
            }
            if self.draw.one_in(12) {
                // Never while the test runs; a dead letter loses it.
                head.properties.expiration = Some("600000".into());
            }
            self.log.push(format!(
                "publish {n}.{copy} to {exchange:?} by {key:?}: {:?} {:?}",
                head.headers, head.properties.expiration
            ));
            block.push(Outgoing {
                exchange: exchange.as_str().into(),
                routing_key: RoutingKey::Fixed(key.as_str().into()),
                message: Message::new(head, format!("{n}.{copy}")),
            });
        }
        // One at a time: within a block a real broker's queues overflow in no order.
        for outgoing in &block {
            let one = std::slice::from_ref(outgoing);
            let model = limited(self.model.put(one)).await;
            let real = limited(self.real.put(one)).await;
            self.same(&kinds(&model), &kinds(&real), "results");
        }
        self.same_depths().await;
    }

    /// Takes some from a queue and settles them one way or another.
    async fn consume(&mut self) {
        let queue = self.queues[self.draw.below(self.queues.len())].clone();
        let prefetch = 1 + self.draw.below(5);
        let depth = self.broker.depth(&queue).unwrap();
        let count = depth.min(prefetch).min(1 + self.draw.below(4));
        let plan: Vec<_> = (0..count)
            .map(|_| {
                let all = [Settlement::Ack, Settlement::Reject, Settlement::Requeue];
                self.draw.pick(&all)
            })
            .collect();
        self.log.push(format!("consume {queue} prefetch {prefetch}: {plan:?}"));
        if count == 0 {
            return;
        }
        let settings = memory::SourceSettings {
            queue: queue.clone(),
            prefetch: prefetch as u16,
            declare: None,
        };
        let model = memory::MemorySourceConnector::new(&self.broker, settings);
        let model = model.connect().await.unwrap();
        let real = self.bench.source(&queue, prefetch as u16).await;
        let mut shows = Vec::new();
        for mut source in [model, real] {
            let taken = take(&mut *source, count).await;
            shows.push(shown(&taken));
            // What a settlement makes room for would be prefetched now or not at all.
            source.cancel().await;
            for (delivery, settlement) in taken.into_iter().zip(&plan) {
                delivery.ack.settle(*settlement);
            }
            source.close(Duration::from_secs(5)).await;
        }
        self.same(&shows[0], &shows[1], &queue);
        self.same_depths().await;
    }

    async fn same_depths(&self) {
        for queue in self.queues.iter().chain([&self.grave]) {
            self.same_depth(queue).await;
        }
    }

    /// Waits until both have the same number ready, which time and the broker's own pace decide.
    async fn same_depth(&self, queue: &str) {
        let empties = self.short_lived.iter().any(|short| short == queue);
        let looking = async {
            loop {
                let (model, real) =
                    (self.broker.depth(queue).unwrap(), self.bench.ready(queue).await as usize);
                if model == real && (model == 0 || !empties) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(SHOWN, looking).await.is_err() {
            let (model, real) = (self.broker.depth(queue).unwrap(), self.bench.ready(queue).await);
            self.same(&model, &(real as usize), &format!("ready in {queue}"));
        }
    }

    /// Takes `count` from both, which are closed afterwards without a word about them.
    async fn take(
        &self,
        queue: &str,
        prefetch: u16,
        count: usize,
    ) -> (Vec<Delivery>, Vec<Delivery>) {
        let settings = memory::SourceSettings { queue: queue.to_owned(), prefetch, declare: None };
        let model = memory::MemorySourceConnector::new(&self.broker, settings);
        let mut model = model.connect().await.unwrap();
        let mut real = self.bench.source(queue, prefetch).await;
        (take(&mut *model, count).await, take(&mut *real, count).await)
    }
}

async fn take(source: &mut dyn Source, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        limited(source.next(count - taken.len(), &mut taken)).await.unwrap();
    }
    taken
}

/// Results without their texts.
fn kinds(results: &[Result<(), PutError>]) -> Vec<&'static str> {
    let kind = |result: &Result<(), PutError>| match result {
        Ok(()) => "stored",
        Err(PutError::Unroutable(_)) => "unroutable",
        Err(PutError::Nacked(_)) => "nacked",
        Err(PutError::Invalid(_)) => "invalid",
        Err(PutError::Unknown(_)) => "unknown",
    };
    results.iter().map(kind).collect()
}

/// What must be the same of deliveries: all but the ids of publishes and times.
fn shown(deliveries: &[Delivery]) -> Vec<String> {
    let one = |delivery: &Delivery| {
        let head = delivery.message.head();
        let headers: BTreeMap<&str, String> = head
            .headers
            .iter()
            .filter(|(name, _)| name != "lockgate-id" && !name.starts_with("x-"))
            .map(|(name, value)| (name.as_str(), format!("{value:?}")))
            .collect();
        let body = String::from_utf8_lossy(delivery.message.body()).into_owned();
        let deaths = deaths(&head.headers);
        // From RabbitMQ 4.3 on, what was delivered before it died is redelivered ever after.
        let redelivered = delivery.redelivered && deaths.is_empty();
        format!(
            "{body} from {:?} by {:?}, redelivered {redelivered}, {headers:?}, expires {:?}, deaths \
             {deaths:?}",
            head.exchange, head.routing_key, head.properties.expiration,
        )
    };
    deliveries.iter().map(one).collect()
}

/// The entries of `x-death` without their times.
fn deaths(headers: &Table) -> Vec<BTreeMap<String, String>> {
    let Some(Value::Array(entries)) = headers.get("x-death") else { return Vec::new() };
    let tables = entries.iter().filter_map(|entry| match entry {
        Value::Table(table) => Some(table),
        _ => None,
    });
    tables
        .map(|table| {
            let entries = table.iter().filter(|(name, _)| name != "time");
            entries.map(|(name, value)| (name.clone(), format!("{value:?}"))).collect()
        })
        .collect()
}

fn fields(table: &Table) -> FieldTable {
    let mut fields = FieldTable::default();
    for (name, value) in table.iter() {
        let value = match value {
            Value::I32(v) => AMQPValue::LongInt(*v),
            Value::I64(v) => AMQPValue::LongLongInt(*v),
            Value::Bool(v) => AMQPValue::Boolean(*v),
            Value::Void => AMQPValue::Void,
            Value::Str(v) => AMQPValue::LongString(v.as_slice().into()),
            other => panic!("no argument of these tests: {other:?}"),
        };
        fields.insert(name.as_str().into(), value);
    }
    fields
}
