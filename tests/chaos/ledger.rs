//! Ledger: what was sent, as far as the publisher was told, and what came out, and how often.
//!
//! The checker of a total queue, as Jepsen has it: what is confirmed must come; what is unknown
//! may; what was never sent must not.
//!
//! Order: of the messages of a key, each comes *for the first time* after every earlier one that
//! comes at all: `1 2 3 2 3 4` is right, `1 3 2` is not. This is strict, faults or none, because
//! what is delivered again is a whole tail: a broker gives back in its old order what was not acked,
//! and a daemon publishes again from the first message on that it has no confirm for. Only doubles
//! may stand behind their successors.

use std::collections::{BTreeMap, HashMap};

use crate::message::{self, Kind};

/// Examples kept of each kind of mistake.
const SHOWN: usize = 5;

/// What the publisher knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Sent, and no answer came: it may have arrived or not.
    Unknown,
    Confirmed,
    Nacked,
}

/// One message.
#[derive(Clone, Copy, Debug)]
struct Entry {
    told: Told,
    came: u16,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    run: String,
    entries: Vec<Entry>,
    /// The latest first arrival of each key.
    newest: HashMap<u64, u64>,
    /// Arrivals by outlet, doubles included.
    arrivals: BTreeMap<&'static str, u64>,
    /// Deliveries repeated to the ledger's own consumers, whose connection broke before an ack.
    again: u64,
    mistakes: Mistakes,
}

#[derive(Clone, Debug, Default)]
struct Mistakes {
    unexpected: Examples,
    corrupted: Examples,
    disordered: Examples,
}

/// How many, and the first few.
#[derive(Clone, Debug, Default)]
pub(crate) struct Examples {
    pub(crate) count: u64,
    shown: Vec<String>,
}

/// What the ledger says in the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) sent: u64,
    pub(crate) confirmed: u64,
    pub(crate) nacked: u64,
    pub(crate) unknown: u64,
    /// Unknown, or nacked, and came.
    pub(crate) recovered: u64,
    pub(crate) lost: Examples,
    pub(crate) unexpected: Examples,
    pub(crate) corrupted: Examples,
    pub(crate) disordered: Examples,
    /// Arrivals more than one of a message.
    pub(crate) doubled: u64,
    pub(crate) again: u64,
}

impl Ledger {
    pub(crate) fn new(run: &str) -> Self {
        Self {
            run: run.to_owned(),
            entries: Vec::new(),
            newest: HashMap::new(),
            arrivals: BTreeMap::new(),
            again: 0,
            mistakes: Mistakes::default(),
        }
    }

    /// The next message is about to be sent; its number.
    pub(crate) fn send(&mut self) -> u64 {
        self.entries.push(Entry { told: Told::Unknown, came: 0 });
        self.entries.len() as u64 - 1
    }

    /// Messages sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The broker has answered for a message.
    pub(crate) fn answered(&mut self, seq: u64, confirmed: bool) {
        if let Some(entry) = self.entries.get_mut(seq as usize) {
            entry.told = if confirmed { Told::Confirmed } else { Told::Nacked };
        }
    }

    /// A message came to `outlet`; `redelivered` when the broker says that it gave it to a consumer
    /// of the ledger before, which may not have lived to count it.
    pub(crate) fn came(&mut self, outlet: &'static str, body: &[u8], redelivered: bool) {
        let seq = match message::number(&self.run, body) {
            Ok(seq) => seq,
            Err(error) => {
                let start = String::from_utf8_lossy(body);
                let start: String = start.chars().take(80).collect();
                return self.mistakes.corrupted.add(format!("{outlet}: {error}: {start}"));
            }
        };
        let Some(entry) = self.entries.get_mut(seq as usize) else {
            return self.mistakes.unexpected.add(format!("{seq} was never sent"));
        };
        if Kind::of(seq).outlet() != Some(outlet) {
            return self.mistakes.unexpected.add(format!("{seq} came to {outlet}"));
        }
        if redelivered && entry.came > 0 {
            self.again += 1;
            return;
        }
        *self.arrivals.entry(outlet).or_default() += 1;
        entry.came = entry.came.saturating_add(1);
        if Kind::of(seq) == Kind::Keyed && entry.came == 1 {
            let newest = self.newest.entry(message::key(seq)).or_insert(seq);
            if *newest > seq {
                self.mistakes.disordered.add(format!("{seq} came first after {newest}"));
            }
            *newest = seq.max(*newest);
        }
    }

    /// Arrivals at an outlet, doubles included.
    pub(crate) fn arrivals(&self, outlet: &str) -> u64 {
        self.arrivals.get(outlet).copied().unwrap_or_default()
    }

    /// How many confirmed messages have still to come.
    pub(crate) fn missing(&self) -> u64 {
        self.lost().count() as u64
    }

    fn lost(&self) -> impl Iterator<Item = u64> + '_ {
        let due = |(seq, entry): &(usize, &Entry)| {
            let out = Kind::of(*seq as u64).outlet().is_some();
            out && entry.told == Told::Confirmed && entry.came == 0
        };
        self.entries.iter().enumerate().filter(due).map(|(seq, _)| seq as u64)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let Mistakes { unexpected, corrupted, disordered } = self.mistakes.clone();
        let count = |told| self.entries.iter().filter(|entry| entry.told == told).count() as u64;
        let open = |entry: &&Entry| entry.told != Told::Confirmed && entry.came > 0;
        let mut lost = Examples::default();
        self.lost().for_each(|seq| lost.add(seq.to_string()));
        Verdict {
            sent: self.sent(),
            confirmed: count(Told::Confirmed),
            nacked: count(Told::Nacked),
            unknown: count(Told::Unknown),
            recovered: self.entries.iter().filter(open).count() as u64,
            lost,
            unexpected,
            corrupted,
            disordered,
            doubled: self.entries.iter().map(|e| u64::from(e.came.saturating_sub(1))).sum(),
            again: self.again,
        }
    }
}

impl Verdict {
    /// All that must not be, in words; empty when the promise was kept.
    pub(crate) fn broken(&self, doubled_at_most: u64) -> Vec<String> {
        let mut broken = Vec::new();
        let all = [
            ("lost", &self.lost),
            ("unexpected", &self.unexpected),
            ("corrupted", &self.corrupted),
            ("out of order", &self.disordered),
        ];
        for (what, Examples { count, shown }) in all {
            if *count > 0 {
                broken.push(format!("{count} {what}: {}", shown.join("; ")));
            }
        }
        if self.doubled > doubled_at_most {
            broken.push(format!("{} doubled, more than {doubled_at_most}", self.doubled));
        }
        broken
    }
}

impl Examples {
    fn add(&mut self, example: String) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(example);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::body;

    /// Twelve messages sent and confirmed; 3, 7 and 11 are keyed.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::new("r");
        for _ in 0..12 {
            let seq = ledger.send();
            ledger.answered(seq, true);
        }
        ledger
    }

    fn deliver(ledger: &mut Ledger, seqs: impl IntoIterator<Item = u64>) {
        for seq in seqs {
            if let Some(outlet) = Kind::of(seq).outlet() {
                ledger.came(outlet, &body("r", seq), false);
            }
        }
    }

    #[test]
    fn all_once_is_right() {
        let mut ledger = ledger();
        assert_eq!(ledger.missing(), 11);
        deliver(&mut ledger, 0..12);
        assert_eq!(ledger.missing(), 0);
        assert_eq!(ledger.verdict().broken(0), Vec::<String>::new());
        assert_eq!((ledger.arrivals("keys"), ledger.arrivals("b")), (3, 3));
    }

    #[test]
    fn a_confirmed_message_that_never_comes_is_lost() {
        let mut ledger = ledger();
        deliver(&mut ledger, (0..12).filter(|seq| *seq != 5));
        assert_eq!(ledger.verdict().broken(9), ["1 lost: 5"]);
    }

    #[test]
    fn an_unknown_message_may_come_or_not() {
        let mut ledger = ledger();
        ledger.send();
        let came = ledger.send();
        let nacked = ledger.send();
        ledger.answered(nacked, false);
        deliver(&mut ledger, 0..12);
        deliver(&mut ledger, [came]);
        let verdict = ledger.verdict();
        assert_eq!(verdict.broken(0), Vec::<String>::new());
        assert_eq!((verdict.unknown, verdict.nacked, verdict.recovered), (2, 1, 1));
    }

    #[test]
    fn strangers_wrong_places_and_changed_bodies_are_seen() {
        let mut ledger = ledger();
        deliver(&mut ledger, 0..12);
        deliver(&mut ledger, [12]);
        ledger.came("b", &body("r", 0), false);
        ledger.came("a", &body("r", 10), false); // was to be dropped
        ledger.came("a", &body("other", 0), false);
        ledger.came("a", &body("r", 0)[1..], false);
        let verdict = ledger.verdict();
        assert_eq!((verdict.unexpected.count, verdict.corrupted.count), (3, 2), "{verdict:?}");
        assert_eq!(verdict.broken(0).len(), 2);
    }

    #[test]
    fn doubles_are_counted_but_not_our_own() {
        let mut ledger = ledger();
        deliver(&mut ledger, 0..12);
        deliver(&mut ledger, [4, 4, 8]);
        ledger.came("a", &body("r", 0), true);
        let verdict = ledger.verdict();
        assert_eq!((verdict.doubled, verdict.again), (3, 1));
        assert_eq!(verdict.broken(3), Vec::<String>::new());
        assert_eq!(verdict.broken(2).len(), 1);
    }

    #[test]
    fn only_doubles_may_stand_behind_their_successors() {
        let of_one_key = |at: u64| 3 + at * 256; // 64 keys, each fourth message
        let mut sent = Ledger::new("r");
        for _ in 0..1200 {
            sent.send();
        }
        deliver(&mut sent, [0, 1, 0, 1, 2, 2, 3].map(of_one_key));
        assert_eq!(sent.verdict().broken(9), Vec::<String>::new());
        let mut sent = Ledger::new("r");
        for _ in 0..1200 {
            sent.send();
        }
        deliver(&mut sent, [0, 2, 1, 3].map(of_one_key));
        assert_eq!(sent.verdict().broken(9), ["1 out of order: 259 came first after 515"]);
    }
}
