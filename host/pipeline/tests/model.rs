//! The pipeline as a whole under random scripts: what stages decide, what the target answers, when
//! the source is lost, when and how hard it is stopped. Source and sink are scripted, so every
//! event is known, and what was settled is held against what had happened before it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests stop at the first surprise"
)]

#[path = "model/script.rs"]
mod script;
#[path = "model/world.rs"]
mod world;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use lockgate_message::{Outcome, Settlement};
use lockgate_pipeline::{
    Chain, KeySource, Order, Parts, RetryPolicy, Settings, Stats, Target, start,
};
use lockgate_transport::Backoff;
use proptest::prelude::*;
use tokio::sync::watch;

use script::{End, Judge, Letters, Script, script};
use world::{DEAD, Event, World};

const QUICK: Backoff = Backoff { min: Duration::from_millis(1), max: Duration::from_millis(3) };
/// Bounds a run; only a hang ever needs it.
const HANG: Duration = Duration::from_secs(30);

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(), failure_persistence: None, max_shrink_iters: 50, ..ProptestConfig::default()
    })]

    #[test]
    fn every_delivery_ends_as_its_events_say(script in script()) {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (world, stats) = io.block_on(run(&script));
        check(&script, &world, &stats);
    }
}

/// `LOCKGATE_LONG=1` runs many more.
fn cases() -> u32 {
    if std::env::var("LOCKGATE_LONG").is_ok_and(|long| long == "1") { 10_000 } else { 300 }
}

async fn run(script: &Script) -> (Arc<World>, Arc<Stats>) {
    let world = World::new(script);
    let target = |exchange: &str| Target { sink: 0, exchange: exchange.into(), routing_key: None };
    let parts = Parts {
        name: "model".into(),
        source: world.source(),
        chain: Chain { generation: 1, stages: vec![Arc::new(Judge(script.clone()))] },
        sinks: vec![world.sink()],
        routes: HashMap::from([
            ("default".to_owned(), target("default")),
            ("other".to_owned(), target("other")),
        ]),
        dead_letter: (script.letters == Letters::Ours).then(|| target(DEAD)),
        settings: Settings {
            lanes: script.lanes,
            order: if script.by_key {
                Order::Key(KeySource::Header("key".into()))
            } else {
                Order::None
            },
            retry: RetryPolicy { attempts: 5, backoff: QUICK },
            reconnect: QUICK,
            drain: match script.end {
                End::Abandoned(_) => Duration::ZERO,
                _ => HANG,
            },
            ..Settings::default()
        },
    };
    let (_stop, on) = watch::channel(true);
    let running = start(parts, on).await.unwrap();
    let stats = running.stats.clone();
    let done = Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let (stats, done) = (stats.clone(), done.clone());
        move || {
            while !done.load(Ordering::Acquire) {
                identity(&stats);
                std::thread::yield_now();
            }
        }
    });
    let moment = match script.end {
        End::Settled => world.until_settled().boxed(),
        End::Drained(events) | End::Abandoned(events) => world.until_events(events).boxed(),
    };
    let reached = tokio::time::timeout(HANG, moment).await;
    assert!(reached.is_ok(), "hangs: {:?}", world.events());
    let stopped = tokio::time::timeout(HANG, running.stop()).await;
    assert!(stopped.is_ok(), "stop hangs: {:?}", world.events());
    done.store(true, Ordering::Release);
    watcher.join().expect("the identity held in every snapshot");
    (world, stats)
}

/// received = all outcomes + in flight.
fn identity(stats: &Stats) {
    let snapshot = stats.snapshot();
    let outcomes: u64 = Outcome::ALL.into_iter().map(|outcome| snapshot.outcome(outcome)).sum();
    assert_eq!(snapshot.received, outcomes + snapshot.in_flight, "{snapshot:?}");
}

/// One delivery, from the events.
struct Delivery {
    id: usize,
    handed: usize,
    settled: Option<(usize, Settlement)>,
}

fn check(script: &Script, world: &World, stats: &Stats) {
    let events = world.events();
    let mut deliveries: BTreeMap<u64, Delivery> = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Handed { tag, id } => {
                let fresh = Delivery { id: *id, handed: at, settled: None };
                assert!(deliveries.insert(*tag, fresh).is_none());
            }
            Event::Settled { tag, settlement, .. } => {
                let delivery = deliveries.get_mut(tag).expect("settled after it was handed out");
                let before = delivery.settled.replace((at, *settlement));
                assert_eq!(before, None, "settled twice: {} in {events:?}", delivery.id);
            }
            Event::Put { .. } | Event::Lost => {}
        }
    }
    let mut ended: HashMap<usize, u32> = HashMap::new();
    for (tag, delivery) in &deliveries {
        let (at, settlement) = delivery.settled.unwrap_or_else(|| {
            panic!("{} was never settled: {events:?}", delivery.id);
        });
        justified(script, delivery, at, settlement, &events);
        // What is said to a connection that is gone has no effect.
        if world.was_live(*tag, at) && matches!(settlement, Settlement::Ack | Settlement::Reject) {
            *ended.entry(delivery.id).or_default() += 1;
        }
    }
    let back = world.ready();
    for id in 0..script.plans.len() {
        let ends = ended.get(&id).copied().unwrap_or(0);
        let waits = back.iter().filter(|ready| **ready == id).count() as u32;
        assert_eq!(ends + waits, 1, "{id} ended {ends} times and waits {waits} times: {events:?}");
    }
    identity(stats);
    let snapshot = stats.snapshot();
    assert_eq!(snapshot.in_flight, 0);
    if script.is_calm() {
        assert_eq!(snapshot.received as usize, script.plans.len());
        assert_eq!(snapshot.requeued, 0);
    }
    if script.keeps_order() {
        in_order(script, &events);
    }
}

/// Whether what had happened until a delivery was settled allows the settlement.
fn justified(
    script: &Script,
    delivery: &Delivery,
    at: usize,
    settlement: Settlement,
    events: &[Event],
) {
    let id = delivery.id;
    let puts = || {
        events[delivery.handed..at].iter().filter_map(move |event| match event {
            Event::Put { id: of, copy, to, error } if *of == id => Some((copy, to, error)),
            _ => None,
        })
    };
    let stored = |to: &str, copy: &str| {
        puts().any(|(c, t, error)| t == to && (to == DEAD || c == copy) && error.is_none())
    };
    let failed = puts().any(|(_, to, error)| to != DEAD && error.is_some());
    let plan = &script.plans[id];
    let copies = plan.copies(id);
    let delivered = !copies.is_empty() && copies.iter().all(|(to, copy)| stored(to, copy));
    let letter = stored(DEAD, "");
    let may_fail = plan.fails() || failed;
    let context = || format!("{id} {plan:?} {settlement:?}: {events:?}");
    match settlement {
        Settlement::Ack if plan.filters() => {
            assert_eq!(puts().count(), 0, "filtered and published: {}", context());
        }
        Settlement::Ack => {
            assert!((delivered && !plan.fails()) || (letter && may_fail), "{}", context());
        }
        Settlement::Reject => {
            assert!(script.letters == Letters::Brokers && may_fail, "{}", context());
        }
        Settlement::Requeue | Settlement::RetryAfter(_) => {
            assert!(!script.is_calm(), "given back for nothing: {}", context());
        }
    }
}

/// The first arrival of a message is never after one of a later message of its key.
fn in_order(script: &Script, events: &[Event]) {
    let mut newest: HashMap<(usize, &str), usize> = HashMap::new();
    let mut arrived = HashSet::new();
    for event in events {
        if let Event::Put { id, to, error: None, .. } = event
            && to != DEAD
            && arrived.insert((*id, to))
        {
            let before = newest.insert((script.plans[*id].key, to), *id);
            assert!(before.is_none_or(|before| before <= *id), "{id} came too late: {events:?}");
        }
    }
}
