//! The ledger against a model of the broker.

use std::collections::{BTreeMap, BTreeSet};

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

/// Everything the ledger knows, kept in the plainest way, to say what must be told by now.
#[derive(Default)]
struct Naive {
    handed: BTreeSet<u64>,
    /// Settled and not told, with the time from which it is to be told: acks have none of their own.
    settled: BTreeMap<u64, (Settlement, Instant)>,
    told: BTreeSet<u64>,
    prefix_since: Option<Instant>,
    behind_since: Option<Instant>,
}

impl Naive {
    /// Acked and not told: those with nothing open before them, and those behind.
    fn acked(&self) -> (Vec<u64>, Vec<u64>) {
        let acked = |tag: &&u64| matches!(self.settled.get(tag), Some((Settlement::Ack, _)));
        let first_open = self.handed.iter().find(|tag| !self.told.contains(tag) && !acked(tag));
        let first_open = first_open.copied().unwrap_or(u64::MAX);
        let all = self.settled.keys().filter(acked).copied();
        all.partition(|tag| *tag < first_open)
    }

    fn settle(&mut self, tag: u64, settlement: Settlement, now: Instant) {
        let due = match settlement {
            Settlement::RetryAfter(delay) => now + delay,
            _ => now,
        };
        self.settled.insert(tag, (settlement, due));
    }

    /// The broker is told; each only once, as it was settled, and not before its time.
    fn hear(&mut self, told: Tell, now: Instant, all: bool) {
        let mut one = |tag: u64, right: &dyn Fn(Settlement) -> bool| {
            let (settlement, due) = self.settled.remove(&tag).expect("settled and not told");
            assert!(right(settlement) && (due <= now || all), "{tag} {settlement:?} {told:?}");
            assert!(self.told.insert(tag));
        };
        match told {
            Tell::Ack(tag) => one(tag, &|settlement| settlement == Settlement::Ack),
            Tell::Reject(tag) => one(tag, &|settlement| settlement == Settlement::Reject),
            Tell::Requeue(tag) => one(tag, &|settlement| {
                matches!(settlement, Settlement::Requeue | Settlement::RetryAfter(_))
            }),
            Tell::AckTo(last) => {
                let covered = self.handed.range(..=last).copied();
                let covered: Vec<_> = covered.filter(|tag| !self.told.contains(tag)).collect();
                assert!(covered.contains(&last), "covers one that was told before: {last}");
                for tag in covered {
                    let settled = self.settled.remove(&tag);
                    assert!(matches!(settled, Some((Settlement::Ack, _))), "{tag} in {last}");
                    assert!(self.told.insert(tag));
                }
            }
        }
    }

    /// After the ledger was asked at `now`: nothing waits longer than is promised.
    fn check(&mut self, now: Instant, all: bool) {
        for (tag, (settlement, due)) in &self.settled {
            let waits = *settlement == Settlement::Ack || (*due > now && !all);
            assert!(waits, "{tag} {settlement:?} is late");
        }
        let (prefix, behind) = self.acked();
        let idle = self.told.len() + prefix.len() == self.handed.len();
        let since = *self.prefix_since.get_or_insert(now);
        let may_wait = now < since + FLUSH_AFTER && prefix.len() < FLUSH_COUNT && !idle && !all;
        assert!(prefix.is_empty() || may_wait, "acks late: {prefix:?}");
        let since = *self.behind_since.get_or_insert(now);
        assert!(behind.is_empty() || (now < since + HOLE_AFTER && !all), "late: {behind:?}");
        if prefix.is_empty() {
            self.prefix_since = None;
        }
        if behind.is_empty() {
            self.behind_since = None;
        }
    }
}

proptest! {
    /// Deliveries come and are settled in any order while a clock runs that stops at every time the
    /// ledger names: it does exactly what the naive model allows, and closing tells all.
    #[test]
    fn nothing_is_told_twice_or_late(
        steps in prop::collection::vec(
            (0usize..4, any::<prop::sample::Index>(), settlement(), 0u64..40), 1..400,
        ),
    ) {
        let (mut ledger, mut naive) = (Ledger::default(), Naive::default());
        let mut now = Instant::now();
        let mut open: Vec<u64> = Vec::new();
        let mut tells = Vec::new();
        let mut last = 0;
        let mut look = |ledger: &mut Ledger, naive: &mut Naive, now: Instant, all: bool| {
            let before = naive.acked().0;
            ledger.due(now, all, &mut tells);
            // A front that moves and is told at once has moved all the same.
            let told = tells.iter().any(|told| matches!(told, Tell::AckTo(_)));
            tells.drain(..).for_each(|told| naive.hear(told, now, all));
            if told || naive.acked().0.len() > before.len() {
                naive.behind_since = None;
            }
            naive.check(now, all);
        };
        for (what, at, settlement, ms) in steps {
            if what == 0 || open.is_empty() {
                for _ in 0..=at.index(80) {
                    last += 1;
                    ledger.handed(last);
                    naive.handed.insert(last);
                    open.push(last);
                }
            } else {
                // Mostly near the front.
                let near = open.len().min(8);
                let tag = open.remove(if what < 3 { at.index(near) } else { at.index(open.len()) });
                let grows = naive.acked().0.len();
                ledger.settled(tag, settlement, now);
                naive.settle(tag, settlement, now);
                if naive.acked().0.len() > grows {
                    // The front moved: what is behind waits anew.
                    naive.behind_since = None;
                }
            }
            look(&mut ledger, &mut naive, now, false);
            let until = now + Duration::from_millis(ms / 4);
            while let Some(next) = ledger.next().filter(|next| *next <= until) {
                prop_assert!(next >= now, "a time that has passed");
                now = next;
                look(&mut ledger, &mut naive, now, false);
            }
            now = until;
        }
        look(&mut ledger, &mut naive, now, true);
        prop_assert_eq!(ledger.next(), None);
        prop_assert_eq!(naive.handed.len() - naive.told.len(), open.len());
    }
}
