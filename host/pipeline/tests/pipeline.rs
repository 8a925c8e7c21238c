//! The pipeline on the embedded broker, stages as closures: what it promises, and under faults.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at the first surprise")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lockgate_message::state::{self, Claimed, Space, Staged, StateError, Store, Write};
use lockgate_message::{
    Change, Delta, Emitted, Failure, Fault, FaultKind, Head, Message, Outcome, Value, Verdict,
};
use lockgate_pipeline::{
    Chain, ENVELOPE_CONTENT_TYPE, Input, KeySource, OnError, Order, Parts, RetryPolicy, Running,
    Settings, Stage, StageFactory, Target, Wait, start,
};
use lockgate_transport::{
    Backoff, ConnectError, DelayQueue, Outgoing, PutError, Sink, SinkConnector,
};
use lockgate_transport_memory::{
    Broker, ExchangeKind, ExchangeOptions, MemorySinkConnector, MemorySourceConnector,
    QueueOptions, RouteSettings, SourceSettings,
};
use tokio::sync::watch;

type Judge = Arc<dyn Fn(&Input<'_>) -> Verdict + Send + Sync>;

struct Closure(Judge, OnError, Option<RetryPolicy>, Option<Arc<Notes>>);
struct Open(Judge, Option<Arc<Notes>>, Vec<(usize, Staged)>);

impl Stage for Open {
    fn process(&mut self, batch: &[Input<'_>], verdicts: &mut Vec<Verdict>) {
        verdicts.extend(batch.iter().map(|input| (self.0)(input)));
        if let Some(notes) = &self.1 {
            let keep = |input: &Input<'_>| Write {
                space: Space { pipeline: "test".into(), stage: "stage".into() },
                key: input.message.body().to_vec(),
                change: state::Change::Keep { claim: 1, ttl: Duration::from_secs(1) },
            };
            let staged = batch.iter().map(|input| Staged::new(notes.clone(), vec![keep(input)]));
            self.2 = staged.enumerate().collect();
        }
    }

    fn staged(&mut self) -> Vec<(usize, Staged)> {
        std::mem::take(&mut self.2)
    }
}

/// A store that notes what it is told, and how things stood then.
struct Notes {
    broker: Broker,
    /// Keys, with the messages that were out and those that were not acked.
    committed: Mutex<Vec<(String, usize, usize)>>,
    released: Mutex<Vec<String>>,
}

impl Store for Notes {
    fn get(&self, _: &Space, _: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(None)
    }
    fn claim(&self, _: &Space, _: &[u8]) -> Result<Claimed, StateError> {
        Ok(Claimed::Ours(1))
    }
    fn release(&self, _: &Space, key: &[u8], _: u64) {
        self.released.lock().unwrap().push(String::from_utf8(key.to_vec()).unwrap());
    }
    fn add(&self, _: &Space, _: &[u8], _: i64, _: Duration) -> Result<i64, StateError> {
        Ok(0)
    }
    fn commit(&self, writes: &[Write]) -> Result<(), StateError> {
        let (out, open) =
            (self.broker.depth("out").unwrap(), self.broker.queue_stats("in").unwrap().unsettled);
        let key = |write: &Write| String::from_utf8(write.key.clone()).unwrap();
        let noted = writes.iter().map(|write| (key(write), out, open));
        self.committed.lock().unwrap().extend(noted);
        Ok(())
    }
}

impl StageFactory for Closure {
    fn name(&self) -> &str {
        "stage"
    }
    fn open(&self, _: usize) -> Result<Box<dyn Stage>, String> {
        Ok(Box::new(Open(self.0.clone(), self.3.clone(), Vec::new())))
    }
    fn on_error(&self) -> OnError {
        self.1
    }
    fn retry(&self) -> Option<RetryPolicy> {
        self.2
    }
}

/// A pipeline from `in` to the routes `default` (queue `out`), `other`, `nowhere` (unroutable),
/// with dead letters in `dead`.
struct Bench {
    broker: Broker,
    settings: Settings,
    judges: Vec<(Judge, OnError)>,
    dead_letter: bool,
    /// Of every stage, where it differs from the settings.
    policy: Option<RetryPolicy>,
    /// Where every stage keeps a claim of each message.
    notes: Option<Arc<Notes>>,
    /// Its sinks are [`Touchy`].
    touchy: bool,
    /// Its sinks are [`Cut`], with the number of messages that a stage has seen.
    cut: Option<Arc<AtomicUsize>>,
}

/// A broker that is gone in the middle of the first put, for source and sink alike, when the stage has
/// seen more than what is being put.
#[derive(Clone)]
struct Cut {
    broker: Broker,
    seen: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
}

struct CutBy<S>(S, Cut);

#[async_trait]
impl SinkConnector for CutBy<MemorySinkConnector> {
    async fn connect(&self, lane: usize) -> Result<Box<dyn Sink>, ConnectError> {
        Ok(Box::new(CutBy(self.0.connect(lane).await?, self.1.clone())))
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

#[async_trait]
impl Sink for CutBy<Box<dyn Sink>> {
    async fn put(&mut self, block: &[Outgoing]) -> Vec<Result<(), PutError>> {
        let CutBy(sink, Cut { broker, seen, done }) = self;
        if done.swap(true, Ordering::Relaxed) {
            return sink.put(block).await;
        }
        while seen.load(Ordering::Relaxed) <= block.len() {
            tokio::task::yield_now().await;
        }
        broker.cut();
        vec![Err(PutError::Unknown("connection lost".to_owned())); block.len()]
    }

    async fn declare(&mut self, queue: &DelayQueue) -> Result<(), ConnectError> {
        self.0.declare(queue).await
    }

    async fn close(self: Box<Self>, deadline: Duration) {
        self.0.close(deadline).await;
    }
}

/// A sink of a broker that closes the channel on body `13`, and takes no dead letter of body `7`.
struct Touchy<S>(S);

#[async_trait]
impl SinkConnector for Touchy<MemorySinkConnector> {
    async fn connect(&self, lane: usize) -> Result<Box<dyn Sink>, ConnectError> {
        Ok(Box::new(Touchy(self.0.connect(lane).await?)))
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

#[async_trait]
impl Sink for Touchy<Box<dyn Sink>> {
    async fn put(&mut self, block: &[Outgoing]) -> Vec<Result<(), PutError>> {
        let closes = |one: &Outgoing| one.message.body() == "13" && one.routing_key() != "dead";
        if block.iter().any(closes) {
            let why = "channel closed".to_owned();
            let result = match block.len() {
                1 => PutError::Invalid(why),
                _ => PutError::Unknown(why),
            };
            return vec![Err(result); block.len()];
        }
        let mut results = self.0.put(block).await;
        for (one, result) in block.iter().zip(&mut results) {
            if one.routing_key() == "dead" && one.message.body().ends_with(b"7") {
                *result = Err(PutError::Invalid("too large".to_owned()));
            }
        }
        results
    }

    async fn declare(&mut self, queue: &DelayQueue) -> Result<(), ConnectError> {
        self.0.declare(queue).await
    }

    async fn close(self: Box<Self>, deadline: Duration) {
        self.0.close(deadline).await;
    }
}

const QUICK: Backoff = Backoff { min: Duration::from_millis(1), max: Duration::from_millis(5) };

impl Bench {
    fn new() -> Self {
        let broker = Broker::new();
        for queue in ["in", "out", "other", "dead", "broker-dead"] {
            let arguments = match queue {
                "in" => QueueOptions::with([
                    ("x-dead-letter-exchange", Value::text("")),
                    ("x-dead-letter-routing-key", Value::text("broker-dead")),
                ]),
                _ => QueueOptions::default(),
            };
            broker.declare_queue(queue, arguments).unwrap();
        }
        broker.declare_exchange("empty", ExchangeOptions::new(ExchangeKind::Fanout)).unwrap();
        let settings = Settings {
            lanes: 2,
            retry: RetryPolicy { attempts: 5, backoff: QUICK },
            reconnect: QUICK,
            ..Settings::default()
        };
        Self {
            broker,
            settings,
            judges: Vec::new(),
            dead_letter: true,
            policy: None,
            notes: None,
            touchy: false,
            cut: None,
        }
    }

    fn stage(self, judge: impl Fn(&Input<'_>) -> Verdict + Send + Sync + 'static) -> Self {
        self.stage_or(OnError::DeadLetter, judge)
    }

    fn stage_or(
        mut self,
        on_error: OnError,
        judge: impl Fn(&Input<'_>) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        self.judges.push((Arc::new(judge), on_error));
        self
    }

    fn publish(&self, count: usize) {
        for n in 0..count {
            let mut head = Head::default();
            head.properties.message_id = Some(n.to_string());
            head.headers.set("key", Value::text((n % 5).to_string()));
            self.broker.publish("", "in", Message::new(head, n.to_string())).unwrap();
        }
    }

    async fn start(&self) -> Running {
        let target = |exchange: &str, key: &str| Target {
            sink: 0,
            exchange: exchange.into(),
            routing_key: Some(key.into()),
        };
        let route = |exchange: &str| RouteSettings {
            exchange: exchange.into(),
            routing_key: None,
            declare: None,
        };
        let source = SourceSettings { queue: "in".into(), prefetch: 200, declare: None };
        let sinks = MemorySinkConnector::new(&self.broker, vec![route(""), route("empty")]);
        let cut = self.cut.clone().map(|seen| {
            let done = Arc::new(AtomicBool::new(false));
            Cut { broker: self.broker.clone(), seen, done }
        });
        let sink: Arc<dyn SinkConnector> = match cut {
            Some(cut) => Arc::new(CutBy(sinks, cut)),
            None if self.touchy => Arc::new(Touchy(sinks)),
            None => Arc::new(sinks),
        };
        let stages = self.judges.iter().map(|(judge, on_error)| {
            Arc::new(Closure(judge.clone(), *on_error, self.policy, self.notes.clone()))
                as Arc<dyn StageFactory>
        });
        let parts = Parts {
            name: "test".into(),
            source: Arc::new(MemorySourceConnector::new(&self.broker, source)),
            chain: Chain { generation: 7, stages: stages.collect() },
            sinks: vec![sink],
            routes: HashMap::from([
                ("default".to_owned(), target("", "out")),
                ("other".to_owned(), target("", "other")),
                ("nowhere".to_owned(), target("empty", "")),
            ]),
            dead_letter: self.dead_letter.then(|| target("", "dead")),
            settings: self.settings.clone(),
        };
        let (_stop, running) = watch::channel(true);
        start(parts, running).await.unwrap()
    }

    /// Runs until everything published has been settled; returns what each queue then holds.
    async fn run(self) -> Ends {
        let running = self.start().await;
        self.settled().await;
        let stats = running.stats.clone();
        assert!(running.stop().await, "drained in time");
        let snapshot = stats.snapshot();
        let outcomes: u64 = Outcome::ALL.into_iter().map(|o| snapshot.outcome(o)).sum();
        assert_eq!((snapshot.in_flight, snapshot.received), (0, outcomes), "{snapshot:?}");
        let counts = Outcome::ALL
            .into_iter()
            .map(|o| (o.name(), snapshot.outcome(o)))
            .filter(|(_, n)| *n > 0)
            .collect();
        Ends { broker: self.broker, counts }
    }

    async fn settled(&self) {
        let empty = self.broker.until("in", |queue| queue.ready == 0 && queue.unsettled == 0);
        tokio::time::timeout(Duration::from_secs(30), empty).await.expect("all settled").unwrap();
    }
}

struct Ends {
    broker: Broker,
    counts: BTreeMap<&'static str, u64>,
}

impl Ends {
    fn bodies(&self, queue: &str) -> Vec<String> {
        let messages = self.broker.drain(queue).unwrap();
        messages.iter().map(|m| String::from_utf8(m.body().to_vec()).unwrap()).collect()
    }

    /// Every body once, in any order.
    fn check(&self, queue: &str, expected: impl Iterator<Item = usize>) {
        let mut bodies = self.bodies(queue);
        bodies.sort();
        let mut expected: Vec<_> = expected.map(|n| n.to_string()).collect();
        expected.sort();
        assert_eq!(bodies, expected, "queue {queue}");
    }

    fn counted(&self, expected: &[(&'static str, u64)]) {
        assert_eq!(self.counts, expected.iter().copied().collect());
    }
}

fn number(input: &Input<'_>) -> usize {
    std::str::from_utf8(input.message.body()).unwrap().parse().unwrap()
}

fn text(message: &Message, header: &str) -> String {
    let value = message.head().headers.get(header);
    value.and_then(Value::as_text).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn passes_changes_and_filters() {
    let bench = Bench::new()
        .stage(|input| match number(input) % 3 {
            0 => Verdict::Drop { reason: Some("third".into()) },
            _ => Verdict::Pass,
        })
        .stage(|_| {
            Verdict::Modify(Delta(vec![Change::SetHeader("seen".into(), Value::Bool(true))]))
        });
    bench.publish(300);
    let ends = bench.run().await;
    ends.counted(&[("delivered", 200), ("filtered", 100)]);
    let out = ends.broker.drain("out").unwrap();
    assert!(out.iter().all(|m| m.head().headers.get("seen") == Some(&Value::Bool(true))));
    let ids: HashSet<_> = out.iter().map(|m| m.body().clone()).collect();
    assert_eq!(ids.len(), 200);
}

#[tokio::test]
async fn rejections_faults_and_failures_are_dead_lettered_with_their_cause() {
    let bench = Bench::new().stage(|input| match number(input) {
        0 => Verdict::Reject { reason: Some("bad".into()), text: "why".into() },
        1 => Verdict::Fault(Fault { kind: FaultKind::Trap, text: "unreachable".into() }),
        2 => Verdict::Fail { failure: Failure::BadMessage, text: "no JSON".into() },
        3 => Verdict::Route { routes: vec!["missing".into()], delta: Delta::default() },
        _ => Verdict::Pass,
    });
    bench.publish(10);
    let ends = bench.run().await;
    ends.counted(&[("delivered", 6), ("dead_lettered", 4)]);
    let mut causes: Vec<_> = ends
        .broker
        .drain("dead")
        .unwrap()
        .iter()
        .map(|m| (String::from_utf8(m.body().to_vec()).unwrap(), text(m, "lockgate-reason")))
        .collect();
    causes.sort();
    let expected = [("0", "bad"), ("1", "trap"), ("2", "bad_message"), ("3", "unknown_route")];
    assert_eq!(causes, expected.map(|(body, reason)| (body.to_owned(), reason.to_owned())));
}

#[tokio::test]
async fn on_error_decides_about_failures() {
    for (on_error, end) in [
        (OnError::Pass, ("delivered", 5)),
        (OnError::Drop, ("filtered", 5)),
        (OnError::DeadLetter, ("dead_lettered", 5)),
        (OnError::Retry, ("dead_lettered", 5)),
    ] {
        let bench = Bench::new().stage_or(on_error, |_| {
            Verdict::Fault(Fault { kind: FaultKind::Deadline, text: String::new() })
        });
        bench.publish(5);
        bench.run().await.counted(&[end]);
    }
}

#[tokio::test]
async fn retries_count_attempts_and_then_give_up() {
    let bench = Bench::new().stage(|input| match (number(input), input.attempt) {
        (0, 1..=2) => Verdict::Retry { after: None, text: "not yet".into() },
        (1, _) => Verdict::Fail { failure: Failure::Dependency, text: "away".into() },
        _ => Verdict::Pass,
    });
    bench.publish(3);
    let ends = bench.run().await;
    ends.counted(&[("delivered", 2), ("dead_lettered", 1)]);
    ends.check("out", [0, 2].into_iter());
    let dead = ends.broker.drain("dead").unwrap();
    assert_eq!(text(&dead[0], "lockgate-reason"), "dependency");
    assert_eq!(text(&dead[0], "lockgate-error"), "gave up after 5 attempts: away");
    assert_eq!(dead[0].head().headers.get("lockgate-attempts"), Some(&Value::I64(5)));
}

#[tokio::test]
async fn attempts_survive_a_restart_in_a_retry_queue() {
    let mut bench = Bench::new().stage(|input| match (number(input), input.attempt) {
        (0, _) => Verdict::Retry { after: Some(Duration::from_millis(150)), text: "no".into() },
        (1, 1) => Verdict::Retry { after: Some(Duration::from_millis(150)), text: "once".into() },
        (1, 2) => {
            assert_eq!(input.message.head().headers.len(), 1, "as it was: {:?}", input.message);
            Verdict::Pass
        }
        _ => Verdict::Pass,
    });
    bench.settings.wait = Wait::Queue { sink: 0, queue: "in".into() };
    bench.publish(3);
    let mut received = 0;
    let mut counts = BTreeMap::new();
    // As often as it is tried, each time by another daemon.
    for attempt in 1..=5 {
        let running = bench.start().await;
        let queue = "in.retry.200ms";
        match attempt {
            1 => bench.broker.until_depth("out", 1).await.unwrap(),
            5 => bench.broker.until_depth("dead", 1).await.unwrap(),
            _ => {}
        }
        bench.broker.until("in", |queue| queue.ready + queue.unsettled == 0).await.unwrap();
        let stats = running.stats.clone();
        assert!(running.stop().await);
        let snapshot = stats.snapshot();
        received += snapshot.received;
        for outcome in Outcome::ALL {
            *counts.entry(outcome.name()).or_insert(0) += snapshot.outcome(outcome);
        }
        if attempt < 5 {
            bench.broker.until_depth(queue, 0).await.unwrap();
        }
    }
    assert_eq!(counts["deferred"], 5, "{counts:?}");
    assert_eq!((counts["delivered"], counts["dead_lettered"]), (2, 1));
    assert_eq!(received, counts.values().sum::<u64>());
    let dead = bench.broker.drain("dead").unwrap();
    let headers = &dead[0].head().headers;
    assert_eq!(headers.get("lockgate-attempts"), Some(&Value::I64(5)));
    let (Some(Value::Timestamp(first)), Some(Value::Timestamp(last))) =
        (headers.get("lockgate-first-failed-at"), headers.get("lockgate-failed-at"))
    else {
        panic!("{headers:?}");
    };
    assert!(first <= last);
    assert_eq!(headers.get("x-death"), None);
}

#[tokio::test]
async fn a_retry_queue_that_refuses_leaves_the_wait_to_memory() {
    let mut bench = Bench::new().stage(|input| match input.attempt {
        1 => Verdict::Retry { after: Some(Duration::from_millis(120)), text: String::new() },
        _ => Verdict::Pass,
    });
    // One of another kind stands in the way.
    bench.broker.declare_queue("in.retry.200ms", QueueOptions::default()).unwrap();
    bench.settings.wait = Wait::Queue { sink: 0, queue: "in".into() };
    bench.publish(3);
    let ends = bench.run().await;
    ends.counted(&[("delivered", 3)]);
    ends.check("out", 0..3);
}

#[tokio::test]
async fn a_stage_has_its_own_number_of_tries() {
    let mut bench = Bench::new().stage(|_| Verdict::Retry { after: None, text: String::new() });
    bench.policy = Some(RetryPolicy { attempts: 2, backoff: QUICK });
    bench.publish(1);
    let ends = bench.run().await;
    ends.counted(&[("dead_lettered", 1)]);
    let dead = ends.broker.drain("dead").unwrap();
    assert_eq!(dead[0].head().headers.get("lockgate-attempts"), Some(&Value::I64(2)));
}

/// Runs 300 messages of five keys, every seventh of which is tried three times, and returns them
/// as they came out.
async fn with_retries(order: Order, hold: bool) -> Vec<usize> {
    let mut bench = Bench::new().stage(|input| match (number(input) % 7, input.attempt) {
        (0, 1..=2) => Verdict::Retry { after: None, text: String::new() },
        _ => Verdict::Pass,
    });
    bench.settings.order = order;
    bench.settings.hold = hold;
    bench.settings.lanes = 3;
    bench.settings.batch_max = 8;
    bench.publish(300);
    let ends = bench.run().await;
    ends.counted(&[("delivered", 300)]);
    ends.bodies("out").iter().map(|body| body.parse().unwrap()).collect()
}

#[tokio::test]
async fn order_is_held_while_a_message_waits_for_its_next_try() {
    let key = || Order::Key(KeySource::Header("key".into()));
    assert_eq!(with_retries(Order::Strict, true).await, (0..300).collect::<Vec<_>>());
    let by_key =
        |numbers: &[usize]| (0..5).all(|key| numbers.iter().filter(|n| **n % 5 == key).is_sorted());
    let held = with_retries(key(), true).await;
    assert!(by_key(&held), "{held:?}");
    // Other keys go on meanwhile.
    assert!(!held.is_sorted(), "{held:?}");
    // And where it is not to be held, nothing waits.
    assert!(!by_key(&with_retries(key(), false).await));
}

#[tokio::test]
async fn a_stop_gives_back_what_is_held() {
    let mut bench = Bench::new().stage(|input| match number(input) {
        3 => Verdict::Retry { after: Some(Duration::from_secs(3600)), text: String::new() },
        _ => Verdict::Pass,
    });
    bench.settings.order = Order::Strict;
    bench.publish(10);
    let running = bench.start().await;
    bench.broker.until_depth("out", 3).await.unwrap();
    let stats = running.stats.clone();
    assert!(running.stop().await);
    bench.broker.until_depth("in", 7).await.unwrap();
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.delivered, snapshot.in_flight), (3, 0));
    assert_eq!(snapshot.requeued, snapshot.received - 3);
}

#[tokio::test]
async fn waiting_uses_up_no_attempt() {
    let waits = AtomicUsize::new(20);
    let bench = Bench::new().stage(move |input| {
        let left = waits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        assert_eq!(input.attempt, 1);
        match left {
            Ok(_) => Verdict::Wait {
                after: Duration::ZERO,
                text: "a copy in flight".into(),
                away: false,
            },
            Err(_) => Verdict::Pass,
        }
    });
    bench.publish(1);
    bench.run().await.counted(&[("delivered", 1)]);
}

#[tokio::test]
async fn exactly_the_unroutable_are_dead_lettered() {
    let bench = Bench::new().stage(|input| {
        let route = if number(input).is_multiple_of(10) { "nowhere" } else { "default" };
        Verdict::Route { routes: vec![route.into()], delta: Delta::default() }
    });
    bench.publish(2000);
    let ends = bench.run().await;
    ends.counted(&[("delivered", 1800), ("dead_lettered", 200)]);
    ends.check("dead", (0..2000).filter(|n| n % 10 == 0));
    ends.check("out", (0..2000).filter(|n| n % 10 != 0));
}

#[tokio::test]
async fn state_is_stored_after_the_confirms_before_the_ack_and_only_with_success() {
    let mut bench = Bench::new().stage(|input| {
        let route = if number(input).is_multiple_of(2) { "nowhere" } else { "default" };
        Verdict::Route { routes: vec![route.into()], delta: Delta::default() }
    });
    let notes = Arc::new(Notes {
        broker: bench.broker.clone(),
        committed: Mutex::default(),
        released: Mutex::default(),
    });
    bench.notes = Some(notes.clone());
    bench.settings.lanes = 1;
    bench.publish(4);
    bench.run().await.counted(&[("delivered", 2), ("dead_lettered", 2)]);
    let committed = notes.committed.lock().unwrap();
    assert_eq!(*committed, [("1".to_owned(), 2, 4), ("3".to_owned(), 2, 4)]);
    assert_eq!(*notes.released.lock().unwrap(), ["0", "2"]);
}

#[tokio::test]
async fn a_fan_out_is_one_delivery_and_its_worst_copy_decides() {
    let bench = Bench::new().stage(|input| {
        let routes: &[&str] = match number(input) {
            0 => &["default", "nowhere"],
            _ => &["default", "other"],
        };
        let routes = routes.iter().map(|&name| name.to_owned()).collect();
        Verdict::Route { routes, delta: Delta::default() }
    });
    bench.publish(100);
    let ends = bench.run().await;
    ends.counted(&[("delivered", 99), ("dead_lettered", 1)]);
    ends.check("other", 1..100);
    ends.check("out", 0..100);
    ends.check("dead", 0..1);
}

#[tokio::test]
async fn children_go_on_with_numbered_ids_and_are_bounded() {
    let bench = Bench::new().stage(|input| {
        let child = Emitted { route: None, delta: Delta::default() };
        match number(input) {
            0 => Verdict::Emit(vec![child; 3]),
            1 => Verdict::Emit(Vec::new()),
            _ => Verdict::Emit(vec![child; 1001]),
        }
    });
    bench.publish(3);
    let ends = bench.run().await;
    ends.counted(&[("delivered", 1), ("filtered", 1), ("dead_lettered", 1)]);
    let out = ends.broker.drain("out").unwrap();
    let ids: Vec<_> = out.iter().filter_map(|m| m.head().properties.message_id.clone()).collect();
    assert_eq!(ids, ["0/0", "0/1", "0/2"]);
}

#[tokio::test]
async fn messages_that_one_became_do_not_wait_for_each_other_for_ever() {
    let calls = [const { AtomicUsize::new(0) }; 3];
    let bench = Bench::new()
        .stage(|_| Verdict::Emit(vec![Emitted { route: None, delta: Delta::default() }; 2]))
        .stage(move |input| {
            let number = number(input);
            let call = calls[number].fetch_add(1, Ordering::Relaxed);
            let (first, early) = (call % 2 == 0, call < 40);
            let wait = |away| {
                let text = "a copy in flight".to_owned();
                Verdict::Wait { after: Duration::ZERO, text, away }
            };
            match number {
                // The second waits for the first.
                0 if !first => wait(false),
                // Both wait for another's, which ends.
                1 if early => wait(false),
                // The store is away.
                2 if !first && early => wait(true),
                _ => Verdict::Pass,
            }
        });
    bench.publish(3);
    let ends = bench.run().await;
    ends.counted(&[("delivered", 2), ("dead_lettered", 1)]);
    ends.check("dead", 0..1);
}

#[tokio::test]
async fn a_route_named_twice_gets_one_copy() {
    let bench = Bench::new().stage(|_| {
        let routes = ["other", "default", "other"].map(str::to_owned).to_vec();
        Verdict::Route { routes, delta: Delta::default() }
    });
    bench.publish(3);
    let ends = bench.run().await;
    ends.counted(&[("delivered", 3)]);
    ends.check("out", 0..3);
    ends.check("other", 0..3);
}

/// With nothing to put, the loss of a target shows, and it is connected anew.
#[tokio::test]
async fn an_idle_pipeline_notices_that_its_targets_are_gone() {
    let bench = Bench::new().stage(|_| Verdict::Pass);
    let lanes = bench.settings.lanes as u64;
    let running = bench.start().await;
    bench.publish(10);
    bench.broker.until_depth("out", 10).await.unwrap();
    bench.settled().await;
    bench.broker.cut();
    let stats = running.stats.clone();
    let lost = || stats.reconnects.load(Ordering::Relaxed);
    // The source, and a target each.
    while lost() < 1 + lanes || !stats.conditions.is_good() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(running.stop().await);
    assert_eq!(lost(), 1 + lanes);
}

#[tokio::test]
async fn a_message_that_closes_the_channel_is_found_among_its_neighbours() {
    let mut bench = Bench::new().stage(|_| Verdict::Pass);
    (bench.touchy, bench.settings.lanes) = (true, 1);
    bench.publish(40);
    let ends = bench.run().await;
    ends.counted(&[("delivered", 39), ("dead_lettered", 1)]);
    ends.check("out", (0..40).filter(|n| *n != 13));
    assert_eq!(text(&ends.broker.drain("dead").unwrap()[0], "lockgate-reason"), "invalid");
}

#[tokio::test]
async fn a_dead_letter_that_fits_nowhere_holds_up_nobody() {
    let mut bench = Bench::new().stage(|input| match number(input) {
        7 => Verdict::Reject { reason: None, text: String::new() },
        _ => Verdict::Pass,
    });
    (bench.touchy, bench.settings.lanes) = (true, 1);
    bench.publish(10);
    let running = bench.start().await;
    bench.broker.until_depth("out", 9).await.unwrap();
    let stats = running.stats.clone();
    while stats.conditions.is_good() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(running.stop().await);
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.delivered, snapshot.requeued, snapshot.in_flight), (9, 1, 0));
    bench.broker.until_depth("in", 1).await.unwrap();
}

#[tokio::test]
async fn refused_and_unknown_puts_are_put_again() {
    let bench = Bench::new().stage(|_| Verdict::Pass);
    bench.publish(500);
    bench.broker.fail_next_put(PutError::Nacked("overflow".into()));
    bench.broker.fail_next_put(PutError::Unknown("connection lost".into()));
    let ends = bench.run().await;
    ends.counted(&[("delivered", 500)]);
    ends.check("out", 0..500);
}

#[tokio::test]
async fn a_lost_confirm_doubles_and_never_loses() {
    let bench = Bench::new().stage(|_| Verdict::Pass);
    bench.publish(500);
    bench.broker.lose_next_confirm();
    let ends = bench.run().await;
    let bodies = ends.bodies("out");
    let distinct: HashSet<_> = bodies.iter().collect();
    assert_eq!(distinct.len(), 500);
    assert!(bodies.len() > 500 && bodies.len() <= 500 + 256, "{} copies", bodies.len());
}

#[tokio::test]
async fn a_target_that_keeps_refusing_ends_in_the_dead_letter() {
    let mut bench = Bench::new().stage(|_| Verdict::Pass);
    let pause = Duration::from_millis(400);
    bench.settings.retry = RetryPolicy { attempts: 3, backoff: Backoff { min: pause, max: pause } };
    bench.publish(1);
    for _ in 0..bench.settings.retry.attempts {
        bench.broker.fail_next_put(PutError::Nacked("overflow".into()));
    }
    let started = Instant::now();
    let ends = bench.run().await;
    // Two pauses, of half of it at least: more than between two attempts to connect.
    assert!(started.elapsed() >= pause);
    ends.counted(&[("dead_lettered", 1)]);
    assert_eq!(text(&ends.broker.drain("dead").unwrap()[0], "lockgate-reason"), "nacked");
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_said_in_headers_becomes_an_envelope() {
    let bench = Bench::new().stage(|_| Verdict::Reject { reason: None, text: String::new() });
    bench.publish(1);
    bench.broker.fail_next_put(PutError::Invalid("header too large".into()));
    let ends = bench.run().await;
    ends.counted(&[("dead_lettered", 1)]);
    let dead = ends.broker.drain("dead").unwrap();
    let content_type = dead[0].head().properties.content_type.as_deref();
    assert_eq!(content_type, Some(ENVELOPE_CONTENT_TYPE));
}

#[tokio::test]
async fn without_a_target_the_brokers_own_policy_takes_dead_letters() {
    let mut bench = Bench::new().stage(|_| Verdict::Reject { reason: None, text: String::new() });
    bench.dead_letter = false;
    bench.publish(5);
    let ends = bench.run().await;
    ends.counted(&[("dead_lettered", 5)]);
    ends.check("broker-dead", 0..5);
}

#[tokio::test]
async fn cut_connections_lose_nothing() {
    let bench = Bench::new().stage(|_| Verdict::Pass);
    let running = bench.start().await;
    for round in 1..=20 {
        bench.publish(100);
        bench.broker.until("out", move |out| out.ready >= round * 50).await.unwrap();
        bench.broker.cut();
    }
    bench.settled().await;
    running.stop().await;
    let ends = Ends { broker: bench.broker, counts: BTreeMap::new() };
    let mut counts: HashMap<String, usize> = HashMap::new();
    for body in ends.bodies("out") {
        *counts.entry(body).or_default() += 1;
    }
    assert_eq!(counts.len(), 100);
    assert!(counts.values().all(|copies| *copies >= 20), "{counts:?}");
}

#[tokio::test]
async fn strict_order_is_kept() {
    let mut bench = Bench::new().stage(|_| Verdict::Pass);
    bench.settings.order = Order::Strict;
    bench.publish(3000);
    bench.broker.fail_next_put(PutError::Nacked("overflow".into()));
    let ends = bench.run().await;
    let expected: Vec<_> = (0..3000).map(|n| n.to_string()).collect();
    assert_eq!(ends.bodies("out"), expected);
}

#[tokio::test]
async fn what_stands_behind_a_lost_block_does_not_overtake_it() {
    let seen = Arc::new(AtomicUsize::new(0));
    let judged = seen.clone();
    let mut bench = Bench::new().stage(move |_| {
        judged.fetch_add(1, Ordering::Relaxed);
        Verdict::Pass
    });
    bench.cut = Some(seen);
    (bench.settings.order, bench.settings.batch_max) = (Order::Strict, 1);
    bench.publish(50);
    let ends = bench.run().await;
    let bodies: Vec<usize> = ends.bodies("out").iter().map(|body| body.parse().unwrap()).collect();
    let mut first = HashSet::new();
    let first: Vec<_> = bodies.into_iter().filter(|n| first.insert(*n)).collect();
    assert_eq!(first, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn order_by_key_is_kept_over_several_lanes() {
    let mut bench = Bench::new().stage(|_| Verdict::Pass);
    bench.settings.order = Order::Key(KeySource::Header("key".into()));
    bench.settings.lanes = 4;
    bench.publish(3000);
    let ends = bench.run().await;
    let mut last: HashMap<usize, usize> = HashMap::new();
    for body in ends.bodies("out") {
        let n: usize = body.parse().unwrap();
        assert!(last.insert(n % 5, n).is_none_or(|before| before < n), "{n} came too late");
    }
    assert_eq!(last.len(), 5);
}

#[tokio::test]
async fn a_stop_gives_back_what_waits_for_another_try() {
    let mut bench = Bench::new().stage(|input| match number(input) {
        0 => Verdict::Retry { after: Some(Duration::from_secs(3600)), text: String::new() },
        _ => Verdict::Pass,
    });
    bench.settings.lanes = 1;
    bench.publish(10);
    let running = bench.start().await;
    bench.broker.until_depth("out", 9).await.unwrap();
    let stats = running.stats.clone();
    assert!(running.stop().await);
    bench.broker.until_depth("in", 1).await.unwrap();
    let snapshot = stats.snapshot();
    // Given back before the source is cancelled it may come once more.
    assert_eq!((snapshot.delivered, snapshot.in_flight), (9, 0));
    assert_eq!(snapshot.requeued, snapshot.received - 9);
}

#[tokio::test]
async fn after_the_drain_deadline_the_rest_is_given_back() {
    let mut bench = Bench::new().stage(|_| Verdict::Pass);
    bench.settings.drain = Duration::from_millis(50);
    bench.broker.block_puts();
    bench.publish(300);
    let running = bench.start().await;
    let stats = running.stats.clone();
    bench.broker.until("in", |queue| queue.unsettled > 0).await.unwrap();
    assert!(!running.stop().await, "not in time");
    let snapshot = stats.snapshot();
    assert_eq!(snapshot.in_flight, 0);
    bench.broker.until_depth("in", 300).await.unwrap();
    assert_eq!((snapshot.delivered, snapshot.requeued), (0, snapshot.received));
}

/// A call that never comes back holds its lane's thread, and with it everything that waits for that.
#[tokio::test]
async fn a_plugin_that_never_answers_does_not_hold_up_a_stop() {
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let mut bench = Bench::new().stage(move |_| {
        let _ = blocked.lock().unwrap().recv();
        Verdict::Pass
    });
    bench.settings.drain = Duration::from_millis(50);
    bench.publish(1);
    let running = bench.start().await;
    bench.broker.until("in", |queue| queue.unsettled > 0).await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(60), running.stop()).await;
    assert_eq!(stopped, Ok(false), "it went on waiting");
    drop(release);
    bench.broker.until_depth("in", 1).await.unwrap();
}

#[tokio::test]
async fn a_message_without_an_id_gets_the_derived_one() {
    let mut bench = Bench::new().stage(|_| Verdict::Pass);
    bench.settings.id = Some(KeySource::Header("key".into()));
    let mut head = Head::default();
    head.headers.set("key", Value::text("k-1"));
    bench.broker.publish("", "in", Message::new(head.clone(), "0")).unwrap();
    head.properties.message_id = Some("own".into());
    bench.broker.publish("", "in", Message::new(head, "1")).unwrap();
    let out = bench.run().await.broker.drain("out").unwrap();
    let mut ids: Vec<_> =
        out.iter().filter_map(|m| m.head().properties.message_id.clone()).collect();
    ids.sort();
    assert_eq!(ids, ["k-1", "own"]);
}
