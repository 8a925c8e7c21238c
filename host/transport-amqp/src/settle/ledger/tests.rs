//! The ledger against a model of the broker.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What a broker knows: which tags are unacked. Told of one that is not, it closes the channel.
struct Broker {
    unacked: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    requeued: BTreeSet<u64>,
    rejected: BTreeSet<u64>,
}

impl Broker {
    fn new(count: u64) -> Self {
        let (acked, requeued, rejected) = Default::default();
        Self { unacked: (1..=count).collect(), acked, requeued, rejected }
    }

    fn hear(&mut self, told: Tell) {
        let (Tell::AckTo(tag) | Tell::Ack(tag) | Tell::Requeue(tag) | Tell::Reject(tag)) = told;
        assert!(self.unacked.remove(&tag), "unknown delivery tag {tag}");
        match told {
            Tell::AckTo(_) => {
                let later = self.unacked.split_off(&tag);
                self.acked.append(&mut self.unacked);
                self.acked.insert(tag);
                self.unacked = later;
            }
            Tell::Ack(_) => assert!(self.acked.insert(tag)),
            Tell::Requeue(_) => assert!(self.requeued.insert(tag)),
            Tell::Reject(_) => assert!(self.rejected.insert(tag)),
        }
    }
}

fn settlement() -> impl Strategy<Value = Settlement> {
    prop_oneof![
        8 => Just(Settlement::Ack),
        1 => Just(Settlement::Reject),
        1 => Just(Settlement::Requeue),
        1 => (0u64..50).prop_map(|ms| Settlement::RetryAfter(Duration::from_millis(ms))),
    ]
}

proptest! {
    /// Any order, any pauses: the broker hears of each settled delivery once and as it was
    /// settled, and of no other.
    #[test]
    fn the_broker_hears_each_once(
        steps in prop::collection::vec(
            (any::<prop::sample::Index>(), settlement(), 0u64..8, any::<bool>()),
            0..300,
        ),
        handed in 1u64..300,
    ) {
        let mut broker = Broker::new(handed);
        let mut ledger = Ledger::default();
        let mut now = Instant::now();
        let mut open: Vec<u64> = (1..=handed).collect();
        open.iter().for_each(|tag| ledger.handed(*tag));
        let mut tells = Vec::new();
        let mut settled: Vec<(u64, Settlement)> = Vec::new();
        for (at, settlement, ms, look) in steps {
            if open.is_empty() {
                break;
            }
            // Mostly near the front, as it is in practice.
            let at = if at.index(4) > 0 { at.index(open.len().min(8)) } else { at.index(open.len()) };
            let tag = open.remove(at);
            ledger.settled(tag, settlement, now);
            // A second word on the same delivery is no word.
            ledger.settled(tag, Settlement::Reject, now);
            settled.push((tag, settlement));
            now += Duration::from_millis(ms);
            if look {
                ledger.due(now, false, &mut tells);
                tells.drain(..).for_each(|told| broker.hear(told));
                prop_assert!(ledger.entries.len() <= 2 * ledger.untold + COMPACT);
            }
        }
        ledger.due(now, false, &mut tells);
        tells.drain(..).for_each(|told| broker.hear(told));
        // Nothing waits longer than it says.
        let mut rounds = 0;
        while let Some(next) = ledger.next() {
            ledger.due(next, false, &mut tells);
            tells.drain(..).for_each(|told| broker.hear(told));
            rounds += 1;
            prop_assert!(rounds < 400, "never done");
        }
        prop_assert_eq!(&broker.unacked, &open.into_iter().collect::<BTreeSet<_>>());
        for (tag, settlement) in settled {
            let heard = match settlement {
                Settlement::Ack => &broker.acked,
                Settlement::Reject => &broker.rejected,
                Settlement::Requeue | Settlement::RetryAfter(_) => &broker.requeued,
            };
            prop_assert!(heard.contains(&tag), "{tag} {settlement:?}");
        }
    }

    /// At the end nothing settled stays untold, whatever it waits for.
    #[test]
    fn closing_waits_for_nothing(settlements in prop::collection::vec(settlement(), 0..100)) {
        let mut ledger = Ledger::default();
        let mut broker = Broker::new(settlements.len() as u64 * 2);
        let now = Instant::now();
        (1..=settlements.len() as u64 * 2).for_each(|tag| ledger.handed(tag));
        for (n, settlement) in settlements.iter().enumerate() {
            ledger.settled(n as u64 * 2 + 2, *settlement, now);
        }
        let mut tells = Vec::new();
        ledger.due(now, true, &mut tells);
        tells.drain(..).for_each(|told| broker.hear(told));
        prop_assert_eq!(broker.unacked.len(), settlements.len());
        prop_assert_eq!(ledger.next(), None);
    }
}

/// Hands out `handed`, acks `acked`, looks after `ms`.
fn check(handed: u64, acked: &[u64], ms: u64, expected: &[Tell]) {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    (1..=handed).for_each(|tag| ledger.handed(tag));
    let mut tells = Vec::new();
    acked.iter().for_each(|tag| ledger.settled(*tag, Settlement::Ack, now));
    ledger.due(now, false, &mut tells);
    ledger.due(now + Duration::from_millis(ms), false, &mut tells);
    assert_eq!(tells, expected);
}

#[test]
fn acks_wait_for_more_but_not_for_long() {
    check(10, &[1, 2, 3], 0, &[]);
    check(10, &[1, 2, 3], 2, &[Tell::AckTo(3)]);
    // The last one out waits for nothing, nor does a full block.
    check(3, &[3, 1, 2], 0, &[Tell::AckTo(3)]);
    check(100, &(1..=64).collect::<Vec<_>>(), 0, &[Tell::AckTo(64)]);
    // Behind a hole: later, and singly.
    check(10, &[1, 4, 5], 2, &[Tell::AckTo(1)]);
    check(10, &[1, 4, 5], 100, &[Tell::AckTo(1), Tell::Ack(4), Tell::Ack(5)]);
}

#[test]
fn lanes_that_overtake_each_other_make_no_single_acks() {
    let mut ledger = Ledger::default();
    let start = Instant::now();
    let mut tells = Vec::new();
    let tags = |block: u64| block * 10 + 1..block * 10 + 11;
    tags(0).for_each(|tag| ledger.handed(tag));
    for block in 0..100 {
        let now = start + HOLE_AFTER / 2 * block;
        tags(u64::from(block) + 1).for_each(|tag| ledger.handed(tag));
        // Of two blocks the later one is settled first, and before all is, more is handed out.
        for tag in tags((block ^ 1).into()) {
            ledger.settled(tag, Settlement::Ack, now);
        }
        ledger.due(now, false, &mut tells);
    }
    assert!(tells.iter().all(|told| matches!(told, Tell::AckTo(_))), "{tells:?}");
}

#[test]
fn what_is_told_takes_no_room() {
    let mut ledger = Ledger::default();
    let now = Instant::now();
    let mut tells = Vec::new();
    // The first is never settled, a million behind it are.
    ledger.handed(1);
    for block in 0..1_000u64 {
        let tags = block * 1_000 + 2..block * 1_000 + 1_002;
        tags.clone().for_each(|tag| ledger.handed(tag));
        tags.for_each(|tag| ledger.settled(tag, Settlement::Ack, now));
        ledger.due(now + HOLE_AFTER, false, &mut tells);
        tells.clear();
        assert!(ledger.entries.len() <= COMPACT + 2);
    }
}

#[test]
fn what_is_open_is_given_back_page_by_page() {
    let mut ledger = Ledger::default();
    (1..=9).for_each(|tag| ledger.handed(tag));
    let now = Instant::now();
    [1, 3, 5, 6].into_iter().for_each(|tag| ledger.settled(tag, Settlement::Ack, now));
    ledger.due(now, true, &mut Vec::new());
    assert_eq!(ledger.last_open(&[3, 6, 8]), [2, 4, 8]);
    assert_eq!(ledger.last_open(&[1]), []);
}
