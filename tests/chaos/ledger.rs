//! Ledger: what was sent, as far as the publisher was told, and what came out, and how often.
//!
//! The checker of a total queue, as Jepsen has it: what is confirmed must come; what is unknown
//! may; what was never sent must not. A message that goes to two outlets must come to both, also
//! when its publisher was told nothing and it came to one. Body, routing key, properties and headers
//! must be as they were sent.
//!
//! Order: of the messages of a key, each comes *for the first time* after every earlier one that
//! comes at all: `1 2 3 2 3 4` is right, `1 3 2` is not. This is strict, faults or none, because
//! what is delivered again is a whole tail: a broker gives back in its old order what was not acked,
//! and a daemon publishes again from the first message on that it has no confirm for. Only doubles
//! may stand behind their successors.

use std::collections::{BTreeMap, HashMap};

use crate::content::Arrival;
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
    /// How often, at each outlet of its kind.
    came: [u16; 2],
}

impl Entry {
    fn came(&self) -> bool {
        self.came != [0, 0]
    }

    /// Copies more than one, at the outlet that has most of them: what one fault doubles is
    /// doubled at every outlet.
    fn doubled(&self) -> u64 {
        let most = self.came.into_iter().max().unwrap_or_default();
        most.saturating_sub(1).into()
    }
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
    /// Arrivals more than one of a message, where most of it came.
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
        self.entries.push(Entry { told: Told::Unknown, came: [0, 0] });
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

    /// Something happened that must not happen, whatever became of the messages.
    pub(crate) fn complain(&mut self, what: String) {
        self.mistakes.unexpected.add(what);
    }

    /// A message came to `outlet`. One that is redelivered was given to a consumer of the ledger
    /// before, by the word of the broker, which may not have lived to count it.
    pub(crate) fn came(&mut self, outlet: &'static str, arrival: &Arrival) {
        let seq = match message::number(&self.run, &arrival.body) {
            Ok(seq) => seq,
            Err(error) => {
                let start = String::from_utf8_lossy(&arrival.body);
                let start: String = start.chars().take(80).collect();
                return self.mistakes.corrupted.add(format!("{outlet}: {error}: {start}"));
            }
        };
        let Some(entry) = self.entries.get_mut(seq as usize) else {
            return self.mistakes.unexpected.add(format!("{seq} was never sent"));
        };
        let kind = Kind::of(seq);
        let place = kind.outlets().iter().position(|due| *due == outlet);
        let Some(came) = place.and_then(|place| entry.came.get_mut(place)) else {
            return self.mistakes.unexpected.add(format!("{seq} came to {outlet}"));
        };
        if arrival.redelivered && *came > 0 {
            self.again += 1;
            return;
        }
        *self.arrivals.entry(outlet).or_default() += 1;
        *came = came.saturating_add(1);
        let first = *came == 1;
        if let Some(wrong) = arrival.differs(&self.run, seq, outlet) {
            self.mistakes.corrupted.add(format!("{seq} at {outlet}: {wrong}"));
        }
        if kind == Kind::Keyed && first {
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
            let out = Kind::of(*seq as u64).outlets().len();
            let missing = entry.came.iter().take(out).any(|came| *came == 0);
            missing && (entry.told == Told::Confirmed || entry.came())
        };
        self.entries.iter().enumerate().filter(due).map(|(seq, _)| seq as u64)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let Mistakes { unexpected, corrupted, disordered } = self.mistakes.clone();
        let count = |told| self.entries.iter().filter(|entry| entry.told == told).count() as u64;
        let open = |entry: &&Entry| entry.told != Told::Confirmed && entry.came();
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
            doubled: self.entries.iter().map(Entry::doubled).sum(),
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

    /// Twelve messages sent and confirmed; 3, 7 and 11 are keyed, 2 and 6 go to two outlets.
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
            for outlet in Kind::of(seq).outlets() {
                ledger.came(outlet, &Arrival::sent("r", seq, outlet));
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
        assert_eq!((ledger.arrivals("left"), ledger.arrivals("right")), (2, 2));
    }

    #[test]
    fn a_confirmed_message_that_never_comes_is_lost() {
        let mut ledger = ledger();
        deliver(&mut ledger, (0..12).filter(|seq| *seq != 5));
        assert_eq!(ledger.verdict().broken(9), ["1 lost: 5"]);
    }

    #[test]
    fn half_of_a_fan_out_is_a_loss_whoever_was_told_of_it() {
        let mut ledger = ledger();
        deliver(&mut ledger, (0..12).filter(|seq| *seq != 2));
        ledger.came("right", &Arrival::sent("r", 2, "right"));
        while ledger.sent() < 19 {
            ledger.send();
        }
        ledger.came("left", &Arrival::sent("r", 18, "left")); // nobody was told that it arrived
        assert_eq!(ledger.verdict().broken(0), ["2 lost: 2; 18"]);
    }

    #[test]
    fn every_header_and_property_counts() {
        let mut ledger = ledger();
        deliver(&mut ledger, 0..12);
        for spoil in [
            |sent: &mut Arrival| drop(sent.headers.remove("x-key")),
            |sent: &mut Arrival| drop(sent.headers.insert("x-key".into(), 1.into())),
            |sent: &mut Arrival| drop(sent.headers.insert("x-more".into(), 1.into())),
            |sent: &mut Arrival| drop(sent.properties.remove("message_id")),
            |sent: &mut Arrival| drop(sent.properties.insert("app_id".into(), "?".into())),
            |sent: &mut Arrival| sent.key.push('?'),
        ] {
            let before = ledger.verdict().corrupted.count;
            let mut sent = Arrival::sent("r", 0, "a");
            spoil(&mut sent);
            ledger.came("a", &sent);
            assert_eq!(ledger.verdict().corrupted.count, before + 1, "{sent:?}");
        }
        // The two messages that one became have ids of their own.
        ledger.came("left", &Arrival::sent("r", 6, "right"));
        assert_eq!(ledger.verdict().corrupted.count, 7);
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
        let mut cut = Arrival::sent("r", 0, "a");
        cut.body.remove(0);
        ledger.came("b", &Arrival::sent("r", 0, "b"));
        ledger.came("a", &Arrival::sent("r", 10, "a")); // was to be dropped
        ledger.came("a", &Arrival { body: body("other", 0), ..Arrival::sent("r", 0, "a") });
        ledger.came("a", &cut);
        let verdict = ledger.verdict();
        assert_eq!((verdict.unexpected.count, verdict.corrupted.count), (3, 2), "{verdict:?}");
        assert_eq!(verdict.broken(0).len(), 2);
    }

    #[test]
    fn doubles_are_counted_but_not_our_own() {
        let mut ledger = ledger();
        deliver(&mut ledger, 0..12);
        deliver(&mut ledger, [4, 4, 8, 2]);
        ledger.came("a", &Arrival { redelivered: true, ..Arrival::sent("r", 0, "a") });
        let verdict = ledger.verdict();
        assert_eq!((verdict.doubled, verdict.again), (4, 1));
        assert_eq!(verdict.broken(4), Vec::<String>::new());
        assert_eq!(verdict.broken(3).len(), 1);
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
